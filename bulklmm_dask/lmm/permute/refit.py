r"""The highest score of very many traits that share a few heritabilities, each estimated again.

Permuted traits need no more than their h2 on a grid and the largest r2 over the markers: products
of matrices, square, division and maximum while a tile is in cache, and no logarithm of a LOD.
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

# Columns of a tile, and its cells: product, square, division and maximum while it is in cache.
_COLUMNS = 1024
_CELLS = 1 << 20
# LODs move by less than this where r2 is computed in single precision, and where at least this
# share of a residual is left beside the covariates.
_SINGLE_ERROR = 1e-5
_SMALL_SHARE = 0.05
# A trait of which the covariates leave less than this share has no score.
_NO_VARIATION = 1e-10
# Estimates may take this many values between two points of the likelihood.
_FINE = 4
_NO_ROWS = np.empty(0, dtype=np.intp)

# ``draw(j, which)``: whitened vectors (len(which), n) of trait j for some of the permutations.
Draw = Callable[[int, slice | Index], Array]


def refit_grid(basis: Basis) -> Array:
    """Heritabilities (f,) that a permuted trait may take, ascending, 0 and the largest among them.

    Every `_FINE`-th is a point where the likelihood is looked at. These are even in the share of
    the variance that the kinship explains, and in the logarithm of the rest towards 1, where
    replicated samples tell tiny rests apart.
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
    """The profile likelihood of a basis on a grid of heritabilities, as products of matrices.

    With B = W C R, R R' = (C'WC)^-1, at every h of the grid: S = y'Wy - |B'y|^2.

    Attributes
    ----------
    basis : Basis
        Of n samples.
    h2 : array (f,)
        Heritabilities to choose from.
    weights : array (f, n)
        W at each of them.
    inverse : array (f, c, c)
        (C'WC)^-1 at each of them.
    projector : array (n, g * c)
        B at the g points of the likelihood, every `_FINE`-th.
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
        """Prepare full or restricted likelihoods."""
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

    def estimate(self, y: Array) -> Index:
        """Most likely h2 of rotated traits (k, n), by its number (k,)."""
        total = np.square(y) @ self.weights[::_FINE].T
        inside = (y @ self.projector).reshape(*total.shape, -1)
        s = total - np.einsum("kga,kga->kg", inside, inside)
        cost = self.count * np.log(np.maximum(s, 1e-300)) + self.constant
        best = cost.argmin(axis=1)
        last = cost.shape[1] - 1
        if last < 2:
            return _FINE * best
        # The vertex of the parabola through the best point and its neighbours, in steps.
        middle, row = np.clip(best, 1, last - 1), np.arange(len(y))
        left, centre, right = (cost[row, middle + step] for step in (-1, 0, 1))
        bend = left - 2.0 * centre + right
        own = best - middle
        step = np.where(bend > 0.0, 0.5 * (left - right) / np.where(bend > 0.0, bend, 1.0), own)
        step = np.clip(step, own - 0.5, own + 0.5)
        return np.clip(np.rint(_FINE * (middle + step)), 0, _FINE * last).astype(np.int64)

    def scores(self, y: Array, at: Index, dtype: Any, width: int) -> tuple[Real, Array]:
        """Scores of rotated traits (k, n), each at its h2, and what of them the covariates leave.

        Returns
        -------
        z : array (k, width)
            My / sqrt(S), as far as markers reach.
        left : array (k,)
            S / y'Wy.
        """
        fixed = self.basis.covariates
        weighted = self.weights[at]
        weighted *= y
        inside = weighted @ fixed
        coefficients = np.einsum("kab,kb->ka", self.inverse[at], inside)
        total = np.einsum("kn,kn->k", weighted, y)
        s = total - np.einsum("ka,ka->k", inside, coefficients)
        left = s / np.maximum(total, 1e-300)
        # A trait that lies among the covariates has nothing to correlate with.
        scale = np.where(left > _NO_VARIATION, 1.0 / np.sqrt(np.maximum(s, 1e-300)), 0.0)
        z = y[:, :width].astype(dtype) - coefficients.astype(dtype) @ fixed[:width].T.astype(dtype)
        z *= self.weights[:, :width].astype(dtype)[at]
        z *= scale[:, None].astype(dtype)
        return z, left

    def largest(
        self, h2: Array, parts: Sequence[Markers], draw: Draw, count: int, *, single: bool
    ) -> Array:
        """Largest r2 of every part of the markers, (parts, count, traits).

        Parameters
        ----------
        h2 : array (traits,)
            Heritabilities of the traits: drawn vectors get the covariance V(h2).
        parts : sequence of Markers
            In the basis.
        draw : callable
            Gives whitened vectors, as `Draw` says.
        count : int
            Number of permutations.
        single : bool
            Multiply in single precision; values that would be inexact are computed again in double.
        """
        dtype = np.dtype(np.float32 if single else np.float64)
        few = [nearly_fixed(self.basis, part) if single else _NO_ROWS for part in parts]
        fast = [part.without(rows) for part, rows in zip(parts, few, strict=True)]
        tables = [_Table(self, part, dtype) for part in fast]
        width = max((len(table.x) for table in tables), default=0)
        out, share = np.zeros((len(parts), count, len(h2))), np.ones((count, len(h2)))
        buffer = np.empty(max(_CELLS, _COLUMNS), dtype)
        for which in _runs(count, _COLUMNS):
            size = which.stop - which.start
            for some in _runs(len(h2), max(1, _COLUMNS // size)):
                y = self._coloured(h2, some, which, draw)
                best = self.estimate(y)
                z, left = self.scores(y, best, dtype, width)
                share[which, some] = left.reshape(-1, size).T
                order = np.argsort(best, kind="stable")
                z, bounds = z[order], np.searchsorted(best[order], np.arange(len(self.h2) + 1))
                highest = np.empty(len(z))
                for table, place in zip(tables, out, strict=True):
                    highest[order] = table.largest(z, bounds, buffer)
                    place[which, some] = highest.reshape(-1, size).T
        if single:
            limit = largest_r2(self.basis.n, _SINGLE_ERROR)
            inexact = (out.max(axis=0, initial=0.0) > limit) | (share < _SMALL_SHARE)
            for j in map(int, np.flatnonzero(inexact.any(axis=0))):
                again = np.flatnonzero(inexact[:, j])
                own = _some(draw, j, again)
                exact = self.largest(h2[j : j + 1], parts, own, len(again), single=False)
                out[:, again, j] = exact[:, :, 0]
            if any(map(len, few)):
                rest = [part.take(rows) for part, rows in zip(parts, few, strict=True)]
                np.maximum(out, self.largest(h2, rest, draw, count, single=False), out=out)
        return out

    def _coloured(self, h2: Array, some: slice, which: slice, draw: Draw) -> Array:
        """Rotated traits V^(1/2) e of some traits and permutations, (traits * permutations, n)."""
        drawn = np.concatenate([draw(j, which) for j in range(some.start, some.stop)])
        rotated = drawn if self.basis.vectors is None else drawn @ self.basis.vectors
        cube = rotated.reshape(some.stop - some.start, -1, self.basis.n)
        cube *= np.sqrt(self.basis.variances(h2[some])).T[:, None, :]
        return rotated


class _Table:
    """Markers of one part as the products need them: x (width, markers), 1/S_xx (f, markers).

    S_xx is computed for an h2 when first asked for: most traits take few of them.
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
        """1/S_xx (f, markers), valid for the heritabilities of these numbers."""
        new = wanted[~self._known[wanted]]
        if len(new):
            sxx = variation(self._refit.basis, self._markers, self._refit.h2[new])
            self._inverse[new] = 1.0 / sxx.T
            self._known[new] = True
        return self._inverse

    def largest(self, z: Real, bounds: Index, buffer: Real) -> Real:
        """Largest r2 of all markers, (k,), from z (k, width); one h2 from bound to bound."""
        best = np.zeros(len(z), z.dtype)
        runs = [(g, slice(a, b)) for g, (a, b) in enumerate(pairwise(bounds)) if b > a]
        inverse = self.inverse(np.array([g for g, _ in runs]))
        z = np.ascontiguousarray(z[:, : len(self.x)])
        for columns in _runs(self.x.shape[1], max(1, len(buffer) // max(1, len(z)))):
            width = columns.stop - columns.start
            tile = buffer[: len(z) * width].reshape(len(z), width)
            np.matmul(z, self.x[:, columns], out=tile)
            np.multiply(tile, tile, out=tile)
            for g, rows in runs:
                np.multiply(tile[rows], inverse[g, columns], out=tile[rows])
            np.maximum(best, tile.max(axis=1), out=best)
        return best


def _some(draw: Draw, column: int, which: Index) -> Draw:
    """Draw for one trait and some permutations, counted anew."""

    def part(j: int, some: slice | Index) -> Array:
        return draw(column, which[some])

    return part


def _runs(total: int, size: int) -> Iterator[slice]:
    for start in range(0, total, size):
        yield slice(start, min(start + size, total))
