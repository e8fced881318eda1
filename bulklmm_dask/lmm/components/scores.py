r"""Shares of traits in bulk without errors of interpolation, and the scores of their tests.

Interpolated likelihoods (`many`) lead to within some thousandths of a step of the maximum. There
the covariance A = I + sum_k t_k K_k of a trait, in units of the residual, is factored once: with
z = A^-1 y and S = y'z the slopes

    dl/dt_k = -1/2 [ count (1/T - z'K_k z/S) + dlog|V|/dt_k ],   T = 1 + sum_k t_k,

are exact but for log|V|, which does not depend on the trait. A step of Newton's method follows, and
z moves with it by -A^-1 (sum_k dt_k K_k) z, up to its square. For tests z is divided by sqrt(S), in
the units of shares.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.linalg import lapack

from bulklmm_dask.lmm.components.kernels import RotatedKernels
from bulklmm_dask.lmm.components.lattice import STEP, Lattice
from bulklmm_dask.lmm.components.many import Found
from bulklmm_dask.lmm.components.nodes import Nodes
from bulklmm_dask.typing import Array, Flags

# Steps of the lattice up to which z moves in proportion: the square of 5e-5 of t is left out.
_LAST = 1.5e-4
# Covariances of a trait that are factored, at most, and how far it goes in all.
_ROUNDS, _FAR = 4, 0.5
# Bend, in nats by squared steps, below which errors of slopes would move a maximum.
_LEAST_BEND = 1e-3
# An update of a bend is left out whose error is at right angles to the step, to this cosine.
_ALONG = 1e-3
# Steps of a share below 0 that are rounding.
_BELOW = 1e-6


@dataclass(frozen=True)
class Scores:
    """Maxima without errors of interpolation.

    Attributes
    ----------
    place : array (traits, k)
        Places of the lattice.
    quadratic : array (traits,)
        S = y'M(h)y.
    z : array (d, traits)
        M(h)y/sqrt(S).
    settled : array (traits,) of bool
        Whether the maximum was reached.
    """

    place: Array
    quadratic: Array
    z: Array
    settled: Flags


class Covariances:
    """Covariances of the contrasts, one after the other, in units of the residual.

    Parameters
    ----------
    kernels : RotatedKernels
    """

    def __init__(self, kernels: RotatedKernels) -> None:
        self.rank = r = kernels.rank
        self._flat = np.ascontiguousarray(kernels.kernels[:, :r, :r]).reshape(-1, r * r)
        self._tall = self._flat.reshape(-1, r)

    def factor(self, ratio: Array) -> Array:
        """Cholesky factor of I + sum_k t_k K_k, for `solve`."""
        covariance = (ratio @ self._flat).reshape(self.rank, self.rank).T
        covariance[np.diag_indices(self.rank)] += 1.0
        found, info = lapack.dpotrf(covariance, lower=1, clean=0, overwrite_a=1)
        if info:
            raise np.linalg.LinAlgError(f"covariance at ratios {ratio.tolist()} is singular")
        return np.asarray(found)

    def solve(self, factor: Array, y: Array) -> Array:
        """A^-1 y of a column (r,)."""
        return np.asarray(lapack.dpotrs(factor, y, lower=1)[0])

    def times(self, z: Array) -> Array:
        """K_k z, (k, r)."""
        return (self._tall @ z).reshape(-1, self.rank)


def corrected(kernels: RotatedKernels, nodes: Nodes, found: Found, y: Array, count: int) -> Scores:
    """Go from interpolated maxima of contrasts y (d, traits) to those of the likelihood."""
    lattice, covariances = nodes.lattice, Covariances(kernels)
    r = covariances.rank
    scales = np.array(lattice.scales)
    rest = np.einsum("kj,kj->j", y[r:], y[r:])
    columns = np.ascontiguousarray(y[:r].T)
    place, of_logdet = found.place.copy(), np.empty_like(found.place)
    bend, before = found.bend.copy(), np.full((2, *place.shape), np.nan)
    left, z = np.full(len(place), np.nan), np.full((len(place), r), np.nan)
    active = np.arange(len(place))
    for _ in range(_ROUNDS):
        of_logdet[active] = nodes.logdet.at(place[active], lattice)[1]
        again = []
        for one, ratio in zip(active, lattice.ratios(place[active]), strict=True):
            own, beside = columns[found.trait[one]], rest[found.trait[one]]
            factor = covariances.factor(ratio)
            solved = covariances.solve(factor, own)
            pushed = covariances.times(solved)
            change = STEP * (ratio + scales)
            slope = 1.0 / (1.0 + ratio.sum()) - pushed @ solved / (own @ solved + beside)
            slope = -0.5 * (count * change * slope + of_logdet[one])
            _learn(bend[one], place[one] - before[0, one], slope - before[1, one])
            before[0, one], before[1, one] = place[one], slope
            target = place[one] + _newton(place[one], slope, bend[one])
            if not np.abs(target - found.place[one]).max() < _FAR:
                continue
            step = np.maximum(target, 0.0) - place[one]
            place[one] += step
            if (target < -_BELOW).any():
                again.append(one)
                continue
            if np.abs(step).max() > _LAST:
                again.append(one)
                continue
            moved = lattice.ratios(place[[one]])[0]
            z[one] = solved - covariances.solve(factor, (moved - ratio) @ pushed)
            left[one] = own @ z[one] + beside
        active = np.array(again, dtype=np.int64)
        if not len(active):
            break
    quadratic = left * (1.0 + lattice.ratios(place).sum(axis=1))
    return _highest(nodes, found, Scores(place, quadratic, z.T, np.isfinite(left)), y, count)


def _learn(bend: Array, moved: Array, change: Array) -> None:
    """Bend (k, k) as slopes without interpolation show it, by an update of rank one; in place."""
    error = change - bend @ moved
    along = float(error @ moved)
    if abs(along) > _ALONG * float(np.linalg.norm(error) * np.linalg.norm(moved)):
        bend += np.outer(error, error) / along


def _newton(place: Array, slope: Array, bend: Array) -> Array:
    """Step (k,) to the maximum beside coordinates that a bound holds; NaN where it is not sure."""
    free = (place > 0.0) | (slope > 0.0)
    step = np.zeros(len(place))
    if free.any():
        values, vectors = np.linalg.eigh(bend[np.ix_(free, free)])
        if values[-1] > -_LEAST_BEND:
            return np.full(len(place), np.nan)
        step[free] = -vectors @ ((vectors.T @ slope[free]) / values)
    return step


def _highest(nodes: Nodes, found: Found, each: Scores, y: Array, count: int) -> Scores:
    """Of each trait the highest of its maxima, if all of these were reached."""
    traits, r = y.shape[1], len(each.z)
    settled = found.settled.copy()
    settled[found.trait[~each.settled]] = False
    value = -0.5 * (count * np.log(each.quadratic) + nodes.logdet.at(each.place, nodes.lattice)[0])
    order = np.lexsort((value, found.trait))
    best = order[np.flatnonzero(np.diff(found.trait[order], append=-1))]
    best = best[settled[found.trait[best]]]
    mine = found.trait[best]
    place, quadratic = np.full((traits, each.place.shape[1]), np.nan), np.full(traits, np.nan)
    z = np.full_like(y, np.nan)
    place[mine], quadratic[mine], z[:r, mine] = (
        each.place[best],
        each.quadratic[best],
        each.z[:, best],
    )
    _scale(z, y, r, place, quadratic, nodes.lattice)
    return Scores(place, quadratic, z, settled)


def scores(kernels: RotatedKernels, lattice: Lattice, place: Array, y: Array) -> Scores:
    """Scores of contrasts y (d, traits) at places (traits, k)."""
    covariances = Covariances(kernels)
    r = covariances.rank
    z, quadratic = np.empty_like(y), np.empty(len(place))
    for trait, ratio in enumerate(lattice.ratios(place)):
        own = y[:r, trait]
        z[:r, trait] = covariances.solve(covariances.factor(ratio), own)
        left = own @ z[:r, trait] + y[r:, trait] @ y[r:, trait]
        quadratic[trait] = (1.0 + ratio.sum()) * left
    _scale(z, y, r, place, quadratic, lattice)
    return Scores(place, quadratic, z, np.ones(len(place), dtype=bool))


def _scale(z: Array, y: Array, r: int, place: Array, quadratic: Array, lattice: Lattice) -> None:
    """Divide z by sqrt(S), and fill in what no kernel acts on; in place."""
    z[r:] = y[r:]
    total = 1.0 + lattice.ratios(place).sum(axis=1)
    z *= total / np.sqrt(quadratic)
