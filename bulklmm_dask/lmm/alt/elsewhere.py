r"""Heritabilities beyond a trait's polynomials (`local`), where its pairs may be likelier.

At a node h, a(h) = sum_k x_k y_k / v(mu_k, h) is nearly the sum of alpha_k a_k, because v0/v is
nearly a cubic polynomial in u; with delta, what is left of v0/v, and by Cauchy and Schwarz

|a(h) - sum_k alpha_k a_k| <= sqrt(S_xx(h0)) sqrt(sum_k y_k^2 delta_k^2 / v0).

So r2 at a node has an upper bound, and so has the likelihood of a pair there; if it exceeds that of
the maximum near h0, the pair is searched. Far from h0 that bound may say nothing. A trait with such
nodes has another product, its score at one of them, a function more to which v0/v is nearly linear.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from typing import Self

import numpy as np

from bulklmm_dask.lmm.alt.without_marker import WithoutMarker
from bulklmm_dask.lmm.compress import weights_at
from bulklmm_dask.typing import Array, Flags, Index

# Ridge of regressions, which keeps coefficients small, and error of their sums; relative.
_RIDGE, _INEXACT = 1e-7, 1e-9
# Nodes of the mesh at which other maxima are looked for: every `_EVERY`th.
_EVERY = 4
# Half the difference of the squares of the normal scores of a random marker at a node and at h0, s
# being the sine of the angle between them, exceeds d with a probability of about exp(-d/s). A node
# is deep if its null likelihood is more than `_DEEP` s and `_LEAST` lower, in nats: only a strong
# marker with another maximum there makes up for it.
_DEEP, _LEAST = 14.0, 2.0
# The bound of r2 at a deep node suffices if, with what it adds to the score, a random marker is
# still `_CLEAR` s nats away from a search.
_CLEAR = 10.0
# Neighbouring deep nodes are one if r2 differs by no more than this between them, in nats.
_SLACK = 1.5
# Only a likelihood higher by this, in nats, makes a pair searched; at an end of the interval also
# one that is lower by less than `_AT_END`, and than a quarter of what the null likelihood is lower.
_HIGHER, _AT_END = 1e-3, 0.02
# A maximum between two nodes may be higher than the nodes promise by this, in nats.
_BETWEEN = 0.02


@dataclass(frozen=True)
class Regression:
    """Regressions of functions of mu on a few others, for each trait, with the weights y^2 / v0.

    Attributes
    ----------
    weights : array (q, traits)
        Terms of y'My in rows in use, over v0.
    functions : array (k, q, traits)
        The functions at the poles; the first is 1.
    gram, inverse : array (traits, k, k)
        Matrix of the regressions.
    """

    weights: Array
    functions: Array
    gram: Array
    inverse: Array

    @classmethod
    def on(cls, weights: Array, functions: Array) -> Self:
        """Regressions on functions (k, q, traits)."""
        gram = np.einsum("qj,aqj,bqj->jab", weights, functions, functions, optimize=True)
        ridge = _RIDGE * np.maximum(gram[:, :1, :1], 1e-300) * np.eye(len(functions))
        return cls(weights, functions, gram, np.linalg.inv(gram + ridge))

    def products(self, target: Array) -> Array:
        """Weighted sums of products of a function (q, traits) with the others, (k, traits)."""
        return np.einsum("aqj,qj->aj", self.functions, self.weights * target)

    def coefficients(self, target: Array) -> Array:
        """Coefficients (k, traits) of a function (q, traits)."""
        return np.einsum("jab,bj->aj", self.inverse, self.products(target))

    def bound(self, target: Array) -> tuple[Array, Array]:
        """Coefficients (k, traits) of a function, and the root mean square of what they leave."""
        products = self.products(target)
        alpha = np.einsum("jab,bj->aj", self.inverse, products)
        square = (self.weights * target * target).sum(axis=0)
        inside = 2.0 * (alpha * products).sum(axis=0)
        inside -= np.einsum("aj,jab,bj->j", alpha, self.gram, alpha)
        left = np.maximum(square - inside, 0.0)
        # What sums of few terms, and large coefficients of single precision, leave uncertain.
        left += _INEXACT * (np.sqrt(np.abs(square)) + np.abs(alpha).sum(axis=0)) ** 2
        return alpha, np.sqrt(left)

    def sine(self, target: Array) -> Array:
        """Sine of the angle between a function and a constant, (traits,)."""
        square = (self.weights * target * target).sum(axis=0) * self.gram[:, 0, 0]
        product = (self.weights * target).sum(axis=0)
        return np.sqrt(np.maximum(1.0 - product * product / np.maximum(square, 1e-300), 0.0))


@dataclass(frozen=True)
class Elsewhere:
    """Heritabilities at which other maxima are looked for, most promising first for each trait.

    Attributes
    ----------
    h2 : array (nodes,)
        All of them.
    node : array (traits, most)
        Positions among these.
    count : array (traits,)
        How many of `node` are of use.
    alpha : array (traits, most, k + 1)
        a(h) is nearly the sum of alpha_k a_k, and the last times the score at `far`.
    bound : array (traits, most)
        Its largest error, relative to the square root of S_xx(h0).
    size : array (traits, most)
        1/S_yy(h), in units of S_yy(h0).
    factor : array (traits, most)
        exp(2 L/N), L the largest null likelihood near the node minus that at h0.
    far : array (traits,)
        Heritability of another score, y/v(far) times `far_size`; NaN where none is needed.
    far_size : array (traits,)
    """

    h2: Array
    node: Index
    count: Index
    alpha: Array
    bound: Array
    size: Array
    factor: Array
    far: Array
    far_size: Array

    @classmethod
    def of(
        cls, null: WithoutMarker, h0: Array, range_: tuple[Array, Array], near: Regression
    ) -> Self:
        """Choose nodes, with their null likelihoods and regressions.

        Parameters
        ----------
        null : WithoutMarker
        h0 : array (traits,)
            Null estimates.
        range_ : tuple of array (traits,)
            Heritabilities that the polynomials of each trait reach.
        near : Regression
            On the functions whose products with x are a_k v0/y.
        """
        mesh, poles = null.projected.spectrum.mesh, null.projected.poles[:, None]
        index = np.unique(np.append(np.arange(0, len(mesh), _EVERY), len(mesh) - 1))
        h2 = mesh[index]
        v0 = 1.0 + (poles - 1.0) * h0

        def ratio(h: Array | float) -> Array:
            return np.asarray(v0 / (1.0 + (poles - 1.0) * h))

        value, yy = null.on_mesh(mesh)
        value -= null.at(h0)[0]
        outside = (mesh[:, None] < range_[0]) | (mesh[:, None] > range_[1])
        at_end = (h0 == 0.0) | (h0 == mesh[-1])
        top = _tops(value, outside, at_end, index)
        sine = np.stack([near.sine(ratio(h)) for h in h2])
        deep = top <= -np.maximum(_DEEP * sine, _LEAST)
        # Within its range the polynomials of a trait say it, unless it is at an end. Where r2 is
        # that at h0, and the likelihood a little lower, there is nothing to be found.
        useful = (outside[index] | at_end) & (deep | (top > -_DEEP * sine))
        _join(top, useful, deep, h2, null)
        alpha, bound = (
            np.stack(parts) for parts in zip(*(near.bound(ratio(h)) for h in h2), strict=True)
        )
        alpha = np.concatenate([alpha, np.zeros_like(alpha[:, :1])], axis=1)
        size, factor = 1.0 / yy[index], np.exp(2.0 / null.count * top)
        added = bound * np.sqrt(size * _stretches(null, h0, h2))
        score = np.maximum(np.sqrt(np.maximum(1.0 - factor, 0.0)) - added, 0.0)
        vague = useful & deep & (0.5 * null.count * score**2 < _CLEAR * sine)
        far, far_size = np.full(len(h0), np.nan), np.ones(len(h0))
        some = np.flatnonzero(vague.any(axis=0))
        if len(some):
            worst = np.where(vague, added, -1.0)[:, some].argmax(axis=0)
            far[some] = h2[worst]
            v0 = v0[:, some]
            farthest = ratio(far[some])
            far_size[some] = 1.0 / farthest.max(axis=0)
            functions = [*near.functions[:, :, some], farthest * far_size[some]]
            with_far = Regression.on(near.weights[:, some], np.stack(functions))
            for k, h in enumerate(h2):
                coefficients, left = with_far.bound(ratio(h))
                better = left < bound[k, some]
                alpha[k][:, some[better]] = coefficients[:, better]
                bound[k, some[better]] = left[better]
        count = useful.sum(axis=0)
        first = np.where(useful, -top, np.inf)
        order = np.argsort(first, axis=0, kind="stable")[: int(count.max(initial=0))]

        def chosen(values: Array) -> Array:
            return np.take_along_axis(values, order, axis=0).T

        return cls(
            h2,
            np.ascontiguousarray(order.T),
            count,
            np.stack([chosen(part) for part in alpha.swapaxes(0, 1)], axis=-1),
            chosen(bound),
            chosen(size),
            chosen(factor),
            far,
            far_size,
        )


def _tops(value: Array, outside: Flags, at_end: Flags, index: Index) -> Array:
    """Largest null likelihoods near the nodes, with what may be lost between, (nodes, traits)."""
    beside = np.where(outside, value, -np.inf)
    top = value[index] + np.where(at_end, np.minimum(-0.25 * value[index], _AT_END), 0.0)
    top -= _HIGHER
    middle = np.concatenate([[0], (index[1:] + index[:-1]) // 2, [len(value) - 1]])
    for i, (start, stop) in enumerate(pairwise(middle)):
        np.maximum(top[i], beside[start : stop + 1].max(axis=0) + _BETWEEN, out=top[i])
    return np.asarray(top)


def _join(top: Array, useful: Flags, deep: Flags, h2: Array, null: WithoutMarker) -> None:
    """Leave one node of neighbours at which r2 is nearly the same, for traits that are deep there.

    `top` and `useful` (nodes, traits) are changed. With the variances of all rows between rho_1 and
    rho_2 times those at another node, the residual sums of squares are too, and 1 - r2 changes by a
    factor between rho_1/rho_2 and rho_2/rho_1.
    """
    mu = null.projected.mu
    ends = np.array([0.0 if null.projected.null.shape[1] else mu[-1], mu[0]])[:, None]
    v = ends * h2 + (1.0 - h2)
    half = 0.5 * (null.count + null.reml)
    first = 0
    while first < len(h2):
        ratio = v[:, first + 1 :] / v[:, [first]]
        slack = half * np.abs(np.log(ratio[1] / ratio[0]))
        size = int(np.cumprod(slack <= _SLACK).sum())
        if size:
            group = slice(first, first + size + 1)
            joined = useful[first] & (deep[group] | ~useful[group]).all(axis=0)
            highest = np.where(useful[group], top[group], -np.inf).max(axis=0) + slack[size - 1]
            top[first] = np.where(joined, highest, top[first])
            useful[first + 1 : first + size + 1] &= ~joined
        first += size + 1


def _stretches(null: WithoutMarker, h0: Array, h2: Array) -> Array:
    """S_xx(h0) / S_xx(h) of usual markers, (nodes, traits).

    The larger one of a marker with an equal part in every row, and one whose squares are as large
    as the eigenvalues, as those of the markers that make a kinship are.
    """
    projected = null.projected
    parts = projected.left @ np.stack([np.ones_like(projected.mu), projected.mu], axis=1)
    at_null, at_nodes = (parts.T @ weights_at(projected.poles, h) for h in (h0, h2))
    return np.asarray((at_null[:, None] / at_nodes[:, :, None]).max(axis=0))
