"""Nannies of the worker processes that this process has started.

A nanny begins its worker anew where that ends, also where it ends as it starts: of that nobody else
is told, for no scheduler has ever seen such a worker.
"""

from __future__ import annotations

import os
import signal
from collections.abc import Collection, Iterator
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from distributed import Client, Nanny

# Dask closes a nanny whose worker is away for 15 seconds, for good: less than a start takes on a
# busy machine. Those of our own cluster end with it.
KEPT = {"distributed.deploy.lost-worker-timeout": "1 day"}
_ENDED = ("closed", "failed")
# Seconds that closing a cluster may take. Its workers are asked to end, and killed after four.
_CLOSING = 30.0
_KILL = getattr(signal, "SIGKILL", signal.SIGTERM)  # Windows has one way to end a process


@contextmanager
def closed_in_time(cluster: Any) -> Iterator[Any]:
    """A cluster on this machine, which ends with the block.

    With distributed 2025.4 a nanny whose worker has ended as it started may wait for ever when it
    closes. Such a cluster is given up, and its worker processes are killed.
    """
    from distributed.core import Status

    try:
        yield cluster.__enter__()
    finally:
        nannies = list(cluster.workers.values())
        try:
            cluster.close(_CLOSING)
        except TimeoutError:
            for pid in filter(None, map(_pid, nannies)):
                with suppress(ProcessLookupError):
                    os.kill(pid, _KILL)
            cluster.status = Status.closed
            cluster.close()  # its thread


class Nannies:
    """Looks after the nannies of a cluster on this machine; there are none of other clusters."""

    def __init__(self, client: Client) -> None:
        """Look after those of the cluster that a client was made from."""
        from distributed import LocalCluster

        found = client.cluster
        self._cluster: Any = found if isinstance(found, LocalCluster) else None
        self._tried: dict[Any, set[int]] = {}  # processes since the scheduler saw a worker

    def look(self, present: Collection[Any]) -> int:
        """Start again what has ended for good; tell how often one was started in vain.

        Parameters
        ----------
        present : collection
            Names of the workers that the scheduler has.
        """
        if self._cluster is None:
            return 0
        nannies: dict[Any, Nanny] = dict(self._cluster.workers)
        for name, nanny in nannies.items():
            if name in present:
                self._tried.pop(name, None)
            elif nanny.status.name in _ENDED:
                del self._cluster.workers[name]
            elif pid := _pid(nanny):
                self._tried.setdefault(name, set()).add(pid)
        if len(self._cluster.workers) < len(self._cluster.worker_spec):
            self._cluster.scale(len(self._cluster.worker_spec))
        return max((len(pids) - 1 for pids in self._tried.values()), default=0)


def _pid(nanny: Nanny) -> int | None:
    """Process of the worker of a nanny; None if there is none, or it is a thread of this one."""
    return getattr(getattr(nanny, "process", None), "pid", None)
