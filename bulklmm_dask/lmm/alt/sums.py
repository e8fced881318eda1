r"""Likelihoods of many single pairs from a few rational terms, and their exact maxima.

In projected rows (`projected`) the three forms of a pair are sums of the same few terms,
S = sum over q of t_q / v(mu_q, h). With R = S_yy - S_xy^2 / S_xx, the residual sum of squares,

- ML:   l1(h) = -1/2 [ n log R + log|V| ]
- REML: l1(h) = -1/2 [ (n-c-1) log R + log|V| + log|C'WC| + log S_xx ]

and with b = S_xy / S_xx

R' = S_yy' - 2 b S_xy' + b^2 S_xx',
R'' = S_yy'' - 2 b S_xy'' + b^2 S_xx'' - 2 (S_xy' - b S_xx')^2 / S_xx.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Self

import numpy as np

from bulklmm_dask.lmm.compiled.loops import loops
from bulklmm_dask.lmm.compiled.pairs import pair_derivatives, pair_values
from bulklmm_dask.lmm.compress import terms_at, weights_at
from bulklmm_dask.lmm.projected import LogVolume
from bulklmm_dask.lmm.roots import bracketed_roots
from bulklmm_dask.typing import Array, Flags, Index

# Newton's steps end when one promises less than this, in nats: what is left is of the order of its
# square. Under REML the full likelihood is not stationary there. More steps are left to a search.
_SETTLED, _SETTLED_REML, _MOST_STEPS = 1e-5, 1e-9, 8
# With a smaller share of S_yy left beside the marker, R has lost too many digits.
LEFT = 1e-3
# Another maximum is followed only if the likelihood on the mesh comes this near the highest, in
# nats, besides what its slope promises within a cell.
_HOPEFUL = 0.01


@dataclass(frozen=True)
class PairSums:
    """Terms of single pairs.

    Attributes
    ----------
    poles : array (q,)
        Eigenvalues of the terms.
    terms : array (q, 3, pairs)
        Terms of S_yy, S_xy and S_xx.
    full, restricted : LogVolume
        log|V|, and under REML log|V| + log|C'WC|; the same under ML.
    n : int
        Number of samples.
    count : int
        Effective degrees of freedom with the marker: n, or n - c - 1 under REML.
    reml : bool
        Maximise the restricted instead of the full likelihood.
    """

    poles: Array
    terms: Array
    full: LogVolume
    restricted: LogVolume
    n: int
    count: int
    reml: bool

    def take(self, some: Index) -> Self:
        """Some of the pairs."""
        return replace(self, terms=self.terms.take(some, axis=2))

    def _sums(self, weights: Array) -> Array:
        """S_yy, S_xy and S_xx, or derivatives, (3, pairs), from weights (q, pairs)."""
        return np.einsum("qsk,qk->sk", self.terms, weights)

    def derivatives(self, some: Index, h2: Array) -> tuple[Array, Array]:
        """First two derivatives of the likelihoods of some pairs, each at its own h, (pairs,)."""
        which = loops()
        if which is not None:
            determinant = self.restricted.poles, self.restricted.terms
            return pair_derivatives(
                self.poles, self.terms, some, h2, determinant, self.count, which, reml=self.reml
            )
        these = self.take(some)
        (yy, xy, xx), first, second = (these._sums(w) for w in terms_at(self.poles, h2))
        b = xy / xx
        rest = yy - b * xy
        moved = first[1] - b * first[2]
        slope = (first[0] - b * (first[1] + moved)) / rest
        bend = second[0] - b * (2.0 * second[1] - b * second[2]) - 2.0 * moved * moved / xx
        volume, curved = self.restricted.derivatives(h2)
        slope_all = self.count * slope + volume
        bend_all = self.count * (bend / rest - slope * slope) + curved
        if self.reml:
            ratio = first[2] / xx
            slope_all += ratio
            bend_all += second[2] / xx - ratio * ratio
        return -0.5 * slope_all, -0.5 * bend_all

    def values(self, some: Index, h2: Array) -> tuple[Array, Array, Array]:
        """Likelihood to maximise, full likelihood and share R / S_yy of some pairs, (pairs,).

        Each at its own h.
        """
        which = loops()
        if which is not None:
            return self._likelihood(pair_values(self.poles, self.terms, some, h2, which), h2)
        return self._likelihood(self.take(some)._sums(weights_at(self.poles, h2)), h2)

    def _likelihood(self, sums: Array, h2: Array) -> tuple[Array, Array, Array]:
        yy, xy, xx = sums
        rest = yy - xy * xy / xx
        left = rest / yy
        log_rest = np.log(np.maximum(rest, 1e-300))
        full = -0.5 * (self.n * log_rest + _inside(self.full, h2))
        if not self.reml:
            return full, full, left
        value = -0.5 * (self.count * log_rest + _inside(self.restricted, h2) + np.log(xx))
        return value, full, left

    def forms(self, weights: Array) -> Array:
        """S_yy, S_xy and S_xx, or derivatives, (3, g, pairs), from weights (q, g) of all pairs."""
        q, _, pairs = self.terms.shape
        found = weights.T @ self.terms.reshape(q, -1)
        return found.reshape(weights.shape[1], 3, pairs).transpose(1, 0, 2)

    def on_mesh(self, mesh: Array) -> tuple[Array, Array, Flags]:
        """Likelihoods and slopes (mesh, pairs), and whether all are exact enough, (pairs,)."""
        weights = terms_at(self.poles, mesh)
        (yy, xy, xx), slopes = self.forms(weights[0]), self.forms(weights[1])
        b = xy / xx
        rest = yy - b * xy
        sure = (rest > LEFT * yy).all(axis=0)
        rest = np.maximum(rest, 1e-300)
        slope = self.count * (slopes[0] - b * (2.0 * slopes[1] - b * slopes[2])) / rest
        slope += self.restricted.derivatives(mesh)[0][:, None]
        value = self.count * np.log(rest) + self.restricted.at(mesh)[:, None]
        if self.reml:
            slope += slopes[2] / xx
            value += np.log(xx)
        return -0.5 * value, -0.5 * slope, np.asarray(sure)

    def climb(
        self, pair: Index, start: Array, low: Array, high: Array, h2_max: float
    ) -> tuple[Array, Array, Array, Flags]:
        """Maxima near starts: h2, likelihood, full one, and whether Newton's steps found them.

        All are (starts,). Steps of the likelihood of `pair` from `start` end at `low` and `high`;
        a maximum found there is one of the whole interval only at 0 and `h2_max`.
        """
        h2, sure = start.copy(), np.ones(len(start), np.bool_)
        some = np.arange(len(start))
        settled = _SETTLED_REML if self.reml else _SETTLED
        for _ in range(_MOST_STEPS):
            h = h2[some]
            slope, bend = self.derivatives(pair[some], h)
            at_end = (h == 0.0) & (slope <= 0.0) | (h == h2_max) & (slope >= 0.0)
            concave = bend < 0.0
            step = np.where(at_end, 0.0, -slope / np.where(concave, bend, -1.0))
            following = np.clip(h + step, low[some], high[some])
            h2[some] = following
            open_ = ~at_end & ~(concave & (np.abs((following - h) * slope) <= settled))
            # A step that ends at a bound inside the interval has not found a maximum.
            blocked = (following != h + step) & (following > 0.0) & (following < h2_max)
            sure[some] = ~open_ & ~blocked
            going = np.flatnonzero(open_ & concave)
            if not len(going):
                break
            some = some[going]
        value, full, left = self.values(pair, h2)
        return h2, value, full, sure & (left > LEFT)

    def search(self, mesh: Array) -> tuple[Array, Array, Flags]:
        """Largest maximum of all: h2, full likelihood, and whether the sums were exact enough."""
        value, slope, sure = self.on_mesh(mesh)
        rising, falling = slope > 0.0, slope < 0.0
        cell, pair = np.nonzero(rising[:-1] & ~rising[1:] | (~falling[:-1] & falling[1:]))
        near = np.maximum(value[cell, pair], value[cell + 1, pair])
        promise = np.abs(slope[cell, pair]) * (mesh[cell + 1] - mesh[cell])
        hopeful = near + promise + _HOPEFUL >= value.max(axis=0)[pair]
        cell, pair = cell[hopeful], pair[hopeful]
        edges = np.stack([cell, cell + 1])
        candidates = self.take(pair)
        found = bracketed_roots(candidates.derivatives, mesh[edges], slope[edges, pair])
        every = np.arange(self.terms.shape[2])
        top, full, left = self.values(pair, found)
        sure[pair[left <= LEFT]] = False
        end = np.where(value[-1] > value[0], mesh[-1], mesh[0])
        end_top, end_full, end_left = self.values(every, end)
        sure &= end_left > LEFT
        order = np.argsort(top, kind="stable")  # the last write of a pair is its best
        best, best_full = np.full(len(end), -np.inf), np.empty(len(end))
        h2 = np.empty(len(end))
        best[pair[order]], best_full[pair[order]] = top[order], full[order]
        h2[pair[order]] = found[order]
        at_end = end_top >= best
        return np.where(at_end, end, h2), np.where(at_end, end_full, best_full), sure


def _inside(volume: LogVolume, h2: Array) -> Array:
    """Logarithms of a determinant (pairs,), most of them at h = 0, where it is 0."""
    out = np.zeros(len(h2))
    inside = np.flatnonzero(h2)
    out[inside] = volume.at(h2[inside])
    return out
