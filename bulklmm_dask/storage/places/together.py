"""Calls that wait for a server, many at once, in threads that a process keeps.

To start a thread, one waits until it runs, which takes long where others compute.
"""

from __future__ import annotations

import os
import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor, wait
from contextlib import contextmanager
from functools import cache
from itertools import islice
from typing import TypeVar

TOGETHER = 64  # requests that go out together

T = TypeVar("T")
R = TypeVar("R")

_mine = threading.local()


@cache
def kept_threads() -> ThreadPoolExecutor:
    """Threads of this process for requests, which begin in the order in which they are submitted.

    What runs there may wait for what was submitted before; only a few at a time for what comes
    later.
    """
    return ThreadPoolExecutor(TOGETHER, "requests", initializer=_note_thread)


def _note_thread() -> None:
    _mine.is_kept = True


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=kept_threads.cache_clear)  # a child has none of them


def at_once(function: Callable[[T], R], items: Iterable[T], most: int = TOGETHER) -> Iterator[R]:
    """Call a function with many items at once, no more than `most`; give its results in order.

    Calls that have not begun when this ends are given up, and the others waited for.
    """
    left = iter(items)
    running: deque[Future[R]] = deque()
    with _threads(most) as pool:
        try:
            running.extend(pool.submit(function, one) for one in islice(left, most))
            while running:
                result = running[0].result()
                running.popleft()
                yield result
                running.extend(pool.submit(function, one) for one in islice(left, 1))
        finally:
            give_up(running)


def give_up(running: Iterable[Future[R]]) -> None:
    """Give up the calls that have not begun, and wait for the others."""
    wait([one for one in running if not one.cancel()])


@contextmanager
def _threads(most: int) -> Iterator[ThreadPoolExecutor]:
    """The threads that are kept; others for a call in one of them, since all may wait for such."""
    if getattr(_mine, "is_kept", False):
        with ThreadPoolExecutor(most) as pool:
            yield pool
    else:
        yield kept_threads()
