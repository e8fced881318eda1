"""Residual weights of the samples, given as such or as numbers of replicates."""

from __future__ import annotations

import numpy as np
import xarray as xr

from bulklmm_dask.analyses.inputs.vectors import VectorLike, name_of, vector, with_value
from bulklmm_dask.errors import InputError, OptionError
from bulklmm_dask.typing import Array

# Largest ratio of two weights at which doubles keep enough digits, and the farthest from 1 that
# their squares may lie.
_WIDEST = 1e10
_EXTREME = 1e100


def sample_weights(
    ds: xr.Dataset, weights: VectorLike | None, replicates: VectorLike | None
) -> Array | None:
    """Residual weights w (samples,): as given, or the square roots of numbers of replicates."""
    if weights is None and replicates is None:
        return None
    if weights is not None and replicates is not None:
        both = (with_value("weights", weights), with_value("replicates", replicates))
        raise OptionError(
            f"{' and '.join(both)} are both given; replicates n stand for weights sqrt(n), so give "
            "one of them"
        )
    given = replicates if weights is None else weights
    what = name_of("replicates" if weights is None else "weights", given)
    values = vector(ds, given, what, "samples")
    wrong = np.flatnonzero(~(np.isfinite(values) & (values > 0)))
    if len(wrong):
        sample = str(ds["sample_id"].values[wrong[0]])
        raise InputError(
            f"{what} holds {values[wrong[0]]} for sample {sample!r}; "
            "every sample needs a positive number (leave samples without one out of the study)"
        )
    weights = np.sqrt(values) if weights is None else values
    low, high = weights.min(initial=np.inf), weights.max(initial=0.0)
    wide = high / _WIDEST > low
    if wide or low < 1.0 / _EXTREME or high > _EXTREME:
        least, most = (f"{values[i]:g} of sample {name!r}" for i, name in _ends(ds, weights))
        remedy = "leave samples of no weight out of the study" if wide else "give them another unit"
        raise InputError(
            f"{what} spans from the {least} to the {most}; weights may differ by a factor of at "
            f"most {_WIDEST:g} (replicates by its square) and lie within {1 / _EXTREME:g} and "
            f"{_EXTREME:g}: {remedy}"
        )
    return weights


def _ends(ds: xr.Dataset, weights: Array) -> list[tuple[int, str]]:
    """Positions and names of the samples of the smallest and of the largest weight."""
    places = int(weights.argmin()), int(weights.argmax())
    return [(i, str(ds["sample_id"].values[i])) for i in places]


def weights_in_words(weights: VectorLike | None, replicates: VectorLike | None) -> dict[str, str]:
    """Weights and replicates as attributes of a result."""
    return {
        name: given if isinstance(given, str) else "given"
        for name, given in (("weights", weights), ("replicates", replicates))
        if given is not None
    }
