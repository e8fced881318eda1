"""Maxima of many likelihoods at once, each known at evenly spaced points."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Self

import numpy as np

from bulklmm_dask.typing import Flags, Index, Real

# A second peak rivals the highest if its interpolated height is at most `_RIVAL` nats lower; only
# peaks with a point at most `_HOPEFUL` nats lower are interpolated.
_RIVAL, _HOPEFUL = 0.05, 0.5
# Number of Newton steps on the quartic polynomial.
_CLIMBS = 2
# A result is unsure if the interpolated maximum exceeds the highest point by more nats: `_BETWEEN`
# for a point inside the row, `_BESIDE` for an end of the row.
_BETWEEN, _BESIDE = 0.02, 1e-3
# A result is unsure if the error of interpolation of the likelihood may be larger, in nats.
_DOUBT = 2e-3
# A result is unsure if the other function differs by more nats between places whose likelihoods are
# equal within their errors.
_LOOSE = 5e-3


@dataclass(frozen=True)
class Summit:
    """Maxima of rows of likelihoods (..., points); arrays (...), one maximum per row.

    Attributes
    ----------
    place : array
        Position of the maximum, in steps from the first point.
    value : array
        The other function at that position; without one, the likelihood.
    top : array
        The likelihood at that position.
    at_start, at_end : array of bool
        Whether the first or the last point is the highest.
    unsure : array of bool
        Whether the points are too far apart to determine the place or the value.
    """

    place: Real
    value: Real
    top: Real
    at_start: Flags
    at_end: Flags
    unsure: Flags


def summit(likelihood: Real, other: Real | None = None, *, error: float = 0.0) -> Summit:
    """Find the maximum of each row of likelihoods, between points by a quartic polynomial.

    Parameters
    ----------
    likelihood : array (..., points)
        Log-likelihoods in nats at five or more points.
    other : array (..., points), optional
        Another function, in nats, to be evaluated at the maximum.
    error : float
        Error of the likelihood, in nats. If `other` differs noticeably between places whose
        likelihoods are equal within this error, the result is unsure.
    """
    last = likelihood.shape[-1] - 1
    peak = likelihood.argmax(axis=-1)
    middle = np.clip(peak, 2, last - 2)
    around = _Quartic.through(likelihood, middle)
    start = (peak - middle).astype(likelihood.dtype)
    climbed = start
    for _ in range(_CLIMBS):
        climbed = around.climb(climbed)
    # At an end, the value is that of the point; a maximum beside it makes the result unsure.
    at_start, at_end = peak == 0, peak == last
    end = at_start | at_end
    highest = pick(likelihood, peak)
    top = around(climbed)
    unsure = top > highest + np.where(end, _BESIDE, _BETWEEN).astype(likelihood.dtype)
    unsure |= around.doubt(climbed) > _DOUBT
    offset = np.where(end, start, climbed)
    top = value = np.where(end, highest, np.maximum(top, highest))
    if other is not None:
        beside = _Quartic.through(other, middle)
        value = beside(offset)
        blur = around.blur(climbed, error)
        elsewhere = np.maximum(*(np.abs(beside(climbed + step) - value) for step in (-blur, blur)))
        tied = likelihood >= (top - 2 * error)[..., None]
        differs = np.where(tied, np.abs(other - value[..., None]), 0).max(axis=-1)
        doubt = beside.doubt(offset)
        unsure |= np.maximum(np.maximum(elsewhere, differs), doubt) > _LOOSE
    return Summit(middle + offset, value, top, at_start, at_end, unsure)


def pick(values: Real, index: Index) -> Real:
    """Value at the point `index` (...) of each row of `values` (..., points)."""
    count = values.shape[-1]
    starts = np.arange(0, index.size * count, count).reshape(index.shape)
    return values.reshape(-1).take(starts + index)


def has_rival(values: Real, place: Real, top: Real) -> Flags:
    """Whether a row (..., points) may have a second peak as high as `top`, the one at `place`.

    The height of a peak above its point is estimated by a parabola and multiplied by 1.5.
    """
    count, flat = values.shape[-1], values.reshape(-1)
    peak = np.flatnonzero(is_peak(values))
    row, k = np.divmod(peak, count)
    place, top = place.reshape(-1), top.reshape(-1)
    other = (np.abs(k - place[row]) > 1.5) & (flat[peak] > top[row] - _HOPEFUL)
    peak, row, k = peak[other], row[other], k[other]
    before, at, after = flat[peak - (k > 0)], flat[peak], flat[peak + (k < count - 1)]
    bend = np.minimum(before - 2 * at + after, -1e-6)
    between = np.minimum(np.abs(0.5 * (after - before) / bend), 1)
    out = np.zeros(values.shape[:-1], np.bool_)
    near = at + 0.375 * np.abs(after - before) * between > top[row] - _RIVAL
    out.reshape(-1)[row[near]] = True
    return out


def is_peak(values: Real) -> Flags:
    """Mask (..., points) of points not lower than their neighbours; ends have one neighbour."""
    # Comparing all rows as one long row is several times as fast; then the ends are corrected.
    flat = values.reshape(-1)
    rising = np.ones(values.shape, np.bool_)
    np.greater_equal(flat[1:], flat[:-1], out=rising.reshape(-1)[1:])
    rising[..., 0] = True
    peak = rising.copy()
    peak.reshape(-1)[:-1] &= ~rising.reshape(-1)[1:]
    peak[..., -1] = rising[..., -1]
    return peak


@dataclass(frozen=True)
class _Quartic:
    """Polynomials of degree 4 through values at t = -2, -1, 0, 1 and 2, for many pairs at once."""

    coefficients: tuple[Real, Real, Real, Real, Real]

    @classmethod
    def through(cls, values: Real, middle: Index) -> Self:
        """Fit the five points of each row (..., points) around the point `middle` (...)."""
        count = values.shape[-1]
        centre = np.arange(0, middle.size * count, count).reshape(middle.shape) + middle
        flat = values.reshape(-1)
        a, b, c, d, e = (flat.take(centre + step) for step in (-2, -1, 0, 1, 2))
        return cls(
            (
                c,
                (a - e + 8 * (d - b)) / 12,
                (16 * (b + d) - 30 * c - a - e) / 24,
                (e - a + 2 * (b - d)) / 12,
                (a + e - 4 * (b + d) + 6 * c) / 24,
            )
        )

    def __call__(self, t: Real) -> Real:
        """Value at t."""
        c0, c1, c2, c3, c4 = self.coefficients
        return c0 + t * (c1 + t * (c2 + t * (c3 + t * c4)))

    def doubt(self, t: Real) -> Real:
        """Bound of the error at t for a smooth function: the terms of degree 3 and 4."""
        _, _, _, c3, c4 = self.coefficients
        return (np.abs(c3) + np.abs(c4)) * np.abs(t * (t * t - 1))

    def blur(self, t: Real, error: float) -> Real:
        """Largest shift of a maximum at t, at most 1 step, due to errors of values or of shape."""
        _, _, _, c3, c4 = self.coefficients
        bend = np.maximum(-self.bend(t), 1e-9)
        return np.minimum(np.sqrt(2 * error / bend) + (np.abs(c3) + np.abs(c4)) / bend, 1)

    def bend(self, t: Real) -> Real:
        """Second derivative at t."""
        _, _, c2, c3, c4 = self.coefficients
        return 2 * c2 + t * (6 * c3 + t * 12 * c4)

    def climb(self, t: Real) -> Real:
        """Newton step from t towards the maximum (uphill if convex), kept within [-2, 2]."""
        _, c1, c2, c3, c4 = self.coefficients
        slope = c1 + t * (2 * c2 + t * (3 * c3 + t * 4 * c4))
        bend = self.bend(t)
        convex = bend >= 0
        step = np.where(convex, np.sign(slope), -slope / np.where(convex, 1, bend))
        return np.clip(t + np.clip(step, -0.5, 0.5), -2, 2)
