"""The command that computes genotype probabilities of a cross: probabilities."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from bulklmm_dask.analyses.options import COMPRESSION
from bulklmm_dask.analyses.probabilities import (
    SHARE_TYPES,
    ShareType,
    allele_probabilities,
    genotype_probabilities,
)
from bulklmm_dask.cli._base import (
    PATH,
    SOURCE,
    Command,
    compute_options,
    examples,
    names,
    overwrite_option,
)
from bulklmm_dask.cli._model_options import options_of
from bulklmm_dask.cli._run import tell_study, workers
from bulklmm_dask.cli._sources import open_source
from bulklmm_dask.crosses.maps import MAP_FUNCTIONS, MapFunction
from bulklmm_dask.study.io import save
from bulklmm_dask.typing import CompressionName


def _names(ctx: click.Context, param: click.Parameter, value: str | None) -> list[str] | None:
    return None if value is None else names(value)


@click.command(
    "probabilities",
    cls=Command,
    short_help="Genotype probabilities from the calls of a cross.",
    epilog=examples(
        "bulklmm probabilities iron.zip iron.zarr --step 1 --error-prob 0.002",
        "bulklmm probabilities DOex.zip alleles.zarr --alleles",
    ),
)
@click.argument("study", type=SOURCE)
@click.argument("out", type=PATH)
@click.option(
    "--step",
    metavar="CM",
    type=float,
    default=0.0,
    show_default=True,
    help="Distance of positions between the markers; 0 for markers only.",
)
@click.option(
    "--error-prob",
    metavar="P",
    type=float,
    default=1e-4,
    show_default=True,
    help="Probability that a call is wrong.",
)
@click.option(
    "--map-function",
    type=click.Choice(MAP_FUNCTIONS),
    default="haldane",
    show_default=True,
    help="Recombination fraction by the distance.",
)
@click.option(
    "--x-contigs",
    metavar="NAMES",
    callback=_names,
    help="X chromosomes, with commas between.  [default: x_chr of the cross, or X]",
)
@click.option("--alleles", is_flag=True, help="Keep the shares of the founders' alleles instead.")
@click.option(
    "--dtype",
    type=click.Choice(SHARE_TYPES),
    default="float32",
    show_default=True,
    help="Of the shares of alleles: float16 takes half the room, each within 2.5e-4.",
)
@options_of([COMPRESSION])
@overwrite_option
@compute_options
def probabilities_command(
    study: str,
    out: Path,
    step: float,
    error_prob: float,
    map_function: MapFunction,
    x_contigs: list[str] | None,
    alleles: bool,
    dtype: ShareType,
    compression: CompressionName | None,
    overwrite: bool,
    **compute: Any,
) -> None:
    """Compute the probability of each true genotype from the calls of STUDY, into the study OUT.

    STUDY is a cross in R/qtl2's format, or a Zarr study imported from one. The positions are the
    markers, and with --step pseudomarkers between them, named as in R/qtl2: c1.loc5.
    """
    if dtype != SHARE_TYPES[0] and not alleles:
        raise click.UsageError("--dtype is of the shares of alleles: give it with --alleles")
    with workers(**compute):
        ds = genotype_probabilities(
            open_source(study),
            step=step,
            error_prob=error_prob,
            map_function=map_function,
            x_contigs=x_contigs,
        )
        if alleles:
            ds = allele_probabilities(ds, dtype=dtype)
        save(ds, out, overwrite=overwrite, compression=compression)
    tell_study(ds, out, "kinship")
