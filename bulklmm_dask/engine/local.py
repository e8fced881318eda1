"""Choice of workers: threads of this process, processes on this machine, or a Dask scheduler."""

from __future__ import annotations

import json
import logging
import os
import signal
import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from importlib.util import find_spec
from multiprocessing import resource_tracker
from typing import TYPE_CHECKING

import dask

from bulklmm_dask.engine.room import bytes_of
from bulklmm_dask.engine.watch import watched
from bulklmm_dask.errors import ClusterError, InputError
from bulklmm_dask.surface import either
from bulklmm_dask.text import counted, storage

if TYPE_CHECKING:
    from distributed import Client

# How long to wait for a scheduler to answer.
_PATIENCE = "30s"
# Bytes of a worker process that has no work yet: Python, and the libraries that a block uses.
_LEAST = 300_000_000
_SEMAPHORES = "ignore::UserWarning:multiprocessing.resource_tracker"


@contextmanager
def workers(
    *,
    scheduler: str | None = None,
    processes: int = 0,
    threads: int | None = None,
    memory: str | None = None,
) -> Iterator[str]:
    """Run what dask computes inside the ``with`` block on the requested workers.

    Parameters
    ----------
    scheduler : str, optional
        Address (``tcp://host:8786``) or scheduler file of a running Dask scheduler.
    processes : int
        Number of worker processes to start on this machine; 0 computes in this process.
    threads : int, optional
        Threads in this process, or in each worker process; by default as many as there are cores in
        all.
    memory : str, optional
        Memory limit of each worker process, such as ``"4GB"``.

    Yields
    ------
    str
        Description of the workers, such as "4 threads of this process".

    Raises
    ------
    InputError
        If options exclude each other, no scheduler answers, or `memory` is not an amount, or less
        than a worker takes before it has any work.
    ClusterError
        If the workers or their scheduler are lost for good.
    """
    _require_one_kind(scheduler, processes, threads, memory)
    with _logs_silenced(), _chosen(scheduler, processes, threads, memory) as description:
        yield description


@contextmanager
def _chosen(
    scheduler: str | None, processes: int, threads: int | None, memory: str | None
) -> Iterator[str]:
    if scheduler is not None:
        from bulklmm_dask.engine.words import words_of_this_process

        with (
            _connect(scheduler) as client,
            words_of_this_process(client),
            watched(client, own=True),
        ):
            found = client.scheduler_info(n_workers=-1)["workers"].values()
            threads = sum(worker["nthreads"] for worker in found)
            yield (
                f"the scheduler at {client.scheduler.address}: "
                f"{counted(len(found), 'worker')} so far, {counted(threads, 'thread')}"
            )
    elif processes > 0:
        with _processes(processes, threads, memory) as description:
            yield description
    else:
        number = threads or available_cores()
        with dask.config.set(scheduler="threads", num_workers=number):
            yield f"{counted(number, 'thread')} of this process"


@contextmanager
def _logs_silenced() -> Iterator[None]:
    """Leave it to our errors to say what has happened, where Dask logs tracebacks as well."""
    before = logging.root.manager.disable
    logging.disable(logging.ERROR)
    try:
        yield
    finally:
        logging.disable(before)


def available_cores() -> int:
    """Count the cores that this process may use (a batch job has fewer than its machine)."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def memory_here() -> int:
    """Bytes of memory that this process may use (a batch job has less than its machine)."""
    from distributed.system import MEMORY_LIMIT

    return int(MEMORY_LIMIT)


def _require_one_kind(
    scheduler: str | None, processes: int, threads: int | None, memory: str | None
) -> None:
    if scheduler is not None and (processes or threads is not None or memory is not None):
        raise InputError(
            f"the scheduler {scheduler!r} has its own workers: leave out the number of workers, "
            "threads and memory, or the scheduler"
        )
    if memory is not None and processes == 0:
        raise InputError(
            f"a memory limit ({memory!r}) holds for worker processes: ask for at least one worker"
        )


def _connect(scheduler: str) -> Client:
    """Connect to a running scheduler, given by its address or by its scheduler file."""
    address = scheduler
    if os.path.exists(scheduler):
        try:
            with open(scheduler) as file:
                address = str(json.load(file)["address"])
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise InputError(
                f"{scheduler!r} is no scheduler file; 'dask scheduler --scheduler-file' makes one"
            ) from error
    elif ":" not in scheduler:
        raise InputError(
            f"no scheduler {scheduler!r}: it is neither an address such as tcp://host:8786 "
            "nor an existing scheduler file"
        )
    from distributed import Client

    try:
        return Client(address, timeout=_PATIENCE)
    except (OSError, ValueError) as error:
        raise InputError(
            f"no Dask scheduler answers at {address!r} ({error}); start one with 'dask scheduler'"
        ) from error


@contextmanager
def _processes(number: int, threads: int | None, memory: str | None) -> Iterator[str]:
    """Start worker processes on this machine, each under a nanny that restarts it if it dies."""
    each = threads or max(1, available_cores() // number)
    limit = "auto" if memory is None else bytes_of(memory)
    if isinstance(limit, int) and 0 < limit < _LEAST:
        raise InputError(
            f"memory {memory!r} is less than a worker takes without any work; give "
            f"{storage(_LEAST)} or more, and the blocks come on top"
        )
    from distributed import Client, LocalCluster

    from bulklmm_dask.engine.words import words_of_this_process

    with _environment_restored(), ExitStack() as running:
        # Python removes the semaphores of killed workers; that it says so helps nobody.
        asked = os.environ.get("PYTHONWARNINGS", "")
        os.environ["PYTHONWARNINGS"] = f"{asked},{_SEMAPHORES}".strip(",")
        with _signals_held(), _explained_start():
            cluster = running.enter_context(
                LocalCluster(
                    n_workers=number,
                    threads_per_worker=each,
                    memory_limit=limit,
                    processes=True,
                    dashboard_address="127.0.0.1:0",  # any free port: runs may share a machine
                    silence_logs=logging.CRITICAL,
                )
            )
        with (
            Client(cluster) as client,
            words_of_this_process(client),
            watched(client, own=True),
        ):
            kind = "1 worker process" if number == 1 else f"{number} worker processes"
            dashboard = f", dashboard {cluster.dashboard_link}" if find_spec("bokeh") else ""
            yield f"{kind} of {counted(each, 'thread')}{dashboard}"


@contextmanager
def _explained_start() -> Iterator[None]:
    """Raise ClusterError if worker processes end before they have begun."""
    try:
        yield
    except RuntimeError as error:
        raise ClusterError(
            f"the worker processes could not be started ({error}): they were killed, or had not "
            f"enough memory; {either('make the call again', 'run the command again')}"
        ) from error


@contextmanager
def _environment_restored() -> Iterator[None]:
    """Undo changes to the environment variables of this process on exit.

    Nannies set variables for their workers, such as one BLAS thread, in this process as well.
    """
    before = dict(os.environ)
    try:
        yield
    finally:
        for name in os.environ.keys() - before.keys():
            del os.environ[name]
        os.environ.update(before)


@contextmanager
def _signals_held() -> Iterator[None]:
    """Let Ctrl-C and SIGTERM take effect at the end: half a cluster cannot be closed.

    Processes that are started inside, or later by threads that are, never see Ctrl-C: this process
    alone handles it.
    """
    if os.name != "posix" or threading.current_thread() is not threading.main_thread():
        yield
        return
    resource_tracker.ensure_running()  # when it starts, it lets the signals through
    held: list[int] = []
    before = {
        number: signal.signal(number, lambda number, _: held.append(number))
        for number in (signal.SIGINT, signal.SIGTERM)
    }
    mask = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, mask)
        for number, handler in before.items():
            signal.signal(number, handler)
        if held:
            signal.raise_signal(held[0])
