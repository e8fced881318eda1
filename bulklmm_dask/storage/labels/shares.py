"""Shares of several components in a result, and what they are together."""

from __future__ import annotations

import xarray as xr

from bulklmm_dask.storage.labels.encoding import text

# Name of the independent part, which is in every model.
RESIDUAL = "residual"


def of_kernels(h2: xr.DataArray) -> xr.DataArray:
    """Heritabilities (..., traits): of shares, the sum of all components but the residual."""
    if "components" not in h2.dims:
        return h2
    own = text(h2["components"].values) != RESIDUAL
    return h2.isel(components=own).sum("components", skipna=False, keep_attrs=True)
