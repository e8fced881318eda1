r"""Shares of every trait with their errors, and the test that a component is not there.

With A the average information on the variances v_k = s2 h_k, in units of s2, Cov(v)/s2^2 = A^-1,
and by the delta method

    Cov(h) = (I - h 1') A^-1 (I - h 1')'.

All components count in A, those at a bound too: it is the precision of a study, as elsewhere at a
bound, and no normal interval follows from it there.
"""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import Any

import numpy as np
import numpy.typing as npt

from bulklmm_dask.lmm.components.fit import Optimum, Search
from bulklmm_dask.lmm.components.groups import KernelGroup, kernel_groups
from bulklmm_dask.lmm.components.kernels import KernelSamples
from bulklmm_dask.lmm.components.simplex import edge
from bulklmm_dask.lmm.likelihood import constant
from bulklmm_dask.lmm.powers import LOG2, back
from bulklmm_dask.lmm.status import ALL_MISSING, BOUNDARY, FLAT, OK, UNBOUNDED
from bulklmm_dask.typing import Array, Index

# A likelihood is flat if it changes by fewer nats than this along a line through the optimum, from
# edge to edge, on which a share changes by this much.
_FLAT, _FAR = 1e-3, 0.1
# Least ratio of eigenvalues of an information matrix that is inverted.
_SINGULAR = 1e-12


@dataclass(frozen=True)
class Shares:
    """Shares of traits with their precision; NaN where not known.

    Attributes
    ----------
    h2 : array (k + 1, traits)
        Shares of the mean variance of the samples, the residual last; they sum to one.
    h2_se : array (k + 1, traits)
        Standard errors.
    variance : array (k + 1, traits)
        Variances s2 h, for kernels of mean diagonal one.
    sigma2, log_likelihood : array (traits,)
        s2, and the log-likelihood in nats with all constants; the latter is NaN if it grows
        without bound towards a residual of 0.
    log_likelihood_0 : array (k + 1, traits)
        The largest log-likelihood without each component; NaN for the residual.
    n_samples : array (traits,) of int
        Number of samples with a value and all covariates.
    trait_status : array (traits,) of str
        As in `NullModel` or "all-missing"; "boundary" if a share is at its bound, "flat" if other
        shares are as likely, "confounded" if kernels cannot be told apart on these samples.
    """

    h2: Array
    h2_se: Array
    variance: Array
    sigma2: Array
    log_likelihood: Array
    log_likelihood_0: Array
    n_samples: Index
    trait_status: npt.NDArray[np.object_]

    @classmethod
    def unknown(cls, components: int, n_samples: Index) -> Shares:
        """Shares to be filled in, of some components with the residual."""
        traits = len(n_samples)
        each = (np.full((components, traits), np.nan) for _ in range(4))
        h2, h2_se, variance, without = each
        sigma2, best = np.full((2, traits), np.nan)
        status = np.full(traits, ALL_MISSING, dtype=object)
        return cls(h2, h2_se, variance, sigma2, best, without, n_samples, status)

    def columns(self) -> dict[str, npt.NDArray[Any]]:
        """The arrays by name."""
        return {field.name: getattr(self, field.name) for field in fields(self)}


def estimate_shares(traits: Array, samples: KernelSamples, *, reml: bool) -> Shares:
    """Shares of every trait, each on the samples where it was measured.

    Parameters
    ----------
    traits : array (samples, traits)
        NaN where missing.
    samples : KernelSamples
        Covariates, kernels and weights of the same samples.
    reml : bool
        Use restricted instead of full maximum likelihood.
    """
    observed = ~np.isnan(traits) & samples.complete[:, None]
    found = Shares.unknown(len(samples.kernels) + 1, observed.sum(axis=0))
    for group in kernel_groups(traits, samples, found.trait_status, reml=reml):
        _fill(found, group, reml)
    return found


def _fill(found: Shares, group: KernelGroup, reml: bool) -> None:
    """Estimate the traits of a group."""
    rest = constant(group.kernels, np.log(group.scale) + LOG2 * group.exponent, reml=reml)
    for place, column in enumerate(group.columns):
        _fill_one(found, int(column), group.search, place, float(rest[place]))
    mine = group.columns
    found.sigma2[mine] = back(found.sigma2[mine] * group.scale**2, 2 * group.exponent)
    found.variance[:, mine] = found.h2[:, mine] * found.sigma2[mine]


def _fill_one(found: Shares, column: int, search: Search, place: int, rest: float) -> None:
    """Estimate one trait; s2 in units of its squared length."""
    likelihood = search.likelihood
    kernels = likelihood.kernels
    best = search.best(place)
    others = [search.without(place, k, best) for k in range(len(kernels.kernels))]
    highest = max(others, key=lambda one: one.point.value)
    if highest.point.value > best.point.value:
        best = search.best(place, [highest.inner])
    found.h2[:, column] = kernels.shares(best.inner)
    found.sigma2[column] = best.point.quadratic / likelihood.count
    status = status_of(search, place, best)
    found.trait_status[column] = status
    if status == UNBOUNDED:
        return
    found.log_likelihood[column] = best.point.value + rest
    found.log_likelihood_0[:-1, column] = [one.point.value + rest for one in others]
    if status != FLAT:
        information = kernels.in_shares(best.point.information)
        found.h2_se[:, column] = _errors(information, found.h2[:, column])


def status_of(search: Search, place: int, best: Optimum) -> str:
    """Whether the likelihood grows without end, is flat, or has its maximum at a bound."""
    kernels = search.likelihood.kernels
    least = kernels.least_residual
    at_bound = best.inner == 0.0
    # Towards a residual of 0 it grows like k/2 log 1/h_e, k >= 1, as in `Profile.grows`.
    if least and at_bound[-1] and least * best.point.slope[-1] < -0.25:
        return UNBOUNDED
    if _is_flat(search, place, best):
        return FLAT
    return BOUNDARY if at_bound.any() else OK


def _is_flat(search: Search, place: int, best: Optimum) -> bool:
    """Whether the likelihood stays the same along a line through the optimum, edge to edge."""
    held = (best.inner == 0.0) & (best.point.slope < -_FLAT / _FAR)
    free = np.flatnonzero(~held)
    if len(free) < 2:
        return False
    # Directions that leave the sum of the weights as it is.
    plane = np.linalg.svd(np.ones((1, len(free))))[2][1:].T
    information = plane.T @ best.point.profiled(best.inner)[np.ix_(free, free)] @ plane
    weakest = np.zeros_like(best.inner)
    weakest[free] = plane @ np.linalg.eigh(information)[1][:, 0]
    ends = np.stack([edge(best.inner, way) for way in (weakest, -weakest)])
    if np.ptp(ends, axis=0).max() < _FAR:
        return False
    values = [search.likelihood.values(end, search.y[:, [place]])[0] for end in ends]
    return bool(min(values) > best.point.value - _FLAT)


def _errors(information: Array, h2: Array) -> Array:
    """Standard errors (k + 1,) of the shares; NaN without information."""
    values, vectors = np.linalg.eigh(information)
    if not values[0] > _SINGULAR * values[-1]:
        return np.full(len(h2), np.nan)
    change = np.eye(len(h2)) - h2[:, None]
    parts = change @ (vectors / np.sqrt(values))
    return np.asarray(np.sqrt(np.square(parts).sum(axis=1)))
