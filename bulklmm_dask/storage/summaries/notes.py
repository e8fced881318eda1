"""Summaries of finished blocks, put into the arrays of a store for many of them together."""

from __future__ import annotations

import io
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import partial
from typing import Any

import numpy as np
import numpy.typing as npt

from bulklmm_dask.storage.arrays.datasets import read_array
from bulklmm_dask.storage.arrays.form import Form
from bulklmm_dask.storage.arrays.pieces import Region, touched
from bulklmm_dask.storage.arrays.shard import write
from bulklmm_dask.storage.places.location import Location, ServerError
from bulklmm_dask.storage.summaries.cells import N_CELLS
from bulklmm_dask.storage.summaries.files import File, FileSums
from bulklmm_dask.storage.summaries.of_blocks import (
    CHECKSUM,
    COUNTS,
    HIGHEST,
    LOD,
    ROW,
    BlockSummary,
    checksum,
    checksums,
    forms_of,
    segments_of,
)
from bulklmm_dask.typing import Index, Sums

# Bytes of what is held before some of it is written.
_HELD = 2**28
# Maxima of a block that are put in place by themselves; fewer go together with those of others.
_ALONE = 2**10

_Part = tuple[Region | tuple[Index, ...], npt.NDArray[Any]]


class Notes:
    """Summaries of finished blocks, which are written for many of them together."""

    def __init__(self, store: Location) -> None:
        """Begin with none, for a result store that has summaries."""
        self._store, self._segments = store, segments_of(store)
        lod = Form.of(store / LOD)
        self._width, self._n_traits = lod.file[1], lod.shape[1]
        self._forms = forms_of(store)
        self._sums = FileSums.of(store, self._forms)
        self._parts: dict[File, list[_Part]] = {}
        self._held, self._recent = 0, set[File]()  # bytes, and files of the last call
        self._written, self._is_changed = list[Location](), False

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
            self._add(COUNTS, (*block, slice(0, N_CELLS)), summary.counts[None, None])
        self._add(CHECKSUM, (*block, slice(0, 2)), sums)

    def note_all(
        self, marks: Index, arrays: Mapping[str, npt.NDArray[Any]], lods: npt.NDArray[np.uint32]
    ) -> None:
        """Note the summaries of blocks in `arrays_of` them; what was noted may be written.

        Parameters
        ----------
        marks : array (blocks, 2) of int
            The blocks.
        arrays : mapping of str to array
            From `arrays_of`.
        lods : array (blocks, sums)
            Checksums in the files of their LODs.
        """
        starts = self._segments.starts
        heights = starts[marks[:, 0] + 1] - starts[marks[:, 0]]
        widths = np.minimum(self._width, self._n_traits - marks[:, 1] * self._width)
        ends = np.cumsum(heights * widths)
        counts = arrays.get(COUNTS)
        for shape in dict.fromkeys(zip(heights.tolist(), widths.tolist(), strict=True)):
            mine = np.flatnonzero((heights == shape[0]) & (widths == shape[1]))
            within = (ends - heights * widths)[mine, None] + np.arange(shape[0] * shape[1])
            highest, row = (arrays[name][within].reshape(-1, *shape) for name in (HIGHEST, ROW))
            is_all = len(mine) == len(marks)
            own = counts if counts is None or is_all else counts[mine]
            self._note_equal(marks[mine], highest, row, own, lods[mine])
        if self._held > _HELD:
            self._put([file for file in self._parts if file not in self._recent])
            if self._held > _HELD:
                self._put(list(self._parts))
        self._recent.clear()

    def _note_equal(
        self,
        marks: Index,
        highest: npt.NDArray[Any],
        row: npt.NDArray[np.int32],
        counts: npt.NDArray[np.uint32] | None,
        lods: npt.NDArray[np.uint32],
    ) -> None:
        """Note the summaries of blocks of equal shape, one after the other if they are large."""
        if highest[0].size >= _ALONE:
            for at, (i, j) in enumerate(marks.tolist()):
                own = None if counts is None else counts[at]
                self.note((i, j), BlockSummary(highest[at], row[at], own), lods[at])
            return
        _, height, width = highest.shape
        rows = self._segments.starts[marks[:, 0], None, None] + np.arange(height)[:, None]
        columns = marks[:, 1, None, None] * self._width + np.arange(width)
        where = [each.ravel() for each in np.broadcast_arrays(rows, columns)]
        self._scatter(HIGHEST, where, highest.ravel())
        self._scatter(ROW, where, row.ravel())
        sums = np.zeros((len(marks), 2), np.uint32)
        sums[:, 0] = checksums(marks, lods, highest, row)
        if counts is not None:
            sums[:, 1] = checksums(marks, lods, counts)
            for at, mark in enumerate(marks.tolist()):
                block = tuple(slice(place, place + 1) for place in mark)
                self._add(COUNTS, (*block, slice(0, N_CELLS)), counts[at, None, None])
        self._scatter(CHECKSUM, list(marks.T), sums)

    def _scatter(self, name: str, where: Sequence[Index], values: npt.NDArray[Any]) -> None:
        """Note elements, or rows, of an array by their indices along its first dimensions."""
        form = self._forms[name]
        cut = list(zip(where, form.file, strict=False))
        files = np.ravel_multi_index([at // size for at, size in cut], form.files[: len(cut)])
        for number in np.unique(files).tolist():
            mine = slice(None) if (files == number).all() else files == number
            index = np.unravel_index(number, form.files[: len(cut)])
            rest = (0,) * (len(form.file) - len(cut))
            file = name, (*map(int, index), *rest)
            within = tuple((at % size)[mine] for at, size in cut)
            self._parts.setdefault(file, []).append((within, values[mine]))
            self._recent.add(file)
        self._held += values.nbytes

    def vouch(self, files: Iterable[File]) -> None:
        """Note the checksums that files have whose blocks were found to be right."""
        if self._sums is not None:
            for file in files:
                self._sums.set(file, self._sums.found(file))
                self._is_changed = True

    def write(self) -> list[Location]:
        """Write what was noted; give the files, with those that were written before."""
        self._put(list(self._parts), last=True)
        written, self._written = self._written, []
        self._is_changed = False
        return written

    def _add(self, name: str, region: Region, values: npt.NDArray[Any]) -> None:
        for index, of_file, of_region in touched(region, self._forms[name].file):
            file = name, index
            self._parts.setdefault(file, []).append((of_file, values[of_region]))
            self._recent.add(file)
        self._held += values.nbytes

    def _put(self, files: Sequence[File], *, last: bool = False) -> None:
        """Write files, with what was noted of each; the `last` ones with the list of all.

        The list need not come after them: a file that is not the one it tells of is looked into.
        """
        parts = [self._parts.pop(file) for file in files]
        self._held -= sum(values.nbytes for some in parts for _, values in some)
        made = list(self._store.each(lambda one: self._made(*one), zip(files, parts, strict=True)))
        for file, (_, found, _) in zip(files, made, strict=True):
            if self._sums is not None:
                self._sums.set(file, found)
                self._is_changed = True
        writes: list[Callable[[], Location]] = [
            partial(_write, place, data) for place, _, data in made
        ]
        if last and self._is_changed and self._sums is not None:
            writes.append(self._sums.write)
        self._written += self._store.each(lambda one: one(), writes)

    def _made(self, file: File, parts: Sequence[_Part]) -> tuple[Location, int, Any]:
        """Make the bytes of a file; give its location, and the checksum at its end, with them."""
        name, index = file
        array, form = self._store / name, self._forms[name]
        held = _held(array, form, index)
        for region, values in parts:
            held[region] = values
        stream = io.BytesIO()
        (found,) = write(stream, form, held)
        return array / form.path(index), int(found), stream.getbuffer()


def _write(place: Location, data: Any) -> Location:
    with place.replacing() as stream:
        stream.write(data)
    return place


def arrays_of(summaries: Sequence[BlockSummary]) -> dict[str, npt.NDArray[Any]]:
    """Put the summaries of blocks into an array each of what they have, in their order."""
    found = {
        HIGHEST: np.concatenate([one.highest.ravel() for one in summaries]),
        ROW: np.concatenate([one.row.ravel() for one in summaries]),
    }
    counts = [one.counts for one in summaries if one.counts is not None]
    return found | ({COUNTS: np.stack(counts)} if counts else {})


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
