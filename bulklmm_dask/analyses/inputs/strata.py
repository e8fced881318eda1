"""Strata: groups of samples within which residuals are exchanged."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
import xarray as xr

from bulklmm_dask.analyses.inputs.vectors import aligned, name_of
from bulklmm_dask.errors import InputError
from bulklmm_dask.study.warn import say
from bulklmm_dask.text import listing
from bulklmm_dask.typing import Index

StrataLike = str | npt.ArrayLike | xr.DataArray | pd.Series | None


def strata_of_samples(ds: xr.Dataset, given: StrataLike) -> Index:
    """Index of the stratum of every sample; zeros without strata."""
    n = ds.sizes["samples"]
    if given is None:
        return np.zeros(n, dtype=np.int64)
    what = name_of("strata", given)
    labels = labels_of_samples(ds, given, what)
    samples = ds["sample_id"].values
    _, stratum, size = np.unique(labels.astype(str), return_inverse=True, return_counts=True)
    alone = size[stratum] == 1
    if alone.all() and n > 1:
        raise InputError(
            f"{what} has as many labels as there are samples, {n:,}, so that no residual could "
            "move; give labels of groups"
        )
    if alone.any():
        say(
            f"{alone.sum():,} of {n:,} samples are alone in their stratum and keep their "
            f"residuals: {listing(samples[alone])}"
        )
    return stratum.astype(np.int64)


def labels_of_samples(ds: xr.Dataset, given: Any, what: str) -> pd.Series:
    """Labels of groups, one for every sample in the order of the study; `what` names them."""
    labels = pd.Series(aligned(ds, given, what, "samples"))
    absent = labels.isna() | (labels.map(str) == "")
    if absent.any():
        raise InputError(
            f"{what} lacks a label for {listing(ds['sample_id'].values[absent])}; every sample "
            "needs one"
        )
    return labels


def strata_in_words(given: StrataLike) -> str:
    """The strata as an attribute of a result."""
    if isinstance(given, str):
        return given
    return "none" if given is None else "given"
