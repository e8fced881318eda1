"""Results of the cluster beside those of this machine."""

from __future__ import annotations

import xarray as xr

import bulklmm_dask as blmm


def same(path: object, undisturbed: object) -> None:
    """The numbers and names of two results are equal."""
    xr.testing.assert_equal(blmm.open_result(path), blmm.open_result(undisturbed))
