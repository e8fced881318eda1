"""Progress of a run, counted in finished blocks and reported to a callback."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

# Position of a block along the two dimensions that are cut.
BlockIndex = tuple[int, int]


@dataclass(frozen=True)
class Progress:
    """Progress of a run.

    Attributes
    ----------
    done, total : int
        Number of finished blocks, including those of earlier runs, and of all blocks.
    tests_done, tests_total : int
        The same as numbers of pairs of a marker and a trait.
    seconds : float
        Time since the start of this run.
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
    """Total work of a run.

    Attributes
    ----------
    blocks, tests : int
        Number of blocks and of tests.
    tests_of : callable
        Gives the number of tests of a block.
    bytes_a_test : float
        Bytes written per test, on average.
    """

    blocks: int
    tests: int
    tests_of: Callable[[BlockIndex], int]
    bytes_a_test: float


class Meter:
    """Counts finished blocks and reports a `Progress` at the start and after each.

    Parameters
    ----------
    work : Work
        Total work, including blocks finished by earlier runs.
    pending : sequence of (int, int)
        Blocks not yet finished.
    progress : callable, optional
        Function that is called with a `Progress`.
    """

    def __init__(
        self,
        work: Work,
        pending: Sequence[BlockIndex],
        progress: Callable[[Progress], None] | None = None,
    ) -> None:
        self._work, self._progress = work, progress
        self._began = time.perf_counter()
        self._done = work.blocks - len(pending)
        self._tests = self._earlier = work.tests - sum(map(work.tests_of, pending))
        self._report()

    def count(self, block: BlockIndex) -> None:
        """Count a finished block and report."""
        self._done += 1
        self._tests += self._work.tests_of(block)
        self._report()

    def _report(self) -> None:
        if self._progress is None:
            return
        work, seconds = self._work, time.perf_counter() - self._began
        written = int(work.bytes_a_test * (self._tests - self._earlier))
        self._progress(Progress(self._done, work.blocks, self._tests, work.tests, seconds, written))
