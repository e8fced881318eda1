r"""One marker, one trait: the likelihood with the marker in, and its exact optimum, many at once.

With e = M y - (S_xy/S_xx) M x the weighted residuals with the marker among the covariates,
RSS1 = e'Ve, d RSS1/dh = -e' diag(lam - 1) e, and

- ML:   l1(h) = -1/2 [ n log RSS1 + sum log v ]
- REML: l1(h) = -1/2 [ (n-c-1) log RSS1 + sum log v + log|C'WC| + log S_xx ]
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy.optimize import elementwise

from bulklmm_dask.lmm.basis import Spectrum
from bulklmm_dask.lmm.profile import covariate_terms, project

Array = npt.NDArray[np.float64]
Index = npt.NDArray[np.int64]

# Pairs taken together: their vectors stay in cache.
TOGETHER = 2048
# Local maxima of the interpolated likelihood this far below its best are tried too.
_CLOSE = 0.05
_STRIDE = 4

SlopeAt = Callable[[Array, Index], Array]


@dataclass(frozen=True)
class PairProfile:
    """Likelihood to maximise (ML or REML), its slope, and the full likelihood, all (pairs,)."""

    value: Array
    slope: Array
    full: Array


def pair_profile(spectrum: Spectrum, x: Array, y: Array, h2: Array, *, reml: bool) -> PairProfile:
    """Likelihood of pair j at its own h_j: x and y (k, pairs) rotated, h2 (pairs,)."""
    pairs, n = len(h2), spectrum.n
    both, a = project(spectrum, np.concatenate([y, x], axis=1), np.concatenate([h2, h2]))
    my, mx = both[:, :pairs], both[:, pairs:]
    sxx = np.einsum("kj,kj->j", x, mx)
    residual = my - mx * (np.einsum("kj,kj->j", x, my) / sxx)
    v, change = spectrum.variances(h2), spectrum.eigenvalues - 1.0
    square = residual * residual
    rss, rss_slope = np.einsum("kj,kj->j", v, square), -(change @ square)
    logdet = spectrum.copies @ np.log(v)
    logdet_slope = (spectrum.copies * change) @ (1.0 / v)
    full = -0.5 * (n * np.log(rss) + logdet)
    if not reml:
        return PairProfile(full, -0.5 * (n * rss_slope / rss + logdet_slope), full)
    count = n - spectrum.n_covariates - 1
    of_covariates, of_covariates_slope = covariate_terms(spectrum, a[:pairs], v)
    sxx_slope = -(change @ (mx * mx))
    return PairProfile(
        -0.5 * (count * np.log(rss) + logdet + of_covariates + np.log(sxx)),
        -0.5 * (count * rss_slope / rss + logdet_slope + of_covariates_slope + sxx_slope / sxx),
        full,
    )


def optimise_pairs(
    spectrum: Spectrum, x: Array, y: Array, points: Array, curves: Array, *, reml: bool
) -> tuple[Array, Array]:
    """Heritability that maximises each pair's likelihood, and the full likelihood there.

    Parameters
    ----------
    spectrum : Spectrum
        Of k rows.
    x, y : array (k, pairs)
        Rotated markers and traits.
    points : array (p,)
        Heritabilities from 0 to h2_max.
    curves : array (pairs, p)
        The likelihood there, up to small errors: says where to look, decides nothing.
    reml : bool
        Maximise the restricted likelihood.

    Returns
    -------
    h2, full : array (pairs,)
    """
    pair, peak = _peaks(curves)
    x, y = x[:, pair], y[:, pair]

    def slope_at(h2: Array, some: Index) -> Array:
        return pair_profile(spectrum, x[:, some], y[:, some], h2, reml=reml).slope

    low, high = _brackets(slope_at, points, peak)
    h2 = np.where(low == high, points[low], np.nan)
    open_ = np.flatnonzero(low < high)
    if len(open_):
        found = elementwise.find_root(
            slope_at,
            (points[low[open_]], points[high[open_]]),
            args=(open_,),
            tolerances={"xatol": 1e-10},
        )
        h2[open_] = found.x
    best = pair_profile(spectrum, x, y, h2, reml=reml)
    order = np.lexsort((best.value, pair))  # the last write of a pair is its best peak
    out_h2, out_full = np.empty(len(curves)), np.empty(len(curves))
    out_h2[pair[order]], out_full[pair[order]] = h2[order], best.full[order]
    return out_h2, out_full


def _peaks(curves: Array) -> tuple[Index, Index]:
    """Pair and point of every local maximum that may be the highest."""
    edge = np.full((len(curves), 1), -np.inf)
    padded = np.concatenate([edge, curves, edge], axis=1)
    local = (curves >= padded[:, :-2]) & (curves >= padded[:, 2:])
    local &= curves >= curves.max(axis=1, keepdims=True) - _CLOSE
    pair, peak = np.nonzero(local)
    return pair, peak


def _brackets(slope_at: SlopeAt, points: Array, peak: Index) -> tuple[Index, Index]:
    """Points between which the slope turns from rising to falling; equal at an end of the range.

    The neighbours of an interpolated peak nearly always do; where not, they are moved outwards.
    """
    last = len(points) - 1
    low, high = np.maximum(peak - 1, 0), np.minimum(peak + 1, last)
    everyone = np.arange(len(peak))
    left, right = slope_at(points[low], everyone), slope_at(points[high], everyone)
    for _ in range(last):
        down = np.flatnonzero((left <= 0) & (low > 0))
        up = np.flatnonzero((left > 0) & (right >= 0) & (high < last))
        if len(down) == 0 and len(up) == 0:
            break
        high[down], right[down] = low[down], left[down]
        low[down] = np.maximum(low[down] - _STRIDE, 0)
        left[down] = slope_at(points[low[down]], down)
        low[up], left[up] = high[up], right[up]
        high[up] = np.minimum(high[up] + _STRIDE, last)
        right[up] = slope_at(points[high[up]], up)
    high = np.where(left <= 0, low, high)
    low = np.where((left > 0) & (right >= 0), high, low)
    return low, high
