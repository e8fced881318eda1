"""The command that simulates a study: simulate."""

from __future__ import annotations

from pathlib import Path

import click

from bulklmm_dask.cli._base import (
    PATH,
    Command,
    examples,
    overwrite_option,
)
from bulklmm_dask.cli._run import tell_study
from bulklmm_dask.simulate import simulate_study
from bulklmm_dask.study.io import save


@click.command(
    "simulate",
    cls=Command,
    short_help="Simulate a study with known truth.",
    epilog=examples(
        "bulklmm simulate study.zarr --traits 1000 --seed 7",
    ),
)
@click.argument("study", type=PATH)
@click.option("--traits", metavar="N", default=5000, show_default=True, help="Traits.")
@click.option("--samples", metavar="N", default=248, show_default=True, help="Samples.")
@click.option(
    "--strains",
    metavar="N",
    default=50,
    show_default=True,
    help="Distinct genotypes that the samples share; 0 makes every sample distinct.",
)
@click.option("--variants", metavar="N", default=7321, show_default=True, help="Markers.")
@click.option("--covariates", metavar="N", default=0, show_default=True, help="Covariates.")
@click.option(
    "--cross",
    type=click.Choice(["ril", "f2", "backcross"]),
    default="ril",
    show_default=True,
    help="Recombinant inbred lines, intercross or backcross.",
)
@click.option(
    "--missing",
    metavar="SHARE",
    default=0.0,
    show_default=True,
    help="Share of trait values that are missing.",
)
@click.option("--seed", metavar="N", default=0, show_default=True, help="Same seed, same study.")
@overwrite_option
def simulate_command(
    study: Path,
    traits: int,
    samples: int,
    strains: int,
    variants: int,
    covariates: int,
    cross: str,
    missing: float,
    seed: int,
    overwrite: bool,
) -> None:
    """Simulate a study with known loci as the Zarr study STUDY.

    By default it has the shape of a study of inbred mouse strains: 248 samples of 50 strains,
    7,321 markers on 20 chromosomes. The truth is inside: trait_true_variant, trait_true_h2.
    """
    ds = simulate_study(
        n_samples=samples,
        n_strains=strains or None,
        n_variants=variants,
        n_traits=traits,
        n_covariates=covariates,
        cross=cross,
        missing=missing,
        seed=seed,
    )
    save(ds, study, overwrite=overwrite)
    tell_study(ds, study, "kinship")
