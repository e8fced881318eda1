r"""Standard error of the heritability of every trait, and test of h2 = 0.

With W = diag(1/v(h)), M = W - W C (C'WC)^-1 C'W, S = y'My and D = V'(h), which is diagonal, the
derivatives of M are M' = -MDM and M'' = 2 MDMDM, so that

- S' = -y'MDMy,  S'' = 2 y'MDMDMy
- ML:   l'' = -1/2 [ n (S''/S - (S'/S)^2) - tr(WDWD) ]
- REML: l'' = -1/2 [ (n-c) (S''/S - (S'/S)^2) - tr(MDMD) ]

for the profile likelihoods l of `likelihood`. The observed information on h is -l''. Since s2 and
the fixed effects are maximised out, 1 / -l'' equals the entry of h in the inverse of the
information matrix of all parameters.

At a bound the slope is not 0, so the curvature depends on the parametrisation (h here, h/(1-h) in
GEMMA) and may have the wrong sign. There the expected information on h of the restricted likelihood
is used instead, 1/2 [ tr(MDMD) - tr(MD)^2 / (n-c) ], which has neither fault.
"""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy.special import log_ndtr, ndtr

from bulklmm_dask.lmm.basis import Basis
from bulklmm_dask.lmm.covariance import Covariance, Variances
from bulklmm_dask.lmm.groups import FittedGroup, NullEstimates, fit_groups
from bulklmm_dask.lmm.likelihood import ProfileLikelihood, constant
from bulklmm_dask.lmm.projection import (
    TRAITS_TOGETHER,
    covariate_gram,
    in_cache,
    inverse_and_logdet,
    project,
)
from bulklmm_dask.lmm.samples import Samples
from bulklmm_dask.typing import Array


@dataclass(frozen=True)
class Heritabilities:
    """Heritabilities of traits with their precision; arrays (traits,), NaN where not known.

    Attributes
    ----------
    h2, sigma2, trait_status : array
        As in `NullEstimates`.
    h2_se : array
        Standard error of h2.
    log_likelihood, log_likelihood_0 : array
        Log-likelihood in nats with all constants, at h2 and at 0; `log_likelihood` is NaN if the
        likelihood grows without bound towards h2 = 1.
    n_samples : array of int
        Number of samples with a value and all covariates.
    """

    h2: Array
    h2_se: Array
    sigma2: Array
    log_likelihood: Array
    log_likelihood_0: Array
    n_samples: npt.NDArray[np.int64]
    trait_status: npt.NDArray[np.object_]

    def columns(self) -> dict[str, npt.NDArray[Any]]:
        """The arrays by name."""
        return {field.name: getattr(self, field.name) for field in fields(self)}


def estimate(
    traits: Array, samples: Samples, *, reml: bool, complete: Basis | None = None
) -> Heritabilities:
    """Heritability of every trait, each on the samples where it was measured.

    Parameters
    ----------
    traits : array (samples, traits)
        NaN where missing.
    samples : Samples
        Covariates, kinship and weights of the same samples.
    reml : bool
        Use restricted instead of full maximum likelihood.
    complete : Basis, optional
        Eigenbasis of all samples, if already computed.
    """
    known = NullEstimates.unknown(traits, samples)
    h2_se, best, none = np.full((3, traits.shape[1]), np.nan)
    for group in fit_groups(traits, samples, known, reml=reml, complete=complete):
        at = group.columns
        found = _errors_and_likelihoods(group, reml=reml)
        h2_se[at], best[at], none[at] = found
    return Heritabilities(known.h2, h2_se, known.sigma2, best, none, known.n_samples, known.status)


def _errors_and_likelihoods(group: FittedGroup, *, reml: bool) -> tuple[Array, Array, Array]:
    """Standard errors and log-likelihoods, at h2 and at 0, of the fitted traits of a group.

    The standard errors are those of the heritability of the kinship as given.
    """
    basis, model, likelihood = group.basis, group.model, group.likelihood
    assert likelihood is not None
    h2 = model.h2[model.fitted]
    best, none = likelihood.summed(h2), likelihood.summed(np.zeros_like(h2))
    rest = constant(basis, model.log_scale, reml=reml)
    grows = best.grows(h2)
    error = standard_error(likelihood, h2) * basis.slope_as_given(h2)
    return (
        np.where(grows, np.nan, error),
        np.where(grows, np.nan, best.value + rest),
        none.value + rest,
    )


def standard_error(likelihood: ProfileLikelihood, h2: Array) -> Array:
    """Standard error 1 / sqrt(information on h_j) of every trait; NaN without information.

    Parameters
    ----------
    likelihood : ProfileLikelihood
        Likelihoods without a prior.
    h2 : array (traits,)
        The heritability of each trait, a maximum of its profile likelihood.
    """
    if likelihood.compressed is None:
        return error_from_rows(likelihood, h2)
    observed, expected, least = likelihood.compressed.information(h2)
    at_bound = (h2 == 0.0) | (h2 == likelihood.covariance.h2_max)
    information = np.where(at_bound, expected, observed)
    error = 1.0 / np.sqrt(np.maximum(information, 1e-300))
    rest = np.flatnonzero(~(information > least))
    error[rest] = error_from_rows(likelihood.take(rest), h2[rest])
    return error


def error_from_rows(likelihood: ProfileLikelihood, h2: Array) -> Array:
    """`standard_error` from all rows."""
    if len(h2) > TRAITS_TOGETHER:
        parts = [error_from_rows(likelihood.take(some), h2[some]) for some in in_cache(len(h2))]
        return np.concatenate(parts)
    covariance, at = likelihood.covariance, likelihood.covariance.at(h2)
    my, a = project(covariance, likelihood.y, at)
    twice, _ = project(covariance, at.slope * my, at)
    s = np.einsum("kj,kj,kj->j", at.value, my, my)
    slope = -np.einsum("kj,kj->j", at.slope * my, my)
    bend = 2.0 * np.einsum("kj,kj,kj->j", at.value, twice, twice)
    by_trait = bend / s - (slope / s) ** 2
    of_logdet = -at.logdet_bend()
    first, second = _traces(covariance, at, a)
    degrees = covariance.n - covariance.n_covariates
    restricted = degrees * by_trait - second
    observed = 0.5 * (restricted if likelihood.reml else covariance.n * by_trait - of_logdet)
    expected = 0.5 * (second - first**2 / degrees)
    at_bound = (h2 == 0.0) | (h2 == covariance.h2_max)
    information = np.where(at_bound, expected, observed)
    known = information > 1e-12 * of_logdet
    return np.where(known, 1.0 / np.sqrt(np.where(known, information, 1.0)), np.nan)


def _traces(covariance: Covariance, at: Variances, a: Array) -> tuple[Array, Array]:
    """tr(MD) and tr(MDMD) of every trait, (traits,), from a = C'WC (traits, c, c)."""
    inverse, _ = inverse_and_logdet(a)
    once = inverse @ covariate_gram(covariance, at.slope / at.value**2)
    twice = inverse @ covariate_gram(covariance, at.slope**2 / at.value**3)
    first = at.logdet_slope() - np.einsum("jaa->j", once)
    second = -at.logdet_bend() - 2.0 * np.einsum("jaa->j", twice)
    return first, second + np.einsum("jab,jba->j", once, once)


def boundary_test(gain: Array) -> tuple[Array, Array, Array]:
    """Likelihood-ratio test of h2 = 0, the lower bound of h2.

    Under h2 = 0 the statistic is 0 for about half of all traits and follows chi-square with one
    degree of freedom for the others (Self and Liang 1987; Stram and Lee 1994). Its p-value is
    half that of chi-square: the tail of the normal distribution beyond its square root.

    Parameters
    ----------
    gain : array
        Log-likelihood at h2 minus that at 0, in nats.

    Returns
    -------
    statistic, p_value, neg_log10_p : arrays
        Twice the gain; its p-value, 1 for a gain of 0; -log10 p, finite for any gain.
    """
    statistic = 2.0 * np.maximum(gain, 0.0)
    root = np.sqrt(statistic)
    p_value = np.where(statistic > 0.0, ndtr(-root), 1.0)
    neg_log10_p = np.where(statistic > 0.0, -log_ndtr(-root) / np.log(10.0), 0.0)
    unknown = np.isnan(gain)
    p_value[unknown] = neg_log10_p[unknown] = np.nan
    return statistic, p_value, neg_log10_p
