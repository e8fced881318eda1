"""Options that use permutations: a threshold for each trait, and adjusted p of findings."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import click
import pandas as pd
import xarray as xr

from bulklmm_dask.cli._base import PATH, conflict
from bulklmm_dask.results.thresholds import adjusted_p, thresholds
from bulklmm_dask.storage.results.result import open_result

perm_option = click.option(
    "--perm",
    metavar="PERM",
    type=PATH,
    help="Permutation store from 'bulklmm permute'; adds genome-wide adjusted p.",
)


def perm_options(function: Callable[..., Any]) -> Callable[..., Any]:
    """Add the options for permutations and for the level of their thresholds."""
    alpha = click.option(
        "--alpha",
        metavar="P",
        type=float,
        help="With --perm, instead of --threshold: the LOD that chance alone exceeds with this "
        "probability, for each trait.",
    )
    return perm_option(alpha(function))


def level_of(
    threshold: float | None, perm: Path | None, alpha: float | None
) -> float | xr.DataArray | None:
    """One threshold for all traits, or with --alpha one for each trait from its permutations."""
    if alpha is None:
        return threshold
    if perm is None:
        raise click.UsageError(
            f"--alpha {alpha:g} needs --perm, the permutations that give the thresholds"
        )
    if threshold is not None:
        raise conflict(f"--threshold {threshold:g}", f"--alpha {alpha:g}", "choose one")
    return thresholds(open_result(perm), alpha)["threshold"].isel(alpha=0)


def with_p(table: pd.DataFrame, perm: Path | None) -> pd.DataFrame:
    """Add the column of adjusted p if there are permutations."""
    return table if perm is None else adjusted_p(open_result(perm), table)
