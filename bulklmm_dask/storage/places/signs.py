"""Signs of life: records of processes that write, and whether these are dead.

A record names its process, which renews it while it writes. One whose process has ended, or that
was not renewed for two minutes, is of a dead one. Its age is told by the clock of the file system
or of the server, as clocks of hosts differ.
"""

from __future__ import annotations

import json
import threading
import time
import uuid
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import asdict
from datetime import UTC, datetime
from typing import Any

from bulklmm_dask.errors import StoreError
from bulklmm_dask.storage.places.process import Process
from bulklmm_dask.storage.places.protocol import Location
from bulklmm_dask.text import duration

# Seconds: between renewals; without one until a process is taken for dead.
BEAT, STALE = 15.0, 120.0
# Seconds that an old record is watched before that: a clock may have been set.
WATCHED = 1.5 * BEAT

_given_up: set[bytes] = set()


def new_record(**others: Any) -> bytes:
    """A record of this process, which no other record equals; `others` are values of JSON."""
    record = {
        "token": uuid.uuid4().hex,
        "started": datetime.now(UTC).isoformat(timespec="seconds"),
        **asdict(Process.this()),
        **others,
    }
    return json.dumps(record, indent=2).encode()


def entries(record: bytes) -> dict[str, Any]:
    """What stands in a record; nothing if it cannot be read."""
    try:
        found = json.loads(record)
    except ValueError:  # it is being written
        return {}
    return found if isinstance(found, dict) else {}


def process_of(record: bytes) -> Process | None:
    """The process of a record; None if it cannot be read."""
    found = entries(record)
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


def who(record: bytes) -> str:
    """Name the process of a record."""
    process = process_of(record)
    return "another run" if process is None else f"{process}, started {entries(record)['started']}"


def last_sign(record: bytes, age: float) -> str:
    """Name the process of a record, and say when it gave its last sign of life."""
    return f"{who(record)} (last sign of life {duration(max(age, 0.0))} ago)"


def has_ended(record: bytes) -> bool:
    """Whether it is certain that the process of a record writes no more."""
    process = process_of(record)
    return record in _given_up or (process is not None and process.has_ended())


def death(file: Location, record: bytes) -> str | None:
    """Tell how it is known that the process of a record in a file is dead; None if it may live."""
    return deaths({file: record})[file]


def deaths(records: Mapping[Location, bytes]) -> dict[Location, str | None]:
    """Tell it of the processes of many records, by their files, as `death` does of one."""
    found: dict[Location, str | None] = dict.fromkeys(records)
    watched = dict[Location, tuple[float, float]]()
    for file, record in records.items():
        if has_ended(record):
            found[file] = "has ended"
            continue
        try:
            age = file.age()
            if abs(age) >= STALE:
                watched[file] = age, file.renewed()
        except FileNotFoundError:  # it was given back meanwhile: whoever asks looks again
            continue
    if watched:
        time.sleep(WATCHED)
    for file, (age, before) in watched.items():
        with suppress(FileNotFoundError):
            if file.renewed() == before:
                found[file] = f"has given no sign of life for {duration(max(age, WATCHED))}"
    return found


def now() -> float:
    """Seconds, also those that the machine has slept."""
    clock = getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC)
    return time.clock_gettime(clock)


def give_up(record: bytes) -> None:
    """Note that this process does no more what it could not take its record back for."""
    _given_up.add(record)


class Heart:
    """Renews a record until it is stopped, or is not there any more."""

    def __init__(self, file: Location, record: bytes, lost: Callable[[], object]) -> None:
        """Begin; `lost` is called if the record is another one."""
        self._file, self._record, self._lost = file, record, lost
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._beat, daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """Stop, once a renewal under way has ended."""
        self._ended.set()
        self._thread.join()

    def _beat(self) -> None:
        while not self._ended.wait(BEAT):
            with suppress(OSError, StoreError):  # a server that is away for a moment
                if not self._file.renew(self._record):
                    self._lost()
                    return
