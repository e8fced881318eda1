"""Residual weights of the samples, given as such or as numbers of replicates."""

from __future__ import annotations

import numpy as np
import xarray as xr

from bulklmm_dask.analyses.inputs.vectors import VectorLike, vector
from bulklmm_dask.errors import InputError
from bulklmm_dask.typing import Array


def sample_weights(
    ds: xr.Dataset, weights: VectorLike | None, replicates: VectorLike | None
) -> Array | None:
    """Residual weights w (samples,): as given, or the square roots of numbers of replicates."""
    if weights is None and replicates is None:
        return None
    if weights is not None and replicates is not None:
        raise InputError(
            "weights and replicates are both given; replicates n stand for weights sqrt(n), so "
            "give one of them"
        )
    what = "weights" if weights is not None else "replicates"
    values = vector(ds, weights if weights is not None else replicates, what, "samples")
    wrong = np.flatnonzero(~(np.isfinite(values) & (values > 0)))
    if len(wrong):
        raise InputError(
            f"{what} holds {values[wrong[0]]} for sample {ds['sample_id'].values[wrong[0]]!r}; "
            "every sample needs a positive number (leave samples without one out of the study)"
        )
    return values if what == "weights" else np.sqrt(values)


def weights_in_words(weights: VectorLike | None, replicates: VectorLike | None) -> dict[str, str]:
    """Weights and replicates as attributes of a result."""
    return {
        name: given if isinstance(given, str) else "given"
        for name, given in (("weights", weights), ("replicates", replicates))
        if given is not None
    }
