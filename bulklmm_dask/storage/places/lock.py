"""Locks: one run at a time writes into a store.

The lock is a small file in the store, made by the first run and removed when it ends. It names the
process, which renews it while it runs. A lock whose process is dead (`signs`) is taken over.
Readers need no lock. Runs that write shares of a store have locks of their own (`shared`).
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
from bulklmm_dask.text import counted, duration, listing

# Seconds between checks of a writer, and between looks at a guard.
_CHECKED, _PAUSE = 10.0, 0.05

# Folder of the locks of shares, each in a folder of its own.
SHARES = "shares"

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
    is_alone : bool
        Whether no other run writes a share of the store, as far as was seen under the lock.
    """

    def __init__(self, store: Location, folder: str, *alone: str, **entries: str) -> None:
        """Prepare to write into a store; the lock lies in this folder of it.

        Neither there, nor in those that are `alone`, do workers write. The `entries` stand in the
        lock too.
        """
        self.store = store
        self.held: Held | None = None
        self.repair: Callable[[Location], None] | None = None
        self._folder, self._alone = folder, (folder, *alone)
        self._heart: signs.Heart | None = None
        self._record = signs.new_record(**entries)
        self._made: Location | None = None
        self._is_released = False
        self.is_lent = False
        self.is_alone = True

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
                _take_over(self.store, file, self._record, self.waits_for)
            file.clear()
        self._keep(file)
        with explained(self.store):
            self._meet_shares()

    def waits_for(self, record: bytes) -> bool:
        """Tell whether the lock of another run was waited for; runs of the whole store do not."""
        return False

    def has_come(self) -> bool:
        """Tell whether there is a store that another run has made."""
        return self.store.is_store()

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
        if not self._is_released:
            self._give_back()
        self._is_released = True

    def _give_back(self) -> None:
        if self._heart is not None:
            self._heart.stop()
            self._heart = None
            self.store.disown()
        try:
            self._file(self.store).discard(self._record)
        except (OSError, StoreError):  # then others take it over once it is stale
            signs.give_up(self._record)

    def _meet_shares(self) -> None:
        """Remove the locks of shares whose runs are dead; the others are met."""
        found = {file: file.record() for file in locks_of_shares(self.store, self._folder)}
        known = {file: record for file, record in found.items() if record is not None}
        self.is_alone, gone = True, list[str]()
        for file, dead in signs.deaths(known).items():
            if dead is None:
                with suppress(FileNotFoundError):  # it was given back meanwhile
                    self._meet(file, known[file])
            elif file.discard(known[file]):
                gone.append(str(signs.entries(known[file]).get("share")))
        if gone:
            say(
                f"{self.store}: {counted(len(gone), 'share')} ({listing(sorted(gone))}) stopped "
                "before the end; what is finished of them is kept, and their runs, or one of the "
                "whole store, go on from there"
            )

    def _meet(self, file: Location, record: bytes) -> None:
        """Raise StoreError: another run writes a share of the store."""
        raise refusal(file, record, str(self.store))

    def _file(self, store: Location) -> Location:
        return (store / self._folder / LOCK).fixed

    def _keep(self, file: Location) -> None:
        self.held = Held(self.store, file, self._record)
        self.store.own(self._alone, self._made)
        self._made = None
        self._heart = beating(self.held)


def beating(held: Held) -> signs.Heart:
    """Begin to renew a lock that was just made."""
    _checked[held] = signs.now()
    # Once it is lost, the next block is not written.
    return signs.Heart(held.file, held.record, lambda: _checked.pop(held, None))


@contextmanager
def writing(store: Location, folder: str, *alone: str) -> Iterator[Writer]:
    """Hold the lock of a store, from now on if it exists, else once the run has made it.

    The arguments are those of `Writer`.
    """
    with locked(Writer(store.anew, folder, *alone), store) as writer:
        yield writer


@contextmanager
def locked(writer: Writer, store: Location) -> Iterator[Writer]:
    """Hold what a writer of a store holds, which was looked up, and give it back at the end."""
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
    """Sign of life of the run that has the lock of a store; None if there is no lock.

    Of several runs that write shares it is that of the one that was last seen.
    """
    found = _sign_in(store / folder / LOCK)
    if found is not None and found.alive:
        return found
    signs_of_shares = map(_sign_in, locks_of_shares(store, folder))
    known = [sign for sign in (found, *signs_of_shares) if sign is not None]
    return min(known, key=lambda sign: (not sign.alive, sign.age), default=None)


def locks_of_shares(store: Location, folder: str) -> list[Location]:
    """Files that are, or were, locks of shares of a store."""
    shares = (store / folder / SHARES).fixed
    try:
        return [shares / name / LOCK for name in shares.anew.names()]
    except (FileNotFoundError, NotADirectoryError):
        return []


def _sign_in(file: Location) -> Sign | None:
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


def refusal(file: Location, record: bytes, what: str) -> StoreError:
    """The error that says which run has a lock, and how long that may be."""
    return StoreError(
        f"{what} is being written by {signs.last_sign(record, file.age())}; wait for its "
        f"end. If it is dead, {repeat()} {duration(signs.STALE)} minutes after that sign, "
        f"or remove {file}"
    )


def _take_over(
    store: Location, file: Location, own: bytes, waits_for: Callable[[bytes], bool]
) -> None:
    """Remove the lock of a run that is dead; if it is alive, wait, or raise StoreError."""
    record = file.record()
    if record is None:  # given back meanwhile
        return
    with suppress(FileNotFoundError):
        dead = signs.death(file, record)
        if dead is None:
            if waits_for(record):
                return
            raise refusal(file, record, str(store))
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
