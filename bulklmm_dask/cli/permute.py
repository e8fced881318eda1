"""Commands for permutations and their thresholds: permute, thresholds."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal

import click
import numpy as np
import pandas as pd
import xarray as xr

from bulklmm_dask.analyses.options import PERMUTE
from bulklmm_dask.analyses.permute import permute
from bulklmm_dask.cli._base import (
    PATH,
    SOURCE,
    Command,
    compute_options,
    examples,
    numbers,
    say,
)
from bulklmm_dask.cli._model_options import kernel_option, options_of
from bulklmm_dask.cli._run import run_into, workers
from bulklmm_dask.cli._tables import give_table, out_option, require_table
from bulklmm_dask.results.thresholds import thresholds
from bulklmm_dask.storage.results.result import open_result
from bulklmm_dask.text import counted, named
from bulklmm_dask.typing import By


@click.command(
    "permute",
    cls=Command,
    short_help="Highest LOD of every trait in data without loci.",
    epilog=examples(
        "bulklmm permute bxd.zarr bxd-perm.zarr --permutations 1000 --seed 1",
        "bulklmm permute bxd.zarr bxd-perm.zarr --method shared",
        "bulklmm permute bxd.zarr perm.zarr --loco --reml --strata sex --by contig",
        "bulklmm permute bxd.zarr perm.zarr --kernel additive=kinship --kernel cage=@cage",
    ),
)
@click.argument("study", type=SOURCE)
@click.argument("result", metavar="PERM", type=PATH)
@options_of(PERMUTE)
@kernel_option
@compute_options
def permute_command(study: str, result: Path, n_permutations: int, **given: Any) -> None:
    """Permute every trait of STUDY and keep its highest LODs in the Zarr store PERM.

    Give the same options as for the scan whose LODs they are compared with. After a stop the same
    command computes only what is left.

    With --kernel every component of a trait is kept: its residuals are whitened by their covariance
    together, and the shares of a permuted trait are estimated again.
    """

    def in_words(ds: xr.Dataset) -> str:
        return (
            f"{counted(ds.sizes['traits'], 'trait')} x {counted(n_permutations, 'permutation')}, "
            f"{counted(ds.sizes['variants'], 'marker')}"
        )

    run_into(permute, study, result, in_words, {"n_permutations": n_permutations, **given})
    name = named(result)
    say(f"{name} is complete; its thresholds: bulklmm thresholds {name}")


@click.command(
    "thresholds",
    cls=Command,
    short_help="LOD that chance alone exceeds with probability alpha.",
    epilog=examples(
        "bulklmm thresholds bxd-perm.zarr --alpha 0.05,0.1",
        "bulklmm thresholds bxd-perm.zarr --out thresholds.csv",
    ),
)
@click.argument("perm", type=PATH)
@click.option(
    "--alpha",
    callback=numbers,
    default="0.1,0.05",
    show_default=True,
    metavar="LEVELS",
    help="Probabilities alpha, with commas between.",
)
@click.option(
    "--by",
    type=click.Choice(["contig", "x"]),
    help="One row a trait and chromosome: each by itself, or one threshold for all autosomes and "
    "one for the X, alpha being for both together.",
)
@out_option
@compute_options
def thresholds_command(
    perm: Path,
    alpha: list[float],
    by: By | Literal["x"] | None,
    out: Path | None,
    overwrite: bool,
    **compute: Any,
) -> None:
    """Give the thresholds of every trait of PERM, one row a trait, one column a level."""
    require_table(out, overwrite=overwrite)
    with workers(**compute):
        found = thresholds(open_result(perm), alpha, by=by)
    values = found["threshold"].transpose("traits", ..., "alpha").values.round(6)
    contigs = found["contigs"].values if by else np.array([""])
    table = pd.DataFrame({"trait": np.repeat(found["traits"].values, len(contigs))})
    if by:
        table["contig"] = np.tile(contigs, found.sizes["traits"])
    for level, column in zip(alpha, values.reshape(-1, len(alpha)).T, strict=True):
        table[f"lod_{level:g}"] = column
    give_table(table, out)
