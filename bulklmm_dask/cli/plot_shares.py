"""Pictures of the shares of several random effects: plot shares, share-pairs."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click
import pandas as pd
import xarray as xr

from bulklmm_dask import plot
from bulklmm_dask.cli._base import PATH
from bulklmm_dask.cli._pictures import picture
from bulklmm_dask.cli._tables import read_table
from bulklmm_dask.storage.places.location import Location
from bulklmm_dask.storage.results.result import open_result

if TYPE_CHECKING:
    from matplotlib.axes import Axes


@picture(
    "shares",
    "Shares of several random effects, stacked over traits.",
    "bulklmm plot shares shares.csv --out shares.png",
    "bulklmm plot shares shares.csv --order cage --out shares.pdf",
)
@click.argument("source", metavar="SHARES", type=PATH)
@click.option(
    "--order",
    default="explained",
    show_default=True,
    metavar="explained|traits|NAME",
    help="Sort by all that the kernels explain, as in SHARES, or by the share of a component.",
)
def shares(source: Path, order: str) -> Axes:
    """Draw the shares of the variance of every trait of SHARES as stacked bars.

    SHARES is a table from 'bulklmm heritability --kernel ... --out', or a result of 'bulklmm scan
    --kernel ...'.
    """
    return plot.shares(_shares(source), order=order)


@picture(
    "share-pairs",
    "Shares of two random effects against each other.",
    "bulklmm plot share-pairs shares.csv --out pairs.png",
    "bulklmm plot share-pairs shares.csv --x additive --y cage --out pairs.html",
)
@click.argument("source", metavar="SHARES", type=PATH)
@click.option("--x", metavar="NAME", help="Component across.  [default: the first]")
@click.option("--y", metavar="NAME", help="Component upwards.  [default: the second]")
def share_pairs(source: Path, x: str | None, y: str | None) -> Axes:
    """Draw the shares of two components of every trait of SHARES, a point for each.

    SHARES is as for 'bulklmm plot shares'.
    """
    return plot.share_pairs(_shares(source), x=x, y=y)


def _shares(source: Path) -> pd.DataFrame | xr.Dataset:
    """A table of shares, or a result that holds some."""
    if Location.of(source).opened().is_store():
        return open_result(source)
    return read_table(source, made_by="'bulklmm heritability --kernel ... --out'")
