"""Covariates of the models of markers on the X: sex and direction of a cross, or those given."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
import xarray as xr

from bulklmm_dask.analyses.inputs.covariates import model_columns
from bulklmm_dask.analyses.inputs.cross import SEX, contigs_on_x, second_direction, sexes
from bulklmm_dask.crosses.types import cross_of, is_cross
from bulklmm_dask.engine.study import XCovariates
from bulklmm_dask.errors import InputError
from bulklmm_dask.lmm.columns import independent_columns
from bulklmm_dask.storage.labels.portable import names_of
from bulklmm_dask.study.checks import real_numbers, refuse_infinite
from bulklmm_dask.study.schema import locate, require_unique
from bulklmm_dask.study.warn import say
from bulklmm_dask.surface import function, option
from bulklmm_dask.text import listing
from bulklmm_dask.typing import Array

XCovariatesLike = bool | str | Sequence[str] | pd.DataFrame | xr.DataArray | None

_WHAT = "x_covariates"
# Attribute of the result for a table whose columns the study does not have.
GIVEN = "given"


def x_columns(ds: xr.Dataset) -> dict[str, Array]:
    """Columns (samples,) that the genotypes on the X depend on, which may be none.

    ``sex``, 1 in males, if there are both sexes and their genotypes differ; ``direction``, 1 in
    females of the second direction, if that of the cross decides about theirs and there are both.
    """
    name = ds.attrs.get("crosstype")
    cross = cross_of(name) if isinstance(name, str) and is_cross(name) else None
    if cross is not None and not cross.sexed:
        return {}
    female = sexes(ds)
    columns = {}
    if female.any() and not female.all():
        columns["sex"] = np.where(female, 0.0, 1.0)
    if cross is not None:
        second = female & second_direction(ds, cross)
        if second.any() and (female & ~second).any():
            columns["direction"] = second.astype(np.float64)
    return columns


def x_covariates_of(
    ds: xr.Dataset, given: XCovariatesLike, covariates: Array
) -> XCovariates | None:
    """Covariates of markers on the X, without those that follow from others (said).

    Parameters
    ----------
    ds : Dataset
        A valid study.
    given : XCovariatesLike
        As in `scan`.
    covariates : array (samples, c)
        Those of all markers, NaN where missing.
    """
    if given is None or given is False:
        return None
    if "variant_contig" not in ds:
        raise InputError(
            f"{option(_WHAT)} are for markers on the X, but the study has no variant_contig; give "
            f"it a marker map, or leave {option(_WHAT)} out"
        )
    on_x = contigs_on_x(ds)
    columns = _columns(ds, given)
    if not on_x.any() or not columns:
        lacking = "no contig is an X chromosome" if columns else "there are none in this study"
        say(f"{option(_WHAT)} change nothing: {lacking}")
        return None
    names, matrix = list(columns), np.column_stack(list(columns.values()))
    refuse_infinite(matrix, f"the table of {option(_WHAT)}", ds["sample_id"].values.tolist(), names)
    gaps = np.isnan(matrix).any(axis=1)
    if gaps.any():
        raise InputError(
            f"{option(_WHAT)} have no value for {listing(ds['sample_id'].values[gaps])}; give one "
            "for each sample, or leave these samples out of the study"
        )
    complete = ~np.isnan(covariates).any(axis=1)
    count = covariates.shape[1]
    both = np.concatenate([covariates, matrix], axis=1)[complete]
    dependent = [at - count for at in independent_columns(both)[1] if at >= count]
    if dependent:
        say(
            f"{listing([names[at] for at in dependent])} among {option(_WHAT)} "
            f"{'follows' if len(dependent) == 1 else 'follow'} from the other covariates, and "
            f"{'is' if len(dependent) == 1 else 'are'} left out"
        )
    kept = [at for at in range(len(names)) if at not in dependent]
    if not kept:
        return None
    return XCovariates(matrix[:, kept], tuple(names[at] for at in kept), on_x)


def x_covariates_in_words(ds: xr.Dataset, given: XCovariatesLike) -> list[str] | str:
    """The covariates as an attribute of a result: names that mean the same again, or "given"."""
    if given is None or given is False:
        return "none"
    if isinstance(given, pd.DataFrame | xr.DataArray):
        return GIVEN
    return list(_columns(ds, given))


def _columns(ds: xr.Dataset, given: XCovariatesLike) -> dict[str, Array]:
    """Columns (samples,) by name."""
    if given is True:
        return x_columns(ds)
    if isinstance(given, xr.DataArray):
        given = _as_frame(given)
    if isinstance(given, pd.DataFrame):
        return _of_table(ds, given)
    several: list[Any] = list(given) if isinstance(given, list | tuple) else [given]
    if not several or not all(isinstance(name, str) for name in several):
        raise InputError(
            f"{option(_WHAT)} is {given!r}; give True for those of the cross "
            f"({function(_WHAT)}), names, or a table of samples x covariates"
        )
    names = names_of(given) if isinstance(given, str) else several
    # A study whose sexes are not known may have a covariate of that name.
    own = x_columns(ds) if {"sex", "direction"} & set(names) and SEX in ds else {}
    found: dict[str, Array] = {}
    for name in names:
        found |= {name: own[name]} if name in own else model_columns(ds, [name]).columns
    return found


def _as_frame(given: xr.DataArray) -> pd.DataFrame:
    if given.ndim != 2 or "samples" not in given.dims or "samples" not in given.indexes:
        raise InputError(
            f"{option(_WHAT)} have dimensions {given.dims}; give samples, with their names, "
            "and one other"
        )
    given = given.transpose("samples", ...)
    return pd.DataFrame(
        given.values, index=given["samples"].values, columns=given[given.dims[1]].values
    )


def _of_table(ds: xr.Dataset, table: pd.DataFrame) -> dict[str, Array]:
    rows, columns = list(map(str, table.index)), list(map(str, table.columns))
    require_unique(columns, f"the columns of {option(_WHAT)}", "give each another name")
    require_unique(rows, f"the samples of {option(_WHAT)}", "give one row for each")
    samples = ds["sample_id"].values.tolist()
    order = locate(rows, samples, f"{option(_WHAT)} lack {{count}} samples: {{}}", "give all")
    return {
        name: real_numbers(
            table.iloc[order, at].to_numpy(), f"{option(_WHAT)} {name!r}", "give numbers"
        )
        for at, name in enumerate(columns)
    }
