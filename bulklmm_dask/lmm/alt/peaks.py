r"""Terms of single pairs of a block, and peaks of their likelihoods on a mesh of heritabilities.

The terms of S_xy of a pair (`sums`) are t_q = sum_k P_qk x_k y_k. On a mesh the likelihoods are
compared without a logarithm, by the residual sum of squares times a root of what is beside it,

cost(h) = R(h) |V|^(1/N),   under REML R(h) (|V| |C'WC| S_xx)^(1/N),

which is exp(-2/N) to the power of the likelihood, N the effective degrees of freedom.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Self

import numpy as np

from bulklmm_dask.lmm.compiled.loops import loops
from bulklmm_dask.lmm.compiled.peaks import MOST_PEAKS, pair_terms
from bulklmm_dask.lmm.compress import weights_at
from bulklmm_dask.lmm.projected import LogVolume, Projected
from bulklmm_dask.typing import Array, Flags, Index

# A peak on the mesh this many nats lower than another may be the higher one between its points.
_RIVAL = 0.1
# Pairs whose rows are multiplied together.
_IN_CACHE = 512


@dataclass(frozen=True)
class Peaks:
    """Peaks of the likelihoods of pairs on a mesh: points that may be beside the maximum.

    Attributes
    ----------
    pair, point : array (peaks,)
        Pair of each peak, in ascending order, and its place in the mesh.
    lost : array (pairs,) of bool
        Pairs with no peak, or with more than `MOST_PEAKS`, none of which is listed.
    """

    pair: Index
    point: Index
    lost: Flags


@dataclass(frozen=True)
class PairBlock:
    """Markers and traits whose pairs are looked at.

    Attributes
    ----------
    x : array (markers, r)
        Projected markers.
    y : array (traits, r)
        Projected traits.
    matrix : array (r, q)
        P' of the compression.
    squares : array (markers, q)
        Terms of S_xx.
    traits : array (q + 1, traits)
        Terms of S_yy.
    weights : array (q + 1, points)
        1/v of the terms at the points of the mesh.
    xx : array (markers, points)
        S_xx there.
    root : array (1 or markers, points)
        By which R is multiplied there.
    factor : float
        How far above the least cost that of a peak may be.
    """

    x: Array
    y: Array
    matrix: Array
    squares: Array
    traits: Array
    weights: Array
    xx: Array
    root: Array
    factor: float

    @classmethod
    def of(
        cls,
        projected: Projected,
        x: Array,
        y: Array,
        squares: Array,
        traits: Array,
        volume: LogVolume,
        count: int,
        *,
        reml: bool,
    ) -> Self:
        """Make the tables of the mesh.

        `volume` is the logarithm of the determinants of the likelihood to maximise, and `count` are
        its effective degrees of freedom.
        """
        mesh = projected.spectrum.mesh
        weights = weights_at(projected.with_null, mesh)
        xx = np.maximum(squares @ weights[:-1], 1e-300)
        at_mesh = volume.at(mesh)
        root = np.exp((at_mesh - at_mesh.min()) / count)[None]
        if reml:
            root = root * (xx / xx[:, :1]) ** (1.0 / count)
        factor = float(np.exp(2.0 * _RIVAL / count))
        matrix = projected.compression.matrix
        return cls(x, y, matrix, squares, traits, weights, xx, root, factor)

    def terms(self, i: Index, j: Index, wanted: Flags) -> tuple[Array, Peaks]:
        """Terms (q + 1, 3, pairs) of S_yy, S_xy and S_xx, and the peaks of the `wanted` pairs.

        `i` are the markers and `j` the traits, (pairs,).
        """
        which = loops()
        if which is not None:
            terms, pair, point, lost = pair_terms(
                self.x,
                self.y,
                self.matrix,
                self.squares,
                self.traits,
                i,
                j,
                wanted,
                self.weights,
                self.xx,
                self.root,
                self.factor,
                which,
            )
            return terms, Peaks(pair, point, lost)
        terms = np.zeros((len(self.traits), 3, len(i)))
        terms[:, 0] = self.traits[:, j]
        for start in range(0, len(i), _IN_CACHE):
            some = slice(start, start + _IN_CACHE)
            terms[:-1, 1, some] = ((self.x[i[some]] * self.y[j[some]]) @ self.matrix).T
        terms[:-1, 2] = self.squares[i].T
        return terms, self._peaks(terms, i, np.flatnonzero(wanted))

    def _peaks(self, terms: Array, i: Index, wanted: Index) -> Peaks:
        lost = np.zeros(len(i), np.bool_)
        yy, xy = (terms[:, k, wanted].T @ self.weights for k in (0, 1))
        rows = i[wanted]
        root = self.root if len(self.root) == 1 else self.root[rows]
        cost = (yy - xy * xy / self.xx[rows]) * root
        peak = cost <= cost.min(axis=1, keepdims=True) * self.factor
        peak[:, 1:] &= cost[:, 1:] < cost[:, :-1]
        peak[:, :-1] &= cost[:, :-1] <= cost[:, 1:]
        count = peak.sum(axis=1)
        unclear = (count == 0) | (count > MOST_PEAKS)
        lost[wanted[unclear]] = True
        peak[unclear] = False
        pair, point = np.nonzero(peak)
        return Peaks(wanted[pair], point, lost)
