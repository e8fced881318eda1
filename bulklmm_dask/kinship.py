"""The front door of kinships: from a study to the relationship of its samples."""

from __future__ import annotations

import numpy as np
import pandas as pd
import xarray as xr

from bulklmm_dask.data.schema import validate
from bulklmm_dask.engine.graph import lazy_kinship
from bulklmm_dask.errors import InputError
from bulklmm_dask.lmm.kinship import METHODS


def kinship(ds: xr.Dataset, *, method: str = "bulklmm") -> xr.DataArray:
    """Relationship of every pair of samples of a study, estimated from all its markers.

    Parameters
    ----------
    ds : Dataset
        A study with ``call_dosage`` (variants, samples). Its markers are read chunk by chunk and
        never all at once; missing dosages take the mean of their marker.
    method : {"bulklmm", "rqtl2", "centered", "standardized"}
        With x the dosages scaled to 0..1 and d = 2x: ``"bulklmm"`` is the mean over markers of
        x_i x_j + (1-x_i)(1-x_j) with ones on the diagonal (and between samples of one strain,
        where the study has ``sample_strain``); ``"rqtl2"`` the same without touching the diagonal
        (R/qtl2 doubles it internally: scan with twice this kinship to get its h2);
        ``"centered"`` and ``"standardized"`` are GEMMA's ``-gk 1`` and ``-gk 2``.

    Returns
    -------
    DataArray, shape (samples_0, samples_1)
        Lazy, in float64. Put it into the study: ``ds["kinship"] = kinship(ds)``.

    Raises
    ------
    InputError
        If the method is unknown or the study has no dosages.
    """
    if method not in METHODS:
        raise InputError(f"unknown kinship method {method!r}; choose one of {', '.join(METHODS)}")
    validate(ds)
    if "call_dosage" not in ds:
        raise InputError("the study has no call_dosage to compute a kinship from")
    strains = None
    if "sample_strain" in ds:
        strains = pd.factorize(ds["sample_strain"].values)[0].astype(np.int64)
    dosage = ds["call_dosage"]
    names = ds["sample_id"].values
    maximum = float(dosage.attrs["maximum"])
    variants = ds["variant_id"].values
    matrix = lazy_kinship(dosage.data, maximum, method, strains, variants, names)
    return xr.DataArray(
        matrix,
        dims=("samples_0", "samples_1"),
        coords={"samples_0": names, "samples_1": names},
        name="kinship",
        attrs={"method": method, "n_variants": ds.sizes["variants"]},
    )
