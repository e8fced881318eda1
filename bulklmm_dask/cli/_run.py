"""Running a long analysis from the command line: workers, progress bar, note after Ctrl-C."""

from __future__ import annotations

import operator
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import click
import xarray as xr

from bulklmm_dask.analyses.plan import foretold
from bulklmm_dask.cli._base import RESUME, did, say, wrote
from bulklmm_dask.cli._model_options import arguments_of
from bulklmm_dask.cli._sources import open_source
from bulklmm_dask.cli._voice import is_quiet
from bulklmm_dask.engine import local
from bulklmm_dask.engine.progress import Progress
from bulklmm_dask.engine.security import Certificates
from bulklmm_dask.errors import StoreError
from bulklmm_dask.progress import ProgressBar
from bulklmm_dask.storage.labels.summary import shape_of
from bulklmm_dask.storage.places.location import Location
from bulklmm_dask.storage.results.soundness import finished, is_entered
from bulklmm_dask.text import named

_CERTIFICATES = ("ca_file", "cert", "key")
_COMPUTE = (
    "scheduler",
    *(f"tls_{name}" for name in _CERTIFICATES),
    "processes",
    "threads",
    "memory",
    "dashboard",
    "performance_report",
)


@contextmanager
def workers(**compute: Any) -> Iterator[local.Workers]:
    """Compute on the workers that the options of `compute_options` ask for; say what they are.

    That they are all of the machine is said by commands that take long only: `work_in_words`.
    """
    files = {name: compute.pop(f"tls_{name}") for name in _CERTIFICATES}
    with local.workers(**compute, tls=Certificates(**files)) as where:
        if not where.usual:
            say(f"computes on {where}")
        did(workers=str(where))
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
        did(**{name: ds.sizes[name] for name in ("traits", "variants", "samples")})
        say(work_in_words(in_words(ds), where))
        was_complete = is_complete(store)
        if not was_complete:
            say_ahead(ds, arguments)
        with progress_bar() as bar:
            analysis(ds, **arguments, store=store, progress=bar)
    _, blocks = finished(store)
    did(blocks=blocks, computed=not was_complete)
    wrote(store)
    if was_complete:
        say(f"{named(store)} was complete already: nothing is computed")


def say_ahead(ds: xr.Dataset, arguments: dict[str, Any]) -> None:
    """Say which way a scan, or permutations, with several kernels take, and about how long."""
    words = None if is_quiet() else foretold(ds, arguments["method"], arguments)
    if words is not None:
        say(words)


def tell_study(ds: xr.Dataset, path: Path, then: str) -> None:
    """Say what a study that was written holds, and the command that comes next."""
    did(sizes=dict(ds.sizes))
    wrote(path)
    say(f"{named(path)}: {shape_of(ds)}; next: bulklmm {then} {named(path)}")


def work_in_words(size: str, where: local.Workers) -> str:
    """The size of the work, with the workers if they were not said before."""
    return f"{size}; {where}" if where.usual else size


def is_complete(store: Path) -> bool:
    """Tell whether a run into a store is finished; False where there is none that can be read."""
    try:
        place = Location.of(store).opened()
        return place.is_store() and operator.eq(*finished(place)) and is_entered(place)
    except StoreError:  # which the run explains
        return False


@contextmanager
def progress_bar() -> Iterator[Callable[[Progress], None] | None]:
    """Show the progress of a run on standard error, unless --quiet is given."""
    if is_quiet():
        yield None
        return
    with ProgressBar() as bar:
        yield bar
