"""Locks: one run at a time writes into a store.

The lock is a small file in the store, made by the first run and removed when it ends. It names the
process, which renews it while it runs. A lock whose process is dead (`signs`) is taken over.
Readers need no lock.
"""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass

from bulklmm_dask.errors import StoreError
from bulklmm_dask.storage.places import files, signs
from bulklmm_dask.storage.places.base import GUARD, LOCK
from bulklmm_dask.storage.places.location import Location, explained
from bulklmm_dask.storage.places.warn import say
from bulklmm_dask.surface import repeat
from bulklmm_dask.text import duration

# Seconds between checks of a writer, and between looks at a guard.
_CHECKED, _PAUSE = 10.0, 0.05

_checked: dict[Held, float] = {}  # when this process last saw that it holds a lock


@dataclass(frozen=True)
class Held:
    """A lock that is held; cheap to send to any worker.

    Attributes
    ----------
    store : Location
        The store, for messages.
    file : Location
        The lock.
    record : bytes
        What stands in it, which no other lock has.
    """

    store: Location
    file: Location
    record: bytes

    def require(self, within: float = _CHECKED) -> None:
        """Raise StoreError if the lock is lost; looks unless it did `within` so many seconds."""
        time_now = signs.now()
        if time_now - _checked.get(self, float("-inf")) < within:
            return
        with explained(self.store):
            found = self.file.record()
        if found != self.record:
            by = "its lock is gone" if found is None else f"it was taken over by {signs.who(found)}"
            raise StoreError(
                f"this run stops, for it may no longer write into {self.store}: {by}; finished "
                f"blocks are kept, and once nothing else writes there, {repeat()} to go on"
            )
        _checked[self] = time_now


class Writer(os.PathLike[str]):
    """The right to write into one store, from the start of a run to its end.

    It stands for the path of the store, so that whoever has it can pass it on to an analysis.

    Attributes
    ----------
    store : Location
        The store, which need not exist yet.
    held : Held or None
        The lock, once there is a store.
    repair : callable or None
        Puts a damaged store right, given a new one of the same analysis without scores.
    is_lent : bool
        Whether the run of an analysis has it from a caller, who still needs it then.
    """

    def __init__(self, store: Location, folder: str, *alone: str) -> None:
        """Prepare to write into a store; the lock lies in this folder of it.

        Neither there, nor in those that are `alone`, do workers write.
        """
        self.store = store
        self.held: Held | None = None
        self.repair: Callable[[Location], None] | None = None
        self._folder, self._alone = folder, (folder, *alone)
        self._heart: signs.Heart | None = None
        self._record = signs.new_record()
        self._made: Location | None = None
        self._is_released = False
        self.is_lent = False

    def __fspath__(self) -> str:
        return self.store.path

    @property
    def makes_new(self) -> bool:
        """Whether there is no store yet."""
        return self.held is None and self.repair is None

    def take(self) -> None:
        """Take the lock of a store that exists.

        Raises
        ------
        StoreError
            If another run has it, and gives signs of life.

        Warns
        -----
        StudyWarning
            If it is taken over.
        """
        file = self._file(self.store)
        with explained(self.store):
            while not _is_made(file, self._record):
                _take_over(self.store, file, self._record)
            file.clear()
        self._keep(file)

    def put_into(self, new: Location) -> None:
        """Put the lock into a store that is being made, while the rest of it is written."""
        new.meanwhile(lambda: _make(self._file(new), self._record))
        self._made = new

    def keep(self) -> None:
        """Begin to renew the lock, once the store that it was put into has its name."""
        self._keep(self._file(self.store))

    @contextmanager
    def given_back(self) -> Iterator[None]:
        """Give the lock back meanwhile, once all is written; whoever lent it gives it back."""
        if self.is_lent:
            yield
            return
        thread = threading.Thread(target=files.cleaning, args=(self.release,))
        thread.start()
        try:
            yield
        finally:
            thread.join()

    def release(self) -> None:
        """Give the lock back, if it is still held; once."""
        if self._is_released:
            return
        if self._heart is not None:
            self._heart.stop()
            self.store.disown()
        try:
            self._file(self.store).discard(self._record)
        except (OSError, StoreError):  # then others take it over once it is stale
            signs.give_up(self._record)
        self._is_released = True

    def _file(self, store: Location) -> Location:
        return (store / self._folder / LOCK).fixed

    def _keep(self, file: Location) -> None:
        held = self.held = Held(self.store, file, self._record)
        _checked[held] = signs.now()
        self.store.own(self._alone, self._made)
        self._made = None
        # Once it is lost, the next block is not written.
        self._heart = signs.Heart(file, self._record, lambda: _checked.pop(held, None))


@contextmanager
def writing(store: Location, folder: str, *alone: str) -> Iterator[Writer]:
    """Hold the lock of a store, from now on if it exists, else once the run has made it.

    The arguments are those of `Writer`.
    """
    writer = Writer(store.anew, folder, *alone)
    try:
        if store.exists():
            writer.take()
        yield writer
    finally:
        files.cleaning(writer.release)


@dataclass(frozen=True)
class Sign:
    """The last sign of life of the run that has the lock of a store.

    Attributes
    ----------
    record : bytes
        What stands in the lock.
    age : float
        Seconds since the sign, by the clock of the file system or the server.
    alive : bool
        Whether the run may still write.
    """

    record: bytes
    age: float
    alive: bool

    @property
    def writer(self) -> str:
        """The process, with its user, host and start."""
        return signs.who(self.record)

    @property
    def host(self) -> str:
        """Host of the process."""
        return str(signs.entries(self.record)["host"])

    def __str__(self) -> str:
        return signs.last_sign(self.record, self.age)


def sign_of(store: Location, folder: str) -> Sign | None:
    """Sign of life of the run that has the lock of a store; None if there is no lock."""
    file = store / folder / LOCK
    with suppress(OSError):
        record = file.record()
        if record is not None and signs.process_of(record) is not None:
            age = file.age()
            alive = abs(age) < signs.STALE and not signs.has_ended(record)
            return Sign(record, max(age, 0.0), alive)
    return None


def written_by(store: Location, folder: str) -> str:
    """Say which run writes into a store; empty if there is none, or if it is dead."""
    sign = sign_of(store, folder)
    return "" if sign is None or not sign.alive else str(sign)


def _is_made(file: Location, record: bytes) -> bool:
    try:
        file.create(record)
    except FileExistsError:
        return file.record() == record
    return True


def _make(file: Location, record: bytes) -> None:
    """Make a lock; one that is there is our own where the answer to a first request was lost."""
    if not _is_made(file, record):
        raise FileExistsError(f"another run has made {file}")


def _take_over(store: Location, file: Location, own: bytes) -> None:
    """Remove the lock of a run that is dead; raise StoreError if it is alive."""
    record = file.record()
    if record is None:  # given back meanwhile
        return
    with suppress(FileNotFoundError):
        dead = signs.death(file, record)
        if dead is None:
            raise StoreError(
                f"{store} is being written by {signs.last_sign(record, file.age())}; wait for its "
                f"end. If it is dead, {repeat()} {duration(signs.STALE)} minutes after that sign, "
                f"or remove {file}"
            )
        if _is_removed(file, record, own):
            say(f"{store} was being written by {signs.who(record)}, which {dead}: this run goes on")


def _is_removed(file: Location, record: bytes, own: bytes) -> bool:
    """Remove the lock of a dead run, if it is still that; one run at a time may."""
    guard = file.beside / GUARD
    try:
        guard.create(own)
    except FileExistsError:
        other = guard.record()
        if other is not None and signs.death(guard, other) is not None:
            guard.discard(other)
        time.sleep(_PAUSE)
        return False
    try:
        return file.discard(record)
    finally:
        files.cleaning(lambda: guard.discard(own))
