r"""Null model of every trait: its heritability without a marker, and the rotated, scaled trait.

The heritability maximises the profile likelihood over the whole admissible interval, or over a
grid, as in BulkLMM.jl.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from bulklmm_dask.lmm.basis import Basis
from bulklmm_dask.lmm.columns import least_left
from bulklmm_dask.lmm.compiled.fits import MOST_COVARIATES, project_out
from bulklmm_dask.lmm.compiled.loops import loops
from bulklmm_dask.lmm.likelihood import ProfileLikelihood
from bulklmm_dask.lmm.own_covariates import orthonormal_columns, outside
from bulklmm_dask.lmm.powers import LOG2, back, in_range
from bulklmm_dask.lmm.prior import Prior
from bulklmm_dask.lmm.projection import TRAITS_TOGETHER, in_cache
from bulklmm_dask.lmm.status import CONSTANT, OK, TOO_FEW, UNBOUNDED
from bulklmm_dask.typing import Array, Flags, Index

# A trait is constant if the covariates leave no more than this share of its squared length.
NO_SHARE = 1e-20


@dataclass(frozen=True)
class NullModel:
    """Null models of a group of traits measured on the same samples.

    Attributes
    ----------
    h2 : array (traits,)
        Heritability; NaN for a trait that could not be fitted.
    sigma2 : array (traits,)
        Total variance s2 of Var(y) = s2 [h2 K + (1 - h2) I]: S/n under ML, S/(n-c) under REML.
        With a prior, the residual variance at the posterior mode divided by 1 - h2. Infinite, or
        0, if it is beyond the range of float64.
    status : array (traits,) of str
        "ok", "constant", "too-few-samples", or "unbounded" if the likelihood grows without end
        towards h2 = 1 and the estimate is the upper bound of h2.
    rotated : array (n, fitted traits)
        The fitted traits: rotated, covariates projected out, scaled to length 1. Neither change
        affects a LOD; removing a large mean saves digits.
    given : array (K, n, fitted traits)
        Trait-specific covariates: rotated, the common ones projected out, scaled to length 1;
        zeros for none.
    scale : array (fitted traits,)
        Number by which each fitted trait was divided, besides 2^exponent.
    exponent : array (fitted traits,) of int
        The power of two by which it was divided first (`powers`); mostly 0.
    """

    h2: Array
    sigma2: Array
    status: npt.NDArray[np.object_]
    rotated: Array
    given: Array
    scale: Array
    exponent: Index

    @property
    def log_scale(self) -> Array:
        """Logarithm of the number by which each fitted trait was divided in all."""
        return np.asarray(np.log(self.scale) + LOG2 * self.exponent)

    @property
    def fitted(self) -> Flags:
        """Mask (traits,) of the traits that have a null model."""
        return ~np.isnan(self.h2)


def fit_null(
    basis: Basis,
    y: Array,
    *,
    reml: bool,
    grid: Array | None = None,
    prior: Prior | None = None,
    extra: Array | None = None,
) -> NullModel:
    """Fit the null model of every trait of a group measured on the same samples.

    Parameters and result as of `fit_with_likelihood`.
    """
    return fit_with_likelihood(basis, y, reml=reml, grid=grid, prior=prior, extra=extra)[0]


def fit_with_likelihood(
    basis: Basis,
    y: Array,
    *,
    reml: bool,
    grid: Array | None = None,
    prior: Prior | None = None,
    extra: Array | None = None,
) -> tuple[NullModel, ProfileLikelihood | None]:
    """Fit the null models of a group, and keep the likelihood of the traits that were fitted.

    Parameters
    ----------
    basis : Basis
        Eigenbasis of the n samples of the group.
    y : array (n, traits)
        Traits as measured (not rotated), without missing values.
    reml : bool
        Restricted instead of full likelihood.
    grid : array, optional
        Heritabilities to choose from (null-grid), instead of the whole interval.
    prior : Prior, optional
        Prior on the residual variance, in squared units of the traits as measured.
    extra : array (n, traits, K), optional
        Trait-specific covariates as measured, without missing values. A column that depends
        linearly on the common covariates and on those before it, such as zeros, is left out.

    Returns
    -------
    NullModel
    ProfileLikelihood or None
        None if no trait could be fitted.
    """
    n, traits = y.shape
    h2, sigma2 = np.full(traits, np.nan), np.full(traits, np.nan)
    status = np.full(traits, OK, dtype=object)
    if extra is None:
        extra = np.empty((n, traits, 0))
    if n < basis.n_covariates + 2:
        status[:] = TOO_FEW
        nothing = np.empty((extra.shape[2], n, 0))
        few = np.empty((n, 0)), nothing, np.empty(0), np.empty(0, np.int64)
        return NullModel(h2, sigma2, status, *few), None
    y, exponent = in_range(y)
    given = orthonormal_columns(basis, extra)
    rotated = np.empty_like(y)
    left, size, raw = np.empty((3, traits))
    mean, buffer = y.mean(axis=0), np.empty((n, min(traits, TRAITS_TOGETHER)))
    for some in in_cache(traits):
        part, middle = y[:, some], mean[some]
        deviations = np.subtract(part, middle, out=buffer[:, : part.shape[1]])
        rotated[:, some], size[some], left[some] = _beside(basis, given[:, :, some], deviations)
        if basis.weights is None:
            raw[some] = size[some] + n * middle * middle
        else:
            raw[some] = np.square(part * basis.weights[:, None]).sum(axis=0)
    scale = np.sqrt(left)
    status[left <= least_left(size, raw, basis.share_left(NO_SHARE))] = CONSTANT
    status[n < basis.n_covariates + given.any(axis=1).sum(axis=0) + 2] = TOO_FEW
    usable = status == OK
    if not usable.all():
        scale, exponent, given = scale[usable], exponent[usable], given[:, :, usable]
        rotated = rotated[:, usable]
    rotated /= scale
    if not usable.any():
        return NullModel(h2, sigma2, status, rotated, given, scale, exponent), None
    likelihood = ProfileLikelihood.of(
        basis,
        rotated,
        reml=reml,
        prior=None if prior is None else prior.take(usable).in_units(back(scale, exponent)),
        given=given,
    )
    estimate = likelihood.maximise() if grid is None else likelihood.best_of(grid)
    best = likelihood.summed(estimate)
    if 0.0 < likelihood.covariance.h2_max < 1.0:
        at_bound = (estimate == likelihood.covariance.h2_max) & best.grows(estimate)
        status[np.flatnonzero(usable)[at_bound]] = UNBOUNDED
    h2[usable] = estimate
    sigma2[usable] = back(best.quadratic / best.count * scale**2, 2 * exponent)
    return NullModel(h2, sigma2, status, rotated, given, scale, exponent), likelihood


def _beside(basis: Basis, given: Array, deviations: Array) -> tuple[Array, Array, Array]:
    """What all covariates leave of columns, (n, k), and squared lengths before and after.

    The columns are rotated; `given` (K, n, k) is as in `NullModel`.
    """
    which = loops() if basis.n_covariates <= MOST_COVARIATES else None
    if which is None or len(given):
        rotated = basis.rotate(deviations)
        rest = outside(basis, given, rotated)
        size, left = (np.einsum("kj,kj->j", x, x) for x in (rotated, rest))
        return rest, size, left
    # Rows are not a power of two of bytes apart (`project_out`).
    n, k = deviations.shape
    rest = np.empty((n, k + 8))[:, :k]
    basis.rotate(deviations, out=rest)
    return rest, *project_out(rest, basis.covariates, which)
