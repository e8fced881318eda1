"""The summary of a result in a store, read and compared with its checksums."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from typing import Any, NamedTuple, Self

import numpy as np
import numpy.typing as npt
import xarray as xr

from bulklmm_dask.errors import StoreError
from bulklmm_dask.storage.arrays.datasets import read_array
from bulklmm_dask.storage.arrays.form import Form
from bulklmm_dask.storage.arrays.pieces import Region
from bulklmm_dask.storage.places.location import METADATA, Location, ServerError
from bulklmm_dask.storage.proof.lazy import stored_behind
from bulklmm_dask.storage.proof.manifest import Opening, opened_once, read_checked
from bulklmm_dask.storage.summaries.cells import N_CELLS
from bulklmm_dask.storage.summaries.files import File, FileSums
from bulklmm_dask.storage.summaries.of_blocks import (
    CHECKSUM,
    CONTIG,
    COUNTS,
    FILES,
    HIGHEST,
    LOD,
    ROW,
    SUMMARY,
    BlockSummary,
    checksum,
    forms_of,
    has_counts,
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
_ARRAYS = (HIGHEST, ROW, COUNTS, CHECKSUM, FILES, LOD, CONTIG)
_AHEAD = (METADATA, *(f"{name}/{METADATA}" for name in _ARRAYS), f"{CONTIG}/c/0", f"{FILES}/c/0")


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
        self._require_file_sums()
        for found in self.store.each(self._maxima, self._pieces(), large=True):
            self._refuse(list(self._wrong_maxima(found)))
            yield found

    def counts(self) -> Index | None:
        """Read the counts of all LODs, by cell; None if there are none."""
        if not self._is_counted:
            return None
        self._require_file_sums()
        total = np.zeros(N_CELLS, dtype=np.int64)
        tiles = self._tiles()
        counts = self.store.each(lambda blocks: self._read(COUNTS, *blocks), tiles, large=True)
        for blocks, found in zip(tiles, counts, strict=True):
            self._refuse(list(self._wrong_counts(blocks, found)))
            total += found.sum(axis=(0, 1), dtype=np.int64)
        return total

    def wrong(self, chosen: Flags) -> Flags:
        """Tell which of some blocks have a summary that is damaged, or is not that of the block.

        Parameters
        ----------
        chosen : array (blocks along variants, blocks along traits) of bool
            The blocks to look at.
        """
        out = np.zeros(self.lod.files, dtype=bool)
        for traits in self._pieces():
            columns = self._columns(traits)
            if not chosen[:, columns].any():
                continue
            try:
                for mark in self._wrong_maxima(self._maxima(traits)):
                    out[mark] = True
            except ServerError:
                raise
            except StoreError:
                out[:, columns] = True
        for blocks in self._tiles() if self._is_counted else ():
            if not chosen[blocks].any():
                continue
            try:
                for mark in self._wrong_counts(blocks, self._read(COUNTS, *blocks)):
                    out[mark] = True
            except ServerError:
                raise
            except StoreError:
                out[blocks] = True
        return out & chosen

    def doubtful(self, chosen: Flags) -> tuple[list[File], Flags]:
        """Files with some of these blocks that are lost, damaged, or not those written last.

        What is in the others was compared when they were written. With them, their blocks.
        """
        forms = forms_of(self.store)
        sums, out = FileSums.of(self.store, forms), np.zeros_like(chosen)
        files = [(name, index) for name, form in forms.items() for index in np.ndindex(form.files)]
        blocks = {
            (name, index): self._blocks_of(name, forms[name].region(index)) for name, index in files
        }
        looked = [file for file in files if chosen[blocks[file]].any()]
        if sums is not None:
            found = self.store.each(sums.found, looked, large=True)
            pairs = zip(looked, found, strict=True)
            looked = [file for file, one in pairs if not one or one != sums.get(file)]
        for file in looked:
            out[blocks[file]] = True
        return looked, out & chosen

    def _blocks_of(self, name: str, region: Region) -> tuple[slice, slice]:
        """Blocks of a part of an array; of maxima, all along the markers."""
        if name not in (HIGHEST, ROW):
            return region[0], region[1]
        columns = self._columns(region[1])
        return slice(None), slice(columns.start, columns.stop)

    def made_anew(self, i: int, j: int, region: tuple[slice, slice]) -> tuple[BlockSummary, Sums]:
        """Summarise block (i, j) by its LODs, in this region; with the checksums in their file."""
        with _sound(self.store / LOD):
            lod = read_checked(self.store, LOD, region, self.opening)
        made = BlockSummary.of(lod, self.segments, i, counted=self._is_counted)
        return made, self.sums[i, j]

    def _require_file_sums(self) -> None:
        """Raise StoreError if what tells the next run which files are right is damaged."""
        if (self.store / FILES).is_store():
            self._read(FILES)

    @property
    def _is_counted(self) -> bool:
        with _sound(self.store / COUNTS):
            return has_counts(self.store)

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

    def _tiles(self) -> list[tuple[slice, slice]]:
        """Blocks whose counts share a file, file by file."""
        form = self._form(COUNTS)
        regions = (form.region(index) for index in np.ndindex(form.files))
        return [(region[0], region[1]) for region in regions]

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
        (width, total), sums = (self.block[1], self.lod.shape[1]), self.sums
        for j in self._columns(found.traits):
            start = j * width - found.traits.start
            own = slice(start, min(start + width, total))
            for i in range(self._checksum.shape[0]):
                rows, mark = self.segments.of_chunk(i), (i, j)
                parts = found.highest[rows, own], found.row[rows, own]
                if checksum(mark, sums[mark], *parts) != self._checksum[mark][0]:
                    yield mark

    def _wrong_counts(
        self, blocks: tuple[slice, slice], found: npt.NDArray[Any]
    ) -> Iterator[tuple[int, int]]:
        """Blocks whose counts have another checksum than is written."""
        sums = self.sums
        for i, j in np.ndindex(found.shape[:2]):
            mark = (i + blocks[0].start, j + blocks[1].start)
            if checksum(mark, sums[mark], found[i, j]) != self._checksum[mark][1]:
                yield mark

    def _refuse(self, wrong: list[tuple[int, int]]) -> None:
        if wrong:
            raise StoreError(
                f"{self.store / SUMMARY} is damaged: that of {counted(len(wrong), 'block')} is not "
                f"of what the store holds there, the first block {wrong[0]}; {_REMEDY}"
            )
