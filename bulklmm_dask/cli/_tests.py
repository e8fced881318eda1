"""Options that say what a scan tests and tells, and what they stand for."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import click
import pandas as pd
import xarray as xr

from bulklmm_dask.cli._base import names
from bulklmm_dask.errors import InputError
from bulklmm_dask.lmm.options import STATISTICS

Function = Callable[..., Any]


def test_options(function: Function) -> Function:
    """Add the options beyond the model of a single trait."""
    for option in (
        click.option(
            "--statistics",
            callback=_names,
            metavar="NAMES",
            help=f"More than the LOD, with commas between: {', '.join(STATISTICS)}.",
        ),
        click.option(
            "--genotypes",
            type=click.Choice(["call_dosage", "call_genotype_probability"]),
            help="What to test; by default the probabilities where there are three genotypes or "
            "more.",
        ),
        click.option(
            "--prior",
            callback=_prior,
            metavar="VARIANCE,SIZE",
            help="Prior on the residual variance: its scale and its weight in samples.",
        ),
        click.option(
            "--replicates",
            metavar="NAME|CSV",
            help="Replicates behind each sample's mean: a sample variable of the study, or a CSV "
            "table of samples and numbers.",
        ),
        click.option(
            "--weights",
            metavar="NAME|CSV",
            help="Residual weights (the root of the number of replicates) in the same way.",
        ),
        click.option(
            "--condition",
            metavar="MARKERS|CSV",
            help="Markers that join the covariates: names with commas between, or a CSV table of "
            "traits and their markers, as 'bulklmm maxima --out' writes it.",
        ),
        click.option(
            "--interaction",
            callback=_names,
            metavar="NAMES",
            help="Covariates whose product with the genotype is tested along with it.",
        ),
        click.option(
            "--loco",
            is_flag=True,
            help="Leave one chromosome out: needs 'bulklmm kinship --loco'.",
        ),
    ):
        function = option(function)
    return function


def _names(ctx: click.Context, param: click.Parameter, value: str | None) -> list[str]:
    return [] if value is None else names(value)


def _prior(
    ctx: click.Context, param: click.Parameter, value: str | None
) -> tuple[float, float] | None:
    if value is None:
        return None
    try:
        variance, size = (float(part) for part in value.split(","))
    except ValueError:
        raise click.BadParameter(f"{value!r} is not two numbers with a comma between") from None
    return variance, size


def condition_of(value: str | None) -> list[str] | pd.Series | None:
    """Markers by name, or of every trait its own from a CSV table."""
    if value is None:
        return None
    if not Path(value).is_file():
        return names(value)
    table = pd.read_csv(value, dtype=str)
    if not {"trait", "variant"} <= set(table.columns):
        raise InputError(
            f"{value} has the columns {', '.join(table.columns)}; a table of conditions needs "
            "trait and variant"
        )
    return table.groupby("trait", sort=False)["variant"].apply(
        lambda markers: markers.dropna().tolist()
    )


def vector_of(ds: xr.Dataset, value: str | None) -> str | pd.Series | None:
    """A sample variable of the study by its name, with or without sample_, or a CSV table."""
    if value is None:
        return None
    if Path(value).is_file():
        table = pd.read_csv(value, index_col=0)
        if table.shape[1] != 1:
            raise InputError(
                f"{value} has {1 + table.shape[1]} columns; it should have two, samples and numbers"
            )
        return table.iloc[:, 0]
    return f"sample_{value}" if f"sample_{value}" in ds else value
