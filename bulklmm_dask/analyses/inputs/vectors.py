"""Vectors, one value per sample or trait: a variable of the study, an array or a Series."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
import xarray as xr

from bulklmm_dask.errors import InputError
from bulklmm_dask.storage.labels.variables import NAMES
from bulklmm_dask.study.checks import array_of, real_numbers
from bulklmm_dask.study.labelled import index_names, say_counted
from bulklmm_dask.study.metadata import find_metadata, metadata_names
from bulklmm_dask.study.schema import locate, require_unique
from bulklmm_dask.surface import option
from bulklmm_dask.text import listing, named
from bulklmm_dask.typing import Array

# Attribute of a Series with the file that it was read from.
SOURCE = "source"

VectorLike = str | npt.ArrayLike | xr.DataArray | pd.Series


def vector(ds: xr.Dataset, given: Any, what: str, dim: str) -> Array:
    """Numbers along the dimension "samples" or "traits"; `what` is their name in errors."""
    remedy = f"give one for each of the {dim}"
    return real_numbers(aligned(ds, given, what, dim), what, remedy)


def name_of(name: str, given: Any) -> str:
    """Name of an option in errors, with the file that its values come from, if it is known."""
    source = given.attrs.get(SOURCE) if isinstance(given, pd.Series) else None
    return option(name) if source is None else f"{option(name)} {named(source)}"


def with_value(name: str, given: Any) -> str:
    """The option with the name of its variable or its table, if it was given by name."""
    return option(name, given) if isinstance(given, str) else name_of(name, given)


def aligned(ds: xr.Dataset, given: Any, what: str, dim: str) -> npt.NDArray[Any]:
    """Values along the dimension "samples" or "traits", matched by name if they have names.

    `what` is their name in errors.
    """
    names = [str(name) for name in ds[NAMES[dim]].values]
    if isinstance(given, str):
        given = _named_vector(ds, given, what, dim)
    if isinstance(given, xr.DataArray):
        given = given.to_series() if _has_names(given) else given.values
    if isinstance(given, pd.Series) and _is_counted(given.index, names):
        one = dim.removesuffix("s")
        say_counted(f"the entries of {what}", f"the {dim} of the study", one)
        given = given.to_numpy()
    if isinstance(given, pd.Series):
        series = given.set_axis(given.index.map(str))
        require_unique(series.index, f"the {dim} of {what}", "give one value for each")
        lacking = f"{what} lacks {{count}} {dim}: {{}}"
        order = locate(series.index, names, lacking, "give one value for each")
        given = series.to_numpy()[order]
    values = array_of(given, what)
    if values.shape != (len(names),):
        raise InputError(f"{what} has shape {values.shape} for {len(names)} {dim}")
    return values


def _has_names(given: xr.DataArray) -> bool:
    return given.ndim == 1 and given.dims[0] in given.indexes


def _is_counted(index: pd.Index, names: list[str]) -> bool:
    """Whether an index only counts the entries, and is not that of the names."""
    return index_names(index, "a vector") is None and set(map(str, index)).isdisjoint(names)


def _named_vector(ds: xr.Dataset, name: str, what: str, dim: str) -> npt.NDArray[Any]:
    """A variable along a dimension; along the samples by its short name, or a covariate."""
    if name in ds and ds[name].dims == (dim,):
        return np.asarray(ds[name].values)
    other = ""
    if dim == "samples":
        if (found := find_metadata(ds, name)) is not None:
            return np.asarray(found.values)
        covariates = ds["covariate_id"].values.astype(str).tolist() if "covariate_id" in ds else []
        if name in covariates:
            return np.asarray(ds["sample_covariate"].values[:, covariates.index(name)])
        known = listing(metadata_names(ds) + covariates) or "none"
        other = f", and no such covariate; there are {known}"
    raise InputError(
        f"{what} is {name!r}, but the study has no variable of that name over the {dim}{other}"
    )
