"""Summaries of the blocks of a result: what most questions ask of LODs, in a thousandth of them.

The group ``summary`` has, of every trait in each segment (`segments`), the highest LOD and the
first marker that has it; of every block the counts of its LODs in cells (`cells`); and the
checksums of both, by which they are known to be those of the block that is stored. All are those of
the LODs as they are stored.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import google_crc32c
import numpy as np
import numpy.typing as npt
import xarray as xr

from bulklmm_dask.storage.arrays.datasets import (
    make_array,
    make_group,
    read_array,
    write_file,
)
from bulklmm_dask.storage.arrays.form import Form
from bulklmm_dask.storage.arrays.pieces import Region, touched
from bulklmm_dask.storage.codecs.compression import FAST
from bulklmm_dask.storage.labels.layout import Field, Layout
from bulklmm_dask.storage.places.location import Location, ServerError
from bulklmm_dask.storage.proof.manifest import together
from bulklmm_dask.storage.summaries.cells import N_STORED, stored_counts
from bulklmm_dask.storage.summaries.segments import Segments
from bulklmm_dask.storage.summaries.slabs import Slabs
from bulklmm_dask.typing import Real, Sums

SUMMARY = "summary"
HIGHEST, ROW = f"{SUMMARY}/highest", f"{SUMMARY}/row"
COUNTS, CHECKSUM = f"{SUMMARY}/counts", f"{SUMMARY}/checksum"
LOD = "lod"
CONTIG, _FREEDOM = "variant_contig", "df"


@dataclass(frozen=True)
class BlockSummary:
    """What is kept of the LODs of a block.

    Attributes
    ----------
    highest : array (segments, traits)
        Highest LOD of every trait in each segment; NaN where it has none.
    row : array (segments, traits)
        Index, in the whole result, of the first marker that has it; of the first marker of the
        segment where there is none.
    counts : array (cells,) or None
        From `stored_counts`; None if LODs are not counted.
    """

    highest: Real
    row: npt.NDArray[np.int32]
    counts: npt.NDArray[np.uint32] | None

    @classmethod
    def of(cls, lod: Real, segments: Segments, i: int, *, counted: bool) -> BlockSummary:
        """Summarise the LODs of a block in chunk `i` of the markers."""
        slabs = Slabs.of(lod, segments.groups_of_chunk(i))
        highest, row = slabs.highest()
        place = (row + i * segments.size).astype(np.int32)
        return cls(highest, place, stored_counts(slabs) if counted else None)


def checksum(mark: tuple[int, int], lod: Sums, *parts: npt.NDArray[Any]) -> int:
    """Checksum of parts of a summary, bound to a block and to the file of its LODs.

    Parameters
    ----------
    mark : (int, int)
        Index of the block.
    lod : array
        Checksums in the file of its LODs: that of the index of a shard alone tells their sizes.
    *parts : array
        ``highest`` and ``row``, or ``counts``.
    """
    found = google_crc32c.value(np.array([*mark, *lod], "<u4").tobytes())
    for values in parts:
        found = google_crc32c.extend(found, np.ascontiguousarray(values).tobytes())
    return int(found)


def has_summaries(values: Mapping[str, Any]) -> bool:
    """Tell whether statistics of pairs, arrays or fields, have LODs that are summarised."""
    lod = values.get(LOD)
    return lod is not None and len(lod.shape) == 2 and lod.dtype in (np.float32, np.float64)


def are_counted(values: Mapping[str, Any]) -> bool:
    """Tell whether LODs are counted: cells of LODs are cells of p-values if all have one df."""
    return _FREEDOM not in values


def create_summaries(
    store: Location, template: xr.Dataset, layout: Layout, of_pairs: Mapping[str, Field]
) -> list[str]:
    """Create the summaries of a result that has LODs, all empty; give the names of their arrays."""
    if not has_summaries(of_pairs):
        return []
    contig = template[CONTIG].values if CONTIG in template else None
    segments = Segments.of(contig, layout.shape[0], layout.block[0])
    (rows, columns), n_traits = layout.blocks, layout.shape[1]
    height, width = together((rows, columns))
    shape = (segments.contig.size, n_traits)
    file = (-(-segments.contig.size * height // rows), min(width * layout.block[1], n_traits))
    dims, of_blocks = ("segments", "traits"), ("variant_blocks", "trait_blocks")
    nothing = of_pairs[LOD].dtype.type(np.nan)
    made: dict[str, tuple[Any, ...]] = {
        HIGHEST: (shape, file, nothing, dims),
        ROW: (shape, file, np.int32(0), dims),
        CHECKSUM: ((rows, columns, 2), (height, width, 2), np.uint32(0), (*of_blocks, "sums")),
    }
    if are_counted(of_pairs):
        cells = (height, width, N_STORED)
        made[COUNTS] = ((rows, columns, N_STORED), cells, np.uint32(0), (*of_blocks, "cells"))
    make_group(store / SUMMARY)
    for name, (shape, file, value, dims) in made.items():
        values = np.broadcast_to(value, shape)
        make_array(store / name, values, file, FAST.codecs, dims=dims)
    return list(made)


def segments_of(store: Location) -> Segments:
    """Segments of a result store."""
    lod, contig = Form.of(store / LOD), store / CONTIG
    codes = read_array(contig, Form.of(contig)) if contig.is_store() else None
    return Segments.of(codes, lod.shape[0], lod.file[0])


def summary_of(
    store: Location, held: object, i: int, values: Mapping[str, npt.NDArray[Any]]
) -> BlockSummary | None:
    """Summarise the statistics of a block in chunk `i` of the markers; None without LODs.

    `held` tells apart stores that had the same path one after the other.
    """
    if not has_summaries(values):
        return None
    segments = _segments(store, held)
    return BlockSummary.of(values[LOD], segments, i, counted=are_counted(values))


@lru_cache(maxsize=8)
def _segments(store: Location, _: object) -> Segments:
    """Segments of a store, once for all blocks that a process writes."""
    return segments_of(store)


class Notes:
    """Summaries of finished blocks, written for many of them together."""

    def __init__(self, store: Location) -> None:
        """Begin with none, for a result store that has summaries."""
        self._store, self._segments = store, segments_of(store)
        self._width = Form.of(store / LOD).file[1]
        self._parts: dict[str, list[tuple[Region, npt.NDArray[Any]]]] = {}

    def note(self, mark: tuple[int, int], summary: BlockSummary, lod: Sums) -> None:
        """Note the summary of a block, and the checksums in the file of its LODs."""
        start = mark[1] * self._width
        of_traits = slice(start, start + summary.highest.shape[1])
        maxima = (self._segments.of_chunk(mark[0]), of_traits)
        block = tuple(slice(at, at + 1) for at in mark)
        self._add(HIGHEST, maxima, summary.highest)
        self._add(ROW, maxima, summary.row)
        sums = np.zeros((1, 1, 2), np.uint32)
        sums[..., 0] = checksum(mark, lod, summary.highest, summary.row)
        if summary.counts is not None:
            sums[..., 1] = checksum(mark, lod, summary.counts)
            self._add(COUNTS, (*block, slice(0, N_STORED)), summary.counts[None, None])
        self._add(CHECKSUM, (*block, slice(0, 2)), sums)

    def _add(self, name: str, region: Region, values: npt.NDArray[Any]) -> None:
        self._parts.setdefault(name, []).append((region, values))

    def write(self) -> list[Location]:
        """Write what was noted; give the files."""
        parts, self._parts = self._parts, {}
        written = self._store.each(lambda item: _put(self._store, *item), parts.items())
        return [file for files in written for file in files]


def _put(
    store: Location, name: str, parts: Sequence[tuple[Region, npt.NDArray[Any]]]
) -> list[Location]:
    """Write parts of an array, each of its files once; give the files."""
    array = store / name
    form = Form.of(array)
    of_file: dict[tuple[int, ...], list[tuple[Region, npt.NDArray[Any]]]] = {}
    for region, values in parts:
        for index, of_piece, of_region in touched(region, form.file):
            of_file.setdefault(index, []).append((of_piece, values[of_region]))
    written = []
    for index, some in of_file.items():
        held = _held(array, form, index)
        for region, values in some:
            held[region] = values
        written.append(write_file(array, form, index, held))
    return written


def _held(array: Location, form: Form, index: tuple[int, ...]) -> npt.NDArray[Any]:
    """What a file holds; one that is damaged is begun anew.

    Other blocks that it held have wrong checksums then, and are summarised again by the next run.
    """
    try:
        return read_array(array, form, form.region(index))
    except ServerError:
        raise
    except Exception:  # each codec fails in its own way
        return form.blank(form.region(index))
