"""Summaries of the blocks of a result: what most questions ask of LODs, in a thousandth of them.

The group ``summary`` has, of every trait in each segment (`segments`), the highest LOD and the
first marker that has it; of every block the counts of its LODs in cells (`cells`); and the
checksums of both, by which they are known to be those of the block that is stored. All are those of
the LODs as they are stored. The files of these arrays hold many blocks each and are written at the
end of a run; their own checksums tell the next run which of them it need not decode (`files`).
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import google_crc32c
import numpy as np
import numpy.typing as npt
import xarray as xr

from bulklmm_dask.storage.arrays.datasets import make_array, make_form, make_group, read_array
from bulklmm_dask.storage.arrays.form import Form
from bulklmm_dask.storage.codecs.compression import FAST
from bulklmm_dask.storage.labels.layout import Field, Layout
from bulklmm_dask.storage.places.location import Location
from bulklmm_dask.storage.proof.manifest import together
from bulklmm_dask.storage.summaries.cells import N_CELLS
from bulklmm_dask.storage.summaries.segments import Segments
from bulklmm_dask.storage.summaries.summarise import summarise
from bulklmm_dask.typing import Index, Real, Sums

SUMMARY = "summary"
HIGHEST, ROW = f"{SUMMARY}/highest", f"{SUMMARY}/row"
COUNTS, CHECKSUM = f"{SUMMARY}/counts", f"{SUMMARY}/checksum"
FILES = f"{SUMMARY}/files"
LOD = "lod"
CONTIG, _FREEDOM = "variant_contig", "df"
# What a file holds before compression: bytes of maxima, and blocks of counts (164 kB each).
_MAXIMA, _COUNTED = 2**25, 1024
# Blocks that are counted, however small they are.
_FEW = 2**12
_UINT = np.dtype(np.uint32)


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
        How many LODs each cell has; None if LODs are not counted.
    """

    highest: Real
    row: npt.NDArray[np.int32]
    counts: npt.NDArray[np.uint32] | None

    @property
    def nbytes(self) -> int:
        """Size in bytes."""
        counts = 0 if self.counts is None else self.counts.nbytes
        return self.highest.nbytes + self.row.nbytes + counts

    @classmethod
    def of(
        cls,
        lod: Real,
        segments: Segments,
        i: int,
        *,
        counted: bool,
        where: Index | None = None,
    ) -> BlockSummary:
        """Summarise the LODs of a block in chunk `i` of the markers; `where` as for `summarise`."""
        group = segments.groups_of_chunk(i)
        highest, row, counts = summarise(lod, group, counted=counted, where=where)
        place = (row + i * segments.size).astype(np.int32)
        return cls(highest, place, None if counts is None else counts.astype(np.uint32))


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


def checksums(
    marks: Index, lods: npt.NDArray[np.uint32], *parts: npt.NDArray[Any]
) -> npt.NDArray[np.uint32]:
    """Do what `checksum` does for many blocks (blocks, ...)."""
    first = np.concatenate([marks.astype("<u4"), lods.astype("<u4")], axis=1)
    found = np.zeros(len(marks), np.uint32)
    for at, rows in enumerate(zip(first, *parts, strict=True)):
        found[at] = google_crc32c.value(b"".join([row.tobytes() for row in rows]))
    return found


def has_summaries(values: Mapping[str, Any]) -> bool:
    """Tell whether statistics of pairs, arrays or fields, have LODs that are summarised."""
    lod = values.get(LOD)
    return lod is not None and len(lod.shape) == 2 and lod.dtype in (np.float32, np.float64)


def has_counts(store: Location) -> bool:
    """Tell whether a store has counts in these cells; those of 0.2.0.dev0 were others."""
    array = store / COUNTS
    return array.is_store() and Form.of(array).shape[-1] == N_CELLS


def are_counted(values: Mapping[str, Any]) -> bool:
    """Tell whether LODs are counted: cells of LODs are cells of p-values if all have one df."""
    return _FREEDOM not in values


def _are_worth(layout: Layout) -> bool:
    """Tell whether counts are quicker to read than the LODs of the blocks, if there are many."""
    return math.prod(layout.blocks) <= _FEW or math.prod(layout.block) >= N_CELLS


def create_summaries(
    store: Location, template: xr.Dataset, layout: Layout, of_pairs: Mapping[str, Field]
) -> list[str]:
    """Create the summaries of a result that has LODs, without files; give the names of the arrays.

    A file is there once a block in it is summarised.
    """
    if not has_summaries(of_pairs):
        return []
    contig = template[CONTIG].values if CONTIG in template else None
    segments = Segments.of(contig, layout.shape[0], layout.block[0])
    lods, (rows, columns), n_traits = of_pairs[LOD].dtype, layout.blocks, layout.shape[1]
    shape = (segments.contig.size, n_traits)
    one = -(-segments.contig.size // rows) * layout.block[1] * lods.itemsize
    height, width = together((rows, columns), max(1, _MAXIMA // one))
    file = (-(-segments.contig.size * height // rows), min(width * layout.block[1], n_traits))
    dims, of_blocks = ("segments", "traits"), ("variant_blocks", "trait_blocks")
    made: dict[str, tuple[Any, ...]] = {
        HIGHEST: (shape, file, lods, dims),
        ROW: (shape, file, np.dtype(np.int32), dims),
        CHECKSUM: (
            (rows, columns, 2),
            (*together((rows, columns)), 2),
            _UINT,
            (*of_blocks, "sums"),
        ),
    }
    if are_counted(of_pairs) and _are_worth(layout):
        cells = (*together((rows, columns), _COUNTED), N_CELLS)
        made[COUNTS] = ((rows, columns, N_CELLS), cells, _UINT, (*of_blocks, "cells"))
    make_group(store / SUMMARY)
    forms = {
        name: Form.new(shape, dtype, file, FAST.codecs, dims=dims)
        for name, (shape, file, dtype, dims) in made.items()
    }
    for name, form in forms.items():
        make_form(store / name, form)
    n_files = sum(math.prod(form.files) for form in forms.values())
    make_array(store / FILES, np.zeros(n_files, np.uint32), dims=("summary_files",))
    return [*forms, FILES]


def forms_of(store: Location) -> dict[str, Form]:
    """Forms of the arrays of the summary of a store, in the order of `FILES`."""
    names = (HIGHEST, ROW, CHECKSUM, COUNTS)
    return {name: Form.of(store / name) for name in names if (store / name).is_store()}


def segments_of(store: Location) -> Segments:
    """Segments of a result store."""
    lod, contig = Form.of(store / LOD), store / CONTIG
    codes = read_array(contig, Form.of(contig)) if contig.is_store() else None
    return Segments.of(codes, lod.shape[0], lod.file[0])


def summary_of(
    store: Location,
    held: object,
    i: int,
    values: Mapping[str, npt.NDArray[Any]],
    where: Index | None = None,
) -> BlockSummary | None:
    """Summarise the statistics of a block in chunk `i` of the markers; None without LODs.

    `held` tells apart stores that had the same path one after the other; `where` is as for
    `summarise`.
    """
    if not has_summaries(values):
        return None
    segments, counted = _kept(store, held)
    return BlockSummary.of(values[LOD], segments, i, counted=counted, where=where)


@lru_cache(maxsize=8)
def _kept(store: Location, _: object) -> tuple[Segments, bool]:
    """Segments of a store, and whether it has counts, once for all blocks of a process."""
    return segments_of(store), has_counts(store)
