"""Digests of the values of a study, kept when it is saved.

A scan of the study compares them with those of the run that it goes on with, and does not read
genotypes and traits for it. They vouch for the values that a scan refuses, too: where there is one
outside its range, no digest is kept, and the scan looks for it.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import numpy.typing as npt
import xarray as xr

from bulklmm_dask.storage.proof.fingerprint import of_rows, row_digests
from bulklmm_dask.study.checks import are_finite, are_within

_ROWS = ("variants", "traits")
_NAMES = ("call_dosage", "call_genotype_probability", "sample_trait")


def digests_of_rows(ds: xr.Dataset) -> dict[str, xr.DataArray]:
    """Digests of the variants and of the traits, by the name of the array; lazy where that is."""
    return {name: _of_rows(ds[name]) for name in _NAMES if name in ds}


def values_kept(found: Mapping[str, npt.NDArray[np.uint64]]) -> dict[str, str]:
    """Digests of the arrays with all values in their range, from those of their rows."""
    return {name: of_rows(rows) for name, rows in found.items() if rows.all()}


def _of_rows(array: xr.DataArray) -> xr.DataArray:
    found: xr.DataArray = xr.apply_ufunc(
        _digests,
        array.variable,
        input_core_dims=[[dim for dim in array.dims if dim not in _ROWS]],
        kwargs={"maximum": None if "traits" in array.dims else array.attrs.get("maximum", 1)},
        dask="parallelized",
        output_dtypes=[np.uint64],
    )
    return xr.DataArray(found)


def _digests(values: npt.NDArray[np.floating], *, maximum: float | None) -> npt.NDArray[np.uint64]:
    """Digests of rows; 0 if a value is not finite, or outside 0..maximum."""
    sound = are_finite(values) if maximum is None else are_within(values, float(maximum))
    if not sound:
        return np.zeros(len(values), np.uint64)
    return row_digests(values.reshape(len(values), -1))
