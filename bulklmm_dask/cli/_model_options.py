"""Options that say what a scan tests and tells, and what they stand for."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import click

from bulklmm_dask.cli._base import names
from bulklmm_dask.errors import InputError
from bulklmm_dask.lmm.options import STATISTICS
from bulklmm_dask.study.readers.tables import open_table, read_text

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
            "--prior",
            callback=_prior,
            metavar="VARIANCE,SIZE",
            help="Prior on the residual variance: its scale and its weight in samples.",
        ),
        click.option(
            "--condition",
            metavar="MARKERS|CSV",
            help="Markers that join the covariates: names with commas between, or a CSV table of "
            "traits and their markers, as 'bulklmm maxima --out' writes it.",
        ),
    ):
        function = option(function)
    return marker_options(function)


def marker_options(function: Function) -> Function:
    """Add the options that say what is tested at a marker, and with which kinship."""
    for option in (
        click.option(
            "--genotypes",
            type=click.Choice(["call_dosage", "call_genotype_probability"]),
            help="What to test; by default the probabilities where there are three genotypes or "
            "more.",
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


def condition_of(value: str | None) -> list[str] | dict[str, list[str]] | None:
    """Markers by name, or of every trait its own from a CSV table."""
    if value is None:
        return None
    file = Path(value)
    if not file.is_file():
        if file.suffix.lower() == ".csv":
            raise InputError(f"there is no file {value}; check the path")
        return names(value)
    columns = read_text(open_table(file)).by_column(names=True)
    if not {"trait", "variant"} <= set(columns):
        raise InputError(
            f"{value} has the columns {', '.join(columns)}; a table of conditions needs trait and "
            "variant"
        )
    markers: dict[str, list[str]] = {}
    for trait, variant in zip(columns["trait"], columns["variant"], strict=True):
        markers.setdefault(trait, []).append(variant)
    return markers
