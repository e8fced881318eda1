"""Parts shared by all commands: one-line errors, notes, exit codes, options and parsers."""

from __future__ import annotations

import os
import signal
import sys
import threading
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import Any, NoReturn, TextIO

import click

from bulklmm_dask.cli._voice import (
    JSON,
    asks_for_json,
    begin,
    complain,
    give_error,
    give_object,
    note,
    speaking,
    voice_options,
)
from bulklmm_dask.cli._voice import did as did
from bulklmm_dask.cli._voice import say as say
from bulklmm_dask.cli._voice import show as show
from bulklmm_dask.cli._voice import wrote as wrote
from bulklmm_dask.engine.dashboard import address_in
from bulklmm_dask.errors import ClusterError, InputError, OptionError, StoreError, StudyWarning
from bulklmm_dask.storage.places.location import Location
from bulklmm_dask.surface import command_line

FAILED = 1
STOPPED, TERMINATED = 130, 143  # 128 and the number of the signal, as shells count
RESUME = "bulklmm_dask.resume"  # key of ctx.meta for the message after Ctrl-C or SIGTERM

# Finalizers, and Dask's function that garbage collection calls; seconds until a signal comes again.
_DROPPING, _AGAIN = ("__del__", "_gc_callback"), 0.05

Function = Callable[..., Any]


class PathType(click.Path):
    """A path, or a URL, as it is typed; an empty one is refused, for pathlib takes it for here."""

    def convert(
        self,
        value: str | os.PathLike[str],
        param: click.Parameter | None,
        ctx: click.Context | None,
    ) -> Any:
        """Give the path; a usage error names the argument that is empty."""
        if not os.fspath(value).strip():
            self.fail(
                f"the path {value!r} names nothing; give the path of a file or a folder", param, ctx
            )
        return super().convert(value, param, ctx)


PATH = PathType(path_type=Path)
SOURCE = PathType(path_type=str)  # for what may be a URL of the web, whose slashes pathlib joins
result_argument = click.argument("result", type=PATH)


class Terminated(KeyboardInterrupt):
    """SIGTERM, which ends a command as Ctrl-C does."""


class Command(click.Command):
    """A command that reports an error in one line and warnings as notes, with exit code 1.

    Options that exclude or need each other have exit code 2, whoever finds it. Every command has
    --quiet, --json and --version.
    """

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self._shared = list(voice_options())

    def get_params(self, ctx: click.Context) -> list[click.Parameter]:
        """Own options, those of all commands, and --help."""
        *own, last = super().get_params(ctx)
        return [*own, *self._shared, last]

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Note the name of the command first: what follows may be wrong."""
        begin(ctx)
        return super().parse_args(ctx, args)

    def invoke(self, ctx: click.Context) -> Any:
        """Run the command; exit with 1 after an error of ours."""
        with command_line(), speaking(ctx) as voice, warnings.catch_warnings():
            warnings.simplefilter("always", StudyWarning)
            _say_notes()
            try:
                value = super().invoke(ctx)
                if not voice.given:
                    give_object()
                return value
            except (
                BrokenPipeError
            ):  # the reader of our output has closed the pipe: click handles it
                raise
            except OptionError as error:
                raise click.UsageError(str(error), ctx) from error
            except (ClusterError, InputError, StoreError, OSError) as error:
                words = " ".join(str(error).split())
                complain(f"error: {words}")
                give_error(ctx, words)
                ctx.exit(FAILED)


def _open_streams() -> None:
    """Let standard streams that are closed (``>&-``) lead nowhere, as /dev/null.

    Otherwise they are None, and the next file that is opened gets their number.
    """
    for name, mode in (("stdin", "r"), ("stdout", "w"), ("stderr", "w")):
        if getattr(sys, name) is None:
            nowhere = open(os.devnull, mode, encoding="utf-8")  # noqa: SIM115 (until the end)
            setattr(sys, name, nowhere)


@contextmanager
def _stopped_by_batch_systems() -> Iterator[None]:
    """Let SIGTERM do what Ctrl-C does: unfinished output is removed, and stores are unlocked."""
    if (
        threading.current_thread() is not threading.main_thread()
        or signal.getsignal(signal.SIGTERM) != signal.SIG_DFL
    ):
        yield
        return

    def terminate(number: int, frame: FrameType | None) -> None:
        if _drops_errors(frame):
            threading.Timer(_AGAIN, os.kill, (os.getpid(), number)).start()
            return
        raise Terminated

    signal.signal(signal.SIGTERM, terminate)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, signal.SIG_DFL)


def _drops_errors(frame: FrameType | None) -> bool:
    """Tell whether Python runs a function now whose errors it prints and forgets."""
    while frame is not None:
        if frame.f_code.co_name in _DROPPING:
            return True
        frame = frame.f_back
    return False


class Group(click.Group):
    """A group that lists its commands in the order of use."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Keep the order in which the commands are declared."""
        return list(self.commands)


class Program(Group):
    """The group of all commands, which says that one was stopped, and errors in --json's object."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Note whether --json is given, also where a command does not get as far as that."""
        ctx.meta[JSON] = asks_for_json(args)
        try:
            return super().parse_args(ctx, args)
        except click.UsageError as error:
            give_error(ctx, error.format_message())
            raise

    def invoke(self, ctx: click.Context) -> Any:
        """Import and run a command; exit with 130 after Ctrl-C, with 143 after SIGTERM."""
        _open_streams()
        with _stopped_by_batch_systems():
            try:
                return super().invoke(ctx)
            except click.UsageError as error:
                give_error(ctx, error.format_message())
                raise
            except Terminated:
                _end(ctx, "stopped by SIGTERM", TERMINATED)
            except KeyboardInterrupt:
                _end(ctx, "stopped", STOPPED)


def _end(ctx: click.Context, words: str, code: int) -> NoReturn:
    """Say that a command was stopped, and how it goes on; exit."""
    words += ctx.meta.get(RESUME, "")
    complain(f"\n{words}")
    give_error(ctx, words)
    ctx.exit(code)


def _say_notes() -> None:
    """Show a StudyWarning as a note on standard error; other warnings as usual."""
    usual = warnings.showwarning

    def show(
        message: Warning | str,
        category: type[Warning],
        filename: str,
        lineno: int,
        file: TextIO | None = None,
        line: str | None = None,
    ) -> None:
        if issubclass(category, StudyWarning):
            note(str(message))
        else:
            usual(message, category, filename, lineno, file, line)

    warnings.showwarning = show


overwrite_option = click.option(
    "--overwrite",
    is_flag=True,
    help="Replace what has the name of the output; it stays until the new one is complete.",
)


def require_new(path: Path | None, *, overwrite: bool) -> None:
    """Raise StoreError, before any work, if an output file cannot be made, or exists."""
    if path is not None:
        Location.of(path).require_free_file(overwrite=overwrite)


def conflict(first: str, second: str, remedy: str) -> click.UsageError:
    """Say that two options, each with its value, exclude each other."""
    return click.UsageError(f"{first} and {second} exclude each other: {remedy}")


def examples(*lines: str) -> str:
    """Format example commands as the end of a help text, which click does not wrap."""
    return "\n".join(("\b", "Examples:", *(f"  {line}" for line in lines)))


def _address(ctx: click.Context, param: click.Parameter, value: str | None) -> str | None:
    """Refuse what is no address: the word behind --dashboard, which was not meant for it."""
    if value and address_in(value) is None:
        raise click.BadParameter(
            f"{value!r} is neither a port, such as 8787, nor an address, such as 0.0.0.0:8787; "
            "without one, write --dashboard behind all arguments"
        )
    return value


def compute_options(function: Function) -> Function:
    """Add the options for threads, worker processes, a scheduler, and to see what they do.

    Every command that computes has all of them.
    """
    for option in (
        click.option(
            "--performance-report",
            metavar="HTML",
            help="Write Dask's report of how the time was spent to this file.",
        ),
        click.option(
            "--dashboard",
            metavar="[ADDRESS]",
            is_flag=False,
            flag_value="",
            callback=_address,
            help="Serve Dask's dashboard while the command runs, and say where: at any free port "
            "of this machine, or at --dashboard=8787, --dashboard=0.0.0.0:8787. With --scheduler: "
            "say where its dashboard is.",
        ),
        click.option(
            "--memory",
            metavar="LIMIT",
            help="Memory limit of each worker process, such as 4GB.  [default: an equal share of "
            "the memory of the job, the cgroup or the machine]",
        ),
        click.option(
            "--threads",
            metavar="N",
            type=click.IntRange(min=1),
            help="Threads in this process, or in each worker process.  [default: by "
            "SLURM_CPUS_PER_TASK, OMP_NUM_THREADS, DASK_NUM_WORKERS, the quota of the cgroup or "
            "the processors that the process may use]",
        ),
        click.option(
            "--workers",
            "processes",
            metavar="N",
            type=click.IntRange(min=0),
            default=0,
            show_default=True,
            help="Worker processes to start on this machine; 0 works in this process.",
        ),
        click.option(
            "--tls-key",
            metavar="PEM",
            help="Private key of --tls-cert.  [default: in the same file]",
        ),
        click.option(
            "--tls-cert",
            metavar="PEM",
            help="Certificate to show to a scheduler at tls://.  [default: by Dask's "
            "configuration]",
        ),
        click.option(
            "--tls-ca-file",
            metavar="PEM",
            help="Certificate of the authority that signed those of the scheduler at tls://.  "
            "[default: by Dask's configuration]",
        ),
        click.option(
            "--scheduler",
            metavar="ADDRESS",
            help="A running Dask scheduler: tcp://host:8786, tls://host:8786 with certificates, or "
            "its scheduler file.",
        ),
    ):
        function = option(function)
    return function


def numbers(ctx: click.Context, param: click.Parameter, value: str | None) -> list[float] | None:
    """Parse numbers separated by commas."""
    if value is None:
        return None
    try:
        return [float(part) for part in value.split(",")]
    except ValueError:
        raise click.BadParameter(f"{value!r} is not numbers with commas between") from None


def names(value: str) -> list[str]:
    """Split names at commas."""
    return [name.strip() for name in value.split(",") if name.strip()]
