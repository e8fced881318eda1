"""A new result store: its names, places and attributes are there, its scores are not."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import xarray as xr

from bulklmm_dask.storage.compression import FAST, Compression, small_codecs
from bulklmm_dask.storage.coordinates import COORDINATES, listed
from bulklmm_dask.storage.datasets import make_form, write_dataset
from bulklmm_dask.storage.form import Form
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
from bulklmm_dask.storage.summaries import create_summaries


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
    write_dataset(store, template)
    inner = layout.inner if layout.inner != layout.block else None
    for name, field in of_pairs.items():
        rest = field.shape[2:]
        own = None if inner is None else (*inner, *rest)
        _make_array(store / name, field, (*layout.block, *rest), compression.codecs, own)
    for name, field in of_traits.items():
        codecs = small_codecs() if field.dtype == object else FAST.codecs
        _make_array(store / name, field, (*field.shape[:-1], layout.block[1]), codecs)
    dims = tuple(f"{dim.removesuffix('s')}_blocks" for dim in layout.dims)
    create_marks(store, BLOCKS, layout.blocks, dims)
    create_marks(store, TRAITS, layout.blocks[1:], dims[1:])
    scores = [*of_pairs, *of_traits]
    create_sums(store, scores)
    summaries = create_summaries(store, template, layout, of_pairs)
    streamed = [OF_PATTERNS] if OF_PATTERNS in template else []
    record(store, streamed)
    attrs = {
        **stamp(RESULT),
        "block": list(layout.block),
        "dims": list(layout.dims),
        "statistics": list(of_pairs),
        "of_traits": list(of_traits),
        "fingerprints": dict(fingerprints),
        "compression": compression.name,
        COORDINATES: " ".join([*listed(template), *of_traits]),
    }
    in_manifest = (*scores, *map(sums_name, scores), *streamed, BLOCKS, TRAITS)
    seal(store, attrs, frozenset((*in_manifest, *summaries)))


def _make_array(
    array: Location,
    field: Field,
    file: tuple[int, ...],
    codecs: tuple[Any, ...],
    inner: tuple[int, ...] | None = None,
) -> None:
    others = {"inner": inner, "dims": field.dims, "attrs": field.attrs or {}}
    make_form(array, Form.new(field.shape, field.dtype, file, codecs, **others))
