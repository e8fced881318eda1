"""The summary of a result in a store, read and compared with its checksums."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property, partial
from typing import Any, NamedTuple, Self

import numpy as np
import numpy.typing as npt
import xarray as xr

from bulklmm_dask.errors import StoreError
from bulklmm_dask.storage.arrays.datasets import read_array
from bulklmm_dask.storage.arrays.form import Form
from bulklmm_dask.storage.places.location import METADATA, Location, ServerError
from bulklmm_dask.storage.proof.lazy import stored_behind
from bulklmm_dask.storage.proof.manifest import Opening, opened_once, read_checked
from bulklmm_dask.storage.summaries.cells import N_STORED
from bulklmm_dask.storage.summaries.of_blocks import (
    CHECKSUM,
    CONTIG,
    COUNTS,
    HIGHEST,
    LOD,
    ROW,
    SUMMARY,
    BlockSummary,
    checksum,
    segments_of,
)
from bulklmm_dask.storage.summaries.segments import Segments
from bulklmm_dask.text import counted
from bulklmm_dask.typing import Flags, Index, Real, Sums

_REMEDY = (
    "scan into the same store again, which makes its summary anew of the LODs, or save the part "
    "again that was saved"
)


# What is read of every summary that is asked for, before its values.
_ARRAYS = (HIGHEST, ROW, COUNTS, CHECKSUM, LOD, CONTIG)
_AHEAD = (METADATA, *(f"{name}/{METADATA}" for name in _ARRAYS), f"{CONTIG}/c/0")


@contextmanager
def _sound(part: Location) -> Iterator[None]:
    """Turn any error of a damaged part into a StoreError; each codec raises its own."""
    try:
        yield
    except StoreError:
        raise
    except Exception as error:
        raise StoreError(f"{part} is damaged ({error}); {_REMEDY}") from error


class Maxima(NamedTuple):
    """Highest LODs of some traits.

    Attributes
    ----------
    traits : slice
        Range of the traits, of whole blocks.
    highest : array (segments, traits)
        Highest LOD in each segment, NaN where there is none.
    row : array (segments, traits)
        Index of the first marker that has it.
    """

    traits: slice
    highest: Real
    row: npt.NDArray[np.int32]


@dataclass(frozen=True)
class StoredSummary:
    """The summary of a result store. What is read ends in StoreError if it is damaged.

    Attributes
    ----------
    store : Location
        The store.
    opening : Opening
        When the store was opened.
    """

    store: Location
    opening: Opening

    @classmethod
    def of(cls, store: Location, opening: Opening | None = None) -> Self | None:
        """The summary of a result store; None if it has none."""
        if not (store / HIGHEST / METADATA).is_file():
            return None
        return cls(store, Opening.now(store, LOD) if opening is None else opening)

    @classmethod
    def behind(cls, lod: xr.DataArray) -> Self | None:
        """The summary of LODs that are all of those of a store, and unchanged; None for others."""
        stored = stored_behind(lod.variable)
        if stored is None or stored.name != LOD or stored.opening.identity is None:
            return None
        store = stored.store.ahead(_AHEAD)
        stored.opening.require_same(store, LOD)
        return cls.of(store, stored.opening)

    @cached_property
    def segments(self) -> Segments:
        """Segments of the markers."""
        with _sound(self.store):
            return segments_of(self.store)

    @property
    def lod(self) -> Form:
        """Form of the array of LODs."""
        with _sound(self.store / LOD):
            return opened_once(self.store, LOD, self.opening)[0]

    @property
    def sums(self) -> Sums:
        """Checksums in the files of the LODs, from the manifest."""
        with _sound(self.store / LOD):
            return opened_once(self.store, LOD, self.opening)[1]

    @property
    def block(self) -> tuple[int, int]:
        """Numbers of markers and of traits of a block."""
        height, width = self.lod.file
        return height, width

    def maxima(self) -> Iterator[Maxima]:
        """Read the highest LODs of all traits, some traits at a time."""
        for found in self.store.each(self._maxima, self._pieces(), large=True):
            self._refuse(list(self._wrong_maxima(found)))
            yield found

    def counts(self) -> Index | None:
        """Read the counts of all LODs, as `stored_counts` gives them; None if there are none."""
        if not self._is_counted:
            return None
        total = np.zeros(N_STORED, dtype=np.int64)
        rows_of_files = self._rows()
        counts = self.store.each(partial(self._read, COUNTS), rows_of_files, large=True)
        for rows, found in zip(rows_of_files, counts, strict=True):
            self._refuse(list(self._wrong_counts(rows, found)))
            total += found.sum(axis=(0, 1), dtype=np.int64)
        return total

    def wrong(self) -> Flags:
        """Tell which blocks (i, j) have a summary that is damaged, or is not that of the block."""
        out = np.zeros(self.lod.files, dtype=bool)
        for traits in self._pieces():
            try:
                for mark in self._wrong_maxima(self._maxima(traits)):
                    out[mark] = True
            except ServerError:
                raise
            except StoreError:
                out[:, self._columns(traits)] = True
        for rows in self._rows() if self._is_counted else ():
            try:
                for mark in self._wrong_counts(rows, self._read(COUNTS, rows)):
                    out[mark] = True
            except ServerError:
                raise
            except StoreError:
                out[rows] = True
        return out

    def made_anew(self, i: int, j: int, region: tuple[slice, slice]) -> tuple[BlockSummary, Sums]:
        """Summarise block (i, j) by its LODs, in this region; with the checksums in their file."""
        with _sound(self.store / LOD):
            lod = read_checked(self.store, LOD, region, self.opening)
        made = BlockSummary.of(lod, self.segments, i, counted=self._is_counted)
        return made, self.sums[i, j]

    @property
    def _is_counted(self) -> bool:
        known = (self.store / COUNTS / METADATA).is_file()
        return known and self._form(COUNTS).shape[-1] == N_STORED  # those of 0.2.0.dev0 differ

    def _form(self, name: str) -> Form:
        with _sound(self.store / name):
            return Form.of(self.store / name)

    def _read(self, name: str, *region: slice) -> npt.NDArray[Any]:
        array, form = self.store / name, self._form(name)
        with _sound(array):
            return read_array(array, form, region)

    def _pieces(self) -> list[slice]:
        """Ranges of traits that share files."""
        width, total = self._form(HIGHEST).file[1], self.lod.shape[1]
        return [slice(at, min(at + width, total)) for at in range(0, total, width)]

    def _rows(self) -> list[slice]:
        """Ranges of chunks of markers whose counts share files."""
        height, total = self._form(COUNTS).file[0], self.lod.files[0]
        return [slice(at, min(at + height, total)) for at in range(0, total, height)]

    def _columns(self, traits: slice) -> range:
        """Numbers of the chunks of traits of a range."""
        return range(traits.start // self.block[1], -(-traits.stop // self.block[1]))

    def _maxima(self, traits: slice) -> Maxima:
        region = slice(0, self.segments.contig.size), traits
        looks: tuple[Callable[[], Any], ...] = (
            lambda: self._read(HIGHEST, *region),
            lambda: self._read(ROW, *region),
            lambda: self._checksum,
        )
        highest, row, _ = self.store.each(lambda look: look(), looks)
        return Maxima(traits, highest, row)

    @cached_property
    def _checksum(self) -> Any:
        return self._read(CHECKSUM)

    def _wrong_maxima(self, found: Maxima) -> Iterator[tuple[int, int]]:
        """Blocks whose maxima have another checksum than is written."""
        width, total = self.block[1], self.lod.shape[1]
        for j in self._columns(found.traits):
            start = j * width - found.traits.start
            own = slice(start, min(start + width, total))
            for i in range(self._checksum.shape[0]):
                rows, mark = self.segments.of_chunk(i), (i, j)
                parts = found.highest[rows, own], found.row[rows, own]
                if checksum(mark, self.sums[mark], *parts) != self._checksum[mark][0]:
                    yield mark

    def _wrong_counts(self, rows: slice, found: Any) -> Iterator[tuple[int, int]]:
        """Blocks whose counts have another checksum than is written."""
        for i, j in np.ndindex(found.shape[:2]):
            mark = (i + rows.start, j)
            if checksum(mark, self.sums[mark], found[i, j]) != self._checksum[mark][1]:
                yield mark

    def _refuse(self, wrong: list[tuple[int, int]]) -> None:
        if wrong:
            raise StoreError(
                f"{self.store / SUMMARY} is damaged: that of {counted(len(wrong), 'block')} is not "
                f"of what the store holds there, the first block {wrong[0]}; {_REMEDY}"
            )
