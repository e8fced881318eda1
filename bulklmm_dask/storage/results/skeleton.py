"""A new result store: its names, places and attributes are there, its scores are not."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import xarray as xr

from bulklmm_dask.storage.arrays.datasets import make_form, write_dataset
from bulklmm_dask.storage.arrays.form import Form
from bulklmm_dask.storage.codecs.compression import FAST, Compression, small_codecs
from bulklmm_dask.storage.labels.coordinates import COORDINATES, listed
from bulklmm_dask.storage.labels.layout import Field, Layout
from bulklmm_dask.storage.places.location import Location
from bulklmm_dask.storage.proof.frequency import OF_PATTERNS
from bulklmm_dask.storage.proof.manifest import (
    BLOCKS,
    TRAITS,
    create_marks,
    create_sums,
    record,
    sums_name,
)
from bulklmm_dask.storage.proof.seal import seal
from bulklmm_dask.storage.proof.stamp import RESULT, stamp
from bulklmm_dask.storage.summaries.of_blocks import create_summaries


@dataclass(frozen=True)
class Skeleton:
    """All that stands in a result store before its first block.

    Attributes
    ----------
    template : Dataset
        Names, positions and attributes to keep beside the scores.
    layout : Layout
        Sizes.
    of_pairs, of_traits : mapping of str to Field
        The arrays with one value per pair, and those with one per trait.
    fingerprints : mapping of str to str
        Digest of each input and of the options, under a name fit for a message.
    compression : Compression
        How the arrays with one value per pair are written.
    """

    template: xr.Dataset
    layout: Layout
    of_pairs: Mapping[str, Field]
    of_traits: Mapping[str, Field]
    fingerprints: Mapping[str, str]
    compression: Compression = FAST

    @property
    def fields(self) -> dict[str, Field]:
        """All arrays of scores."""
        return {**self.of_pairs, **self.of_traits}

    @property
    def nbytes(self) -> int:
        """Size of the arrays with one value per pair without compression, in bytes."""
        return sum(field.nbytes for field in self.of_pairs.values())

    def write(self, store: Location) -> None:
        """Write names, places, an empty manifest and attributes; make the arrays of scores."""
        layout = self.layout
        write_dataset(store, self.template)
        inner = layout.inner if layout.inner != layout.block else None
        for name, field in self.of_pairs.items():
            rest = field.shape[2:]
            own = None if inner is None else (*inner, *rest)
            codecs = self.compression.codecs_of_pairs
            _make_array(store / name, field, (*layout.block, *rest), codecs, own)
        for name, field in self.of_traits.items():
            codecs = small_codecs() if field.dtype == object else FAST.codecs
            _make_array(store / name, field, (*field.shape[:-1], layout.block[1]), codecs)
        dims = tuple(f"{dim.removesuffix('s')}_blocks" for dim in layout.dims)
        create_marks(store, BLOCKS, layout.blocks, dims)
        create_marks(store, TRAITS, layout.blocks[1:], dims[1:])
        create_sums(store, list(self.fields))
        summaries = create_summaries(store, self.template, layout, self.of_pairs)
        streamed = [OF_PATTERNS] if OF_PATTERNS in self.template else []
        record(store, streamed)
        attrs = {
            **stamp(RESULT),
            "block": list(layout.block),
            "dims": list(layout.dims),
            "statistics": list(self.of_pairs),
            "of_traits": list(self.of_traits),
            "fingerprints": dict(self.fingerprints),
            "compression": self.compression.name,
            COORDINATES: " ".join([*listed(self.template), *self.of_traits]),
        }
        scores = [*self.fields, *map(sums_name, self.fields)]
        seal(store, attrs, frozenset((*scores, *streamed, BLOCKS, TRAITS, *summaries)))


def _make_array(
    array: Location,
    field: Field,
    file: tuple[int, ...],
    codecs: tuple[Any, ...],
    inner: tuple[int, ...] | None = None,
) -> None:
    others = {"inner": inner, "dims": field.dims, "attrs": field.attrs or {}}
    make_form(array, Form.new(field.shape, field.dtype, file, codecs, **others))
