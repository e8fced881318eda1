"""One BLAS thread a block: Dask's workers are the parallelism, threads of BLAS would fight them."""

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
    """Holds the limit from start to release.

    A thread of its own, because OpenBLAS may be limited and restored by one and the same thread
    only (threadpoolctl), while blocks begin and end in any.
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


@contextmanager
def one_blas_thread() -> Iterator[None]:
    """Limit BLAS to one thread while any block runs in this process; restore it after the last.

    Counting the blocks sets the limit once for all that overlap, never while another one is
    inside BLAS, and leaves the caller's own products as fast as they were.
    """
    global _running, _holder
    with _lock:
        if _running == 0:
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
