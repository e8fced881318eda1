"""Cost of the graph: what a block costs besides its arithmetic, on a study of tiny blocks.

A block of two markers and two traits computes nothing to speak of, so that what is timed is laying
out, optimising, sending and scheduling. Every line has its goal, from the limits of a study of
600,000 blocks; a line beyond its goal is marked.
"""

from __future__ import annotations

import argparse
import math
import pickle
import tempfile
import time
import warnings
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import dask
import xarray as xr
from dask.base import collections_to_expr
from dask.utils import key_split
from distributed import Client, LocalCluster

import bulklmm_dask as blmm

N_SAMPLES = 16
# Markers, and traits, of a block.
SIDE = 2


def tiny(blocks: int) -> tuple[xr.Dataset, dict[str, Any], int]:
    """A study, the options that cut its scan into about as many blocks, and their number."""
    side = math.isqrt(blocks)
    ds = blmm.simulate_study(
        n_samples=N_SAMPLES, n_strains=None, n_variants=side * SIDE, n_traits=side * SIDE, seed=0
    )
    ds["kinship"] = blmm.kinship(ds).compute()
    options = {"chunks": {"variants": SIDE, "traits": SIDE}}
    return ds, options, side**2


def seconds(action: Callable[[], Any]) -> tuple[float, Any]:
    began = time.perf_counter()
    found = action()
    return time.perf_counter() - began, found


def line(what: str, value: float, unit: str, goal: float) -> None:
    mark = "" if value <= goal else "  <- beyond"
    print(f"{what:<58} {value:>10.3f} {unit:<16} goal {goal:g}{mark}", flush=True)


def of_graph(blocks: int) -> None:
    """Laying out, optimising, and what is sent."""
    ds, options, n = tiny(blocks)
    blmm.scan(tiny(100)[0], **options).lod.max().data.__dask_graph__()  # imports
    took, result = seconds(lambda: blmm.scan(ds, **options))
    print(f"{n:,} blocks; layers of the LODs: {len(result.lod.data.dask.layers)}")
    line("build: scan(ds)", 1e3 * took / n, "ms a block", 0.1)
    took, highest = seconds(lambda: result.lod.max())
    line("build: lod.max()", 1e3 * took / n, "ms a block", 0.1)
    sent = len(pickle.dumps(collections_to_expr([highest.data])))
    line("sent: lod.max(), besides what the scheduler makes of it", sent / 2**20, "MiB", 1)
    took, (least,) = seconds(lambda: dask.optimize(highest.data))
    line("optimise: lod.max()", 1e3 * took / n, "ms a block", 0.3)
    tasks = dict(least.__dask_graph__())
    line("tasks: lod.max()", len(tasks) / n, "a block", 2.5)
    names = Counter(key_split(key) for key in tasks)
    print("   ", ", ".join(f"{name} {count:,}" for name, count in names.most_common()))


def in_threads(blocks: int) -> None:
    """A block in threads: all that is not its arithmetic, and its arithmetic too, which is tiny."""
    ds, options, n = tiny(blocks)
    with dask.config.set(scheduler="threads"):
        blmm.max_lod(blmm.scan(ds, **options))
        for what, action in reductions(ds, options).items():
            took, _ = seconds(action)
            line(f"threads: {what}", 1e3 * took / n, "ms a block", 2)


def reductions(ds: xr.Dataset, options: dict[str, Any]) -> dict[str, Callable[[], Any]]:
    """What is asked of a scan."""
    return {
        "lod.max()": lambda: blmm.scan(ds, **options).lod.max().compute(),
        "max_lod": lambda: blmm.max_lod(blmm.scan(ds, **options)),
        "find_hits": lambda: blmm.find_hits(blmm.scan(ds, **options), threshold=3),
    }


def into_store(ds: xr.Dataset, options: dict[str, Any], n: int, where: str) -> None:
    """A run into a store, and the same again."""
    with tempfile.TemporaryDirectory() as folder:
        store = Path(folder) / "scan.zarr"
        took, _ = seconds(lambda: blmm.scan(ds, **options, store=store))
        line(f"{where}: scan(store=)", 1e3 * took / n, "ms a block", 10)
        took, _ = seconds(lambda: blmm.scan(ds, **options, store=store))
        line(f"{where}: scan(store=) again, all blocks there", took, "s", 3)


def on_a_cluster(blocks: int) -> None:
    """A block on one worker process of one thread; the scheduler is in this process."""
    ds, options, n = tiny(blocks)
    with (
        LocalCluster(
            n_workers=1, threads_per_worker=1, processes=True, dashboard_address=None
        ) as cluster,
        Client(cluster),
    ):
        clock = cluster.loop.asyncio_loop
        for what, action in reductions(ds, options).items():
            blmm.max_lod(blmm.scan(tiny(100)[0], **options))
            with warnings.catch_warnings(record=True) as said:
                warnings.simplefilter("always")
                before = cpu_of(clock)
                took, _ = seconds(action)
                scheduler = cpu_of(clock) - before
            line(f"cluster: {what}", 1e3 * took / n, "ms a block", 10)
            line(f"cluster: {what}, the scheduler's", 1e3 * scheduler / n, "ms a block", 2)
            for one in {str(each.message).splitlines()[0] for each in said}:
                print(f"    warned: {one}")
        into_store(ds, options, n, "cluster")


def cpu_of(loop: Any) -> float:
    """Processor time that the thread of an event loop has had."""
    import asyncio

    async def clock() -> float:
        return time.thread_time()

    return asyncio.run_coroutine_threadsafe(clock(), loop).result()


def resumed(blocks: int) -> None:
    """A run into a store in threads, and the same again."""
    ds, options, n = tiny(blocks)
    with dask.config.set(scheduler="threads"):
        into_store(ds, options, n, f"threads, {n:,} blocks")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--blocks", type=int, default=100_000, help="of the graph (%(default)s)")
    parser.add_argument("--run", type=int, default=2500, help="blocks that run (%(default)s)")
    parser.add_argument("--stored", type=int, default=2500, help="blocks stored (%(default)s)")
    parser.add_argument("--only", choices=["graph", "threads", "cluster", "store"])
    chosen = parser.parse_args()
    warnings.simplefilter("ignore", blmm.StudyWarning)
    parts = {
        "graph": lambda: of_graph(chosen.blocks),
        "threads": lambda: in_threads(chosen.run),
        "store": lambda: resumed(chosen.stored),
        "cluster": lambda: on_a_cluster(chosen.run),
    }
    for name, part in parts.items():
        if chosen.only in (None, name):
            part()


if __name__ == "__main__":
    main()
