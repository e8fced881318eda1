"""Commands for a first look: info and demo."""

from __future__ import annotations

import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import click

from bulklmm_dask.cli._base import (
    PATH,
    RESUME,
    Command,
    compute_options,
    did,
    examples,
    overwrite_option,
    show,
    wrote,
)
from bulklmm_dask.cli._run import workers
from bulklmm_dask.cli._voice import give_object, is_json
from bulklmm_dask.demo import run_demo
from bulklmm_dask.describe import describe, facts_of
from bulklmm_dask.storage.results.follow import RunStatus, follow
from bulklmm_dask.text import printable


@click.command(
    "info",
    cls=Command,
    short_help="Describe a study, a result or input files.",
    epilog=examples(
        "bulklmm info bxd-lod.zarr",
        "bulklmm info bxd-lod.zarr --json",
        "bulklmm info --follow bxd-lod.zarr",
        "bulklmm info --follow --json --every 60 s3://bucket/bxd-lod.zarr",
    ),
)
@click.argument("store", type=PATH)
@click.option(
    "--follow",
    "followed",
    is_flag=True,
    help="Show how far the run is that writes STORE, here or on another machine, until it ends.",
)
@click.option(
    "--every",
    metavar="SECONDS",
    type=float,
    default=5.0,
    show_default=True,
    help="Time between looks with --follow.",
)
def info_command(store: Path, followed: bool, every: float) -> None:
    """Describe STORE: a Zarr study, a result (finished or not), or files that import can read.

    With --follow the exit code is 0 once the run is finished, 1 if it was stopped or has given no
    sign of life for two minutes; --json prints an object for each look.
    """
    if followed and is_json():
        for status in follow(store, every):
            did(**status.to_dict())
            give_object()
    elif followed:
        _show_line(follow(store, every))
    elif is_json():
        did(**facts_of(store))
    else:
        show(describe(store))


def _show_line(looks: Iterable[RunStatus]) -> None:
    """Show a line that is drawn again on a terminal; elsewhere one for each change."""
    terminal, before = sys.stdout.isatty(), None
    try:
        for status in looks:
            if terminal:
                click.echo(f"\r{printable(str(status))}\x1b[K", nl=False)
            elif before is None or (status.state, status.done) != (before.state, before.done):
                show(str(status))
            before = status
    finally:
        if terminal and before is not None:
            click.echo()


@click.command(
    "demo",
    cls=Command,
    short_help="From a study to its peaks and pictures.",
    epilog=examples(
        "bulklmm demo",
        "bulklmm demo --study bxd.zip --out bxd-demo",
    ),
)
@click.option(
    "--study",
    type=PATH,
    help="A Zarr study, R/qtl2 files or PLINK files.  [default: a simulated study]",
)
@click.option(
    "--out",
    type=PATH,
    default="demo-output",
    show_default=True,
    help="Folder for study, result and pictures.",
)
@click.option("--traits", metavar="N", default=5000, show_default=True, help="Traits to simulate.")
@overwrite_option
@compute_options
@click.pass_context
def demo_command(
    ctx: click.Context,
    /,
    study: Path | None,
    out: Path,
    traits: int,
    overwrite: bool,
    **compute: Any,
) -> None:
    """Take a study from its data to its peaks and pictures, with an explanation of each step.

    Needs matplotlib: pip install matplotlib.
    """
    ctx.meta[RESUME] = "; the same command goes on from the blocks that are finished"
    with workers(**compute):
        run_demo(study=study, out=out, n_traits=traits, echo=show, overwrite=overwrite)
    wrote(out)
