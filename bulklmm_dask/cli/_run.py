"""Running a long analysis from the command line: workers, progress bar, note after Ctrl-C."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import click
import xarray as xr

from bulklmm_dask.cli._base import RESUME, say
from bulklmm_dask.cli._model_options import arguments_of
from bulklmm_dask.cli._sources import open_source
from bulklmm_dask.engine import local
from bulklmm_dask.progress import ProgressBar
from bulklmm_dask.text import named

_COMPUTE = ("scheduler", "processes", "threads", "memory", "dashboard", "performance_report")


@contextmanager
def workers(**compute: Any) -> Iterator[local.Workers]:
    """Compute on the workers that the options of `compute_options` ask for; say what shows them."""
    with local.workers(**compute) as where:
        if where.dashboard is not None:
            say(f"dashboard: {where.dashboard}")
        yield where


def goes_on_from(store: Path) -> None:
    """Set the message after Ctrl-C: the same command resumes from `store`."""
    note = f"; what is finished is in {named(store)}: the same command goes on from there"
    click.get_current_context().meta[RESUME] = note


def compute_of(given: dict[str, Any]) -> dict[str, Any]:
    """Remove the options of `compute_options` from `given`, and return them."""
    return {name: given.pop(name) for name in _COMPUTE}


def run_into(
    analysis: Callable[..., object],
    study: str,
    store: Path,
    in_words: Callable[[xr.Dataset], str],
    given: dict[str, Any],
) -> None:
    """Run an analysis of a study into a store, or finish an unfinished store.

    Parameters
    ----------
    analysis : callable
        Takes the study, the arguments that `arguments_of` gives, ``store`` and ``progress``.
    study : str
        Path of the study.
    store : path
        Path of the result.
    in_words : callable
        Describes the size of the work for a study.
    given : dict
        Options of the command, including those of `compute_options`.
    """
    goes_on_from(store)
    with workers(**compute_of(given)) as where:
        ds = open_source(study)
        arguments = arguments_of(ds, given)
        say(f"{in_words(ds)}; {where}")
        with ProgressBar() as bar:
            analysis(ds, **arguments, store=store, progress=bar)
