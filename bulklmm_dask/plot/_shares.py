"""Shares of the variance by component and trait, from a result or from its table."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
import xarray as xr

from bulklmm_dask.errors import InputError
from bulklmm_dask.results.checks import require_table
from bulklmm_dask.storage.labels.encoding import text
from bulklmm_dask.storage.labels.restored import restored
from bulklmm_dask.storage.labels.variables import Variable
from bulklmm_dask.study.schema import locate, require_form
from bulklmm_dask.surface import either
from bulklmm_dask.text import listing

_FORMS = {
    "h2": Variable((("components", "traits"),), "f", "shares of the variance"),
    "components": Variable((("components",),), "OUT", "names of components"),
}
# Shares differ from 0..1, and their sums from 1, by the rounding of tables at most.
_ROUNDING = 1e-4


@dataclass(frozen=True)
class Shares:
    """Shares of traits that could be fitted.

    Attributes
    ----------
    components : list of str
        Names of the kernels, and of the residual.
    traits : array (traits,) of str
        Their names.
    values : array (components, traits)
        The shares; every column sums to one.
    left_out : int
        Number of traits without shares, which could not be fitted.
    """

    components: list[str]
    traits: np.ndarray
    values: np.ndarray
    left_out: int

    def of(self, component: str) -> np.ndarray:
        """Shares (traits,) of a component."""
        remedy = f"there are {listing(self.components, 10)}"
        (at,) = locate(self.components, [component], "no component is called {}", remedy).tolist()
        return np.asarray(self.values[at])


def shares_of(given: Any) -> Shares:
    """Shares of a result with several kernels, or of the table of `bulklmm heritability`.

    Raises
    ------
    InputError
        If it has none, or they are no shares.
    """
    remedy = "draw " + either(
        "what heritability(ds, kinship={'additive': ...}) returns",
        "the table that 'bulklmm heritability --kernel ... --out' writes",
    )
    if isinstance(given, pd.DataFrame):
        components, traits, values = _of_table(given, remedy)
    elif isinstance(given, xr.Dataset):
        components, traits, values = _of_result(given, remedy)
    else:
        raise InputError(f"this is a {type(given).__name__}, which has no shares; {remedy}")
    fitted = ~np.isnan(values).any(axis=0)
    if not fitted.any():
        raise InputError("there are no shares: no trait could be fitted")
    kept = values[:, fitted]
    off = np.flatnonzero(
        (kept < -_ROUNDING).any(axis=0) | (np.abs(kept.sum(axis=0) - 1.0) > _ROUNDING)
    )
    if len(off):
        raise InputError(
            f"the shares of trait {traits[fitted][off[0]]!r} are {kept[:, off[0]].tolist()}, and "
            f"shares of all components sum to 1; {remedy}"
        )
    return Shares(components, traits[fitted], kept, int((~fitted).sum()))


def _of_result(ds: xr.Dataset, remedy: str) -> tuple[list[str], np.ndarray, np.ndarray]:
    ds = restored(ds)
    if "h2" not in ds or "components" not in ds.coords:
        raise InputError(f"there are no shares of several components here; {remedy}")
    if "contigs" in ds["h2"].dims:
        raise InputError(
            "there are shares for each contig left out; "
            + either("select one: result.isel(contigs=0)", remedy)
        )
    if set(ds["h2"].dims) == {"components", "traits"}:
        ds = ds.transpose("components", "traits", ...)
    require_form(ds, _FORMS)
    traits = text(ds["traits"].values) if "traits" in ds.coords else np.arange(ds.sizes["traits"])
    components = text(ds["components"].values).tolist()
    return components, traits, ds["h2"].values.astype(np.float64)


def _of_table(table: pd.DataFrame, remedy: str) -> tuple[list[str], np.ndarray, np.ndarray]:
    columns = ("trait", "component", "h2")
    table = require_table(table, columns, "the shares have", remedy, numbers=columns[2:])
    names = table[["trait", "component"]].astype(str)
    twice = names.duplicated()
    if twice.any():
        first = names[twice].iloc[0]
        raise InputError(
            f"the shares have two rows of trait {first.trait!r} and component "
            f"{first.component!r}; {remedy}"
        )
    wide = table.assign(**names).pivot(index="component", columns="trait", values="h2")
    wide = wide.loc[names["component"].unique(), names["trait"].unique()]
    return wide.index.tolist(), wide.columns.to_numpy(), wide.to_numpy(np.float64)
