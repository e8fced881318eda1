"""Covariates of a model, and which of them interact with the marker."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import xarray as xr

from bulklmm_dask.errors import InputError
from bulklmm_dask.lmm.columns import independent_columns
from bulklmm_dask.study.checks import refuse_infinite
from bulklmm_dask.study.schema import locate
from bulklmm_dask.study.warn import say
from bulklmm_dask.text import listing
from bulklmm_dask.typing import Array


def covariate_matrix(
    ds: xr.Dataset, wanted: bool | Sequence[str] | None
) -> tuple[list[str], Array]:
    """Names of the covariates, and their matrix (samples, 1 + c) with the intercept first."""
    known = [str(name) for name in ds["covariate_id"].values] if "covariate_id" in ds else []
    if isinstance(wanted, str):
        wanted = [wanted]
    wanted = False if wanted is None else wanted
    names = (known if wanted else []) if isinstance(wanted, bool) else [str(w) for w in wanted]
    index = locate(
        known, names, "no covariate {} in the study", f"it has {listing(known) or 'none'}"
    )
    n = ds.sizes["samples"]
    intercept = np.ones((n, 1))
    if not names:
        return [], intercept
    columns = ds["sample_covariate"].values[:, index]
    samples = list(ds["sample_id"].values)
    refuse_infinite(columns, "sample_covariate", samples, names)
    matrix = np.concatenate([intercept, columns], axis=1)
    gaps = np.isnan(matrix).any(axis=1)
    if gaps.any():
        lost = listing(np.array(samples, dtype=object)[gaps])
        say(f"{gaps.sum()} of {n} samples lack a covariate and are left out of every trait: {lost}")
    complete = matrix[~gaps]
    if len(complete) < matrix.shape[1] + 2:
        raise InputError(
            f"{len(names)} covariates and the intercept leave nothing to test in "
            f"{len(complete)} complete samples; use fewer covariates"
        )
    dependent = independent_columns(complete)[1]
    if dependent:
        culprits = listing(names[column - 1] for column in dependent)
        raise InputError(
            f"covariates are collinear: {culprits} follow from the intercept and the covariates "
            "before them; leave them out with covariates=[...]"
        )
    return names, matrix


def interacting_columns(covariates: list[str], interaction: Sequence[str]) -> tuple[int, ...]:
    """Columns of the interacting covariates in the matrix of covariates, after the intercept."""
    index = locate(
        covariates,
        interaction,
        "interaction names {}, not among the covariates of the scan",
        f"these are {listing(covariates) or 'none'}: what interacts must also be additive",
    )
    return tuple((1 + index).tolist())
