"""Versions of this process beside those of a scheduler and its workers, in one sentence.

Dask compares some of them as a client connects, in a table of all machines; of this package it
knows nothing.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Mapping
from typing import TYPE_CHECKING, Any
from weakref import WeakKeyDictionary

from bulklmm_dask.errors import InputError
from bulklmm_dask.text import counted

if TYPE_CHECKING:
    from distributed import Client

# Names of distributions; "python" is Dask's own.
OURS = "bulklmm-dask"
_COMPARED = ("python", "dask", "distributed", "numpy", OURS)
_ANSWER = 5.0  # seconds that workers may take to answer
_SCHEDULER = "the scheduler"

_asked: WeakKeyDictionary[Client, set[str]] = WeakKeyDictionary()


def differing(client: Client, workers: Collection[str]) -> str:
    """Say how versions differ on the scheduler, and on those workers not asked before.

    Parameters
    ----------
    client : Client
        A client of the scheduler; that of a cluster on this machine has this Python.
    workers : collection of str
        Addresses of the workers there are.

    Returns
    -------
    str
        One sentence with both versions; empty where they are the same.

    Raises
    ------
    InputError
        If a machine lacks this package: it can compute nothing.
    """
    from distributed import LocalCluster
    from distributed.versions import get_package_info

    before = _asked.setdefault(client, set())
    new = {*workers, _SCHEDULER} - before
    if not new or isinstance(client.cluster, LocalCluster):
        return ""
    scheduler: Any = client.scheduler
    packages = list(_COMPARED[1:])
    try:
        found = client.sync(
            scheduler.broadcast,
            msg={"op": "versions", "packages": packages},
            workers=sorted(new - {_SCHEDULER}),
            on_error="return",
            callback_timeout=_ANSWER,
        )
        if _SCHEDULER in new:
            found[_SCHEDULER] = client.sync(scheduler.versions, packages=packages)
    except OSError:  # busy, or away: they are asked the next time
        return ""
    before |= new
    there = {name: one["packages"] for name, one in found.items() if isinstance(one, dict)}
    return in_words(get_package_info(packages), there)


def in_words(here: Mapping[str, str | None], there: Mapping[str, Mapping[str, str | None]]) -> str:
    """Say what differs, of the versions here and those by the address of a worker.

    Raises
    ------
    InputError
        If this package is missing somewhere.

    Examples
    --------
    >>> here = {"numpy": "2.4.6", "bulklmm-dask": "0.2.0"}
    >>> there = {"tcp://node1:41": here, "tcp://node2:41": here | {"numpy": "2.3.0"}}
    >>> print(in_words(here, there))
    numpy is 2.3.0 on tcp://node2:41 and 2.4.6 in this process: tasks may fail, or give other
    numbers; install the same versions everywhere
    """
    parts = []
    for package in _COMPARED:
        where = defaultdict(list)
        for name, versions in there.items():
            where[versions.get(package)].append(name)
        for version, names in where.items():
            if version == here.get(package):
                continue
            if package == OURS and version is None:
                raise InputError(
                    f"{_machines(names)} has no bulklmm_dask, which this process has in version "
                    f"{here[OURS]}; install it there as well, and start it anew"
                )
            parts.append(
                f"{package} is {_short(version)} on {_machines(names)} and "
                f"{_short(here.get(package))} in this process"
            )
    if not parts:
        return ""
    return (
        f"{', '.join(parts)}: tasks may fail, or give other numbers; install the same versions "
        "everywhere"
    )


def _short(version: str | None) -> str:
    """A version; that of Python without what a release says of itself."""
    return "missing" if version is None else version.removesuffix(".final.0")


def _machines(names: list[str]) -> str:
    """The first of some machines, and the number of the others."""
    more = len(names) - 1
    return names[0] + (f" and {counted(more, 'other worker')}" if more else "")
