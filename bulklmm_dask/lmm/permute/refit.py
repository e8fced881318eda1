r"""Largest r2 over the markers of very many permuted traits, with h2 estimated again for each.

A permuted trait needs only its h2, chosen from a grid, and the largest r2 over the markers. A tile
of pairs is multiplied, squared, divided and reduced to maxima while it is in cache; the logarithm
of the LOD is taken later, of the maxima only.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, Self

import numpy as np

from bulklmm_dask.lmm.basis import Basis
from bulklmm_dask.lmm.lod import largest_r2
from bulklmm_dask.lmm.markers import Markers, nearly_fixed, variation
from bulklmm_dask.lmm.projection import covariate_gram
from bulklmm_dask.typing import Array, Index, Real

# Permuted traits in a tile, and its cells (permuted traits x markers); it stays in cache.
COLUMNS = 1024
_CELLS = 1 << 20
# Largest error of a LOD due to computing r2 in single precision, provided that at least
# `_SMALL_SHARE` of the permuted trait is left beside the covariates.
_SINGLE_ERROR = 1e-5
_SMALL_SHARE = 0.05
# A permuted trait has no score if less than this share of it is left beside the covariates.
_NO_VARIATION = 1e-10
# Steps of the grid of h2 from one point where the likelihood is evaluated to the next.
_FINE = 4
_NO_ROWS = np.empty(0, dtype=np.intp)

# ``draw(j, which)`` gives whitened vectors (len(which), n) of trait j for the permutations `which`.
Draw = Callable[[int, slice | Index], Array]
# Gives the permuted traits of these numbers, (k, n).
Rows = Callable[[Index], Array]


def refit_grid(basis: Basis) -> Array:
    """Heritabilities (f,) that a permuted trait may take, ascending, 0 and h2_max included.

    The likelihood is evaluated at every `_FINE`-th of them. These are evenly spaced in the share of
    the variance that the kinship explains, and logarithmically in 1 - share towards 1, where
    replicated samples distinguish small residual variances.
    """
    low, rest = np.array([0.0, 0.01, 0.025]), 0.1 * 1.6 ** -np.arange(1.0, 20.0)
    share = np.concatenate([low, np.arange(1, 19) / 20, 1.0 - rest, [1.0]])
    points = np.unique(np.minimum(basis.at_share(share), basis.h2_max))
    below, above, part = points[:-1, None], points[1:, None], np.arange(_FINE) / _FINE
    even = below + (above - below) * part
    geometric = 1.0 - (1.0 - below) ** (1.0 - part) * (1.0 - above) ** part
    between = np.where((below >= 0.5) & (above < 1.0), geometric, even)
    return np.append(between.ravel(), points[-1])


@dataclass(frozen=True)
class Refit:
    """Profile likelihood on a grid of heritabilities, evaluated by matrix products.

    At every h of the grid S = y'Wy - |B'y|^2, with B = W C R and R R' = (C'WC)^-1.

    Attributes
    ----------
    basis : Basis
        Eigenbasis of n samples.
    h2 : array (f,)
        Heritabilities to choose from.
    weights : array (f, n)
        W at each of them.
    inverse : array (f, c, c)
        (C'WC)^-1 at each of them.
    projector : array (n, g * c)
        B at the g points where the likelihood is evaluated, every `_FINE`-th of `h2`.
    count, constant : float, array (g,)
        The likelihood is -1/2 [count log S + constant].
    """

    basis: Basis
    h2: Array
    weights: Array
    inverse: Array
    projector: Array
    count: float
    constant: Array

    @classmethod
    def of(cls, basis: Basis, *, reml: bool) -> Self:
        """Prepare the full or the restricted likelihood of a basis."""
        h2, c = refit_grid(basis), basis.covariates
        weights = basis.at(h2).weights.T
        products = covariate_gram(basis, weights.T)
        inverse = np.asarray(np.linalg.inv(products))
        at = weights[::_FINE]
        roots = np.linalg.cholesky(inverse[::_FINE])
        projector = np.einsum("gn,na,gab->ngb", at, c, roots, optimize=True)
        constant, count = -np.log(at).sum(axis=1), float(basis.n)
        if reml:
            count -= basis.n_covariates
            constant += np.linalg.slogdet(products[::_FINE])[1]
        flat = np.ascontiguousarray(projector.reshape(basis.n, -1))
        return cls(basis, h2, weights, inverse, flat, count, constant)

    def estimate(self, y: Array) -> tuple[Index, Array]:
        """Estimate h2 of rotated traits (k, n): its index (k,) in the grid, and the likelihood.

        The likelihood (k,) is that of the parabola through the best point and its neighbours, in
        nats, without constants.
        """
        total = np.square(y) @ self.weights[::_FINE].T
        inside = (y @ self.projector).reshape(*total.shape, -1)
        s = total - np.einsum("kga,kga->kg", inside, inside)
        cost = self.count * np.log(np.maximum(s, 1e-300)) + self.constant
        best = cost.argmin(axis=1)
        last = cost.shape[1] - 1
        if last < 2:
            return _FINE * best, -0.5 * cost.min(axis=1)
        # Vertex of the parabola through the best point and its neighbours, in steps between points.
        middle, row = np.clip(best, 1, last - 1), np.arange(len(y))
        left, centre, right = (cost[row, middle + step] for step in (-1, 0, 1))
        bend = left - 2.0 * centre + right
        own = best - middle
        step = np.where(bend > 0.0, 0.5 * (left - right) / np.where(bend > 0.0, bend, 1.0), own)
        step = np.clip(step, own - 0.5, own + 0.5)
        at = np.clip(np.rint(_FINE * (middle + step)), 0, _FINE * last).astype(np.int64)
        there = centre + 0.5 * step * (right - left + step * bend)
        return at, -0.5 * np.minimum(there, cost.min(axis=1))

    def scores(self, y: Array, at: Index, dtype: Any, width: int) -> tuple[Real, Array]:
        """Scores of rotated traits (k, n), each at its own h2.

        Parameters
        ----------
        y : array (k, n)
            Rotated traits.
        at : array (k,) of int
            Index of the h2 of each trait in the grid.
        dtype : dtype
            Dtype of the scores.
        width : int
            Number of leading entries in which a marker is not zero.

        Returns
        -------
        z : array (k, width)
            My / sqrt(S); zeros for a trait that the covariates explain.
        left : array (k,)
            S / y'Wy, the share of the trait that the covariates leave.
        """
        fixed = self.basis.covariates
        weighted = self.weights[at]
        weighted *= y
        inside = weighted @ fixed
        coefficients = np.einsum("kab,kb->ka", self.inverse[at], inside)
        total = np.einsum("kn,kn->k", weighted, y)
        s = total - np.einsum("ka,ka->k", inside, coefficients)
        left = s / np.maximum(total, 1e-300)
        scale = np.where(left > _NO_VARIATION, 1.0 / np.sqrt(np.maximum(s, 1e-300)), 0.0)
        z = y[:, :width].astype(dtype) - coefficients.astype(dtype) @ fixed[:width].T.astype(dtype)
        z *= self.weights[:, :width].astype(dtype)[at]
        z *= scale[:, None].astype(dtype)
        return z, left

    def largest(self, rows: Rows, total: int, parts: Sequence[Markers], *, single: bool) -> Array:
        """Largest r2 over each part of the markers, (parts, total).

        Parameters
        ----------
        rows : callable
            Gives permuted traits (k, n) in the basis, by their numbers.
        total : int
            Number of permuted traits.
        parts : sequence of Markers
            Markers of each part, in the basis.
        single : bool
            Compute matrix products in single precision; values that would be inexact are computed
            again in double precision.
        """
        dtype = np.dtype(np.float32 if single else np.float64)
        few = [nearly_fixed(self.basis, part) if single else _NO_ROWS for part in parts]
        fast = [part.without(some) for part, some in zip(parts, few, strict=True)]
        tables = [_Table(self, part, dtype) for part in fast]
        width = max((len(table.x) for table in tables), default=0)
        out, share = np.zeros((len(parts), total)), np.ones(total)
        buffer = np.empty(max(_CELLS, COLUMNS), dtype)
        for some in runs(total, COLUMNS):
            y = rows(np.arange(some.start, some.stop))
            best, _ = self.estimate(y)
            z, share[some] = self.scores(y, best, dtype, width)
            order = np.argsort(best, kind="stable")
            z, bounds = z[order], np.searchsorted(best[order], np.arange(len(self.h2) + 1))
            for table, place in zip(tables, out, strict=True):
                place[some.start + order] = table.largest(z, bounds, buffer)
        if single:
            limit = largest_r2(self.basis.n, _SINGLE_ERROR)
            inexact = (out.max(axis=0, initial=0.0) > limit) | (share < _SMALL_SHARE)
            again = np.flatnonzero(inexact)
            if len(again):
                own = _among(rows, again)
                out[:, again] = self.largest(own, len(again), parts, single=False)
            if any(map(len, few)):
                rest = [part.take(some) for part, some in zip(parts, few, strict=True)]
                np.maximum(out, self.largest(rows, total, rest, single=False), out=out)
        return out

    def turned(self, y: Array) -> Array:
        """Rotate traits (k, n) that were multiplied by the residual weights."""
        return y if self.basis.vectors is None else y @ self.basis.vectors


class _Table:
    """Markers of one part: x (width, markers), and 1/S_xx (f, markers) at every h2 of the grid.

    S_xx at an h2 is computed when first needed, because most traits use few values of h2.
    """

    def __init__(self, refit: Refit, markers: Markers, dtype: Any) -> None:
        self._refit = refit
        self._markers = Markers(
            markers.rotated[markers.tested], np.ones(int(markers.tested.sum()), dtype=bool)
        )
        self.x: Real = np.ascontiguousarray(self._markers.rotated.T.astype(dtype))
        self._inverse = np.empty((len(refit.h2), self.x.shape[1]), dtype)
        self._known = np.zeros(len(refit.h2), dtype=bool)

    def inverse(self, wanted: Index) -> Real:
        """1/S_xx (f, markers), valid in the rows `wanted` (indices of the grid of h2)."""
        new = wanted[~self._known[wanted]]
        if len(new):
            sxx = variation(self._refit.basis, self._markers, self._refit.h2[new])
            self._inverse[new] = 1.0 / sxx.T
            self._known[new] = True
        return self._inverse

    def largest(self, z: Real, bounds: Index, buffer: Real) -> Real:
        """Largest r2 over all markers, (k,).

        Scores z (k, width) are sorted by h2: rows bounds[g] to bounds[g + 1] have h2 number g.
        """
        best = np.zeros(len(z), z.dtype)
        groups = [(g, slice(a, b)) for g, (a, b) in enumerate(pairwise(bounds)) if b > a]
        inverse = self.inverse(np.array([g for g, _ in groups]))
        z = np.ascontiguousarray(z[:, : len(self.x)])
        for columns in runs(self.x.shape[1], max(1, len(buffer) // max(1, len(z)))):
            width = columns.stop - columns.start
            tile = buffer[: len(z) * width].reshape(len(z), width)
            np.matmul(z, self.x[:, columns], out=tile)
            np.multiply(tile, tile, out=tile)
            for g, rows in groups:
                np.multiply(tile[rows], inverse[g, columns], out=tile[rows])
            np.maximum(best, tile.max(axis=1), out=best)
        return best


def drawn(draw: Draw, numbers: Index, count: int) -> tuple[Array, Index]:
    """Whitened vectors (k, n) of ascending numbers, and the trait (k,) of each.

    Permutation i of trait j has the number j * count + i.
    """
    trait, which = np.divmod(numbers, count)
    starts = np.flatnonzero(np.diff(trait, prepend=-1))
    parts = [
        draw(int(trait[one[0]]), which[one]) for one in np.split(np.arange(len(trait)), starts[1:])
    ]
    return np.concatenate(parts), trait


def _among(rows: Rows, chosen: Index) -> Rows:
    """Some of the permuted traits, renumbered from 0."""

    def part(numbers: Index) -> Array:
        return rows(chosen[numbers])

    return part


def runs(total: int, size: int) -> Iterator[slice]:
    """Cut range(total) into slices of at most `size`."""
    for start in range(0, total, size):
        yield slice(start, min(start + size, total))
