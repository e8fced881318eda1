"""The journal of a run: what is finished, written for many blocks together.

That is: summaries and checksums, then the marks of the blocks.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from contextlib import nullcontext, suppress
from dataclasses import dataclass
from typing import Any, Self, cast

from bulklmm_dask.errors import StoreError
from bulklmm_dask.storage.arrays.datasets import read_array, write_file
from bulklmm_dask.storage.arrays.form import Form
from bulklmm_dask.storage.places.location import Location, explained
from bulklmm_dask.storage.places.lock import Held
from bulklmm_dask.storage.proof.manifest import BLOCKS, TRAITS, place, sums_name
from bulklmm_dask.storage.summaries.of_blocks import LOD, BlockSummary, Notes
from bulklmm_dask.typing import Sums

# Blocks, and seconds, after which the journal is written: what a killed run did since is lost.
_BLOCKS, _SECONDS = 256, 10.0


@dataclass(frozen=True)
class Written:
    """What a task has written.

    Attributes
    ----------
    mark : (int, int) or (int,)
        Index of a block, or of a chunk of traits.
    sums : mapping of str to array
        Checksums in the file of every array there.
    files : tuple of Location
        These files.
    summary : BlockSummary or None
        Summary of the LODs of a block, if it has any.
    """

    mark: tuple[int, ...]
    sums: Mapping[str, Sums]
    files: tuple[Location, ...]
    summary: BlockSummary | None = None


class Journal:
    """Notes what is finished, and writes it to the store every 256 blocks or ten seconds.

    A run has one, in the process that drives it: no other process writes these, and this one
    only while it holds the lock. It is a context manager, which writes the rest also when an error
    or Ctrl-C ends the run.
    """

    def __init__(self, store: Location, held: Held | None = None) -> None:
        """Begin the journal of a store, locked unless it is not yet under its name."""
        self._store, self._held = store, held
        self._rows: dict[str, _Rows] = {}
        self._files: list[Location] = []
        self._summaries: Notes | None = None
        self._noted, self._written = 0, time.monotonic()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, error: type[BaseException] | None, *_: object) -> None:
        # If the run has failed, its error says more than a second one.
        with nullcontext() if error is None else suppress(StoreError):
            self.write()

    def note(self, written: Written) -> None:
        """Note what is finished."""
        for name, sums in written.sums.items():
            rows = self._of(sums_name(name))
            rows.set(place(written.mark, rows.ndim - 1), sums)
        if written.summary is not None:
            self.note_summary(written.mark, written.summary, written.sums[LOD])
        self._of(_marks(written.mark)).set(written.mark, 1)
        self._files += written.files
        self._noted += 1
        if self._noted >= _BLOCKS or time.monotonic() - self._written >= _SECONDS:
            self.write()

    def note_summary(self, mark: tuple[int, ...], summary: BlockSummary, lod: Sums) -> None:
        """Note the summary of a block, and the checksums in the file of its LODs."""
        if self._summaries is None:
            self._summaries = Notes(self._store)
        self._summaries.note(cast("tuple[int, int]", mark), summary, lod)

    def forget(self, mark: tuple[int, ...]) -> None:
        """Take back the mark of a block or of a chunk of traits."""
        self._of(_marks(mark)).set(mark, 0)

    def write(self) -> None:
        """Write what was noted: the marks once all that they vouch for is on the disk."""
        if self._held is not None:
            self._held.require(now=True)
        with explained(self._store):
            self._store.sync(self._files)
            summaries = [] if self._summaries is None else self._summaries.write()
            for of_marks, files in ((False, summaries), (True, [])):
                names = [name for name in self._rows if (name in (BLOCKS, TRAITS)) == of_marks]
                self._store.sync(
                    [*files, *(file for name in names for file in self._rows[name].write())]
                )
        self._files.clear()
        self._noted, self._written = 0, time.monotonic()

    def _of(self, name: str) -> _Rows:
        if name not in self._rows:
            self._rows[name] = _Rows(self._store / name)
        return self._rows[name]


def _marks(mark: tuple[int, ...]) -> str:
    return BLOCKS if len(mark) == 2 else TRAITS


class _Rows:
    """An array of the manifest in memory, and which of its files are to be written."""

    def __init__(self, array: Location) -> None:
        self._array, self._form = array, Form.of(array)
        self._values = read_array(array, self._form)
        self._changed: set[tuple[int, ...]] = set()
        self.ndim = self._values.ndim

    def set(self, index: tuple[int, ...], value: Any) -> None:
        self._values[index] = value
        index = (*index, *(0 for _ in range(self.ndim - len(index))))
        self._changed.add(tuple(at // n for at, n in zip(index, self._form.file, strict=True)))

    def write(self) -> list[Location]:
        """Write what has changed; give the files."""
        changed, self._changed = sorted(self._changed), set()
        return [
            write_file(self._array, self._form, index, self._values[self._form.region(index)])
            for index in changed
        ]
