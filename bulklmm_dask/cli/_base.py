"""What all commands share: errors as one line, notes, exit codes, options and their parsing."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any, TextIO

import click

from bulklmm_dask.errors import InputError, StoreError, StudyWarning
from bulklmm_dask.storage.location import Location

FAILED = 1
STOPPED = 130
RESUME = "bulklmm_dask.resume"  # key of ctx.meta: what to say after Ctrl-C

Function = Callable[..., Any]


class Command(click.Command):
    """A command that says errors in one line and notes as they come, and sets the exit code."""

    def invoke(self, ctx: click.Context) -> Any:
        """Run the command: 1 after an error of input or store, 130 after Ctrl-C."""
        with warnings.catch_warnings():
            warnings.simplefilter("always", StudyWarning)
            _say_notes()
            try:
                return super().invoke(ctx)
            except BrokenPipeError:  # the reader of our output has left: click's business
                raise
            except (InputError, StoreError, OSError) as error:
                click.echo(f"error: {' '.join(str(error).split())}", err=True)
                ctx.exit(FAILED)
            except KeyboardInterrupt:
                click.echo(f"\nstopped{ctx.meta.get(RESUME, '')}", err=True)
                ctx.exit(STOPPED)


class Group(click.Group):
    """A group that lists its commands in the order they are used in."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Keep the order in which the commands are declared."""
        return list(self.commands)


def _say_notes() -> None:
    """Show a StudyWarning as a note on standard error; other warnings as they always are."""
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
            click.echo(f"note: {message}", err=True)
        else:
            usual(message, category, filename, lineno, file, line)

    warnings.showwarning = show


def require_new(path: Path | None, *, overwrite: bool) -> None:
    """Raise StoreError, before any work, where an output file cannot be made or exists."""
    if path is not None:
        Location.of(path).require_free_file(overwrite=overwrite)


def say(message: str) -> None:
    """Tell what goes on, on standard error: standard output is for results."""
    click.echo(message, err=True)


def examples(*lines: str) -> str:
    """Give the end of a help text: lines that click leaves as they are."""
    return "\n".join(("\b", "Examples:", *(f"  {line}" for line in lines)))


def compute_options(function: Function) -> Function:
    """Add the options that say where the work is done."""
    for option in (
        click.option(
            "--memory",
            metavar="LIMIT",
            help="Memory limit of each worker process, such as 4GB.",
        ),
        click.option(
            "--threads",
            metavar="N",
            type=click.IntRange(min=1),
            help="Threads in this process, or in each worker process.  [default: all cores]",
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
            "--scheduler",
            metavar="ADDRESS",
            help="A running Dask scheduler: tcp://host:8786, or its scheduler file.",
        ),
    ):
        function = option(function)
    return function


def relation_options(function: Function) -> Function:
    """Add the options that say which kinship and covariates are in the model."""
    for option in (
        click.option(
            "--kinship",
            "kinship_name",
            default="kinship",
            show_default=True,
            metavar="NAME|none|FILE",
            help="A variable of the study; a method (bulklmm, rqtl2, centered, standardized) to "
            "compute it now; a CSV table; or none for ordinary regression.",
        ),
        click.option(
            "--covariates",
            callback=_covariates,
            default="all",
            show_default=True,
            metavar="all|none|NAMES",
            help="Additive covariates, by name with commas between; an intercept is always in.",
        ),
    ):
        function = option(function)
    return function


def model_options(function: Function) -> Function:
    """Add the options that say which model is fitted, by maximum likelihood unless asked."""
    reml = click.option("--reml", is_flag=True, help="Restricted maximum likelihood instead of ML.")
    return reml(relation_options(function))


def _covariates(ctx: click.Context, param: click.Parameter, value: str) -> bool | list[str]:
    """Parse all, none or names."""
    known = {"all": True, "none": False}
    if value not in known and not names(value):
        raise click.BadParameter(f"{value!r} names no covariate; give all, none or names")
    return known.get(value, names(value))


def grid(ctx: click.Context, param: click.Parameter, value: str | None) -> list[float] | None:
    """Parse 0,0.1,0.2 or START:STEP:STOP with STOP included."""
    if value is None:
        return None
    try:
        if ":" in value:
            return _steps(*(float(part) for part in value.split(":")))
        return [float(part) for part in value.split(",")]
    except (ValueError, TypeError):
        raise click.BadParameter(
            f"{value!r} is neither numbers such as 0,0.1,0.2 nor START:STEP:STOP"
        ) from None


def _steps(start: float, step: float, stop: float) -> list[float]:
    if not (step > 0 and stop >= start):
        raise ValueError
    count = int((stop - start) / step + 1e-9) + 1
    return [round(start + number * step, 12) for number in range(count)]


def block(ctx: click.Context, param: click.Parameter, value: str) -> str | dict[str, int]:
    """Parse auto or VARIANTS,TRAITS."""
    if value == "auto":
        return value
    try:
        variants, traits = (int(part) for part in value.split(","))
    except ValueError:
        raise click.BadParameter(
            f"{value!r} is neither auto nor two whole numbers such as 2048,4096"
        ) from None
    return {"variants": variants, "traits": traits}


def numbers(ctx: click.Context, param: click.Parameter, value: str | None) -> list[float] | None:
    """Parse numbers with commas between."""
    if value is None:
        return None
    try:
        return [float(part) for part in value.split(",")]
    except ValueError:
        raise click.BadParameter(f"{value!r} is not numbers with commas between") from None


def names(value: str) -> list[str]:
    """Split names at commas."""
    return [name.strip() for name in value.split(",") if name.strip()]
