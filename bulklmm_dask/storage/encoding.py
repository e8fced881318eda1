"""How values are held for Zarr: text as objects, nothing of an earlier encoding."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
import xarray as xr


def text(values: Iterable[object]) -> np.ndarray:
    """Names as an object array of str, which Zarr stores as variable-length text."""
    names = [str(value) for value in values]
    out = np.empty(len(names), dtype=object)
    out[:] = names
    return out


def plain(ds: xr.Dataset) -> xr.Dataset:
    """Drop how a dataset was stored before, and hold text as objects, which Zarr knows to store."""
    ds = ds.drop_encoding()
    for name, variable in ds.variables.items():
        if variable.dtype.kind in "UT" or (variable.dtype == object and variable.chunks):
            values = text(variable.values.ravel()).reshape(variable.shape)
            held = xr.Variable(variable.dims, values, variable.attrs)
            ds = ds.assign_coords({name: held}) if name in ds.coords else ds.assign({name: held})
    return ds
