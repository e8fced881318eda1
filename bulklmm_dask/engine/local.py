"""Choice of workers: threads of this process, processes on this machine, or a Dask scheduler."""

from __future__ import annotations

import json
import logging
import os
import signal
import threading
import warnings
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from multiprocessing import resource_tracker
from typing import TYPE_CHECKING, Any

import dask

from bulklmm_dask.engine import dashboard as dashboards
from bulklmm_dask.engine import nannies
from bulklmm_dask.engine.allotted import (
    ALL,
    MACHINE,
    Allotted,
    allotted_memory,
    allotted_threads,
)
from bulklmm_dask.engine.room import Room, bytes_of, room_here
from bulklmm_dask.engine.security import (
    Certificates,
    require_no_certificates,
    security_for,
    speaks_tls,
    try_handshake,
)
from bulklmm_dask.engine.watch import watched
from bulklmm_dask.errors import ClusterError, InputError, OptionError
from bulklmm_dask.storage.places.location import Location
from bulklmm_dask.surface import either, option
from bulklmm_dask.text import counted, storage

if TYPE_CHECKING:
    from distributed import Client

# How long to wait for a scheduler to answer.
_PATIENCE = "30s"
# Bytes of a worker process that has no work yet: Python, and the libraries that a block uses.
_LEAST = 300_000_000
_SEMAPHORES = "ignore::UserWarning:multiprocessing.resource_tracker"
# Arrays up to this size, the largest that the C library allows, come out of memory that was freed.
# Dask sets how much of that a worker keeps, and with it this size is fixed at 128 KiB: the kernel
# would clear the memory of every larger array anew, which takes nearly as long as computing it.
# Threads share the memory that was freed: each would keep its own.
_MALLOC = {
    "distributed.nanny.pre-spawn-environ.MALLOC_MMAP_THRESHOLD_": 2**25,
    "distributed.nanny.pre-spawn-environ.MALLOC_ARENA_MAX": 1,
}


@dataclass(frozen=True)
class Workers:
    """Where dask computes.

    Attributes
    ----------
    description : str
        In words, with what sets their number.
    dashboard : str or None
        Address of their dashboard, for a browser; None if none is served, or none was asked of a
        running scheduler.
    usual : bool
        Whether they are threads of this process, as many as the machine has processors.
    """

    description: str
    dashboard: str | None = None
    usual: bool = False

    def __str__(self) -> str:
        return self.description


@contextmanager
def workers(
    *,
    scheduler: str | None = None,
    tls: Certificates | None = None,
    processes: int = 0,
    threads: int | None = None,
    memory: str | None = None,
    dashboard: str | None = None,
    performance_report: str | os.PathLike[str] | None = None,
) -> Iterator[Workers]:
    """Run what dask computes inside the ``with`` block on the requested workers.

    Parameters
    ----------
    scheduler : str, optional
        Address (``tcp://host:8786``, ``tls://host:8786``) or scheduler file of a running Dask
        scheduler.
    tls : Certificates, optional
        Certificates for a scheduler at ``tls://``; what it leaves out is taken from Dask's
        configuration.
    processes : int
        Number of worker processes to start on this machine; 0 computes in this process.
    threads : int, optional
        Threads in this process, or in each worker process; by default those that `allotted` finds,
        in all.
    memory : str, optional
        Memory limit of each worker process, such as ``"4GB"``; by default an equal share of the
        memory that `allotted` finds.
    dashboard : str, optional
        Serve a dashboard at this address (`dashboard.serving_address`); empty for any free port of
        this machine. Worker processes have one unasked where bokeh is installed. A running
        scheduler has its own: give empty to learn its address.
    performance_report : path, optional
        Write Dask's performance report of the block to this HTML file.

    Yields
    ------
    Workers
        The workers in words, and the address of their dashboard.

    Raises
    ------
    InputError
        If options exclude each other, no scheduler answers, or `memory` is not an amount, or less
        than a worker takes before it has any work; if there is no bokeh to draw what is to be seen,
        or `dashboard` is no address of this machine; if a variable of the environment gives no
        number of threads or amount of memory; if a certificate is missing, cannot be read, has
        expired, or is refused.
    StoreError
        If the report cannot be written.
    ClusterError
        If the workers or their scheduler are lost for good.

    Examples
    --------
    Two threads of this process, where a scan would take all; ``processes=4`` starts four worker
    processes, and ``scheduler="tcp://node1:8786"`` uses a cluster that runs:

    >>> with blmm.workers(threads=2) as where:
    ...     highest = blmm.scan(ds).lod.max("variants").compute()
    >>> print(where)
    2 threads of this process (from threads)...
    >>> highest.shape
    (12,)
    """
    _require_one_kind(scheduler, processes, threads, memory)
    if scheduler is None:
        require_no_certificates(tls)
    report = None
    if performance_report is not None:
        report = dashboards.require_report(os.fspath(performance_report))
    if scheduler is None:
        for name, asked in (("dashboard", dashboard), ("performance_report", report)):
            if asked is not None:
                dashboards.require_bokeh(name)
    elif dashboard:
        raise OptionError(
            f"{option('dashboard', dashboard)} and {option('scheduler', scheduler)} exclude each "
            f"other: a running scheduler has its own dashboard; give {option('dashboard')} "
            f"{either('an empty text', 'no address')}, and "
            "its address is said"
        )
    with _logs_silenced(), ExitStack() as running:
        if scheduler is not None:
            yield running.enter_context(_scheduler(scheduler, tls, dashboard, report))
        elif processes > 0:
            yield running.enter_context(_processes(processes, threads, memory, dashboard, report))
        elif dashboard is not None or report is not None:
            yield running.enter_context(_seen_threads(threads, dashboard, report))
        else:
            own, room = _threads(threads), _room_here()
            running.enter_context(dask.config.set(scheduler="threads", num_workers=own.amount))
            running.enter_context(room_here(replace(room, threads=own.amount) if room else None))
            yield Workers(_of_this_process(own, room), usual=own.source == ALL and room is None)


def _threads(asked: int | None) -> Allotted:
    """Threads of this process: as asked for, else as allotted."""
    return allotted_threads() if asked is None else Allotted(asked, option("threads"))


def _room_here() -> Room | None:
    """What a job or a control group leaves this process; None where the machine is the limit."""
    memory = allotted_memory()
    if memory.source == MACHINE:
        return None
    return Room(limit=memory.amount, source=memory.source)


def _of_this_process(threads: Allotted, room: Room | None) -> str:
    memory = "" if room is None else f" and {storage(room.limit or 0)} (from {room.source})"
    return f"{counted(threads.amount, 'thread')} of this process (from {threads.source}){memory}"


@contextmanager
def _scheduler(
    address: str, tls: Certificates | None, dashboard: str | None, report: Location | None
) -> Iterator[Workers]:
    """Workers of a running scheduler."""
    with _connect(address, tls) as client, _used(client, report):
        link = None if dashboard is None else dashboards.link_of(client)
        found = client.scheduler_info(n_workers=-1)["workers"].values()
        threads = sum(worker["nthreads"] for worker in found)
        yield Workers(
            f"the scheduler at {client.scheduler.address}: "
            f"{counted(len(found), 'worker')} so far, {counted(threads, 'thread')}",
            link,
        )


@contextmanager
def _used(client: Client, report: Location | None) -> Iterator[None]:
    """Let a client of ours compute: watched, in the words of this process, and reported on."""
    from bulklmm_dask.engine.words import words_of_this_process

    if report is not None:
        dashboards.require_bokeh_there(client, "performance_report")
    with (
        words_of_this_process(client),
        watched(client, own=True),
        dashboards.reported(client, report),
    ):
        yield


@contextmanager
def _seen_threads(
    threads: int | None, dashboard: str | None, report: Location | None
) -> Iterator[Workers]:
    """Threads of this process, with a scheduler of Dask beside them that shows what they do."""
    asked, room = _threads(threads), _room_here()
    where = dashboards.serving_address(dashboard or "")
    options = {
        "n_workers": 1,
        "threads_per_worker": asked.amount,
        "memory_limit": 0,
        # Where it has no address in a network, a worker would serve its state on all of them.
        "worker_dashboard_address": f"{dashboards.LOOPBACK}:0",
    }
    with (
        _local_cluster(where, processes=False, **options) as (client, link),
        _used(client, report),
        room_here(replace(room, threads=asked.amount) if room else None),
    ):
        yield Workers(_of_this_process(asked, room), link)


@contextmanager
def _local_cluster(where: tuple[str, int], **options: Any) -> Iterator[tuple[Client, str]]:
    """Client of a cluster on this machine, and the address of the dashboard at a host and port."""
    from distributed import Client, LocalCluster

    with ExitStack() as running:
        with _signals_held(), _explained_start(), _no_word_of_other_ports():
            cluster = LocalCluster(
                dashboard_address=f"{where[0]}:{where[1]}",
                silence_logs=logging.CRITICAL,
                **options,
            )
            running.enter_context(nannies.closed_in_time(cluster))
        port = cluster.scheduler_info["services"]["dashboard"]
        yield running.enter_context(Client(cluster)), dashboards.link_to(*where, port)


@contextmanager
def _no_word_of_other_ports() -> Iterator[None]:
    """Leave it to `link_to` to say that a port is in use, where Dask takes another one."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Port .* is already in use", UserWarning)
        yield


@contextmanager
def _logs_silenced() -> Iterator[None]:
    """Leave it to our errors to say what has happened, where Dask logs tracebacks as well."""
    before = logging.root.manager.disable
    logging.disable(logging.ERROR)
    try:
        yield
    finally:
        logging.disable(before)


def _require_one_kind(
    scheduler: str | None, processes: int, threads: int | None, memory: str | None
) -> None:
    asked = {"processes": processes or None, "threads": threads, "memory": memory}
    given = [option(name, value) for name, value in asked.items() if value is not None]
    if scheduler is not None and given:
        raise OptionError(
            f"{option('scheduler', scheduler)} and {' and '.join(given)} exclude each other: a "
            "running scheduler has its own workers; leave one of them out"
        )
    if memory is not None and processes == 0:
        raise OptionError(
            f"{option('memory', memory)} holds for worker processes, and {option('processes', 0)} "
            f"starts none; give {option('processes', 1)} or more, or leave the limit out"
        )


def _connect(scheduler: str, tls: Certificates | None) -> Client:
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
    from distributed.versions import VersionMismatchWarning

    security = security_for(address, tls)
    try:
        if security is not None:
            try_handshake(address, security)
        with warnings.catch_warnings():  # the watch says it in a sentence
            warnings.simplefilter("ignore", VersionMismatchWarning)
            return Client(address, timeout=_PATIENCE, security=security)
    except InputError:
        raise
    except (OSError, ValueError, RuntimeError) as error:
        if security is None and speaks_tls(address):
            raise InputError(
                f"the scheduler at {address!r} speaks TLS only; give its address with tls:// and "
                f"{either('tls', '--tls-ca-file, --tls-cert and --tls-key')}"
            ) from error
        raise InputError(
            f"no Dask scheduler answers at {address!r} ({error}); start one with 'dask scheduler'"
        ) from error


@contextmanager
def _processes(
    number: int,
    threads: int | None,
    memory: str | None,
    dashboard: str | None,
    report: Location | None,
) -> Iterator[Workers]:
    """Start worker processes on this machine, each under a nanny that restarts it if it dies."""
    import distributed  # noqa: F401 (its defaults, before some are set and unset)

    shared = _threads(threads)
    each = shared.amount if threads is not None else max(1, shared.amount // number)
    room = _memory(memory, number)
    limit = room.amount
    if memory is not None and 0 < limit < _LEAST:
        raise InputError(
            f"memory {memory!r} is less than a worker takes without any work; give "
            f"{storage(_LEAST)} or more, and the blocks come on top"
        )
    # Any free port unless one is asked for: runs may share a machine.
    where = dashboards.serving_address(dashboard or "")
    options = {"n_workers": number, "threads_per_worker": each, "memory_limit": limit}
    others = {name: dask.config.get(name, value) for name, value in _MALLOC.items()}
    others |= nannies.KEPT
    with _environment_restored(), dask.config.set(others):
        # Python removes the semaphores of killed workers; that it says so helps nobody.
        asked = os.environ.get("PYTHONWARNINGS", "")
        os.environ["PYTHONWARNINGS"] = f"{asked},{_SEMAPHORES}".strip(",")
        with (
            _local_cluster(where, processes=True, **options) as (client, link),
            _used(client, report),
            room_here(Room(number, each, limit) if limit else None),
        ):
            kind = "1 worker process" if number == 1 else f"{number} worker processes"
            shown = link if dashboards.can_draw() else None
            amount = storage(limit) if limit else "no limit of memory"
            yield Workers(
                f"{kind} of {counted(each, 'thread')} (from {shared.source}) and {amount} "
                f"(from {room.source})",
                shown,
            )


def _memory(asked: str | None, number: int) -> Allotted:
    """Memory limit of each of `number` worker processes: as asked for, else an equal share."""
    if asked is not None:
        return Allotted(bytes_of(asked), option("memory"))
    allotted = allotted_memory()
    return Allotted(max(allotted.amount // number, 1), allotted.source)


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
