"""Threads and memory that this process may use, and what says so: a job, its cgroup, the machine.

A batch job or a container has less than its machine. The first of these that is set counts: the
variables of SLURM, OpenMP and Dask, the limits of the control groups of the process (version 1 and
2), the processors that it may run on, the machine.
"""

from __future__ import annotations

import math
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from bulklmm_dask.errors import InputError
from bulklmm_dask.surface import either, option

ALL, MACHINE = "all processors", "the machine"
# Set by users and batch systems; the first that is not empty counts.
_THREADS = ("SLURM_CPUS_PER_TASK", "OMP_NUM_THREADS", "DASK_NUM_WORKERS")
_PER_NODE, _PER_CPU = "SLURM_MEM_PER_NODE", "SLURM_MEM_PER_CPU"
_PROCESSORS = ("SLURM_CPUS_PER_TASK", "SLURM_CPUS_ON_NODE")
_PROC = Path("/proc/self")
_MEGABYTE = 2**20  # SLURM counts memory in these
_UNITS = {"K": 2**10, "M": _MEGABYTE, "G": 2**30, "T": 2**40}
# Version 1 writes a number near 2**63 for no limit.
_NO_LIMIT = 2**60


@dataclass(frozen=True)
class Allotted:
    """Threads, or bytes of memory.

    Attributes
    ----------
    amount : int
        Number of threads or of bytes.
    source : str
        What sets it, in words.
    """

    amount: int
    source: str


def allotted_threads() -> Allotted:
    """Threads that this process may use.

    Raises
    ------
    InputError
        If a variable of the environment is no number of threads.
    """
    for name in _THREADS:
        text = os.environ.get(name, "").strip()
        if text:
            first = text.split(",")[0] if name.startswith("OMP_") else text  # the rest are of loops
            return Allotted(_threads_of(name, text, first.strip()), name)
    allowed = _processors()
    quotas = list(_quotas())
    if quotas and (quota := max(1, math.ceil(min(quotas)))) < allowed.amount:
        return Allotted(quota, "the quota of the cgroup")
    return allowed


def allotted_memory() -> Allotted:
    """Bytes of memory that this process may use: the least of the job, the cgroup and the machine.

    Raises
    ------
    InputError
        If a variable of SLURM is no amount of memory.
    """
    known = [*_of_slurm(), *(Allotted(limit, "the limit of the cgroup") for limit in _limits())]
    known.append(Allotted(_memory_of_the_machine(), MACHINE))
    return min(known, key=lambda one: one.amount)  # the first of equal ones


def _memory_of_the_machine() -> int:
    if hasattr(os, "sysconf"):
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    from distributed.system import memory_limit  # takes a third of a second to import

    return int(memory_limit())


def _of_slurm() -> Iterator[Allotted]:
    """Memory of the job on this machine; 0 stands for all there is."""
    if each := _bytes_of(_PER_NODE):
        yield Allotted(each, _PER_NODE)
    elif each := _bytes_of(_PER_CPU):
        found = (name for name in _PROCESSORS if os.environ.get(name, "").strip())
        name = next(found, None)
        text = "1" if name is None else os.environ[name].strip()
        processors = 1 if name is None else _threads_of(name, text, text)
        yield Allotted(each * processors, _PER_CPU)


def _bytes_of(name: str) -> int:
    """Bytes that a variable of SLURM gives in megabytes, or with a unit; 0 if it is not set."""
    text = os.environ.get(name, "").strip()
    if not text:
        return 0
    unit = _UNITS.get(text[-1].upper())
    digits = text if unit is None else text[:-1]
    if not _is_whole(digits):
        raise InputError(
            f"the environment has {name}={text!r}, which is no amount of memory in megabytes; "
            f"correct or unset it{either('', ', or give --workers and --memory')}"
        )
    return int(digits) * (_MEGABYTE if unit is None else unit)


def _threads_of(name: str, text: str, number: str) -> int:
    if not _is_whole(number) or int(number) < 1:
        raise InputError(
            f"the environment has {name}={text!r}, which is no number of threads, 1 or more; "
            f"correct or unset it, or give {option('threads')}"
        )
    return int(number)


def _is_whole(text: str) -> bool:
    return text.isascii() and text.isdigit()


def _processors() -> Allotted:
    """Processors that this process may run on."""
    machine = os.cpu_count() or 1
    if hasattr(os, "sched_getaffinity"):
        allowed = len(os.sched_getaffinity(0))
        if allowed < machine:
            return Allotted(allowed, "the processors that this process may use")
        return Allotted(allowed, ALL)
    return Allotted(machine, ALL)


def _quotas() -> Iterator[float]:
    """Processors' worth of time that the control groups of this process allow, if they do."""
    for group in _groups("cpu"):
        both = _words(group / "cpu.max")  # version 2: quota and period in one file
        if not both:
            both = _words(group / "cpu.cfs_quota_us") + _words(group / "cpu.cfs_period_us")
        if len(both) == 2 and all(map(_is_whole, both)) and int(both[1]):
            yield int(both[0]) / int(both[1])


def _limits() -> Iterator[int]:
    """Bytes that the control groups of this process allow, if they limit them."""
    for group in _groups("memory"):
        for name in ("memory.max", "memory.high", "memory.limit_in_bytes"):
            for word in _words(group / name):
                if _is_whole(word) and int(word) < _NO_LIMIT:
                    yield int(word)


def _words(file: Path) -> list[str]:
    """Words of a small file; none if it cannot be read."""
    try:
        return file.read_text().split()
    except (OSError, ValueError):
        return []


def _groups(controller: str) -> Iterator[Path]:
    """Folders of the control groups of this process for a controller, with those above them."""
    mine = dict(_memberships())
    for root, mounted, kind, controllers in _mounts():
        within = mine.get("" if kind == "cgroup2" else controller)
        if within is None or (kind == "cgroup" and controller not in controllers):
            continue
        # A container sees its own group as the root of the mount.
        below = within.removeprefix(root.rstrip("/")) if within.startswith(root) else ""
        folder = mounted / below.strip("/")
        while True:
            yield folder
            if folder == mounted:
                break
            folder = folder.parent


def _memberships() -> Iterator[tuple[str, str]]:
    """Controllers and paths of the groups of this process; version 2 has an empty controller."""
    for line in _lines(_PROC / "cgroup"):
        _, _, rest = line.partition(":")
        names, _, path = rest.partition(":")
        for name in names.split(","):
            yield name, path


def _mounts() -> Iterator[tuple[str, Path, str, list[str]]]:
    """Root, folder, kind and options of every mounted hierarchy of control groups."""
    for line in _lines(_PROC / "mountinfo"):
        before, _, after = line.partition(" - ")
        fields, kinds = before.split(), after.split()
        if len(fields) > 4 and len(kinds) > 2 and kinds[0] in ("cgroup", "cgroup2"):
            yield fields[3], Path(fields[4]), kinds[0], kinds[2].split(",")


def _lines(file: Path) -> list[str]:
    try:
        return file.read_text().splitlines()
    except (OSError, ValueError):
        return []
