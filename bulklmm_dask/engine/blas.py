"""Limit of one BLAS thread per block, because Dask runs several blocks at a time."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache

from threadpoolctl import ThreadpoolController

_lock = threading.Lock()
_running = 0
_holder: _Holder | None = None


@cache
def _controller() -> ThreadpoolController:
    return ThreadpoolController()


class _Holder(threading.Thread):
    """Thread that sets the limit when it starts and restores it on `release`.

    OpenBLAS has to be limited and restored by the same thread (threadpoolctl), but blocks begin
    and end in any thread.
    """

    def __init__(self) -> None:
        super().__init__(daemon=True, name="one-blas-thread")
        self._set, self._done = threading.Event(), threading.Event()
        self.start()
        self._set.wait()

    def run(self) -> None:
        try:
            with _controller().limit(limits=1, user_api="blas"):
                self._set.set()
                self._done.wait()
        finally:
            self._set.set()

    def release(self) -> None:
        self._done.set()
        self.join()


def _has_threads() -> bool:
    """Whether BLAS uses more than one thread; workers are often started with one."""
    libraries = _controller().lib_controllers
    return any(each.num_threads > 1 for each in libraries if each.user_api == "blas")


@contextmanager
def one_blas_thread() -> Iterator[None]:
    """Limit BLAS to one thread while any block runs in this process; restore it after the last.

    Running blocks are counted, so that the limit is set once for blocks that overlap and never
    changed while one of them is inside BLAS. Outside of blocks, BLAS uses all its threads.
    """
    global _running, _holder
    with _lock:
        if _running == 0 and _has_threads():
            _holder = _Holder()
        _running += 1
    try:
        yield
    finally:
        with _lock:
            _running -= 1
            if _running == 0 and _holder is not None:
                _holder.release()
                _holder = None
