"""Following a run from another process or machine, by the store that it writes."""

from __future__ import annotations

import os
import time
from collections import deque
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from typing import Any, Literal

from bulklmm_dask.errors import InputError, StoreError
from bulklmm_dask.storage.places.location import Location
from bulklmm_dask.storage.places.lock import Sign, sign_of
from bulklmm_dask.storage.proof.manifest import BLOCKS
from bulklmm_dask.storage.results.soundness import finished, result_attributes
from bulklmm_dask.surface import option, repeat
from bulklmm_dask.text import counted, duration

State = Literal["running", "finished", "stopped", "silent"]

# Rises of the number of finished blocks that the rate is taken from: a run notes what is finished
# every ten seconds, or every 256 blocks.
_RISES = 20


@dataclass(frozen=True)
class RunStatus:
    """How far a run into a store is, as seen from outside.

    Attributes
    ----------
    state : str
        "running"; "finished"; "stopped" (blocks are left, and nobody writes); "silent" (the run
        that has the lock of the store has ended without giving it back, or has given no sign of
        life for two minutes).
    done, total : int
        Number of finished blocks that the store has noted, and of all blocks.
    rate : float or None
        Blocks per second; None before the number has been seen to rise.
    seconds_left : float or None
        Time to the end at this rate, in seconds.
    seconds_idle : float or None
        Time since the number was last seen to rise, in seconds; None if it has not been.
    writer : str or None
        The process that writes, its user, host and start; None if nobody writes.
    host : str or None
        Its host.
    seconds_silent : float or None
        Time since its last sign of life, in seconds.

    Examples
    --------
    >>> result = blmm.scan(ds, store="scan.zarr")
    >>> (status,) = blmm.follow("scan.zarr")
    >>> status.state, status.done, status.total
    ('finished', 1, 1)
    >>> print(status)
    100%, 1/1 blocks, finished
    """

    state: State
    done: int
    total: int
    rate: float | None = None
    seconds_left: float | None = None
    seconds_idle: float | None = None
    writer: str | None = None
    host: str | None = None
    seconds_silent: float | None = None

    def __str__(self) -> str:
        share = 100 * self.done // max(self.total, 1)
        parts = [f"{share}%, {self.done}/{self.total} blocks"]
        if self.rate:
            parts.append(f"{self.rate:.3g} blocks/s")
        if self.seconds_left is not None:
            parts.append(f"{duration(self.seconds_left)} left")
        if self.seconds_idle is not None:
            parts.append(f"last progress {duration(self.seconds_idle)} ago")
        line = ", ".join([*parts, *([] if self.state == "running" else [self.state])])
        if self.writer is None or self.seconds_silent is None:
            return line
        return f"{line}; {self.writer}, last sign of life {duration(self.seconds_silent)} ago"

    def to_dict(self) -> dict[str, Any]:
        """All attributes, and ``time``, that of the look in UTC: a line of JSON."""
        return {"time": datetime.now(UTC).isoformat(timespec="seconds"), **asdict(self)}


def follow(path: str | os.PathLike[str], every: float = 5.0) -> Iterator[RunStatus]:
    """Look at a run into a store again and again, until it ends.

    The run may be in another process or on another machine: what is looked at is the store, where
    finished blocks are noted every ten seconds, or every 256 blocks, and the lock of the run.

    Parameters
    ----------
    path : path
        Store of a scan, of permutations or of the baseline of hotspots.
    every : float
        Seconds between looks.

    Yields
    ------
    RunStatus
        What a look has shown; the last one is finished, or followed by an error.

    Raises
    ------
    InputError
        If `every` is not positive.
    StoreError
        If there is no result store; or once no run writes although blocks are left, or the run that
        has its lock gives no sign of life.

    Examples
    --------
    >>> _ = blmm.scan(ds, store="scan.zarr")
    >>> for status in blmm.follow("scan.zarr", every=1.0):
    ...     print(status)
    100%, 1/1 blocks, finished
    """
    if not every > 0:
        raise InputError(f"{option('every')} is {every}; it should be a positive number of seconds")
    store = Location.of(path)
    result_attributes(store.opened())
    return _looks(store, every)


def _looks(store: Location, every: float) -> Iterator[RunStatus]:
    rises: deque[tuple[float, int]] = deque(maxlen=_RISES)
    while True:
        # The lock first: of a run that has given it back meanwhile, all is noted.
        sign = sign_of(store, BLOCKS)
        done, total = finished(store)
        now = time.monotonic()
        if rises and done < rises[-1][1]:  # damaged blocks were taken back
            rises.clear()
        if not rises or done > rises[-1][1]:
            rises.append((now, done))
        status = _status(sign, done, total, list(rises), now)
        yield status
        if status.state == "finished":
            return
        if status.state != "running":
            raise StoreError(_ended(store, status))
        time.sleep(every)


def _status(
    sign: Sign | None, done: int, total: int, rises: list[tuple[float, int]], now: float
) -> RunStatus:
    state: State = "finished" if done == total else "stopped"
    if sign is not None:
        state = "running" if sign.alive else state if done == total else "silent"
    rate = left = idle = None
    if len(rises) > 1:
        # The first look falls between two notes; from the third number on it is left out.
        (began, first), (risen, last) = rises[len(rises) > 2], rises[-1]
        rate, idle = (last - first) / (risen - began), now - risen
        left = max(0.0, (total - done) / rate - idle) if state == "running" else None
    if state == "finished" or sign is None:
        return RunStatus(state, done, total, rate)
    return RunStatus(state, done, total, rate, left, idle, sign.writer, sign.host, sign.age)


def _ended(store: Location, status: RunStatus) -> str:
    """Say why an unfinished run is followed no longer, and what to do."""
    there = f"{status.done:,} of {counted(status.total, 'block')} of {store} are finished"
    if status.writer is None:
        return f"{there}, and nothing writes there: the run was stopped; {repeat()} to go on"
    silent = duration(status.seconds_silent or 0.0)
    return (
        f"{there}, and {status.writer}, has ended, or has given no sign of life for {silent}; if "
        f"it is dead, {repeat()} to go on"
    )
