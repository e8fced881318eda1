"""Progress of a run into a store: a bar on a terminal, plain lines elsewhere."""

from __future__ import annotations

import sys
from types import TracebackType
from typing import TYPE_CHECKING, Self, TextIO

from bulklmm_dask.text import duration, quantity

if TYPE_CHECKING:
    from bulklmm_dask.engine.progress import Progress

_WIDTH = 24  # characters of the bar
_QUIET = 10.0  # seconds between two plain lines


class ProgressBar:
    """Show the ``Progress`` that ``scan(..., progress=bar)`` reports after each block.

    Parameters
    ----------
    stream : text stream, optional
        Where to write; standard error by default. A terminal shows one line that is redrawn; other
        streams, such as a log file, get a plain line at most every ten seconds and at the end.

    Examples
    --------
    >>> import sys
    >>> bar = blmm.ProgressBar(stream=sys.stdout)
    >>> result = blmm.scan(ds, store="scan.zarr", progress=bar)
      0%, 0/1 blocks
    100%, 1/1 blocks, ... tests/s, done in ...
    """

    def __init__(self, stream: TextIO | None = None) -> None:
        self._stream = stream or sys.stderr
        self._terminal = self._stream.isatty()
        self._first: Progress | None = None
        self._written_at = float("-inf")
        self._open = False

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._open:
            self._stream.write("\n")
            self._stream.flush()

    def __call__(self, progress: Progress) -> None:
        """Redraw the bar, or write a line if the last one is ten seconds old."""
        if self._first is None:
            self._first = progress
        line = describe(progress, _rate(self._first, progress))
        if self._terminal:
            filled = _WIDTH * progress.done // max(progress.total, 1)
            self._stream.write(f"\r[{'#' * filled:-<{_WIDTH}}] {line}\x1b[K")
            self._open = True
        elif progress.done == progress.total or progress.seconds - self._written_at >= _QUIET:
            self._stream.write(line + "\n")
            self._written_at = progress.seconds
        self._stream.flush()


def describe(progress: Progress, rate: float) -> str:
    """One line: share done, blocks, tests per second, and time left or, at the end, time used."""
    share = progress.tests_done / max(progress.tests_total, 1)
    parts = [f"{int(100 * share):3d}%", f"{progress.done}/{progress.total} blocks"]
    if rate > 0:
        parts.append(f"{quantity(rate)} tests/s")
    if progress.done == progress.total:
        parts.append(f"done in {duration(progress.seconds)}")
    elif rate > 0:
        parts.append(f"{duration((progress.tests_total - progress.tests_done) / rate)} left")
    return ", ".join(parts)


def _rate(first: Progress, now: Progress) -> float:
    """Tests per second of this run, without the blocks that an earlier run had finished."""
    seconds = now.seconds - first.seconds
    return (now.tests_done - first.tests_done) / seconds if seconds > 0 else 0.0
