"""Locks: one run at a time writes into a store.

The lock is a small file in the store, made by the first run and removed when it ends. It names the
process, which renews it while it runs. A lock whose process has ended, or that was not renewed for
two minutes, is taken over. Its age is told by the clock of the file system, as clocks of hosts
differ. Readers need no lock.
"""

from __future__ import annotations

import json
import os
import threading
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from typing import Any

from bulklmm_dask.errors import StoreError
from bulklmm_dask.storage.places import files
from bulklmm_dask.storage.places.location import Location, explained
from bulklmm_dask.storage.places.process import Process
from bulklmm_dask.storage.places.warn import say
from bulklmm_dask.surface import repeat
from bulklmm_dask.text import duration

LOCK, GUARD = "lock.json", "lock-taken-over.json"
# Seconds: between renewals; without one until a lock is taken over; between checks of a writer.
_BEAT, _STALE, _CHECKED = 15.0, 120.0, 10.0
# Seconds that an old lock is watched before it is taken over: a clock may have been set.
_WATCHED = 1.5 * _BEAT

_PAUSE = 0.05  # seconds between looks at a guard

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

    def require(self, *, now: bool = False) -> None:
        """Raise StoreError if the lock is lost; looks once in ten seconds, or `now`."""
        time_now = _now()
        if not now and time_now - _checked.get(self, float("-inf")) < _CHECKED:
            return
        with explained(self.store):
            found = self.file.record()
        if found != self.record:
            by = "its lock is gone" if found is None else f"it was taken over by {_who(found)}"
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
    """

    def __init__(self, store: Location, folder: str) -> None:
        """Prepare to write into a store; the lock lies in this folder of it."""
        self.store = store
        self.held: Held | None = None
        self.repair: Callable[[Location], None] | None = None
        self._folder = folder
        self._ended = threading.Event()
        self._beat: threading.Thread | None = None
        self._record = _new_record()

    def __fspath__(self) -> str:
        return self.store.path

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
        """Put the lock into a store that is being made."""
        self._file(new).create(self._record)

    def keep(self) -> None:
        """Begin to renew the lock, once the store that it was put into has its name."""
        self._keep(self._file(self.store))

    def release(self) -> None:
        """Give the lock back, if it is still held."""
        self._ended.set()
        if self._beat is not None:
            self._beat.join()
        with suppress(OSError):  # then others take it over once it is stale
            self._file(self.store).discard(self._record)

    def _file(self, store: Location) -> Location:
        return (store / self._folder / LOCK).fixed

    def _keep(self, file: Location) -> None:
        self.held = Held(self.store, file, self._record)
        self._beat = threading.Thread(target=self._renew, args=(self.held,), daemon=True)
        self._beat.start()

    def _renew(self, held: Held) -> None:
        while not self._ended.wait(_BEAT):
            with suppress(OSError):  # a file server that is away for a moment
                if not held.file.renew(held.record):
                    _checked.pop(held, None)  # so that the next block is not written
                    return


@contextmanager
def writing(store: Location, folder: str) -> Iterator[Writer]:
    """Hold the lock of a store, from now on if it exists, else once the run has made it."""
    writer = Writer(store, folder)
    try:
        if store.exists():
            writer.take()
        yield writer
    finally:
        files.cleaning(writer.release)


def written_by(store: Location, folder: str) -> str:
    """Say which run writes into a store; empty if there is none, or if it is dead."""
    file = store / folder / LOCK
    with suppress(OSError):
        record = file.record()
        process = None if record is None else _process(record)
        if record is not None and process is not None and not process.has_ended():
            age = file.age()
            return _sign_of_life(record, age) if abs(age) < _STALE else ""
    return ""


def _now() -> float:
    """Seconds, also those that the machine has slept."""
    clock = getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC)
    return time.clock_gettime(clock)


def _new_record() -> bytes:
    record = {
        "token": uuid.uuid4().hex,
        "started": datetime.now(UTC).isoformat(timespec="seconds"),
        **asdict(Process.this()),
    }
    return json.dumps(record, indent=2).encode()


def _is_made(file: Location, record: bytes) -> bool:
    try:
        file.create(record)
    except FileExistsError:
        return file.record() == record
    return True


def _take_over(store: Location, file: Location, own: bytes) -> None:
    """Remove the lock of a run that is dead; raise StoreError if it is alive."""
    record = file.record()
    if record is None:  # given back meanwhile
        return
    with suppress(FileNotFoundError):
        dead = _death(file, record)
        if dead is None:
            raise StoreError(
                f"{store} is being written by {_sign_of_life(record, file.age())}; wait for its "
                f"end. If it is dead, {repeat()} {duration(_STALE)} minutes after that sign, or "
                f"remove {file}"
            )
        if _is_removed(file, record, own):
            say(f"{store} was being written by {_who(record)}, which {dead}: this run goes on")


def _is_removed(file: Location, record: bytes, own: bytes) -> bool:
    """Remove the lock of a dead run, if it is still that; one run at a time may."""
    guard = file.beside / GUARD
    try:
        guard.create(own)
    except FileExistsError:
        other = guard.record()
        if other is not None and _death(guard, other) is not None:
            guard.discard(other)
        time.sleep(_PAUSE)
        return False
    try:
        return file.discard(record)
    finally:
        files.cleaning(lambda: guard.discard(own))


def _death(file: Location, record: bytes) -> str | None:
    """Tell how it is known that the run that holds a lock is dead; None if it may be alive."""
    process = _process(record)
    if process is not None and process.has_ended():
        return "has ended"
    age = file.age()
    if abs(age) < _STALE:
        return None
    before = file.renewed()
    time.sleep(_WATCHED)
    if file.renewed() != before:
        return None
    return f"has given no sign of life for {duration(max(age, _WATCHED))}"


def _entries(record: bytes) -> dict[str, Any]:
    try:
        found = json.loads(record)
    except ValueError:  # it is being written
        return {}
    return found if isinstance(found, dict) else {}


def _process(record: bytes) -> Process | None:
    found = _entries(record)
    try:
        return Process(
            str(found["machine"]),
            int(found["pid"]),
            int(found["birth"]),
            str(found["host"]),
            str(found["user"]),
        )
    except (KeyError, TypeError, ValueError):
        return None


def _who(record: bytes) -> str:
    process = _process(record)
    return "another run" if process is None else f"{process}, started {_entries(record)['started']}"


def _sign_of_life(record: bytes, age: float) -> str:
    return f"{_who(record)} (last sign of life {duration(max(age, 0.0))} ago)"
