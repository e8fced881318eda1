"""Seconds by the clock and of the processor, their spread, and the bare matrix product."""

from __future__ import annotations

import os
import subprocess
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from threadpoolctl import threadpool_limits

SAID = "said.txt"  # what a program that is timed prints


@dataclass(frozen=True)
class Seconds:
    """Time that an action takes: by the clock, and of the processor, all threads together."""

    clock: float
    processor: float

    def __mul__(self, times: float) -> Seconds:
        return Seconds(self.clock * times, self.processor * times)

    def __add__(self, other: Seconds) -> Seconds:
        return Seconds(self.clock + other.clock, self.processor + other.processor)


def limit_blas(threads: int) -> None:
    """Threads of BLAS in this process: more would only wait, which takes processor time."""
    import scipy.linalg  # noqa: F401  # SciPy may have a BLAS of its own

    threadpool_limits(threads, user_api="blas")


def spent(action: Callable[[], object]) -> Seconds:
    """Time of an action in this process."""
    began, before = time.perf_counter(), time.process_time()
    action()
    return Seconds(time.perf_counter() - began, time.process_time() - before)


def spent_by(command: list[str], folder: Path, threads: int) -> Seconds:
    """Time of a program from its start to its end; SystemExit with its words if it fails.

    Its BLAS has the threads that ours has.
    """
    limits = {"OPENBLAS_NUM_THREADS": str(threads), "OMP_NUM_THREADS": str(threads)}
    said = folder / SAID
    with said.open("w") as words:
        began = time.perf_counter()
        child = subprocess.Popen(
            command, cwd=folder, env=os.environ | limits, stdout=words, stderr=subprocess.STDOUT
        )
        _, status, used = os.wait4(child.pid, 0)
        clock = time.perf_counter() - began
        child.returncode = os.waitstatus_to_exitcode(status)
    if child.returncode:
        end = "\n".join(said.read_text(errors="replace").splitlines()[-20:])
        raise SystemExit(f"{' '.join(command)} ended with {child.returncode}:\n{end}")
    return Seconds(clock, used.ru_utime + used.ru_stime)


@dataclass(frozen=True)
class Spread:
    """Median of some numbers, with the least and the largest of them."""

    median: float
    least: float
    most: float

    @classmethod
    def of(cls, numbers: Iterable[float]) -> Spread:
        found = np.sort(np.fromiter(numbers, float))
        return cls(float(np.median(found)), float(found[0]), float(found[-1]))

    def __str__(self) -> str:
        return f"{short(self.median)} ({short(self.least)} to {short(self.most)})"


def short(number: float) -> str:
    """Two decimals below ten, one below a hundred, none from there on."""
    digits = 2 if abs(number) < 9.995 else 1 if abs(number) < 99.95 else 0
    return f"{number:,.{digits}f}"


class Product:
    """The bare product (variants x samples) times (samples x traits)."""

    def __init__(
        self, shape: tuple[int, int, int], threads: int, dtype: type[np.floating] = np.float64
    ) -> None:
        variants, samples, traits = shape
        rng = np.random.default_rng(0)
        self._left = rng.standard_normal((variants, samples)).astype(dtype)
        self._right = rng.standard_normal((samples, traits)).astype(dtype)
        self._out = np.empty((variants, traits), dtype)
        self._threads = threads
        self.run()  # touches its memory

    def run(self) -> Seconds:
        """The faster of two runs."""
        with threadpool_limits(self._threads, user_api="blas"):
            runs = [spent(lambda: np.matmul(self._left, self._right, out=self._out)) for _ in "12"]
        return min(runs, key=lambda seconds: seconds.processor)
