r"""Likelihood of the model with the marker and its exact maximum, for many single pairs at once.

Let M1 be the projection off the covariates and the marker in the metric of W = diag(1/v),
e = M1 y the weighted residuals and D = dV/dh, which is diagonal. Then dM1/dh = -M1 D M1,
RSS1 = e'Ve, RSS1' = -e'De, RSS1'' = 2 e'D M1 D e, and

- ML:   l1(h) = -1/2 [ n log RSS1 + sum log v ]
- REML: l1(h) = -1/2 [ (n-c-1) log RSS1 + sum log v + log|C'WC| + log S_xx ]
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from bulklmm_dask.lmm.covariance import Covariance, Variances
from bulklmm_dask.lmm.lod import SMALLEST
from bulklmm_dask.lmm.projection import covariate_gram, inverse_and_logdet, project
from bulklmm_dask.typing import Array, Index, Real

# Pairs computed together, so that their vectors stay in cache.
TOGETHER = 1024
# Local maxima of the interpolated likelihood are tried if at most this many nats below the highest,
# or `_DOUBTS` times its error.
_CLOSE = 0.05
_DOUBTS = 4.0
# A search ends when the next step would change the likelihood by less, in nats, or after
# `_MOST_STEPS` steps.
_SETTLED = 1e-8
_MOST_STEPS = 200


@dataclass(frozen=True)
class PairProfile:
    """Log-likelihood to maximise (ML or REML) and the full one, in nats; arrays (pairs,).

    `slope` and `bend` are the first and second derivative in h.
    """

    value: Array
    slope: Array
    bend: Array
    full: Array
    full_slope: Array
    full_bend: Array


def pair_profile(
    covariance: Covariance, x: Array, y: Array, h2: Array, *, reml: bool
) -> PairProfile:
    """Likelihood of pair j, rotated marker x_j and trait y_j (k, pairs), at its own h2 (pairs,)."""
    n, c, covariates = covariance.n, covariance.n_covariates, covariance.covariates
    at = covariance.at(h2)
    w = at.weights
    inverse, logdet_a = inverse_and_logdet(covariate_gram(covariance, w))

    def projected(u: Array) -> Array:
        on = np.einsum("jab,bj->aj", inverse, covariates.T @ (w * u))
        return np.asarray(w * (u - covariates @ on))

    mx, my = projected(x), projected(y)
    sxx = _dot(x, mx)
    e = my - mx * (_dot(x, my) / sxx)
    changed = at.slope * e
    rss, slope = np.maximum(_dot(at.value, e * e), 1e-300), -_dot(changed, e)
    bend = 2.0 * (_dot(changed, projected(changed)) - _dot(mx, changed) ** 2 / sxx)
    logdet = (at.logdet(), at.logdet_slope(), at.logdet_bend())
    log_rss = (np.log(rss), *_of_logarithm(rss, slope, bend))
    full = [-0.5 * (n * s + d) for s, d in zip(log_rss, logdet, strict=True)]
    if not reml:
        return PairProfile(*full, *full)
    changed = at.slope * mx
    log_sxx = (
        np.log(sxx),
        *_of_logarithm(sxx, -_dot(changed, mx), 2.0 * _dot(changed, projected(changed))),
    )
    terms = zip(
        log_rss, logdet, (logdet_a, *_of_covariates(covariance, inverse, at)), log_sxx, strict=True
    )
    value = [-0.5 * ((n - c - 1) * s + d + a + m) for s, d, a, m in terms]
    return PairProfile(*value, *full)


def log_ratios(covariance: Covariance, x: Array, y: Array, points: Array) -> Array:
    """ln(RSS1/RSS0) (pairs, points) of pair j, rotated marker x_j and trait y_j (k, pairs).

    From residuals, at each of the heritabilities `points`.
    """
    ratio = np.empty((x.shape[1], len(points)))
    for k, h2 in enumerate(points):
        at = covariance.at([h2])
        mx, my = (project(covariance, part, at)[0] for part in (x, y))
        e = my - mx * (_dot(x, my) / _dot(x, mx))
        v = at.value[:, 0]
        ratio[:, k] = (v @ (e * e)) / (v @ (my * my))
    return np.log(np.maximum(ratio, SMALLEST))


def pair_effects(covariance: Covariance, x: Array, y: Array, h2: Array) -> tuple[Array, Array]:
    """Effect of the marker of each pair at the h2 of the pair, and its standard error, (pairs,).

    By generalised least squares: b = S_xy / S_xx and se = sqrt(RSS1 / (n - c - 1) / S_xx).

    Parameters
    ----------
    covariance : Covariance
        Covariance of the k rows.
    x : array (k, pairs)
        Rotated markers.
    y : array (k, pairs) or (k, 1)
        Rotated traits, or one for all pairs.
    h2 : array (pairs,)
        Heritabilities.
    """
    at = covariance.at(h2)
    mx, my = (project(covariance, part, at)[0] for part in (x, y))
    sxx = _dot(x, mx)
    beta = _dot(x, my) / sxx
    residual = my - mx * beta
    rss = _dot(at.value, residual * residual)
    return beta, np.sqrt(rss / (covariance.n - covariance.n_covariates - 1) / sxx)


def _dot(a: Array, b: Array) -> Array:
    """Products a_j'b_j, (pairs,), of paired columns of two arrays (k, pairs)."""
    return np.asarray(np.einsum("kj,kj->j", a, b))


def _of_logarithm(value: Array, slope: Array, bend: Array) -> tuple[Array, Array]:
    """First and second derivative of log f from f and its derivatives."""
    relative = slope / value
    return relative, bend / value - relative * relative


def _of_covariates(covariance: Covariance, inverse: Array, at: Variances) -> tuple[Array, Array]:
    """First and second derivative of log|C'WC|: tr(A^-1 A') and tr(A^-1 A'') - tr((A^-1 A')^2)."""
    change, w = at.slope, at.weights
    weights = (-change * w * w, 2.0 * change * change * w * w * w)
    first, second = (inverse @ covariate_gram(covariance, weight) for weight in weights)
    slope = np.trace(first, axis1=1, axis2=2)
    return slope, np.trace(second, axis1=1, axis2=2) - np.einsum("jab,jba->j", first, first)


def optimise_pairs(
    covariance: Covariance,
    x: Array,
    y: Array,
    points: Array,
    curves: Real,
    *,
    reml: bool,
    error: Array | float = 0.0,
) -> tuple[Array, Array]:
    """Heritability that maximises each pair's likelihood, and the full likelihood there.

    Newton's method starts from every peak of the interpolated likelihood that may be the highest.
    Its steps stay between points where the likelihood was found to rise and to fall.

    Parameters
    ----------
    covariance : Covariance
        Covariance of the k rows.
    x, y : array (k, pairs)
        Rotated markers and traits.
    points : array (p,)
        Heritabilities from 0 to h2_max.
    curves : array (pairs, p)
        The interpolated likelihood there, in nats; used only to choose the starting points.
    reml : bool
        Maximise the restricted likelihood.
    error : float or array (pairs,)
        Error of the interpolated likelihood, in nats.

    Returns
    -------
    h2, full : array (pairs,)
        Heritability, and full log-likelihood in nats.
    """
    pair, start = _peaks(points, curves, np.maximum(_CLOSE, _DOUBTS * np.asarray(error)))
    x, y = x[:, pair], y[:, pair]

    def profile(h2: Array, some: Index) -> PairProfile:
        return pair_profile(covariance, x[:, some], y[:, some], h2, reml=reml)

    h2, value, full = _climb(profile, points, start)
    order = np.lexsort((value, pair))  # the last write of a pair is its best peak
    out_h2, out_full = np.empty(len(curves)), np.empty(len(curves))
    out_h2[pair[order]], out_full[pair[order]] = h2[order], full[order]
    return out_h2, out_full


def _peaks(points: Array, curves: Real, margin: Array) -> tuple[Index, Array]:
    """Pair and h2, by a parabola, of every local maximum that may be the highest of its pair.

    It may be if at most `margin` (pairs,) nats below the highest.
    """
    edge = np.full((len(curves), 1), -np.inf)
    padded = np.concatenate([edge, curves, edge], axis=1)
    local = (curves >= padded[:, :-2]) & (curves >= padded[:, 2:])
    local &= curves >= (curves.max(axis=1) - margin)[:, None]
    pair, peak = np.nonzero(local)
    last = len(points) - 1
    if last < 2:
        return pair, points[peak]
    middle = np.clip(peak, 1, last - 1)
    before, at, after = (curves[pair, middle + step] for step in (-1, 0, 1))
    bend = np.minimum(before - 2.0 * at + after, -1e-12)
    place = np.clip(middle + 0.5 * (before - after) / bend, peak - 1, peak + 1)
    return pair, np.interp(place, np.arange(last + 1), points)


def _climb(
    profile: Callable[[Array, Index], PairProfile], points: Array, start: Array
) -> tuple[Array, Array, Array]:
    """Local maximum reached from each start: h2, its likelihood and its full likelihood."""
    last = len(points) - 1
    h2, value, full = start.copy(), np.empty(len(start)), np.empty(len(start))
    low, high = np.full(len(start), -np.inf), np.full(len(start), np.inf)
    open_ = np.arange(len(start))
    for _ in range(_MOST_STEPS):
        h = h2[open_]
        at = profile(h, open_)
        low[open_] = np.where(at.slope > 0, h, low[open_])
        high[open_] = np.where(at.slope < 0, h, high[open_])
        # A Newton step, or an uphill step if convex, limited to about two points in each direction.
        concave = at.bend < 0
        step = np.where(concave, -at.slope / np.where(concave, at.bend, 1.0), np.sign(at.slope))
        here = np.searchsorted(points, h)
        nearest, farthest = np.maximum(here - 2, 0), np.minimum(here + 2, last)
        target = np.clip(h + step, points[nearest], points[farthest])
        crossed = (target != h) & ((target <= low[open_]) | (target >= high[open_]))
        target[crossed] = 0.5 * (low[open_] + high[open_])[crossed]
        step = target - h
        change = at.slope * step + 0.5 * at.bend * step * step
        full_change = at.full_slope * step + 0.5 * at.full_bend * step * step
        moved = np.maximum(np.abs(change), np.abs(full_change))
        done = (moved <= _SETTLED) & concave | (target == h)
        h2[open_] = target
        value[open_], full[open_] = at.value + change, at.full + full_change
        open_ = open_[~done]
        if len(open_) == 0:
            break
    return h2, value, full
