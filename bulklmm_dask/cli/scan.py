"""Commands on a study that is there: scan, and the maxima of a scan."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from bulklmm_dask.analyses.options import METHODS
from bulklmm_dask.analyses.scan import scan
from bulklmm_dask.cli._base import (
    RESUME,
    Command,
    block,
    compute_options,
    examples,
    grid,
    model_options,
    say,
)
from bulklmm_dask.cli._model_options import condition_of, test_options
from bulklmm_dask.cli._sources import kinship_of, open_source
from bulklmm_dask.cli._weights import vector_of, weight_options
from bulklmm_dask.engine.local import workers
from bulklmm_dask.progress import ProgressBar
from bulklmm_dask.text import counted


@click.command(
    "scan",
    cls=Command,
    short_help="Test every trait against every marker.",
    epilog=examples(
        "bulklmm scan bxd.zarr bxd-lod.zarr",
        "bulklmm scan bxd.zip bxd-lod.zarr --kinship rqtl2 --threads 4",
        "bulklmm scan bxd.zarr out.zarr --method null-grid --h2-grid 0:0.01:0.99 --reml",
        "bulklmm scan bxd.zarr alt.zarr --method alt-exact --precision single",
        "bulklmm scan bxd.zarr loco.zarr --loco --statistics beta,se,neg_log10_p",
        "bulklmm scan bxd.zarr out.zarr --scheduler tcp://10.0.0.5:8786",
    ),
)
@click.argument("study")
@click.argument("result", type=click.Path(path_type=Path))
@click.option(
    "--method",
    type=click.Choice(METHODS),
    default="null-exact",
    show_default=True,
    help="null: h2 once a trait; alt: again for every pair, as GEMMA does (some fifteen times "
    "the work). exact: the maximum over [0, 1]; grid: the best value of a grid.",
)
@click.option(
    "--h2-grid",
    callback=grid,
    metavar="GRID",
    help="Grid of the grid methods: 0,0.25,0.5 or START:STEP:STOP, such as 0:0.05:0.95.",
)
@click.option(
    "--refine-above",
    type=float,
    metavar="LOD",
    help="With alt-exact: pairs from this LOD on are optimised one by one, to 1e-6; 3 by default.",
)
@model_options
@test_options
@weight_options
@click.option(
    "--precision",
    type=click.Choice(["double", "single"]),
    default="double",
    show_default=True,
    help="Of the matrix products; single is nearly twice as fast, LODs differ by less than 1e-4.",
)
@click.option(
    "--chunks",
    callback=block,
    default="auto",
    show_default=True,
    metavar="VARIANTS,TRAITS",
    help="Size of a block, which one task computes and one file keeps.",
)
@compute_options
@click.pass_context
def scan_command(
    ctx: click.Context,
    /,
    study: str,
    result: Path,
    method: str,
    reml: bool,
    h2_grid: list[float] | None,
    refine_above: float | None,
    covariates: bool | list[str],
    kinship_name: str,
    precision: str,
    chunks: str | dict[str, int],
    loco: bool,
    interaction: list[str],
    condition: str | None,
    weights: str | None,
    replicates: str | None,
    prior: tuple[float, float] | None,
    genotypes: str | None,
    statistics: list[str],
    **compute: Any,
) -> None:
    """Scan every trait of STUDY against every marker into the Zarr store RESULT.

    STUDY is a Zarr study, or R/qtl2 files. The LODs are written block by block; after a stop
    (Ctrl-C, a lost node, a full disk) the same command does only what is left.
    """
    ctx.meta[RESUME] = f"; what is finished is in {result}: the same command goes on from there"
    with workers(**compute) as where:
        ds = open_source(study)
        relation = kinship_of(ds, kinship_name, loco=loco)
        say(
            f"{counted(ds.sizes['traits'], 'trait')} x {counted(ds.sizes['variants'], 'marker')}, "
            f"{counted(ds.sizes['samples'], 'sample')}; {where}"
        )
        with ProgressBar() as bar:
            scan(
                ds,
                method=method,
                kinship=relation,
                loco=loco,
                covariates=covariates,
                interaction=interaction,
                condition=condition_of(condition),
                weights=vector_of(weights),
                replicates=vector_of(replicates),
                reml=reml,
                prior=prior,
                h2_grid=h2_grid,
                refine_above=refine_above,
                statistics=["lod", *statistics],
                genotypes=genotypes,
                precision=precision,
                chunks=chunks,
                store=result,
                progress=bar,
            )
    say(f"{result} is complete; its highest LODs: bulklmm maxima {result}")
