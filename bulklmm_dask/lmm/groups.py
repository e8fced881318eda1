"""Null models of a chunk of traits, fitted in groups that were measured on the same samples.

Scans and heritability estimates both loop over the patterns of missing values in `fit_groups`.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from bulklmm_dask.lmm.basis import Basis
from bulklmm_dask.lmm.likelihood import ProfileLikelihood
from bulklmm_dask.lmm.null.fit import NullModel, fit_with_likelihood
from bulklmm_dask.lmm.prior import Prior
from bulklmm_dask.lmm.samples import Samples, sample_groups
from bulklmm_dask.lmm.status import ALL_MISSING, TOO_FEW
from bulklmm_dask.typing import Array, Index


@dataclass(frozen=True)
class NullEstimates:
    """Estimates from the null models of a chunk of traits; arrays (traits,) in its order.

    Attributes
    ----------
    h2, sigma2 : array
        As in `NullModel`, for the kinship as given; NaN for a trait that could not be fitted. With
        several kernels, the shares (k + 1, traits) of each and of the residual.
    n_samples : array of int
        Number of samples with a value and all covariates.
    status : array of str
        As in `NullModel`, or "all-missing".
    """

    h2: Array
    sigma2: Array
    n_samples: Index
    status: npt.NDArray[np.object_]

    @classmethod
    def unknown(cls, traits: Array, samples: Samples) -> NullEstimates:
        """Estimates to be filled in, for traits (samples, traits) with NaN where missing."""
        observed = ~np.isnan(traits) & samples.complete[:, None]
        h2, sigma2 = np.full((2, traits.shape[1]), np.nan)
        status = np.full(traits.shape[1], ALL_MISSING, dtype=object)
        return cls(h2, sigma2, observed.sum(axis=0), status)


@dataclass(frozen=True)
class FittedGroup:
    """Traits measured on the same samples, with their null models.

    Attributes
    ----------
    rows : array of int
        Positions of the samples.
    columns : array of int
        Positions in the chunk of the traits that could be fitted.
    basis : Basis
        Eigenbasis of the samples.
    model : NullModel
        Null models of all traits measured on these samples, fitted or not, for the kinship in use
        (`Basis.unit`).
    likelihood : ProfileLikelihood or None
        Likelihoods of the fitted traits, by `fit_groups`.
    """

    rows: Index
    columns: Index
    basis: Basis
    model: NullModel
    likelihood: ProfileLikelihood | None = None


def fit_groups(
    traits: Array,
    samples: Samples,
    estimates: NullEstimates,
    *,
    reml: bool,
    grid: Array | None = None,
    complete: Basis | None = None,
    prior: Prior | None = None,
    extra: Array | None = None,
) -> Iterator[FittedGroup]:
    """Fit null models group by group, and write their estimates into `estimates`.

    Parameters
    ----------
    traits : array (samples, traits)
        NaN where missing.
    samples : Samples
        Covariates, kinship and weights of the same samples.
    estimates : NullEstimates
        From `NullEstimates.unknown`; modified in place.
    reml : bool
        Use restricted instead of full maximum likelihood.
    grid : array, optional
        Heritabilities to choose from; by default the whole interval is searched.
    complete : Basis, optional
        Eigenbasis of all samples, if already computed.
    prior : Prior, optional
        Prior on the residual variance of these traits.
    extra : array (samples, traits, k), optional
        Trait-specific covariates, in addition to those of `samples`.

    Yields
    ------
    FittedGroup
        Each with at least one fitted trait.
    """
    for rows, columns, basis in sample_groups(traits, samples, complete):
        if basis is None:
            estimates.status[columns] = TOO_FEW if len(rows) else ALL_MISSING
            continue
        model, likelihood = fit_with_likelihood(
            basis,
            _part(traits, rows, columns),
            reml=reml,
            grid=None if grid is None else basis.in_use(grid),
            prior=None if prior is None else prior.take(columns),
            extra=None if extra is None else extra[np.ix_(rows, columns)],
        )
        estimates.h2[columns] = basis.as_given(model.h2)
        estimates.sigma2[columns] = basis.variance_as_given(model.sigma2, model.h2)
        estimates.status[columns] = model.status
        if likelihood is not None:
            yield FittedGroup(rows, columns[model.fitted], basis, model, likelihood)


def _part(traits: Array, rows: Index, columns: Index) -> Array:
    """Some rows and columns, in ascending order; no copy if they are all."""
    return traits if (len(rows), len(columns)) == traits.shape else traits[np.ix_(rows, columns)]
