"""Requests to a server while others compute: more threads than cores, of which few compute.

A thread that waits for a server leaves its core idle. So runs into a store on a server, and what is
read from there, have more threads than they were given, and as many of them compute at a time as
they were given. A new store is made while its first blocks are computed, on a disk too where there
are several threads and nobody is told of the start. A worker of a cluster begins another task while
one of its threads writes a block.
"""

from __future__ import annotations

import sys
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, nullcontext
from typing import Any

import dask
from dask.base import get_scheduler
from dask.threaded import get as threads_of_dask

from bulklmm_dask.engine.blas import one_blas_thread
from bulklmm_dask.storage.labels.layout import Layout
from bulklmm_dask.storage.places.location import Location
from bulklmm_dask.storage.places.lock import Writer
from bulklmm_dask.storage.places.shared import SharedWriter
from bulklmm_dask.storage.proof.ahead import reading_ahead
from bulklmm_dask.storage.proof.lazy import is_far
from bulklmm_dask.storage.results.blocks import NewStore, Target
from bulklmm_dask.storage.results.resumed import open_or_create
from bulklmm_dask.storage.results.skeleton import Skeleton

# Threads that may wait for a server, and bytes of the blocks that they hold meanwhile.
_MOST, _BYTES = 16, 2**30


class _Turns:
    """Turns to compute, as many as there are cores; what others wait for has the next one.

    Attributes
    ----------
    waiting : int
        Threads that wait for a turn.
    """

    def __init__(self, cores: int) -> None:
        self.waiting, self._first, self._free = 0, 0, cores
        self._changed = threading.Condition()

    @contextmanager
    def turn(self, *, first: bool) -> Iterator[None]:
        """Wait for a turn, and have it; before others that wait, if this one comes `first`."""
        with self._changed:
            self._wait(first)
            self._free -= 1
            self._changed.notify_all()
        try:
            yield
        finally:
            with self._changed:
                self._free += 1
                self._changed.notify_all()

    def _wait(self, first: bool) -> None:
        self.waiting += 1
        self._first += first
        try:
            self._changed.wait_for(lambda: self._free and (first or not self._first))
        finally:
            self.waiting -= 1
            self._first -= first


_turns: _Turns | None = None
_waiting = threading.BoundedSemaphore(4)  # writes of a worker beside its tasks
_mine = threading.local()


@contextmanager
def overlapping(store: Location | None, task_bytes: int, *arrays: Any) -> Iterator[None]:
    """Let threads of this process wait for the server of a store while as many compute as may.

    Does nothing where all is on a disk, where other workers compute, or within itself.

    Parameters
    ----------
    store : Location or None
        Store that is written.
    task_bytes : int
        Memory that a task takes, about.
    *arrays : array
        What is read.
    """
    global _turns
    far = (store is not None and store.is_far) or any(map(is_far, arrays))
    if not (far and _is_here()) or _turns is not None:
        yield
        return
    cores = _cores()
    more = min(_MOST, max(cores, _BYTES // max(task_bytes, 1)))
    _turns = _Turns(cores)
    try:
        with dask.config.set(num_workers=cores + more):
            yield
    finally:
        _turns = None


@contextmanager
def reading_early() -> Iterator[Callable[..., None]]:
    """Give a function that begins to read arrays of servers, if threads of this process use them.

    What it reads is held until the end, up to `ahead.MOST` bytes.
    """
    with reading_ahead() as begin:
        yield begin if _is_here() else _not_here


@contextmanager
def made_meanwhile(
    writer: Writer, layout: Layout, skeleton: Callable[[], Skeleton]
) -> Iterator[Target]:
    """Give a result store; a new one is made while threads of this process compute.

    One on a disk is not where there is one thread alone, which would have to share its core. At the
    end it is made, or has not been made, so that its lock can be given back.

    Parameters
    ----------
    writer : Writer
        The right to write it.
    layout : Layout
        Sizes of the result.
    skeleton : callable
        Gives what the store has before its first block; on a server that is computed while the
        folder is claimed.
    """
    is_shared, has_room = isinstance(writer, SharedWriter), writer.store.is_far or _cores() > 1
    if is_shared or not (writer.makes_new and has_room and _is_here()):
        yield open_or_create(writer, skeleton)
        return
    writer.store.require_writable()  # before anything is computed
    with ThreadPoolExecutor(2) as pool:
        begun = pool.submit(skeleton)
        made = pool.submit(open_or_create, writer, begun.result)
        yield NewStore(writer.store.path, layout, made.result)


def _not_here(*_: Any) -> None:
    """Leave reading to the workers."""


def _cores() -> int:
    """Threads of this process that may compute."""
    return int(dask.config.get("num_workers", None) or dask.system.CPU_COUNT)


def _is_here() -> bool:
    """Whether tasks run in threads of this process, which may be more."""
    return get_scheduler() in (None, threads_of_dask) and dask.config.get("pool", None) is None


@contextmanager
def computing(*, first: bool = False) -> Iterator[None]:
    """Hold BLAS to one thread, and wait for a turn where there are more threads than cores.

    What others wait for, such as the values that a new store begins with, has its turn `first`.
    """
    turns = None if getattr(_mine, "has_turn", False) else _turns
    with nullcontext() if turns is None else turns.turn(first=first), one_blas_thread():
        _mine.has_turn, before = True, getattr(_mine, "has_turn", False)
        try:
            yield
        finally:
            _mine.has_turn = before


@contextmanager
def waiting(store: Location) -> Iterator[None]:
    """Let the worker of a cluster that runs this task begin another one, where a store is far."""
    if not (store.is_far and is_worker()):
        yield
        return
    from distributed import secede

    with _waiting:
        secede()
        yield


def is_worker() -> bool:
    """Tell whether a worker of a cluster runs this task."""
    distributed = sys.modules.get("distributed")
    if distributed is None:
        return False
    try:
        distributed.get_worker()
    except ValueError:
        return False
    return True
