"""A new result store: its names, places and attributes are there, its scores are not."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import xarray as xr
import zarr

from bulklmm_dask.storage.compression import FAST, SMALL, Compression
from bulklmm_dask.storage.coordinates import COORDINATES, listed
from bulklmm_dask.storage.encoding import plain
from bulklmm_dask.storage.frequency import OF_PATTERNS
from bulklmm_dask.storage.layout import Field, Layout
from bulklmm_dask.storage.location import Location
from bulklmm_dask.storage.manifest import (
    BLOCKS,
    TRAITS,
    create_marks,
    create_sums,
    record,
    sums_name,
)
from bulklmm_dask.storage.seal import seal
from bulklmm_dask.storage.stamp import RESULT, stamp


def create(
    store: Location,
    template: xr.Dataset,
    layout: Layout,
    of_pairs: Mapping[str, Field],
    of_traits: Mapping[str, Field],
    fingerprints: Mapping[str, str],
    compression: Compression = FAST,
) -> None:
    """Write names, places, an empty manifest and attributes; make the arrays of scores.

    The parameters are those of `resumed.open_or_create`.
    """
    encoding = {name: {"compressors": SMALL} for name in template.variables}
    store.write_dataset(plain(template), write_empty_chunks=True, encoding=encoding)
    group = store.open_group("r+")
    sharded = layout.inner != layout.block
    for name, field in of_pairs.items():
        rest = field.shape[2:]
        shards = (*layout.block, *rest) if sharded else None
        codecs = compression.codecs
        _create_array(group, name, field, (*layout.inner, *rest), codecs, shards)
    for name, field in of_traits.items():
        codecs = SMALL if field.dtype == object else FAST.codecs
        _create_array(group, name, field, (*field.shape[:-1], layout.block[1]), codecs)
    dims = tuple(f"{dim.removesuffix('s')}_blocks" for dim in layout.dims)
    create_marks(group, BLOCKS, layout.blocks, dims)
    create_marks(group, TRAITS, layout.blocks[1:], dims[1:])
    scores = [*of_pairs, *of_traits]
    create_sums(group, scores)
    streamed = [OF_PATTERNS] if OF_PATTERNS in template else []
    record(store, streamed)
    attrs = {
        **stamp(RESULT),
        "block": list(layout.block),
        "dims": list(layout.dims),
        "statistics": list(of_pairs),
        "of_traits": list(of_traits),
        "fingerprints": dict(fingerprints),
        COORDINATES: " ".join([*listed(template), *of_traits]),
    }
    seal(store, attrs, frozenset((*scores, *map(sums_name, scores), *streamed, BLOCKS, TRAITS)))


def _create_array(
    group: zarr.Group,
    name: str,
    field: Field,
    chunks: tuple[int, ...],
    codecs: tuple[Any, ...],
    shards: tuple[int, ...] | None = None,
) -> None:
    dtype: Any = str if field.dtype == object else field.dtype
    group.create_array(
        name,
        shape=field.shape,
        dtype=dtype,
        chunks=chunks,
        shards=shards,
        compressors=codecs,
        fill_value=_fill_value(dtype),
        dimension_names=field.dims,
        attributes=dict(field.attrs or {}),
    )


def _fill_value(kind: Any) -> float | None:
    """NaN for floats, which cannot be mistaken for a result; Zarr's default for others."""
    return np.nan if np.dtype(kind).kind == "f" else None
