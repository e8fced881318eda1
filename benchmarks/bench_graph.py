"""Cost of the graph: what a block costs besides its arithmetic, on a study of tiny blocks.

A block of two markers and two traits computes nothing to speak of, so that what is timed is laying
out, optimising, sending and scheduling. Every line has its goal, from the limits of a study of
600,000 blocks; a line beyond its goal is marked.
"""

from __future__ import annotations

import argparse
import asyncio
import math
import pickle
import tempfile
import time
import warnings
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import dask
import numpy as np
import xarray as xr
from dask.utils import key_split
from distributed import Client, LocalCluster

import bulklmm_dask as blmm
from bulklmm_dask.storage.labels.layout import Layout
from bulklmm_dask.storage.results.blocks import ResultStore
from bulklmm_dask.storage.results.journal import Journal

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


def seconds(
    action: Callable[[], Any], clock: Callable[[], float] = time.perf_counter
) -> tuple[float, Any]:
    began = clock()
    found = action()
    return clock() - began, found


def busy(action: Callable[[], Any]) -> tuple[float, Any]:
    """Processor time: what runs on one core, whatever else the machine does."""
    return seconds(action, time.process_time)


def line(what: str, value: float, unit: str, goal: float) -> None:
    mark = "" if value <= goal else "  <- beyond"
    print(f"{what:<58} {value:>10.3f} {unit:<16} goal {goal:g}{mark}", flush=True)


def of_graph(blocks: int) -> None:
    """Laying out, optimising, and what is sent, in processor time."""
    ds, options, n = tiny(blocks)
    blmm.scan(tiny(100)[0], **options).lod.max().compute()  # imports
    took, result = busy(lambda: blmm.scan(ds, **options))
    print(f"{n:,} blocks; layers of the LODs: {len(result.lod.data.dask.layers)}")
    line("build: scan(ds)", 1e3 * took / n, "ms a block", 0.1)
    took, highest = busy(lambda: result.lod.max())
    line("build: lod.max()", 1e3 * took / n, "ms a block", 0.1)
    took, (least,) = busy(lambda: dask.optimize(highest.data))
    line("optimise: lod.max()", 1e3 * took / n, "ms a block", 0.3)
    tasks = dict(least.__dask_graph__())
    line("tasks: lod.max()", len(tasks) / n, "a block", 2.5)
    names = Counter(key_split(key) for key in tasks)
    print("   ", ", ".join(f"{name} {count:,}" for name, count in names.most_common()))
    sent = sum(len(pickle.dumps(layer)) for layer in result.lod.data.dask.layers.values())
    line("sent: scan(ds), graph and data", sent / 2**20, "MiB", 1)


def in_threads(blocks: int) -> None:
    """A block in threads: all that is not its arithmetic, and its arithmetic too, which is tiny."""
    ds, options, n = tiny(blocks)
    with dask.config.set(scheduler="threads"):
        blmm.max_lod(blmm.scan(tiny(100)[0], **options))  # imports
        for what, action in reductions(ds, options).items():
            before = time.perf_counter(), time.process_time()
            action()
            line(f"threads: {what}", 1e3 * (time.perf_counter() - before[0]) / n, "ms a block", 2)
            spent = 1e3 * (time.process_time() - before[1]) / n
            line(f"threads: {what}, of the process", spent, "ms of a core", 2)


def reductions(ds: xr.Dataset, options: dict[str, Any]) -> dict[str, Callable[[], Any]]:
    """What is asked of a scan."""
    return {
        "lod.max()": lambda: blmm.scan(ds, **options).lod.max().compute(),
        "max_lod": lambda: blmm.max_lod(blmm.scan(ds, **options)),
        "find_hits": lambda: blmm.find_hits(blmm.scan(ds, **options), threshold=3),
    }


def into_store(
    ds: xr.Dataset, options: dict[str, Any], n: int, where: str, cost: Callable[..., None]
) -> None:
    """A run into a store, and the same again."""
    with tempfile.TemporaryDirectory() as folder:
        store = Path(folder) / "scan.zarr"
        cost("scan(store=)", lambda: blmm.scan(ds, **options, store=store))
        took, _ = seconds(lambda: blmm.scan(ds, **options, store=store))
        line(f"{where}: scan(store=) again, all blocks there", took, "s", 3)


def on_a_cluster(blocks: int) -> None:
    """A block on one worker process of one thread; the scheduler is in this process."""
    ds, options, n = tiny(blocks)
    with (
        LocalCluster(
            n_workers=1, threads_per_worker=1, processes=True, dashboard_address=None
        ) as cluster,
        Client(cluster) as client,
    ):

        def clocks() -> tuple[float, float, float]:
            """Seconds: of the wall, of the scheduler's thread, of all processes."""
            (worker,) = client.run(time.process_time).values()
            loop = asyncio.run_coroutine_threadsafe(thread_time(), cluster.loop.asyncio_loop)
            return time.perf_counter(), loop.result(), worker + time.process_time()

        def cost(what: str, action: Callable[[], Any]) -> None:
            with warnings.catch_warnings(record=True) as said:
                warnings.simplefilter("always")
                warnings.simplefilter("ignore", blmm.StudyWarning)
                before = clocks()
                action()
                spent = [1e3 * (b - a) / n for a, b in zip(before, clocks(), strict=True)]
            line(f"cluster: {what}", spent[0], "ms a block", 10)
            line(f"cluster: {what}, the scheduler's", spent[1], "ms of a core", 2)
            line(f"cluster: {what}, of all processes", spent[2], "ms of a core", 10)
            for one in {str(each.message).splitlines()[0] for each in said}:
                print(f"    warned: {one}")

        blmm.max_lod(blmm.scan(tiny(100)[0], **options))  # imports
        for what, action in reductions(ds, options).items():
            cost(what, action)
        into_store(ds, options, n, "cluster", cost)


async def thread_time() -> float:
    return time.thread_time()


def resumed(blocks: int) -> None:
    """A run into a store in threads, and the same again."""
    ds, options, n = tiny(blocks)

    def cost(what: str, action: Callable[[], Any]) -> None:
        took, _ = seconds(action)
        line(f"threads, {n:,} blocks: {what}", 1e3 * took / n, "ms a block", 10)

    with dask.config.set(scheduler="threads"):
        into_store(ds, options, n, f"threads, {n:,} blocks", cost)


class StoppedError(Exception):
    """Ends a run once it begins to compute."""


def of_resume(blocks: int) -> None:
    """What a call looks at before it computes the first missing block of a store."""
    ds, options, n = tiny(blocks)

    def resume(store: Path) -> None:
        def stop(step: blmm.Progress) -> None:
            if step.done < n:
                raise StoppedError

        with suppress(StoppedError):
            blmm.scan(ds, **options, store=store, progress=stop)

    with tempfile.TemporaryDirectory() as folder, dask.config.set(scheduler="threads"):
        store = Path(folder) / "scan.zarr"
        resume(store)
        write_all(store, math.isqrt(n))
        resume(store)  # imports, and what the journal of the writer holds
        for what, lost in (("all blocks there", 0), ("1% lost", n // 100)):
            for file in sorted(store.glob("lod/c/*/*"))[: 100 * lost : 100]:
                file.unlink()
            took, (spent, _) = seconds(lambda: busy(lambda: resume(store)))
            line(f"resume of {n:,} blocks, {what}", took, "s", 3)
            line(f"resume of {n:,} blocks, {what}", spent, "s of a core", 3)


def write_all(path: Path, side: int) -> None:
    """Write all blocks of a store, with any numbers, faster than they are computed."""
    layout = Layout((side * SIDE, side * SIDE), (SIDE, SIDE), (SIDE, SIDE))
    store, rng = ResultStore(str(path), layout), np.random.default_rng(0)
    lod = rng.exponential(1.0, (SIDE, SIDE)).astype(np.float32)
    of_traits = {
        name: np.zeros(SIDE, dtype)
        for name, dtype in (("h2", float), ("sigma2", float), ("n_samples", np.int64))
    }
    status = np.full(SIDE, "ok", dtype=object)
    with Journal(store) as journal:
        for j in range(side):
            journal.note(store.write_traits(j, {**of_traits, "trait_status": status}))
            for i in range(side):
                journal.note(store.write_block(i, j, {"lod": lod}))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--blocks", type=int, default=100_000, help="of the graph (%(default)s)")
    parser.add_argument("--run", type=int, default=2500, help="blocks that run (%(default)s)")
    parser.add_argument("--stored", type=int, default=2500, help="blocks stored (%(default)s)")
    parser.add_argument("--resume", type=int, default=100_000, help="of the store (%(default)s)")
    parser.add_argument("--only", choices=["graph", "threads", "cluster", "store", "resume"])
    chosen = parser.parse_args()
    warnings.simplefilter("ignore", blmm.StudyWarning)
    parts = {
        "graph": lambda: of_graph(chosen.blocks),
        "threads": lambda: in_threads(chosen.run),
        "store": lambda: resumed(chosen.stored),
        "resume": lambda: of_resume(chosen.resume),
        "cluster": lambda: on_a_cluster(chosen.run),
    }
    for name, part in parts.items():
        if chosen.only in (None, name):
            part()


if __name__ == "__main__":
    main()
