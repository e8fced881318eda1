"""The threshold of a search: one LOD, or one for every trait, contig or both."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypeAlias

import numpy as np
import pandas as pd
import xarray as xr

from bulklmm_dask.errors import InputError
from bulklmm_dask.lmm.status import FITTED
from bulklmm_dask.storage.labels.encoding import text
from bulklmm_dask.storage.labels.variables import Variable
from bulklmm_dask.study.checks import number, real_numbers
from bulklmm_dask.study.contigs import locate_contigs
from bulklmm_dask.study.schema import locate, require_form, require_unique
from bulklmm_dask.study.warn import say
from bulklmm_dask.surface import either, option
from bulklmm_dask.text import counted, listing
from bulklmm_dask.typing import Flags, Index

Threshold: TypeAlias = "float | pd.Series | Mapping[str, float] | xr.DataArray | xr.Dataset"

_REMEDY = (
    "give one number, one for each trait by name, what bulklmm_dask.thresholds returns, or a "
    "DataArray with traits, contigs or both"
)


def lowest_lod(result: xr.Dataset, threshold: Threshold) -> xr.Variable:
    """Bring a threshold into the order of the result's traits and contigs.

    Parameters
    ----------
    result : Dataset
        With ``traits`` and, for thresholds by contig, ``contig_id``.
    threshold : float, Series, mapping, DataArray or Dataset
        One number; one for each trait, by name; a DataArray with ``traits``, ``contigs`` or both,
        matched by name; or what `thresholds` returns for one level.

    Returns
    -------
    Variable
        Without dimensions, or with contigs, traits or both. A trait whose threshold is NaN gets
        infinity, so that none of its LODs is high enough, and a StudyWarning names it.
    """
    levels = _labelled(threshold)
    if levels is None:
        return xr.Variable((), number(threshold, option("threshold"), -np.inf))
    form = Variable(((), ("traits",), ("contigs",), ("contigs", "traits")), "OUTfiub", "LODs")
    require_form(levels.to_dataset(name="threshold"), {"threshold": form}, turned=True)
    for dim in levels.dims:
        levels = levels.isel({dim: _found(result, levels, str(dim))})
    levels = levels.transpose(..., "traits", missing_dims="ignore")
    values = xr.Variable(levels.dims, real_numbers(levels.values, "threshold", _REMEDY))
    unknown = values.isnull()
    if "traits" in values.dims:
        _warn_without(result, unknown.any([dim for dim in values.dims if dim != "traits"]).values)
        return values.fillna(np.inf)
    if bool(unknown.any()):
        raise InputError("threshold holds NaN; give every contig a number, inf for none")
    return values


def _labelled(threshold: Any) -> xr.DataArray | None:
    """A threshold with traits, contigs, both or neither; None for what should be one number."""
    if isinstance(threshold, Mapping) and not isinstance(threshold, xr.Dataset):
        threshold = pd.Series(threshold)
    if isinstance(threshold, pd.DataFrame):
        raise InputError(f"threshold is a DataFrame; {_REMEDY}")
    if isinstance(threshold, pd.Series):
        names = text(threshold.index)
        return xr.DataArray(threshold.to_numpy(), {"traits": names}, "traits")
    if isinstance(threshold, xr.Dataset):
        if "threshold" not in threshold:
            made = "; thresholds(perm, alpha=0.05) makes them" if "max_lod" in threshold else ""
            raise InputError(f"threshold is a Dataset without thresholds{made}; {_REMEDY}")
        threshold = threshold["threshold"]
    if not isinstance(threshold, xr.DataArray):
        return None
    if threshold.sizes.get("alpha") == 1:
        threshold = threshold.isel(alpha=0)
    if "alpha" in threshold.dims:
        known = ", ".join(map(str, threshold["alpha"].values))
        raise InputError(
            f"threshold has several levels, alpha = {known}; select one level with .sel(alpha=...)"
        )
    if not set(threshold.dims) <= {"contigs", "traits"}:
        raise InputError(
            f"threshold has dimensions {threshold.dims}; they should be traits, contigs or both"
        )
    return threshold


def _found(result: xr.Dataset, threshold: xr.DataArray, dim: str) -> Index:
    """Positions in a threshold of the traits or contigs of a result."""
    known = text(threshold[dim].values) if dim in threshold.coords else text(())
    require_unique(known, f"the {dim} of threshold", "give one LOD for each")
    lacks = either("threshold lacks", "the permutations of --perm lack")
    what = f"{lacks} {{count}} of the {dim}: {{}}"
    remedy = either("give a LOD for each", "permute the study that was scanned")
    if dim == "traits":
        return locate(known, result[dim].values, what, remedy)
    if "contig_id" not in result:
        raise InputError(
            f"{either('threshold is', 'the thresholds of --perm are')} by contig, but the result "
            "has no contigs; give the study a marker map"
        )
    return locate_contigs(known, result["contig_id"].values, what, remedy, where="threshold")


def _warn_without(result: xr.Dataset, unknown: Flags) -> None:
    """Name the traits without a threshold, except those that have no LODs anyway."""
    if "trait_status" in result:
        unknown = unknown & np.isin(result["trait_status"].values, FITTED)
    if unknown.any():
        lost, names = counted(int(unknown.sum()), "trait"), result["traits"].values[unknown]
        say(f"{lost} without a threshold (NaN) give nothing: {listing(names)}")
