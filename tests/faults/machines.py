"""Real processes: commands, a Dask scheduler and its workers, which tests kill, freeze and cut."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Self

import psutil

# `make faults` freezes and cuts as long as people have reported it, the suite as short as it can.
FULL = bool(os.environ.get("BULKLMM_FAULTS"))
# Seconds that any step may take on a machine that does much else.
PATIENCE = 300.0
# The program. Shells let background jobs ignore Ctrl-C, and what they start inherits that.
MAIN = (
    "import signal; signal.signal(signal.SIGINT, signal.default_int_handler); "
    "from bulklmm_dask.cli import main; main()"
)
_QUIET = {"OPENBLAS_NUM_THREADS": "1"}


def wait_for(condition: Callable[[], object], seconds: float = PATIENCE) -> None:
    """Wait until something is so; AssertionError if it takes too long."""
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, f"not so within {seconds:g} s"
        time.sleep(0.02)


def content(store: Path) -> dict[str, bytes]:
    """All bytes of a store, by file."""
    return {
        str(file.relative_to(store)): file.read_bytes()
        for file in sorted(store.rglob("*"))
        if file.is_file()
    }


def other_files(store: Path, expected: dict[str, bytes]) -> list[str]:
    """Files of a store that are not as expected, and those that are missing."""
    found = content(store)
    names = sorted(found.keys() | expected.keys())
    return [name for name in names if found.get(name) != expected.get(name)]


def leftovers(folder: Path) -> list[str]:
    """What a run should have removed: hidden files and folders, unfinished chunks, locks."""
    return [
        str(one)
        for one in folder.rglob("*")
        if one.name[:1] == "." or one.suffix == ".partial" or one.name == "lock.json"
    ]


def blocks_of(store: Path, name: str = "lod") -> int:
    """Number of the blocks of a store that have been written."""
    return sum(file.suffix != ".partial" for file in (store / name / "c").rglob("*/*"))


@dataclass
class Running:
    """A process, with all that it writes to standard error and output."""

    process: subprocess.Popen[bytes]
    log: Path

    @property
    def said(self) -> str:
        return self.log.read_text()

    def has_begun(self) -> bool:
        """Tell whether it handles SIGTERM: before, while it is imported, Python ends it."""
        if self.ended():
            return True
        status = Path(f"/proc/{self.process.pid}/status").read_text()
        caught = next(line for line in status.splitlines() if line.startswith("SigCgt:"))
        return bool(int(caught.split()[1], 16) >> (signal.SIGTERM - 1) & 1)

    def ended(self) -> bool:
        return self.process.poll() is not None

    def code(self, seconds: float = PATIENCE) -> int:
        """Wait for the end; give the exit code."""
        try:
            return self.process.wait(seconds)
        except subprocess.TimeoutExpired:
            raise AssertionError(f"still running after {seconds:g} s: {self.said}") from None

    def send(self, number: signal.Signals) -> None:
        self.process.send_signal(number)

    def workers(self) -> list[psutil.Process]:
        """Worker processes that it has started and that live."""
        found = []
        with suppress(psutil.NoSuchProcess):
            for child in psutil.Process(self.process.pid).children(recursive=True):
                with suppress(psutil.NoSuchProcess):
                    if "spawn_main" in " ".join(child.cmdline()):
                        found.append(child)
        return found

    def require_error(self, *words: str) -> None:
        """It ended with one sentence that has these words."""
        assert self.code() == 1, self.said
        assert "Traceback" not in self.said
        assert self.said.count("error: ") == 1, self.said
        for each in words:
            assert each in self.said, self.said


class Machines:
    """The processes of a test, which end with it.

    Parameters
    ----------
    folder : path
        For logs and scratch files.
    options : str
        Settings of Dask in all processes: environment variables without the prefix
        ``DASK_DISTRIBUTED__``.
    """

    def __init__(self, folder: Path, **options: str) -> None:
        self.folder, self._all = folder, []
        dask = {f"DASK_DISTRIBUTED__{name}": value for name, value in options.items()}
        self.environment = {**os.environ, **_QUIET, **dask}

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        for running in reversed(self._all):
            with suppress(ProcessLookupError):
                os.killpg(running.process.pid, signal.SIGKILL)
            running.process.wait()

    def start(self, *arguments: object, within: str | None = None) -> Running:
        """Start Python with arguments, in a network namespace if one is named."""
        log = self.folder / f"{len(self._all)}.log"
        prefix = [] if within is None else ["ip", "netns", "exec", within]
        with log.open("wb") as stream:
            process = subprocess.Popen(
                [*prefix, sys.executable, *map(str, arguments)],
                stdout=stream,
                stderr=subprocess.STDOUT,
                env=self.environment,
                start_new_session=True,
            )
        self._all.append(Running(process, log))
        return self._all[-1]

    def bulklmm(self, *arguments: object) -> Running:
        """Start a command."""
        return self.start("-c", MAIN, *arguments)

    def finish(self, *arguments: object) -> Running:
        """Run a command, which must succeed."""
        running = self.bulklmm(*arguments)
        assert running.code() == 0, running.said
        return running

    @property
    def file(self) -> Path:
        """The scheduler file."""
        return self.folder / "scheduler.json"

    def scheduler(self, host: str = "127.0.0.1", protocol: str = "tcp") -> Running:
        """Start a scheduler, and wait for its file."""
        self.file.unlink(missing_ok=True)
        running = self.start(
            *("-m", "distributed.cli.dask_scheduler", "--host", host, "--port", 0),
            *("--protocol", protocol),
            *("--dashboard-address", f"{host}:0", "--scheduler-file", self.file),
        )
        wait_for(lambda: self.file.exists() and self.file.stat().st_size)
        return running

    def worker(self, within: str | None = None) -> Running:
        """Start a worker, without waiting for it."""
        return self.start(
            *("-m", "distributed.cli.dask_worker", "--scheduler-file", self.file),
            *("--nworkers", 1, "--nthreads", 1, "--no-dashboard"),
            *("--local-directory", self.folder / "scratch"),
            within=within,
        )
