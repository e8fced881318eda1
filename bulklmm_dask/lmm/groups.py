"""Null models of a chunk of traits, fitted together where traits were measured on the same samples.

`fit_groups` is the one loop over the patterns of missing values, for scans and heritabilities.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from bulklmm_dask.lmm.basis import Basis
from bulklmm_dask.lmm.null.fit import ALL_MISSING, TOO_FEW, NullModel, fit_null
from bulklmm_dask.lmm.prior import Prior
from bulklmm_dask.lmm.samples import Samples, sample_groups
from bulklmm_dask.typing import Array, Index


@dataclass(frozen=True)
class NullEstimates:
    """What the null models of a chunk of traits tell, (traits,) in the order of the chunk.

    Attributes
    ----------
    h2, sigma2 : array
        As in `NullModel`; NaN for a trait that could not be fitted.
    n_samples : array of int
        How many samples have a value and all covariates.
    status : array of str
        As in `NullModel`, or "all-missing".
    """

    h2: Array
    sigma2: Array
    n_samples: Index
    status: npt.NDArray[np.object_]

    @classmethod
    def unknown(cls, traits: Array, samples: Samples) -> NullEstimates:
        """Nothing known yet, of traits (samples, traits) with NaN where missing."""
        observed = ~np.isnan(traits) & samples.complete[:, None]
        h2, sigma2 = np.full((2, traits.shape[1]), np.nan)
        status = np.full(traits.shape[1], ALL_MISSING, dtype=object)
        return cls(h2, sigma2, observed.sum(axis=0), status)


@dataclass(frozen=True)
class FittedGroup:
    """Traits measured on the same samples that a null model could be fitted to.

    Attributes
    ----------
    rows : array of int
        The samples.
    columns : array of int
        The traits, in the chunk.
    basis : Basis
        Of the samples.
    model : NullModel
        Of the traits and of those of the same samples that could not be fitted.
    """

    rows: Index
    columns: Index
    basis: Basis
    model: NullModel


def fit_groups(
    traits: Array,
    samples: Samples,
    estimates: NullEstimates,
    *,
    reml: bool,
    grid: Array | None = None,
    complete: Basis | None = None,
    prior: Prior | None = None,
    conditions: Array | None = None,
) -> Iterator[FittedGroup]:
    """Fit null models group by group, and fill in the estimates on the way.

    Parameters
    ----------
    traits : array (samples, traits)
        NaN where missing.
    samples : Samples
    estimates : NullEstimates
        From `NullEstimates.unknown`: filled in.
    reml : bool
        By restricted instead of full maximum likelihood.
    grid : array, optional
        Heritabilities to choose from; by default the whole interval is searched.
    complete : Basis, optional
        The basis of all samples, if it was made before.
    prior : Prior, optional
        On the residual variance of these traits.
    conditions : array (samples, traits, k), optional
        More covariates, of every trait its own.

    Yields
    ------
    FittedGroup
        Of at least one fitted trait.
    """
    for rows, columns, basis in sample_groups(traits, samples, complete):
        if basis is None:
            estimates.status[columns] = TOO_FEW if len(rows) else ALL_MISSING
            continue
        model = fit_null(
            basis,
            traits[np.ix_(rows, columns)],
            reml=reml,
            grid=grid,
            prior=None if prior is None else prior.take(columns),
            extra=None if conditions is None else conditions[np.ix_(rows, columns)],
        )
        estimates.h2[columns], estimates.sigma2[columns] = model.h2, model.sigma2
        estimates.status[columns] = model.status
        if model.fitted.any():
            yield FittedGroup(rows, columns[model.fitted], basis, model)
