"""Watching a cluster: workers and a scheduler that are lost end a run with one clear error.

Dask itself waits for ever where no worker is left, and its errors name tasks and addresses only.
"""

from __future__ import annotations

import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext, suppress
from typing import TYPE_CHECKING, Any
from weakref import WeakKeyDictionary

import dask
from dask.base import compute, get_scheduler
from dask.utils import parse_timedelta

from bulklmm_dask.engine.nannies import Nannies
from bulklmm_dask.engine.versions import differing
from bulklmm_dask.errors import ClusterError, InputError
from bulklmm_dask.study.warn import say
from bulklmm_dask.surface import either
from bulklmm_dask.text import counted, duration, storage

if TYPE_CHECKING:
    from distributed import Client, Future, as_completed
    from distributed.scheduler import KilledWorker

# Seconds: between looks at the workers; how long the scheduler may take to answer one.
_LOOK, _ANSWER = 5.0, 5.0
# Seconds without any worker, or any answer, after which a run ends; dask's own option has priority.
_PATIENCE, _OPTION = 300.0, "distributed.scheduler.no-workers-timeout"
# Workers lost since the last finished block, for each worker there was: as many as dask lets end on
# one task before it gives the task up.
_LOST = 4
# Processes of a worker that end before the scheduler has seen it, one after the other.
_VAIN = 4
_TICK = 0.1  # seconds between looks at what is finished
# Seconds at least between two answers about what is finished, and between looks meanwhile.
_APART, _NAP = 0.1, 0.02
# What a scheduler says of tasks whose code it lacks, in an error of no class of its own.
_UNREAD = "Error during deserialization of the task graph"
# Seconds that closing the client of a dead cluster may take.
_CLOSING = 5.0

_watches: WeakKeyDictionary[Client, Watch] = WeakKeyDictionary()


class Watch:
    """Looks at the workers of a cluster every five seconds, in a thread.

    Attributes
    ----------
    address : str
        Address of the scheduler.
    verdict : str or None
        Why the work cannot go on, once that is so.
    kept : str
        End of messages: what is kept, and how to go on.
    """

    def __init__(self, client: Client, *, own: bool) -> None:
        """Watch the cluster of a client, which may be closed if it is `own`."""
        scheduler: Any = client.scheduler  # None once the client is closed
        self.address = str(scheduler.address)
        self.verdict: str | None = None
        self.kept = ""
        self._client, self._own = client, own
        self._nannies = Nannies(client) if own else None
        option = dask.config.get(_OPTION, default=None)
        self._patience = _PATIENCE if option is None else float(parse_timedelta(option))
        self._workers: dict[str, Any] = {}  # those that were seen last
        self._present: set[str] = set()
        self._most = self._lost = 0
        self._silent = self._idle = 0.0
        self._counts_blocks = False
        self._answered = -_APART
        found = self._found()
        self._judge(found, 0.0)
        self._unsaid = differing(client, found) if found is not None else ""
        self.say_versions()
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def end(self) -> None:
        """End it."""
        self._ended.set()
        self._thread.join()

    def count_from_here(self) -> None:
        """Note that a block is finished, or that blocks begin: count lost workers from here."""
        self._lost, self._counts_blocks = 0, True

    def say_versions(self) -> None:
        """Say which versions differ on workers that have come meanwhile."""
        words, self._unsaid = self._unsaid, ""
        if words:
            say(words)

    @property
    def threads(self) -> int:
        """Threads of all workers, when they were last seen."""
        return sum(one.get("nthreads", 1) for one in self._workers.values())

    def finished(self, running: as_completed) -> list[Future[Any]]:
        """Wait until futures are finished and give them; ClusterError if there will be none.

        Ten answers a second at most, so that what many short tasks return is fetched together: each
        time costs client, scheduler and worker as much as a task does.
        """
        self.say_versions()
        while not running.has_ready():
            if self.verdict is not None:
                raise self.error(self.verdict)
            with running.thread_condition:
                running.thread_condition.wait(_TICK)
        while running.futures and time.monotonic() - self._answered < _APART:
            time.sleep(_NAP)
        self._answered = time.monotonic()
        return list(running.next_batch(block=False))

    def error(self, why: str) -> ClusterError:
        """Make the error that says why the work cannot go on, what is kept, and what to do."""
        return ClusterError(f"{why}; {self.kept}")

    def killed(self, error: KilledWorker, what: str, smaller: str = "") -> ClusterError:
        """Make the error about a task that has ended several workers; `smaller` is a remedy."""
        return self.error(
            f"{what} has ended {error.allowed_failures + 1} workers one after the other, most "
            f"likely for want of memory; {self._memory()}{smaller}"
        )

    def _run(self) -> None:
        before = time.monotonic()
        while not self._ended.wait(_LOOK):
            found = self._found()
            now = time.monotonic()
            # A machine that slept has not looked.
            self._judge(found, min(now - before, 2 * (_LOOK + _ANSWER)))
            before = now
            self._compare(found)
            if self.verdict is not None:
                if self._own:
                    self._client.close(_CLOSING)
                return

    def _compare(self, found: dict[str, Any] | None) -> None:
        """Note which versions differ on new workers; the thread that computes says it."""
        if found is None or self.verdict is not None:
            return
        try:
            self._unsaid = differing(self._client, found) or self._unsaid
        except InputError as error:
            self._unsaid = str(error)
        except Exception:  # they end meanwhile, or the scheduler
            return

    def _found(self) -> dict[str, Any] | None:
        """The workers by their address; None if the scheduler does not answer."""
        with suppress(Exception):  # whatever a dead scheduler leads to
            scheduler: Any = self._client.scheduler
            told = self._client.sync(scheduler.identity, n_workers=-1, callback_timeout=_ANSWER)
            return dict(told["workers"])
        return None

    def _judge(self, found: dict[str, Any] | None, seconds: float) -> None:
        self._silent = 0.0 if found is not None else self._silent + seconds
        if found is None:
            if self._silent >= self._patience:
                self.verdict = (
                    f"the scheduler at {self.address} has not answered for "
                    f"{duration(self._silent)} minutes"
                )
            return
        self._lost += len(self._present - found.keys())
        self._present = set(found)
        self._workers = found or self._workers
        vain = 0
        if self._nannies is not None:
            vain = self._nannies.look({one.get("name") for one in found.values()})
        self._most = max(self._most, len(found))
        able = sum(one["status"] == "running" for one in found.values())
        self._idle = 0.0 if able or not self._most else self._idle + seconds
        if self._idle >= self._patience:
            self.verdict = self._none_able(len(found))
        elif vain >= _VAIN:
            self.verdict = (
                f"a worker process of this machine has ended {vain} times as it started, most "
                f"likely for want of memory; {self._memory()}"
            )
        elif self._counts_blocks and self._lost > _LOST * self._most:
            self.verdict = (
                f"{counted(self._lost, 'worker')} of the scheduler at {self.address} ended, and "
                f"no block was finished meanwhile; {self._memory()}"
            )

    def _none_able(self, paused: int) -> str:
        since = duration(self._idle)
        if paused:
            return (
                f"{counted(paused, 'worker')} of the scheduler at {self.address} have taken no "
                f"work for {since} minutes, for their memory is nearly full; "
                f"{self._memory()}"
            )
        return (
            f"the scheduler at {self.address} has had no worker for {since} minutes, after "
            f"{self._most} at most: they have ended, or the network to them is cut; start workers"
        )

    def _memory(self) -> str:
        """What a worker may use, and how to give it more."""
        limits = [one.get("memory_limit") for one in self._workers.values()]
        threads = [one.get("nthreads", 1) for one in self._workers.values()]
        has = ""
        if limits and all(limits):
            has = f"a worker has {storage(min(limits))} for {counted(max(threads), 'thread')}: "
        return f"{has}give {either('workers more memory', 'more --memory')} or fewer threads"


def active_client() -> Client | None:
    """The distributed client that is dask's current scheduler, if any."""
    owner = getattr(get_scheduler(), "__self__", None)
    distributed = sys.modules.get("distributed")  # imported if there is a client
    return owner if distributed and isinstance(owner, distributed.Client) else None


def computed(*arrays: Any) -> tuple[Any, ...]:
    """Compute dask arrays together, on dask's current scheduler.

    Raises
    ------
    ClusterError
        If the cluster of a client fails (`watched`).
    """
    client = active_client()
    with nullcontext() if client is None else watched(client):
        return tuple(compute(*arrays))


@contextmanager
def watched(client: Client, kept: str = "", *, own: bool = False) -> Iterator[Watch]:
    """Raise ClusterError where the cluster of a client fails during the ``with`` block.

    Blocks within blocks share a watch.

    Parameters
    ----------
    client : Client
        The client that computes.
    kept : str
        What is kept, and how to go on; by default to do the same again.
    own : bool
        Whether the client may be closed, so that computations end that wait for a dead cluster.

    Raises
    ------
    ClusterError
        If a task has ended several workers, the connection to the scheduler is lost, or no worker
        is left for five minutes.
    """
    from distributed import CancelledError
    from distributed.client import ClosedClientError
    from distributed.comm.core import CommClosedError
    from distributed.scheduler import KilledWorker, NoValidWorkerError, NoWorkerError

    outer = _watches.get(client)
    watch = Watch(client, own=own) if outer is None else outer
    before, watch.kept = watch.kept, kept or either("make the call again", "run the command again")
    _watches[client] = watch
    try:
        yield watch
        watch.say_versions()
    except KilledWorker as error:
        raise watch.killed(error, "a part of the work") from error
    except (NoValidWorkerError, NoWorkerError) as error:
        raise watch.error("the scheduler has had no worker for long; start workers") from error
    except (CancelledError, CommClosedError, ClosedClientError) as error:
        lost = f"the connection to the scheduler at {watch.address} is lost: it has ended, or "
        raise watch.error(watch.verdict or f"{lost}the network is cut") from error
    except Exception as error:  # a client that is closed meanwhile fails in many ways
        if _UNREAD in str(error):
            raise watch.error(
                f"the scheduler at {watch.address} cannot read the tasks of this process "
                f"({error.__cause__ or 'its log says why'}); install the same versions there"
            ) from error
        if watch.verdict is None or isinstance(error, ClusterError):
            raise
        raise watch.error(watch.verdict) from error
    finally:
        watch.kept = before
        if outer is None:
            del _watches[client]
            watch.end()
