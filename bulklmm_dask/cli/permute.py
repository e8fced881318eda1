"""Commands that say which LODs chance alone gives: permute, thresholds."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click
import numpy as np
import pandas as pd

from bulklmm_dask.analyses.options import PERMUTE_METHODS
from bulklmm_dask.analyses.permute import permute
from bulklmm_dask.cli._base import (
    RESUME,
    Command,
    compute_options,
    examples,
    model_options,
    numbers,
    require_new,
    say,
)
from bulklmm_dask.cli._model_options import marker_options
from bulklmm_dask.cli._sources import kinship_of, open_source
from bulklmm_dask.cli._tables import give_table, out_option
from bulklmm_dask.cli._weights import vector_of, weight_options
from bulklmm_dask.engine.local import workers
from bulklmm_dask.progress import ProgressBar
from bulklmm_dask.results.thresholds import thresholds
from bulklmm_dask.storage.result import open_result
from bulklmm_dask.text import counted


@click.command(
    "permute",
    cls=Command,
    short_help="Highest LOD of every trait with nothing to find.",
    epilog=examples(
        "bulklmm permute bxd.zarr bxd-perm.zarr --permutations 1000 --seed 1",
        "bulklmm permute bxd.zarr bxd-perm.zarr --method shared",
        "bulklmm permute bxd.zarr perm.zarr --loco --reml --strata sex --by contig",
    ),
)
@click.argument("study")
@click.argument("result", metavar="PERM", type=click.Path(path_type=Path))
@click.option(
    "--permutations",
    metavar="N",
    type=click.IntRange(min=1),
    default=1000,
    show_default=True,
    help="How many.",
)
@click.option(
    "--seed",
    metavar="NUMBER",
    type=click.IntRange(min=0),
    default=0,
    show_default=True,
    help="The same seed gives the same permutations.",
)
@click.option(
    "--method",
    type=click.Choice(PERMUTE_METHODS),
    default="per-trait",
    show_default=True,
    help="per-trait permutes the residuals of every trait; shared draws normal residuals for all "
    "of them together, which takes seconds.",
)
@click.option(
    "--strata",
    metavar="NAME",
    help="A sample variable or covariate of the study: exchange samples of equal value only.",
)
@click.option(
    "--by", type=click.Choice(["contig"]), help="Keep the highest LOD of each chromosome."
)
@marker_options
@model_options
@weight_options
@click.option(
    "--precision",
    type=click.Choice(["double", "single"]),
    default="single",
    show_default=True,
    help="Of the matrix products.",
)
@compute_options
@click.pass_context
def permute_command(
    ctx: click.Context,
    /,
    study: str,
    result: Path,
    permutations: int,
    seed: int,
    method: str,
    strata: str | None,
    by: str | None,
    loco: bool,
    interaction: list[str],
    genotypes: str | None,
    reml: bool,
    covariates: bool | list[str],
    kinship_name: str,
    weights: str | None,
    replicates: str | None,
    precision: str,
    **compute: Any,
) -> None:
    """Permute every trait of STUDY and keep its highest LODs in the Zarr store PERM.

    Give the options of the scan that they are for. After a stop the same command goes on.
    """
    ctx.meta[RESUME] = f"; what is finished is in {result}: the same command goes on from there"
    with workers(**compute) as where:
        ds = open_source(study)
        relation = kinship_of(ds, kinship_name, loco=loco)
        say(
            f"{counted(ds.sizes['traits'], 'trait')} x {counted(permutations, 'permutation')}, "
            f"{counted(ds.sizes['variants'], 'marker')}; {where}"
        )
        with ProgressBar() as bar:
            permute(
                ds,
                n_permutations=permutations,
                method=method,
                kinship=relation,
                loco=loco,
                covariates=covariates,
                weights=vector_of(weights),
                replicates=vector_of(replicates),
                genotypes=genotypes,
                interaction=interaction,
                reml=reml,
                strata=strata,
                seed=seed,
                by=by,
                precision=precision,
                store=result,
                progress=bar,
            )
    say(f"{result} is complete; its thresholds: bulklmm thresholds {result}")


@click.command(
    "thresholds",
    cls=Command,
    short_help="LOD that chance alone exceeds with probability alpha.",
    epilog=examples(
        "bulklmm thresholds bxd-perm.zarr --alpha 0.05,0.1",
        "bulklmm thresholds bxd-perm.zarr --out thresholds.csv",
    ),
)
@click.argument("perm", type=click.Path(path_type=Path))
@click.option(
    "--alpha",
    callback=numbers,
    default="0.1,0.05",
    show_default=True,
    metavar="LEVELS",
    help="Probabilities, with commas between.",
)
@click.option("--by", type=click.Choice(["contig"]), help="One row a trait and chromosome.")
@out_option
@compute_options
def thresholds_command(
    perm: Path, alpha: list[float], by: str | None, out: Path | None, **compute: Any
) -> None:
    """Give the thresholds of every trait of PERM, one row a trait, one column a level."""
    require_new(out, overwrite=True)
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
