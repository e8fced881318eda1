"""Scaling: one worker and two of one thread each, and what a scheduler carries of very many.

Each analysis runs in turn on one worker process and on two, which read the study from the disk.
Efficiency is the time of one worker over twice that of two. By the clock it needs two cores that
nothing else uses. By processor time it is the time that one worker computes, over twice the time of
the busier one of two: what the clock shows where each worker has a core of its own.

Of many workers, the scheduler is the limit: it spends some time on each block, whoever computes it.
That time is measured with tiny blocks, on one worker and on many in a process of their own, and
from it follows how many workers a scheduler keeps busy with blocks of a given length.
"""

from __future__ import annotations

import argparse
import asyncio
import math
import os
import subprocess
import sys
import tempfile
import time
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from statistics import median
from typing import Any

import dask
import xarray as xr
from bench_graph import thread_time, tiny
from distributed import Client, LocalCluster, Worker

import bulklmm_dask as blmm
from bulklmm_dask.engine.watch import active_client

N_SAMPLES, N_VARIANTS, SIDE = 248, 16_384, 2048
GOAL = 0.9
WORKERS = (10, 100, 1000)
BLOCK_SECONDS = (0.1, 1.0, 10.0)
_UNWATCHED = {
    "distributed.admin.system-monitor.interval": "1h",
    "distributed.worker.profile.enabled": False,
}

# --- one worker and two ----------------------------------------------------------------------


def made(folder: Path, n_traits: int) -> None:
    """Studies on the disk, in chunks of which each worker reads its own."""
    ds = blmm.simulate_study(
        n_samples=N_SAMPLES, n_strains=None, n_variants=N_VARIANTS, n_traits=n_traits, seed=1
    )
    ds["kinship"] = blmm.kinship(ds).compute()
    blmm.save(ds, folder / "study.zarr")
    many = {"n_samples": 8 * N_SAMPLES, "n_variants": N_VARIANTS, "n_traits": 1}
    blmm.save(blmm.simulate_study(n_strains=None, seed=2, **many), folder / "samples.zarr")


def analyses(folder: Path) -> dict[str, Callable[[], Any]]:
    """What is timed: each opens its study, and ends with its answer here."""
    path, chunks = folder / "study.zarr", {"variants": SIDE, "traits": SIDE}

    def lazy() -> xr.Dataset:
        return blmm.scan(blmm.open_dataset(path), chunks=chunks)

    def permuted() -> Any:
        ds = blmm.open_dataset(path).isel(traits=slice(0, 64))
        return blmm.permute(ds, n_permutations=200, seed=1).max_lod.compute()

    def kinship() -> Any:
        return blmm.kinship(blmm.open_dataset(folder / "samples.zarr")).compute()

    def stored() -> Any:
        with tempfile.TemporaryDirectory(dir=folder) as below:
            return blmm.scan(blmm.open_dataset(path), chunks=chunks, store=Path(below) / "s.zarr")

    return {
        "scan, maxima": lambda: blmm.max_lod(lazy()),
        "scan into a store": stored,
        "permutations": permuted,
        "kinship": kinship,
        "hits": lambda: blmm.find_hits(lazy(), threshold=4),
    }


@contextmanager
def cluster(n_workers: int) -> Iterator[Client]:
    """Workers of one thread each, as ``--workers`` starts them."""
    with blmm.workers(processes=n_workers, threads=1):
        client = active_client()
        assert client is not None
        yield client


def clocks(client: Client) -> tuple[float, dict[str, float]]:
    return time.perf_counter(), client.run(time.process_time)


def timed(client: Client, action: Callable[[], Any]) -> tuple[float, float]:
    """Seconds by the clock, and processor seconds of the busiest worker."""
    with dask.config.set(scheduler=client):
        began, before = clocks(client)
        action()
        ended, after = clocks(client)
    return ended - began, max(after[worker] - before[worker] for worker in before)


def scaling(folder: Path, repeats: int, only: list[str] | None) -> None:
    print(f"{'two workers of one thread, efficiency':<40} {'clock':>7} {'processor':>10}")
    small, options, _ = tiny(100)
    with cluster(1) as one, cluster(2) as two:
        for client in (one, two):
            timed(client, lambda: blmm.max_lod(blmm.scan(small, **options)))  # imports
        for name, action in analyses(folder).items():
            if only and name not in only:
                continue
            pairs = [(timed(one, action), timed(two, action)) for _ in range(repeats)]
            clock, processor = (
                median(alone[which] / (2 * beside[which]) for alone, beside in pairs)
                for which in (0, 1)
            )
            mark = "" if max(clock, processor) >= GOAL else f"  <- below {GOAL}"
            seconds = f"{median(a[0] for a, _ in pairs):.1f} s and "
            seconds += f"{median(b[0] for _, b in pairs):.1f} s"
            print(f"  {name:<38} {clock:>7.2f} {processor:>10.2f}   {seconds}{mark}", flush=True)


# --- the scheduler ----------------------------------------------------------------------------


async def host(address: str, count: int) -> None:
    """Be many tiny workers of one thread, until the scheduler ends.

    Each looks twice a second at the files and disks of its process, and a hundred times at the
    threads that compute. A hundred workers of one process would do nothing else, and the more of
    them there are, the longer each look takes.
    """
    dask.config.set(_UNWATCHED)
    workers = [Worker(address, nthreads=1, memory_limit=0, dashboard=False) for _ in range(count)]
    await asyncio.gather(*workers)
    await asyncio.gather(*(worker.finished() for worker in workers))


@contextmanager
def tiny_workers(count: int) -> Iterator[tuple[LocalCluster, Client]]:
    """A scheduler here, and workers in a process beside it."""
    with (
        LocalCluster(n_workers=0, dashboard_address=":0") as running,
        Client(running, set_as_default=False) as client,
    ):
        command = [sys.executable, __file__, "--host", running.scheduler_address, str(count)]
        quiet = os.environ | {"DASK_LOGGING__DISTRIBUTED": "critical"}
        process = subprocess.Popen(command, env=quiet)
        try:
            client.wait_for_workers(count, timeout=300)
            yield running, client
        finally:
            process.terminate()
            process.wait()


def nap(seconds: float, number: int) -> int:
    time.sleep(seconds)
    return number


def of_scheduler(running: LocalCluster, action: Callable[[], Any]) -> tuple[float, float]:
    """Seconds by the clock, and of the scheduler's thread."""

    def spent() -> float:
        loop = running.loop.asyncio_loop
        return float(asyncio.run_coroutine_threadsafe(thread_time(), loop).result())

    began, before = time.perf_counter(), spent()
    action()
    return time.perf_counter() - began, spent() - before


def costs(blocks: int, counts: list[int]) -> float:
    """Print and give the seconds that the scheduler spends on a block of a scan."""
    ds, options, n = tiny(blocks)
    warm, warm_options, _ = tiny(100)
    cost = 0.0
    for count in counts:
        with tiny_workers(count) as (running, client), dask.config.set(scheduler=client):
            blmm.max_lod(blmm.scan(warm, **warm_options))
            _, spent = of_scheduler(running, lambda: blmm.max_lod(blmm.scan(ds, **options)))
            print(
                f"  scheduler, {count:>5} workers: {1e3 * spent / n:>7.2f} ms a block", flush=True
            )
            cost = cost or spent / n
            naps(running, client, count)
    return cost


def naps(running: LocalCluster, client: Client, count: int, rate: float = 50.0) -> None:
    """Compare tasks that sleep, so many a second, with what a scheduler should carry of them."""
    length = max(0.2, count / rate)
    numbers = range(5 * count)

    def run() -> None:
        client.gather(client.map(lambda number: nap(length, number), numbers, pure=False))

    took, spent = of_scheduler(running, run)
    efficiency = len(numbers) * length / (count * took)
    print(
        f"  {count:>5} workers, tasks of {length:.1f} s of sleep: {efficiency:.2f} busy, scheduler "
        f"{spent / took:.2f} of a core, {1e3 * spent / len(numbers):.2f} ms a task",
        flush=True,
    )


def model(cost: float) -> None:
    """Print the share of the time that workers compute, by number and length of their blocks.

    N workers ask for N / b blocks a second of b seconds each; the scheduler gives 1 / cost.
    """
    print(f"modelled from {1e3 * cost:.2f} ms of the scheduler a block; busy workers, and most")
    print("  block      " + "".join(f"{count:>9,}" for count in WORKERS) + "   most workers")
    for block in BLOCK_SECONDS:
        shares = [min(1.0, block / (count * cost)) for count in WORKERS]
        row = "".join(f"{share:>9.2f}" for share in shares)
        print(f"  {block:>4g} s     {row}   {math.floor(block / cost):,}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--traits", type=int, default=16_384, help="of the study (%(default)s)")
    parser.add_argument("--repeats", type=int, default=3, help="pairs of runs (%(default)s)")
    parser.add_argument("--case", action="append", help="only this analysis; may be repeated")
    parser.add_argument("--blocks", type=int, default=2500, help="of the scheduler (%(default)s)")
    parser.add_argument("--tiny", default="1,10,100", help="numbers of tiny workers (%(default)s)")
    parser.add_argument("--only", choices=["workers", "scheduler"])
    parser.add_argument("--host", nargs=2, help=argparse.SUPPRESS)
    chosen = parser.parse_args()
    if chosen.host:
        asyncio.run(host(chosen.host[0], int(chosen.host[1])))
        return
    warnings.simplefilter("ignore", blmm.StudyWarning)
    if chosen.only != "scheduler":
        with tempfile.TemporaryDirectory() as name:
            folder = Path(name)
            made(folder, chosen.traits)
            scaling(folder, chosen.repeats, chosen.case)
    if chosen.only != "workers":
        model(costs(chosen.blocks, [int(count) for count in chosen.tiny.split(",")]))


if __name__ == "__main__":
    main()
