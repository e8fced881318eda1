"""Blocks that fit the memory of the workers, or an error that says how much is needed."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import product

import dask
from dask.utils import parse_bytes

from bulklmm_dask.engine.allotted import allotted_threads
from bulklmm_dask.engine.watch import active_client
from bulklmm_dask.engine.workload import Memory, Workload
from bulklmm_dask.errors import InputError, OptionError
from bulklmm_dask.study.warn import say
from bulklmm_dask.surface import either, option
from bulklmm_dask.text import counted, duration, storage

# Sizes of blocks that are tried where the usual ones do not fit. Smaller blocks than the last
# ones cost the scheduler more than they compute.
_VARIANTS, _TRAITS = (2048, 1024, 512, 256), (4096, 2048, 1024, 512, 256, 128)
_PERMUTATIONS, _PERMUTED = (1024, 512, 256, 128), (256, 128, 64, 32, 16, 8, 4, 2, 1)
# Share of its limit from which on a worker of dask moves what it holds to its disk and back: blocks
# then take many times as long.
_SPILL = "distributed.worker.memory.spill"
_USUAL_SPILL = 0.7
# Seconds that the scheduler may take for small blocks.
_PATIENCE = 60.0


@dataclass(frozen=True)
class Room:
    """What each worker has.

    Attributes
    ----------
    workers : int
        Number of workers.
    threads : int
        Threads of a worker.
    limit : int or None
        Memory limit of a worker in bytes; None for no limit.
    source : str
        What limits this process, if it is the worker; empty for other processes.
    """

    workers: int = 1
    threads: int = 1
    limit: int | None = None
    source: str = ""

    @property
    def usable(self) -> float:
        """Bytes that a worker may use before dask moves what it holds to its disk."""
        return math.inf if self.limit is None else self.share * self.limit

    @property
    def share(self) -> float:
        """Share of the limit that may be used: threads of this process move nothing."""
        return 1.0 if self.source else _usable_share()

    def memory(self, load: Workload) -> Memory:
        """Peak memory of a worker by part."""
        return load.memory(self.threads, self.workers)


def _usable_share() -> float:
    share = dask.config.get(_SPILL, default=None)
    return float(share) if isinstance(share, int | float) and share else _USUAL_SPILL


def bytes_of(memory: str | int) -> int:
    """Bytes of an amount of memory such as "4GB"; OptionError if it is none."""
    try:
        return int(parse_bytes(memory))
    except (ValueError, TypeError, AttributeError) as error:
        raise OptionError(
            f"{option('memory', memory)} is no amount of memory such as 4GB or 512MiB"
        ) from error


_here: Room | None = None  # what the workers of this machine have, while they are in use


@contextmanager
def room_here(room: Room | None) -> Iterator[None]:
    """Let runs fit into what threads or processes have that this process has started.

    A scheduler is not asked: a worker may be away for a moment.
    """
    global _here
    before, _here = _here, room
    try:
        yield
    finally:
        _here = before


def room_of_workers() -> Room | None:
    """What the workers in use have; None where their memory is not limited."""
    client = active_client()
    if client is None or _here is not None:
        return _here
    told = client.scheduler_info(n_workers=-1)["workers"]
    limits = [one.get("memory_limit") for one in told.values()]
    if not limits or not all(limits):
        return None
    return Room(len(limits), max(one.get("nthreads", 1) for one in told.values()), min(limits))


def threads_in_use() -> tuple[int, int]:
    """Number of workers in use, and threads of each; threads of this process are one worker."""
    client = active_client()
    if client is None:
        return 1, int(dask.config.get("num_workers", None) or allotted_threads().amount)
    told = client.scheduler_info(n_workers=-1)["workers"].values()
    return max(len(told), 1), max((one.get("nthreads", 1) for one in told), default=1)


def fitting(
    make: Callable[[str | Mapping[str, int]], Workload],
    chunks: str | Mapping[str, int],
    room: Room | None,
) -> Workload:
    """The run in the largest blocks, up to the usual ones, that fit the memory of a worker.

    Parameters
    ----------
    make : callable
        Gives the run for `chunks` as of `scan` or `permute`.
    chunks : "auto" or mapping
        Sizes of blocks that are asked for; sizes left out are chosen.
    room : Room or None
        What each worker has; None for as much as there is.

    Raises
    ------
    InputError
        If the blocks asked for, or the smallest ones, need more.
    """
    load = make(chunks)
    if room is None or room.memory(load).total <= room.usable:
        return load
    asked = dict(chunks) if isinstance(chunks, Mapping) else {}
    usual = (
        {"permutations": load.size, "traits": load.plan.traits}
        if load.size
        else {"variants": load.plan.variants, "traits": load.plan.traits}
    )
    free = {name: size for name, size in usual.items() if name not in asked}
    sizes = ({min(size, most) for size in _sizes(load, name)} for name, most in free.items())
    tried = [asked | dict(zip(free, cut, strict=True)) for cut in product(*sizes)]
    tried.sort(key=lambda cut: (math.prod(cut.values()), cut["traits"]), reverse=True)
    for cut in tried:
        load = make(cut)
        if room.memory(load).total <= room.usable:
            return load
    raise InputError(_too_little(load, room, smallest=bool(free)))


def say_if_small(load: Workload) -> None:
    """Warn of so many small blocks that the scheduler takes minutes for them."""
    plan, cells = load.plan, (load.size or load.plan.variants) * load.plan.traits
    least = _PERMUTATIONS[-1] * _PERMUTED[-1] if load.size else _VARIANTS[-1] * _TRAITS[-1]
    if cells < least and load.scheduling > _PATIENCE:
        rows = f"{load.size or plan.variants:,} x {plan.traits:,}"
        say(
            f"there are {load.n_blocks:,} blocks of {rows}, for which the scheduler alone takes "
            f"{duration(load.scheduling)}; give larger {option('chunks')}, or leave them out, and "
            "another store"
        )


def _sizes(load: Workload, name: str) -> tuple[int, ...]:
    if load.size:
        return {"permutations": _PERMUTATIONS, "traits": _PERMUTED}[name]
    return {"variants": _VARIANTS, "traits": _TRAITS}[name]


def _rounded_up(count: float) -> int:
    """Round up to three digits, which `text.storage` shows."""
    unit = 10 ** max(len(str(int(count))) - 3, 0)
    return math.ceil(count / unit) * unit


def kinships_in_words(count: int) -> str:
    """Count kinships in words, with their eigenbases."""
    return (
        f"{count} kinships and their eigenbases" if count != 1 else "1 kinship and its eigenbasis"
    )


def _too_little(load: Workload, room: Room, *, smallest: bool) -> str:
    """Say how much memory is needed, for what, and what lowers it."""
    assert room.limit is not None
    memory, plan = room.memory(load), load.plan
    rows = f"{load.size:,} permutations" if load.size else f"{plan.variants:,} variants"
    block = f"{'the smallest block' if smallest else 'a block'}, {rows} x {plan.traits:,} traits,"
    names = {
        "worker": "Python and its libraries",
        "basis": kinships_in_words(load.relations),
        "traits": "traits",
        "genotypes": "genotypes",
        "fits": "null models",
        "block": f"{counted(room.threads, 'block')} at a time",
    }
    parts = [f"{storage(size)} for {names[name]}" for name, size in vars(memory).items() if size]
    enough = storage(_rounded_up(memory.total / room.share))
    if room.source:
        has = f"this process may use {storage(room.limit)} (from {room.source})"
        remedies = [f"it {enough} or more"]
    else:
        has = f"a worker has {storage(room.limit)}"
        remedies = [
            either(f"workers with {enough}", f"--memory {enough.replace(' ', '')}") + " or more"
        ]
    if room.threads > 1:
        remedies.append("fewer threads")
    if not smallest:
        remedies.append(f"smaller {option('chunks')}, or none")
    if load.relations > 1:
        remedies.append(f"no {option('loco')}")
    lets = "" if room.source else f", of which dask lets it use {storage(int(room.usable))}"
    return (
        f"{has} for {counted(room.threads, 'thread')}{lets}, but {block} needs "
        f"{storage(memory.total)}: {', '.join(parts)}; give {', or '.join(remedies)}"
    )
