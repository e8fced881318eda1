"""The prior on the residual variance, one for all traits or one each."""

from __future__ import annotations

import numpy as np
import xarray as xr

from bulklmm_dask.analyses.inputs.vectors import VectorLike, vector
from bulklmm_dask.errors import InputError
from bulklmm_dask.lmm.prior import Prior
from bulklmm_dask.study.checks import array_of, real_numbers
from bulklmm_dask.typing import Array

PriorLike = Prior | tuple[VectorLike, VectorLike] | None


def prior_of_traits(prior: PriorLike, ds: xr.Dataset) -> Prior | None:
    """The prior with one variance and one sample size per trait; None without a prior."""
    if prior is None:
        return None
    try:
        variance, size = (prior.variance, prior.sample_size) if isinstance(prior, Prior) else prior
    except (TypeError, ValueError):
        raise InputError(
            f"prior is {prior!r}; it should be (variance, sample_size), each a number or one a "
            "trait"
        ) from None
    return Prior(_of_traits(variance, "variance", ds), _of_traits(size, "sample_size", ds))


def _of_traits(given: VectorLike, name: str, ds: xr.Dataset) -> Array:
    what = f"the {name} of the prior"
    if not isinstance(given, str) and array_of(given, what).ndim == 0:
        return np.full(ds.sizes["traits"], real_numbers(given, what, "give a number"))
    return vector(ds, given, what, "traits")


def prior_in_words(prior: Prior) -> list[float] | str:
    """The prior as an attribute of a result: [variance, sample size], or "by trait"."""
    values = np.unique([prior.variance, prior.sample_size], axis=1)
    return values[:, 0].tolist() if values.shape[1] == 1 else "by trait"
