"""The threshold of a search: one LOD, or one for every trait, contig or both."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TypeAlias

import numpy as np
import pandas as pd
import xarray as xr

from bulklmm_dask.errors import InputError
from bulklmm_dask.storage.encoding import text
from bulklmm_dask.study.checks import number
from bulklmm_dask.study.schema import locate
from bulklmm_dask.study.warn import say
from bulklmm_dask.text import counted, listing
from bulklmm_dask.typing import Flags

Threshold: TypeAlias = "float | pd.Series | Mapping[str, float] | xr.DataArray"


def lowest_lod(result: xr.Dataset, threshold: Threshold) -> xr.Variable:
    """Bring a threshold into the order of the result's traits and contigs.

    Parameters
    ----------
    result : Dataset
        With ``traits`` and, for thresholds by contig, ``contig_id``.
    threshold : float, Series, mapping or DataArray
        One number; one for each trait, by name; or a DataArray with ``traits``, ``contigs`` or
        both, matched by name.

    Returns
    -------
    Variable
        Without dimensions, or with contigs, traits or both. A trait whose threshold is NaN gets
        infinity, so that none of its LODs is high enough, and a StudyWarning names it.
    """
    if isinstance(threshold, Mapping):
        threshold = pd.Series(threshold, dtype=np.float64)
    if isinstance(threshold, pd.Series):
        threshold = xr.DataArray(threshold.to_numpy(), {"traits": text(threshold.index)}, "traits")
    if not isinstance(threshold, xr.DataArray):
        return xr.Variable((), number(threshold, "threshold", -np.inf))
    if not set(threshold.dims) <= {"contigs", "traits"}:
        level = "; select one level with .sel(alpha=...)" if "alpha" in threshold.dims else ""
        raise InputError(
            f"threshold has dimensions {threshold.dims}; they should be traits, contigs or both"
            + level
        )
    for dim in threshold.dims:
        names = (result["contig_id"] if dim == "contigs" else result["traits"]).values
        known = threshold[dim].values if dim in threshold.coords else ()
        what = f"threshold lacks {{count}} of the {dim}: {{}}"
        threshold = threshold.isel({dim: locate(known, names, what, "give a LOD for each")})
    values = threshold.transpose(..., "traits", missing_dims="ignore").variable.astype(np.float64)
    unknown = values.isnull()
    if "traits" in values.dims:
        _warn_without(result, unknown.any([dim for dim in values.dims if dim != "traits"]).values)
        return values.fillna(np.inf)
    if bool(unknown.any()):
        raise InputError("threshold holds NaN; give every contig a number, inf for none")
    return values


def _warn_without(result: xr.Dataset, unknown: Flags) -> None:
    """Name the traits without a threshold, except those that have no LODs anyway."""
    if "trait_status" in result:
        unknown = unknown & np.isin(result["trait_status"].values, ["ok", "unbounded"])
    if unknown.any():
        lost, names = counted(int(unknown.sum()), "trait"), result["traits"].values[unknown]
        say(f"{lost} without a threshold (NaN) give nothing: {listing(names)}")
