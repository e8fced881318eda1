r"""Likelihoods of pairs near the null estimate of each trait, as polynomials in one variable.

In projected rows (`projected`), with v0 = v(mu, h0) at the null estimate h0 of a trait, s = h - h0,
e = (mu - 1)/v0, a centre c of e and a width w >= |e - c|,

u = -(e - c)/w,   t = w s/(1 + s c),   v(mu, h) = v0 (1 + s c) (1 - t u),   |u| <= 1.

The factor 1 + s c cancels in r2. So, with S_yy(h0) = 1 and y(t) = (1 + s c) S_yy(h),

a(t) = sum_k x_k y_k / (v0 (1 - t u)),   g(t) = y(t) sum_k x_k^2 / (v0 (1 - t u)),   r2 = a^2 / g.

a(t) is a_0 + a_1 t + a_2 t^2 + ... with a_k = sum x y u^k / v0: four products, and a_4 and a_5 from
these, because u^4 and u^5 are nearly cubic polynomials in u. g(t) is a polynomial of degree 8 from
compressed x^2, and so is what does not depend on the marker. The likelihood with the
marker, F(t) = L(t) - (N/2) ln(1 - r2) and -1/2 ln S_xx under REML, and its derivatives follow
without further products.

All heritabilities beyond a trait's range of t count too (`elsewhere`).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Self

import numpy as np

from bulklmm_dask.lmm.alt.elsewhere import Elsewhere, Regression
from bulklmm_dask.lmm.alt.without_marker import WithoutMarker
from bulklmm_dask.lmm.compress import weights_at
from bulklmm_dask.lmm.projected import Projected
from bulklmm_dask.typing import Array, Flags, Index

# Largest |t|, and how much a side of the range shrinks where a polynomial is too inexact.
_REACH, _SHRINK, _ROUNDS = 0.4, 0.6, 8
# Degree of the polynomials of what depends on the trait alone, and of g; powers of u in products.
DEGREE, POWERS = 8, 4
# Bound of coefficients. True ones are some units; on a tiny range those of high powers are rounding
# divided by the power of the range, which single precision has to hold.
_LARGEST = 1e25
# Largest error of a trait's own polynomials, in nats, and of y. It is smaller under REML, where the
# LOD is not stationary in h2.
_FIT, _FIT_REML = 1e-4, 2e-5


@dataclass(frozen=True)
class Expansion:
    """Polynomials of the traits of one group.

    Attributes
    ----------
    projected : Projected
    y : array (rows, traits)
        Traits in the rows of its spectrum.
    h0 : array (traits,)
        Null estimates.
    inside : array (traits, r)
        Projected traits, with S_yy(h0) = 1.
    terms : array (q + 1, traits)
        Terms of S_yy in the same units.
    centre, width : array (traits,)
        c and w.
    low, high : array (traits,)
        Range of t; 0 is in it.
    at_low, at_high : array (traits,) of bool
        Whether its ends are those of the admissible heritabilities.
    objective, full : array (DEGREE + 1, traits)
        Coefficients of L, of the likelihood to maximise and of the full one, in nats.
    weights : array (DEGREE + 1, traits, q)
        Coefficients of g are these times the terms of x^2.
    power4, power5 : array (traits, 4)
        a_4 and a_5 from a_0 to a_3.
    usable : array (traits,) of bool
        Whether the polynomials are exact enough.
    elsewhere : Elsewhere
    """

    projected: Projected
    y: Array
    h0: Array
    inside: Array
    terms: Array
    centre: Array
    width: Array
    low: Array
    high: Array
    at_low: Flags
    at_high: Flags
    objective: Array
    full: Array
    weights: Array
    power4: Array
    power5: Array
    usable: Flags
    elsewhere: Elsewhere

    @classmethod
    def of(cls, projected: Projected, y: Array, h0: Array, count: int, *, reml: bool) -> Self:
        """Expand traits (rows, traits) of the spectrum around their null estimates.

        `count` is the effective degrees of freedom with the marker.
        """
        inside = projected.vectors.T @ y
        terms = projected.square_terms(y, inside)
        size = np.einsum("qj,qj->j", terms, weights_at(projected.with_null, h0))
        inside /= np.sqrt(size)
        terms = terms / size
        change = projected.mu[:, None] - 1.0
        e = change / (1.0 + change * h0)
        centre = e.mean(axis=0)
        width = np.maximum(np.abs(e - centre).max(axis=0), 1e-9 * np.abs(e).max(axis=0) + 1e-300)
        likelihood = WithoutMarker(projected, terms, count, reml)
        curves = _Curves.of(likelihood, h0, centre, width)
        poles = projected.poles[:, None]
        v0 = 1.0 + (poles - 1.0) * h0
        u = -((poles - 1.0) / v0 - centre) / width
        powers = u ** np.arange(POWERS + 2)[:, None, None]
        near = Regression.on(terms[:-1] / v0, powers[:POWERS])
        return cls(
            projected,
            y,
            h0,
            np.ascontiguousarray(inside.T),
            terms,
            centre,
            width,
            curves.low,
            curves.high,
            curves.at_low,
            curves.at_high,
            curves.objective,
            curves.full,
            curves.weights(v0, u),
            _bounded(near.coefficients(powers[POWERS]).T),
            _bounded(near.coefficients(powers[POWERS + 1]).T),
            curves.usable,
            Elsewhere.of(likelihood, h0, (curves.ends[0], curves.ends[1]), near),
        )

    def scores(self, columns: Index) -> Array:
        """Scores y u^k / v0 of some traits, (POWERS, traits, r), whose products with x are a_k."""
        change = self.projected.mu[:, None] - 1.0
        v0 = 1.0 + change * self.h0[columns]
        u = -(change / v0 - self.centre[columns]) / self.width[columns]
        out = np.empty((POWERS, *u.T.shape))
        score = self.inside[columns].T / v0
        for k in range(POWERS):
            out[k] = score.T
            score *= u
        return out

    def far_scores(self, columns: Index) -> Array:
        """Other scores of some traits, (traits, r), all of which have one (`Elsewhere.far`)."""
        far = self.elsewhere.far[columns, None]
        size = self.elsewhere.far_size[columns, None]
        return np.asarray(self.inside[columns] * size / (1.0 + (self.projected.mu - 1.0) * far))


@dataclass(frozen=True)
class _Curves:
    """Polynomials of traits alone, with the ranges where they are exact; fields of `Expansion`."""

    low: Array
    high: Array
    at_low: Flags
    at_high: Flags
    objective: Array
    full: Array
    usable: Flags
    ends: Array
    nodes: Array
    size: Array

    @classmethod
    def of(cls, null: WithoutMarker, h0: Array, centre: Array, width: Array) -> Self:
        """Fit polynomials on ranges that shrink until they are exact."""
        h2_max = null.projected.spectrum.h2_max

        def t_of(h2: Array | float) -> Array:
            s = h2 - h0
            return np.asarray(width * s / (1.0 + s * centre))

        def h2_of(t: Array) -> Array:
            return np.clip(h0 + t / (width - centre * t), 0.0, h2_max)

        base = null.at(h0)

        def values(t: Array) -> Array:
            h2 = h2_of(t)
            objective, full, yy = null.at(h2)
            stretch = 1.0 + (h2 - h0) * centre
            if null.reml:  # what ln S_xx has that ln g has not
                objective = objective + np.log(stretch) + 0.5 * np.log(yy)
            return np.stack([objective - base[0], full - base[1], stretch * yy])

        first, last = t_of(0.0), t_of(h2_max)
        low, high = np.maximum(first, -_REACH), np.minimum(last, _REACH)
        for _ in range(_ROUNDS):
            nodes = _nodes(low, high)
            at_nodes = np.stack([values(t) for t in nodes])
            found = _fit(nodes, at_nodes)
            error = []
            for side in (low, high):
                points = np.array([0.3, 0.6, 0.85, 1.0])[:, None] * side
                gaps = [np.abs(_value(found, t) - values(t)).max(axis=0) for t in points]
                error.append(np.max(gaps, axis=0))
            exact = [gap <= (_FIT_REML if null.reml else _FIT) for gap in error]
            if all(side.all() for side in exact):
                break
            low, high = (
                np.where(exact[0], low, _SHRINK * low),
                np.where(exact[1], high, _SHRINK * high),
            )
        usable = exact[0] & exact[1]
        found = np.where(usable, found, 0.0)
        return cls(
            low,
            high,
            low == first,
            high == last,
            found[:, 0],
            found[:, 1],
            usable,
            np.stack([h2_of(low), h2_of(high)]),
            nodes,
            at_nodes[:, 2],
        )

    def weights(self, v0: Array, u: Array) -> Array:
        """Weights (DEGREE + 1, traits, q) of the terms of x^2 in the coefficients of g."""
        values = np.stack(
            [size / (v0 * (1.0 - t * u)) for t, size in zip(self.nodes, self.size, strict=True)]
        )
        return np.ascontiguousarray(_fit(self.nodes, values).swapaxes(1, 2))


def _nodes(low: Array, high: Array) -> Array:
    """Chebyshev nodes (DEGREE + 1, traits) of ranges, the one nearest to 0 moved there."""
    place = 0.5 - 0.5 * np.cos(np.pi * (np.arange(DEGREE + 1) + 0.5) / (DEGREE + 1))
    nodes = low + place[:, None] * np.maximum(high - low, 1e-6)
    np.put_along_axis(nodes, np.abs(nodes).argmin(axis=0)[None], 0.0, axis=0)
    return nodes


def _fit(nodes: Array, values: Array) -> Array:
    """Coefficients (degree + 1, ..., traits) of polynomials through values at nodes."""
    span = np.abs(nodes).max(axis=0)
    powers = (nodes / span).T[:, :, None] ** np.arange(len(nodes))
    found = np.einsum("jkn,n...j->k...j", np.linalg.inv(powers), values)
    found /= (span ** np.arange(len(nodes))[:, None]).reshape(
        len(nodes), *(1,) * (values.ndim - 2), -1
    )
    return _bounded(found)


def _bounded(coefficients: Array) -> Array:
    """Coefficients within what single precision holds (`_LARGEST`)."""
    return np.clip(coefficients, -_LARGEST, _LARGEST)


def _value(coefficients: Array, t: Array) -> Array:
    """Values of polynomials (degree + 1, ..., traits) at t (traits,)."""
    out = np.zeros_like(coefficients[0])
    for each in coefficients[::-1]:
        out = out * t + each
    return out
