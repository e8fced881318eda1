"""The arrays of a store that tell what is finished: summaries and checksums, then marks."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from itertools import chain
from typing import Any, cast

import numpy as np
import numpy.typing as npt

from bulklmm_dask.storage.arrays.datasets import read_array, write_file
from bulklmm_dask.storage.arrays.form import Form
from bulklmm_dask.storage.places.location import METADATA, Location, explained
from bulklmm_dask.storage.places.lock import Held
from bulklmm_dask.storage.places.signs import BEAT
from bulklmm_dask.storage.proof.entry import JOURNAL, Entry, entries_of, listed
from bulklmm_dask.storage.proof.manifest import (
    BLOCKS,
    MANIFEST,
    TRAITS,
    mark_for,
    place,
    places,
    sums_name,
)
from bulklmm_dask.storage.results.written import Written, kind_of
from bulklmm_dask.storage.summaries.files import File
from bulklmm_dask.storage.summaries.notes import Notes
from bulklmm_dask.storage.summaries.of_blocks import HIGHEST, LOD, SUMMARY, BlockSummary
from bulklmm_dask.typing import Index, Sums

# Folders that no other process writes than the one that drives a run; its lock is in the first.
KEPT = (BLOCKS, TRAITS, MANIFEST, SUMMARY)
# What is read before it is written, or to know where that is.
_READ = (MANIFEST, SUMMARY, f"{LOD}/{METADATA}")
# Seconds after which it is looked again whether the lock is held.
_NOW = 1.0


class Ledger:
    """Notes what is finished, or is not any more, and writes it into these arrays.

    No other process writes them than the one that drives the run, and this one only while it holds
    the lock.
    """

    def __init__(self, store: Location, held: Held | None = None) -> None:
        """Begin for a store, locked unless it is not yet under its name."""
        self._store, self._held = store if store.is_own else store.opened(), held
        # Nobody else writes these while the run has the lock.
        self._store.fetch(lambda path: path.startswith(_READ))
        self._rows: dict[str, _Rows] = {}
        self._files: list[Location] = []
        self._summaries: Notes | None = None

    def note(self, written: Written) -> None:
        """Note what is finished."""
        for name in written.sums:
            rows = self._of(sums_name(name))
            rows.set(place(written.mark, rows.ndim - 1), written.sums[name])
        if written.summary is not None:
            self.note_summary(written.mark, written.summary, written.sums[LOD])
        self._of(written.kind).set_mark(written.mark, mark_for(written.length))
        self._files += written.files

    def note_summary(self, mark: tuple[int, ...], summary: BlockSummary, lod: Sums) -> None:
        """Note the summary of a block, and the checksums in the file of its LODs."""
        self._notes().note(cast("tuple[int, int]", mark), summary, lod)

    def vouch(self, files: Sequence[File]) -> None:
        """Note that files of the summary, which others have written, are right."""
        if files:
            self._notes().vouch(files)

    def note_entry(self, entry: Entry) -> None:
        """Note what an entry of the journal tells; some of it may be written."""
        for kind, finished in entry.items():
            marks = np.array(finished.marks, np.int64)
            for name, values in finished.arrays.items():
                if name.startswith(sums_name("")):
                    rows = self._of(name)
                    rows.set_all(places(marks, rows.ndim - 1), values)
            if HIGHEST in finished.arrays:
                lods = finished.arrays[sums_name(LOD)]
                self._notes().note_all(marks, finished.arrays, lods)
            self._of(kind).set_all(marks, finished.arrays[kind])

    def forget(self, mark: tuple[int, ...]) -> None:
        """Take back the mark of a block or of a chunk of traits."""
        self._of(kind_of(mark)).set_mark(mark, 0)

    def write(self, *meanwhile: Callable[[], Any]) -> list[Any]:
        """Write what was noted: the marks once all that they vouch for is on the disk.

        What is to be done `meanwhile` is done along with the marks; its results are given.
        """
        self.write_sums()
        return self.write_marks(*meanwhile)

    def write_sums(self) -> None:
        """Write summaries and checksums; they may be there before what they are of."""
        # Nobody takes a lock over within a beat. It is looked at with the first requests again,
        # and before the marks.
        locks = [] if self._held is None else [partial(self._held.require, _NOW)]
        if self._held is not None:
            self._held.require(within=BEAT)
        with explained(self._store):
            self._store.sync(self._files)
            summaries = [] if self._summaries is None else [self._summaries.write]
            written = self._together(*locks, *summaries, *self._writes(of_marks=False))
            self._store.sync([*chain(*written[len(locks) :])])
        self._files.clear()

    def write_marks(self, *meanwhile: Callable[[], Any]) -> list[Any]:
        """Write the marks, once `write_sums` and all that they vouch for is on the disk.

        What is to be done `meanwhile` is done along with them; its results are given.
        """
        if self._held is not None:
            self._held.require(_NOW)
        with explained(self._store):
            marks = self._writes(of_marks=True)
            written = self._together(*marks, *meanwhile)
            self._store.sync([*chain(*written[: len(marks)])])
        return written[len(marks) :]

    def _together(self, *calls: Callable[[], Any]) -> list[Any]:
        return list(self._store.each(lambda call: call(), calls))

    def _writes(self, *, of_marks: bool) -> list[Callable[[], list[Location]]]:
        """Writes of the arrays of marks, or of the others."""
        return [
            rows.write
            for name, rows in self._rows.items()
            if (name in (BLOCKS, TRAITS)) == of_marks
        ]

    def _notes(self) -> Notes:
        if self._summaries is None:
            self._summaries = Notes(self._store)
        return self._summaries

    def _of(self, name: str) -> _Rows:
        if name not in self._rows:
            self._rows[name] = _Rows(self._store / name)
        return self._rows[name]


class Folding:
    """The journal of a run on its way into the arrays of its store; it can be done again.

    Damaged entries tell of nothing.
    """

    def __init__(
        self,
        store: Location,
        held: Held | None,
        others: Sequence[Written] = (),
        *,
        alone: bool = True,
    ) -> None:
        """Write summaries and checksums; what they are of may be on its way.

        Parameters
        ----------
        store : Location
            The store.
        held : Held, optional
            Its lock, unless it is not yet under its name.
        others : sequence of Written
            What is, or will be, finished, but not in the journal.
        alone : bool
            Whether no other run writes entries meanwhile (`shared`). Only those that were read are
            removed then, and their folder stays.
        """
        if not store.is_own:
            looks: list[Callable[[], Any]] = [store.opened]
            if held is not None:
                looks.append(partial(held.require, within=0.0))
            store, *_ = store.each(lambda look: look(), looks)
        self._store, self._ledger, self._alone = store, None, alone
        if not others and not (store / JOURNAL).exists():
            return
        with explained(store):
            self._ledger = Ledger(store, held)
            self._entries = listed(store)
            for entry in entries_of(store, self._entries):
                self._ledger.note_entry(entry)
            for written in others:
                self._ledger.note(written)
            self._ledger.write_sums()

    def finish(self) -> Location:
        """Write the marks, once all is written that they vouch for, and remove the journal.

        Returns
        -------
        Location
            The store, opened: what was looked up is known, with what was written.
        """
        store = self._store
        if self._ledger is None:
            return store.opened()
        with explained(store):
            has_journal = (store / JOURNAL).exists()
            (found,) = self._ledger.write_marks(store.opened)
            if has_journal and self._alone:
                (found / JOURNAL).remove()
            elif has_journal:
                for _ in store.each(lambda file: file.remove(), self._entries):
                    pass
        return cast("Location", found)


def fold(
    store: Location, held: Held | None, others: Sequence[Written] = (), *, alone: bool = True
) -> Location:
    """Put what the journal of a run tells into the arrays of its store (`Folding`), at once."""
    return Folding(store, held, others, alone=alone).finish()


class _Rows:
    """An array of the manifest in memory, and which of its files are to be written."""

    def __init__(self, array: Location) -> None:
        self._array, self._form = array, Form.of(array)
        self._values = read_array(array, self._form)
        self._changed: set[tuple[int, ...]] = set()
        self.ndim = self._values.ndim

    def set(self, index: tuple[int, ...], value: Any) -> None:
        """Set an element, or a row."""
        self._values[index] = value
        index = (*index, *(0 for _ in range(self.ndim - len(index))))
        self._changed.add(tuple(at // n for at, n in zip(index, self._form.file, strict=True)))

    def set_mark(self, index: tuple[int, ...], mark: int) -> None:
        """Set a mark; those of older stores have a byte, and tell no length."""
        self.set(index, min(mark, 1) if self._values.dtype == np.uint8 else mark)

    def set_all(self, indices: Index, values: npt.NDArray[Any]) -> None:
        """Set the elements, or the rows, at indices (elements, dimensions); marks too."""
        if self._values.dtype == np.uint8:
            values = np.minimum(values, 1)
        self._values[tuple(indices.T)] = values
        rest = (0,) * (self.ndim - indices.shape[1])
        found = np.unique(indices // self._form.file[: indices.shape[1]], axis=0)
        self._changed.update((*file, *rest) for file in map(tuple, found.tolist()))

    def write(self) -> list[Location]:
        """Write what has changed; give the files."""
        changed, self._changed = sorted(self._changed), set()
        return [
            write_file(self._array, self._form, index, self._values[self._form.region(index)])
            for index in changed
        ]
