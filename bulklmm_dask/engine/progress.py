"""How far a run has come: what is left to do, counted block by block and reported."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

Block = tuple[int, int]


@dataclass(frozen=True)
class Progress:
    """How far a run has come.

    Attributes
    ----------
    done, total : int
        Blocks finished, those of earlier runs among them, and all blocks.
    tests_done, tests_total : int
        The same in pairs of a marker and a trait.
    seconds : float
        Time since this run began.
    bytes_written : int
        Written by this run, before compression.

    Examples
    --------
    A function that is called with one after each block of a scan:

    >>> def show(progress):
    ...     print(f"{progress.done} of {progress.total} blocks, {progress.tests_done} tests")
    >>> result = blmm.scan(ds, store="scan.zarr", progress=show)
    0 of 1 blocks, 0 tests
    1 of 1 blocks, 720 tests
    """

    done: int
    total: int
    tests_done: int
    tests_total: int
    seconds: float
    bytes_written: int


@dataclass(frozen=True)
class Work:
    """All that a run has to do.

    Attributes
    ----------
    blocks, tests : int
        Numbers of both.
    tests_of : callable
        Number of tests of a block.
    bytes_a_test : float
        What is written of a test, on average.
    """

    blocks: int
    tests: int
    tests_of: Callable[[Block], int]
    bytes_a_test: float


class Meter:
    """Counts finished blocks and reports a `Progress` at the start and after each.

    Parameters
    ----------
    work : Work
        All of it.
    pending : sequence of (int, int)
        Blocks not yet finished.
    progress : callable, optional
        Called with a `Progress`.
    """

    def __init__(
        self,
        work: Work,
        pending: Sequence[Block],
        progress: Callable[[Progress], None] | None = None,
    ) -> None:
        self._work, self._progress = work, progress
        self._began = time.perf_counter()
        self._done = work.blocks - len(pending)
        self._tests = self._earlier = work.tests - sum(map(work.tests_of, pending))
        self._report()

    def count(self, block: Block) -> None:
        """Count a block that is finished."""
        self._done += 1
        self._tests += self._work.tests_of(block)
        self._report()

    def _report(self) -> None:
        if self._progress is None:
            return
        work, seconds = self._work, time.perf_counter() - self._began
        written = int(work.bytes_a_test * (self._tests - self._earlier))
        self._progress(Progress(self._done, work.blocks, self._tests, work.tests, seconds, written))
