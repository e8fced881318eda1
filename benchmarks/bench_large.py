"""A study larger than memory: time and memory of each step, from its simulation to its hits.

Each step is a command in a process of its own. Its memory is that of all its processes together
(proportional set sizes, so that pages which processes share count once), less that of as many bare
Python interpreters. It is compared with a matrix product of the size of the scan, of which a share
is timed before and after: a ratio is the time of the step by the mean of the two. Where other
programs run on the machine, the clock also measures these; processor time does so far less.

Then a smaller study is doubled in its markers, its traits and its hits, one after the other: the
memory of the search should stay.
"""

from __future__ import annotations

import argparse
import os
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from threadpoolctl import threadpool_limits

HERE = Path(__file__).resolve().parents[1]
COMMAND = [sys.executable, "-c", "from bulklmm_dask.cli import main; main()"]
MIB = 2**20
# Seconds between two looks at the memory of a step.
PAUSE = 0.05
# Goals: MiB of all processes of a step beyond bare interpreters, and matrix products.
SIMULATED, MEMORY, PRODUCTS = 1024, 1536, 2.5
# Of the matrix product, one part in so many is timed.
SHARE = 10
# Markers, traits and samples of the study that is doubled, and the size of a block of it.
DOUBLED, BLOCK = (16_384, 4096, 100), "1024,1024"


@dataclass(frozen=True)
class Cost:
    """What a step takes: seconds by the clock and of the processor, bytes, processes."""

    seconds: float
    busy: float
    peak: int = 0
    processes: int = 1


def processes_of(pid: int) -> Iterator[int]:
    """A process, its children, theirs and so on."""
    yield pid
    try:
        threads = os.listdir(f"/proc/{pid}/task")
        for thread in threads:
            children = Path(f"/proc/{pid}/task/{thread}/children").read_text().split()
            for child in children:
                yield from processes_of(int(child))
    except OSError:  # it has ended
        return


def memory_of(pid: int) -> int:
    """Proportional set size of a process in bytes."""
    try:
        lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
    except OSError:
        return 0
    return next((int(line.split()[1]) * 1024 for line in lines if line.startswith("Pss:")), 0)


def bare() -> int:
    """Memory of an interpreter that has imported nothing."""
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as process:
        time.sleep(0.5)
        found = memory_of(process.pid)
        process.communicate(b"\n")
    return found


def watched(arguments: list[str], each_bare: int) -> Cost:
    """Run a command of the package, and watch its memory."""
    before, began = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
    environment = os.environ | {"PYTHONPATH": str(HERE)}
    process = subprocess.Popen(
        [*COMMAND, *arguments], env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT
    )
    peak, number = 0, 1
    while process.poll() is None:
        found = list(processes_of(process.pid))
        beyond = sum(memory_of(pid) for pid in found) - len(found) * each_bare
        if beyond > peak:
            peak, number = beyond, len(found)
        time.sleep(PAUSE)
    assert process.stdout is not None
    said = process.stdout.read().decode()
    if process.returncode:
        raise SystemExit(f"bulklmm {' '.join(arguments)} failed:\n{said}")
    print(f"    {said.strip().splitlines()[-1]}")
    seconds = time.perf_counter() - began
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    busy = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return Cost(seconds, busy, peak, number)


def product(variants: int, traits: int, samples: int, threads: int) -> Cost:
    """Time of a bare matrix product of this size, from a share of it, in blocks of a scan."""
    rng = np.random.default_rng(0)
    left = rng.standard_normal((2048, samples))
    right = rng.standard_normal((samples, 4096))
    out = np.empty((2048, 4096))
    number = variants * traits / out.size
    part = max(3, round(number / SHARE))
    with threadpool_limits(threads):
        np.matmul(left, right, out=out)
        began, busy = time.perf_counter(), time.process_time()
        for _ in range(part):
            np.matmul(left, right, out=out)
        began, busy = time.perf_counter() - began, time.process_time() - busy
    return Cost(began * number / part, busy * number / part)


def step(title: str, run: Callable[[], Cost], timed: Callable[[], Cost], goal: float) -> None:
    print(title, flush=True)
    first, cost, last = timed(), run(), timed()
    seconds = cost.seconds / (0.5 * (first.seconds + last.seconds))
    busy = cost.busy / (0.5 * (first.busy + last.busy))
    mark = "" if cost.peak <= goal * MIB else "  <- beyond"
    print(
        f"    {cost.seconds:.0f} s, {seconds:.2f} products (goal {PRODUCTS:g})"
        f"{'' if seconds <= PRODUCTS else '  <- beyond'}; of the processor {cost.busy:.0f} s, "
        f"{busy:.2f} products\n"
        f"    {cost.peak / MIB:,.0f} MiB of {cost.processes} processes beyond bare interpreters "
        f"(goal {goal:,.0f}){mark}",
        flush=True,
    )


def large(options: argparse.Namespace, folder: Path, each_bare: int) -> None:
    """Run the steps, one after the other."""
    study = folder / "study.zarr"
    tests = options.variants * options.traits
    cores = len(os.sched_getaffinity(0))
    print(
        f"{options.samples:,} samples x {options.variants:,} markers x {options.traits:,} traits: "
        f"{tests:.1e} tests, {4 * tests / 1e9:.0f} GB of LODs; {cores} cores; a bare interpreter "
        f"takes {each_bare / MIB:.0f} MiB"
    )

    def timed() -> Cost:
        return product(options.variants, options.traits, options.samples, cores)

    def command(*arguments: object) -> Callable[[], Cost]:
        return lambda: watched([str(one) for one in arguments], each_bare)

    sizes = ("--samples", options.samples, "--variants", options.variants)
    if not study.exists():
        made = ("simulate", study, *sizes, "--traits", options.traits, "--strains", 0)
        step("simulate", command(*made), timed, SIMULATED)
    step("kinship", command("kinship", study, "--overwrite"), timed, MEMORY)
    for workers in options.workers:
        title = f"hits, {workers} worker processes" if workers else f"hits, {cores} threads"
        for level in (("--threshold", options.threshold), ("--fdr", 0.05)):
            if level[0] == "--fdr" and not options.fdr:
                continue
            out = folder / f"hits-{workers}{level[0]}.parquet"
            searched = ("hits", study, *level, "--out", out, "--overwrite", "--workers", workers)
            step(f"{title}, {level[0]} {level[1]:g}", command(*searched), timed, MEMORY)


def doubled(folder: Path, each_bare: int) -> None:
    """Print the memory of a search, and that of the same with twice as much of one thing."""
    variants, traits, samples = DOUBLED
    print(
        f"memory of hits, doubled from {samples} samples x {variants:,} markers x {traits:,} "
        f"traits in blocks of {BLOCK}"
    )

    def peak(what: str, variants: int, traits: int, threshold: float) -> None:
        study, out = folder / f"{variants}-{traits}.zarr", folder / "doubled.parquet"
        if not study.exists():
            sizes = ["--samples", samples, "--variants", variants, "--traits", traits]
            for made in (["simulate", study, *sizes, "--strains", 0], ["kinship", study]):
                subprocess.run(
                    [*COMMAND, *map(str, made)],
                    env=os.environ | {"PYTHONPATH": str(HERE)},
                    check=True,
                    capture_output=True,
                )
        search = ["hits", study, "--threshold", threshold, "--chunks", BLOCK, "--out", out]
        cost = watched([*map(str, search), "--overwrite", "--threads", "2"], each_bare)
        print(f"    {what:<18}{cost.peak / MIB:>8,.0f} MiB", flush=True)

    peak("once", variants, traits, 1.0)
    peak("twice the markers", 2 * variants, traits, 1.0)
    peak("twice the traits", variants, 2 * traits, 1.0)
    peak("twice the hits", variants, traits, 0.76)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--samples", type=int, default=500)
    parser.add_argument("--variants", type=int, default=200_000)
    parser.add_argument("--traits", type=int, default=20_000)
    parser.add_argument("--threshold", type=float, default=5.0, help="lowest LOD of a hit")
    parser.add_argument("--fdr", action="store_true", help="also all hits at a rate of 0.05")
    parser.add_argument(
        "--workers", type=int, nargs="*", default=[0, 2], help="worker processes; 0: threads"
    )
    parser.add_argument("--folder", type=Path, help="where to work; a study in it is used again")
    parser.add_argument("--only", choices=("large", "doubled"), help="one of the two parts")
    options = parser.parse_args()
    each_bare = bare()
    with tempfile.TemporaryDirectory(prefix="bench-large-", dir=options.folder) as scratch:
        if options.only != "doubled":
            large(options, options.folder or Path(scratch), each_bare)
        if options.only != "large":
            doubled(Path(scratch), each_bare)


if __name__ == "__main__":
    main()
