"""The journal of a run: what is finished, noted in one file for many blocks.

The file is written after the blocks that it vouches for. At the end of the run all that the journal
tells is put into the arrays of the store (`ledger`), each file of which is written once.
"""

from __future__ import annotations

import time
from collections.abc import Collection
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack, nullcontext, suppress
from functools import cached_property
from threading import Lock
from typing import Any, Self

import numpy as np
import numpy.typing as npt

from bulklmm_dask.errors import StoreError
from bulklmm_dask.storage.places.location import METADATA, Location, explained
from bulklmm_dask.storage.proof.attributes import attributes_in
from bulklmm_dask.storage.proof.entry import Entry, Finished, encoded, numbered
from bulklmm_dask.storage.proof.manifest import BLOCKS, TRAITS, mark_for, sums_name
from bulklmm_dask.storage.proof.stamp import DIGEST
from bulklmm_dask.storage.results.blocks import Target
from bulklmm_dask.storage.results.ledger import Folding, fold
from bulklmm_dask.storage.results.written import Written, telling
from bulklmm_dask.storage.summaries.notes import arrays_of

# Blocks, bytes of their summaries, and seconds, after which an entry is written: what a killed run
# did since is lost. Once many blocks are noted, an entry has a third as many, within the seconds.
_BLOCKS, _MOST, _BYTES, _SECONDS = 256, 1024, 2**26, 10.0
# Entries of a share are numbered from this times the number of the share on.
_OF_A_SHARE = 10**6


class Journal:
    """Notes what is finished, in an entry for every 256 blocks or more, or ten seconds.

    A run has one, in the process that drives it, for a store in which no entries of an earlier run
    are left (`fold`); it writes only while it holds the lock. It is a context manager, which at the
    end puts all into the arrays of the store, also when an error or Ctrl-C ends the run. That of a
    share only writes the last entry: the arrays are written under the lock of the store.
    """

    def __init__(
        self,
        target: Target,
        store: Location | None = None,
        expected: Collection[tuple[int, ...]] = (),
    ) -> None:
        """Begin the journal of a store, locked unless it is not yet under its name.

        Parameters
        ----------
        target : ResultStore or NewStore
            The store.
        store : Location, optional
            Its place, if anything is known of that.
        expected : collection of tuple of int
            Marks of all that will be finished, if that is known. Checksums and summaries of a
            store that this run has made on a server are then sent while the last of it is.
        """
        self._target, self._store = target, store or target.location
        self._waiting: list[Written] = []
        self._noted, self._bytes, self._number, self._written = 0, 0, 0, time.monotonic()
        self._first = _OF_A_SHARE * target.share.number if target.share else 0
        self._folded: Location | None = None
        self._foretold: dict[tuple[int, ...], Written] = {}  # and not yet noted
        self._expected, self._lock = set(expected), Lock()
        self._early: Future[Folding] | None = None
        self._is_as_told = True
        self._tells = ExitStack()

    def __enter__(self) -> Self:
        if self._expected and self._store.is_far and not self._target.share:
            self._pool = self._tells.enter_context(ThreadPoolExecutor(1))
            self._tells.enter_context(telling(self._target.path, self._foretell))
        return self

    def __exit__(self, error: type[BaseException] | None, *_: object) -> None:
        self._tells.close()
        # If the run has failed, its error says more than a second one.
        with nullcontext() if error is None else suppress(StoreError):
            if error is not None and self._number:
                self.write()
            self._finish()

    def _foretell(self, written: Written) -> None:
        """Begin to put all into the arrays of the store once the last bytes are on their way.

        A store that others have made is listed for that, which has to wait for those bytes.
        """
        with self._lock:
            if written.mark not in self._expected:
                return
            self._expected.discard(written.mark)
            self._foretold[written.mark] = written
            if not self._expected and self._store.is_own:
                others = [*self._waiting, *self._foretold.values()]
                self._early = self._pool.submit(
                    Folding, self._store, self._target.made().held, others
                )

    @property
    def store(self) -> Location:
        """The store; after the end of the journal, as it was looked up to put all into it."""
        return self._folded or self._store

    def note(self, written: Written) -> None:
        """Note what is finished."""
        with self._lock:
            self._waiting.append(written)
            told = self._foretold.pop(written.mark, None)
            self._is_as_told &= told is None or told.is_same(written)
            self._expected.discard(written.mark)
        if written.summary is not None:
            self._bytes += written.summary.nbytes
        self._noted += 1
        most = min(max(_BLOCKS, self._noted // 3), _MOST)
        is_late = time.monotonic() - self._written >= _SECONDS
        if len(self._waiting) >= most or self._bytes >= _BYTES or is_late:
            self.write()

    def write(self) -> None:
        """Write an entry of what was noted, once all that it vouches for is on the disk."""
        if not self._waiting:
            return
        held = self._target.made().held
        if held is not None:
            held.require(within=0.0)
        with explained(self._store):
            self._store.sync([file for written in self._waiting for file in written.files])
            number = self._first + self._number
            file = numbered(self._store, number)
            with file.replacing() as stream:
                stream.write(encoded(_entry(self._waiting), number, self._digest))
            self._store.sync([file])
        with self._lock:
            self._waiting.clear()
        self._bytes, self._number, self._written = 0, self._number + 1, time.monotonic()

    def _finish(self) -> None:
        """Put all into the arrays of the store."""
        if self._target.share:
            self.write()
            return
        if not (self._number or self._waiting):
            return
        early = self._early if self._is_as_told and not self._foretold else None
        if early is not None and not early.exception():
            self._folded = early.result().finish()
        else:
            self._folded = fold(self._store, self._target.made().held, self._waiting)

    @cached_property
    def _digest(self) -> str:
        return str((attributes_in(self._store / METADATA) or {})[DIGEST])


def _entry(noted: list[Written]) -> Entry:
    found = {}
    for kind in (BLOCKS, TRAITS):
        own = [written for written in noted if written.kind == kind]
        if own:
            arrays: dict[str, npt.NDArray[Any]] = {
                sums_name(name): np.stack([written.sums[name] for written in own])
                for name in own[0].sums
            }
            arrays[kind] = np.array([mark_for(written.length) for written in own], np.uint64)
            summaries = [written.summary for written in own if written.summary is not None]
            arrays |= arrays_of(summaries) if summaries else {}
            found[kind] = Finished([written.mark for written in own], arrays)
    return found
