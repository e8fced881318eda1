"""One BLAS thread a block: Dask's workers are the parallelism, threads of BLAS would fight them."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from typing import Any

from threadpoolctl import ThreadpoolController

_lock = threading.Lock()
_running = 0
_limit: Any = None


@cache
def _controller() -> ThreadpoolController:
    return ThreadpoolController()


@contextmanager
def one_blas_thread() -> Iterator[None]:
    """Limit BLAS to one thread while any block runs in this process; restore it after the last.

    Counting the blocks sets the limit once for all that overlap, never while another one is
    inside BLAS, and leaves the caller's own products as fast as they were.
    """
    global _running, _limit
    with _lock:
        if _running == 0:
            _limit = _controller().limit(limits=1, user_api="blas")
        _running += 1
    try:
        yield
    finally:
        with _lock:
            _running -= 1
            if _running == 0:
                _limit.restore_original_limits()
