"""Commands for a first look: info and demo."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from bulklmm_dask.cli._base import (
    PATH,
    RESUME,
    Command,
    compute_options,
    examples,
    overwrite_option,
    show,
)
from bulklmm_dask.demo import run_demo
from bulklmm_dask.describe import describe
from bulklmm_dask.engine.local import workers


@click.command(
    "info",
    cls=Command,
    short_help="Describe a study, a result or input files.",
    epilog=examples(
        "bulklmm info bxd-lod.zarr",
    ),
)
@click.argument("store", type=PATH)
def info_command(store: Path) -> None:
    """Describe STORE: a Zarr study, a result (finished or not), or files that import can read."""
    show(describe(store))


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

    Needs matplotlib: pip install 'bulklmm-dask[plot]'.
    """
    ctx.meta[RESUME] = "; the same command goes on from the blocks that are finished"
    with workers(**compute):
        run_demo(study=study, out=out, n_traits=traits, echo=show, overwrite=overwrite)
