"""Datasets in the form that Zarr stores: text as objects, no encoding of an earlier store."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
import xarray as xr


def text(values: Iterable[object]) -> np.ndarray:
    """Names as an object array of str, which Zarr stores as variable-length text."""
    if isinstance(values, np.ndarray) and values.dtype.kind in "UT":
        return values.astype(object)
    names = [str(value) for value in values]
    out = np.empty(len(names), dtype=object)
    out[:] = names
    return out


def plain(ds: xr.Dataset) -> xr.Dataset:
    """Drop the encoding of an earlier store, and turn text into objects, which Zarr can store."""
    ds = ds.drop_encoding()
    for name, variable in ds.variables.items():
        if variable.dtype.kind in "UT" or (variable.dtype == object and variable.chunks):
            values = text(variable.values.ravel()).reshape(variable.shape)
            held = xr.Variable(variable.dims, values, variable.attrs)
            ds = ds.assign_coords({name: held}) if name in ds.coords else ds.assign({name: held})
    return ds
