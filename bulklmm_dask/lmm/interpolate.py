r"""Interpolation in h of inverses (X'M(h)X)^-1, from a few nodes to the h of every trait.

Let N be an orthonormal basis of the space orthogonal to the covariates, so that
M(h) = N (N'V(h)N)^-1 N', and let [a, b] contain all eigenvalues of K~ = N'KN. For orthonormal
columns X orthogonal to the covariates, the inverse P(h) = (X'M(h)X)^-1 is a Schur complement of
h K~ + (1 - h) I. Hence

P(h) = (1 - h) I + h B + sum_m D_m h (1 - h) / v(mu_m, h),   v(mu, h) = mu h + 1 - h,

with poles mu_m in [a, b] and positive semi-definite matrices B >= a I and D_m that satisfy
B + sum_m D_m <= b I. For every marker, b'P(h)b / b'b is therefore a convex combination of the
functions of `_corners`: interpolation weights that reproduce these functions within a relative
error reproduce every such form within the same error. A marker of one column has 1/S_xx, S_xx =
x'M(h)x, for P.

The weights are those of a rational function of h with fixed poles p_1 .. p_R through nodes
h_1 .. h_(R+2), in closed form:

w_q(h) = g(h) / [(h - h_q) g'(h_q)],   g(h) = prod_q (h - h_q) / prod_i v(p_i, h).

They reproduce 1 - h, h and h (1 - h) / v(p_i, h) exactly, and h (1 - h) / v(mu, h) but for

-mu / v(mu, h)  prod_i (p_i - mu) / v(p_i, h)  prod_q (h - h_q) / v(mu, h_q).

Poles and nodes are taken where this error, relative to a corner, is largest, until it is below a
tolerance everywhere. So they depend on a, b and the largest h only, and the scores of a trait do
not depend on which other traits are in its chunk.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property, lru_cache

import numpy as np

from bulklmm_dask.lmm.covariance import Spectrum
from bulklmm_dask.typing import Array, Index

# Up to this many distinct heritabilities become nodes themselves, without interpolation.
FEW = 12
# Largest relative error of the corners.
TOLERANCE = 1e-9
# Largest number of nodes chosen.
_MOST = 150
# Numbers of nodes that suffice among which one is chosen.
_TRIED = 3
# Candidates for the poles, and for the nodes.
_POLES, _POINTS = 80, 300
# Steps in which bounds of eigenvalues double: similar kinships share bounds, and so their nodes.
_STEPS = 2


@dataclass(frozen=True)
class Interpolation:
    """P(h_j) = sum over q of P(nodes_q) weights_qj.

    Attributes
    ----------
    nodes : array (q,)
        Heritabilities at which P has to be computed.
    weights : array (q, traits)
    error : array (traits,)
        Largest relative error of P.
    growth : array (traits,)
        Factor by which relative rounding errors of the values at the nodes are amplified at most.
    """

    nodes: Array
    weights: Array
    error: Array
    growth: Array

    def take(self, columns: Index) -> Interpolation:
        """The interpolation for some of the traits."""
        weights, error, growth = self.weights[:, columns], self.error[columns], self.growth[columns]
        return Interpolation(self.nodes, weights, error, growth)

    @cached_property
    def worst(self) -> tuple[float, float]:
        """Largest error and growth of any trait; 0 and 1 without traits."""
        return float(self.error.max(initial=0.0)), float(self.growth.max(initial=1.0))


def interpolate_inverses(
    h2: Array, eigenvalues: Callable[[], tuple[float, float]], h2_max: float
) -> Interpolation:
    """Nodes and weights for P at the heritabilities (traits,) of a group of traits.

    The heritability of a trait whose error is above `TOLERANCE` becomes a node itself.

    Parameters
    ----------
    h2 : array (traits,)
        Heritabilities.
    eigenvalues : callable
        Gives a lower and an upper bound of the eigenvalues of K~; called if they are needed.
    h2_max : float
        Upper end of the admissible heritabilities.
    """
    distinct, where = np.unique(h2, return_inverse=True)
    if len(distinct) <= FEW:
        weights = np.eye(len(distinct))[:, where]
        return Interpolation(distinct, weights, np.zeros(len(h2)), np.ones(len(h2)))
    low, high = eigenvalues()
    nodes, poles = _nodes_and_poles(low, high, h2_max)
    weights = _weights(nodes, poles, distinct)
    ladder = _ladder(low, high, h2_max, _POLES)
    base, target = _corners(low, high, ladder, nodes), _corners(low, high, ladder, distinct)
    with np.errstate(invalid="ignore"):
        error = np.abs((base @ weights) / target - 1.0).max(axis=0)
        growth = ((base @ np.abs(weights)) / target).max(axis=0)
    alone = np.flatnonzero(~(error <= TOLERANCE))
    if len(alone):
        nodes = np.concatenate([nodes, distinct[alone]])
        weights = np.pad(weights, ((0, len(alone)), (0, 0)))
        weights[:, alone] = np.eye(len(nodes))[:, len(nodes) - len(alone) :]
        error[alone], growth[alone] = 0.0, 1.0
    return Interpolation(nodes, weights[:, where], error[where], growth[where])


def eigenvalue_bounds(spectrum: Spectrum, *, folded: bool) -> tuple[float, float]:
    """Lower and upper bound of the eigenvalues of K~ that a marker can have a part in.

    The upper bound is found by counting the eigenvalues above it. By Sylvester's law of inertia
    diag(lam) - s I, bordered by the covariates, has as many positive eigenvalues as K~ has above s,
    and c more.

    Parameters
    ----------
    spectrum : Spectrum
        Eigenvalues lam and covariates.
    folded : bool
        No marker has a part in the null space of the kinship. The other eigenvalues of K~ are those
        of Q^(1/2) diag(lam) Q^(1/2), Q = I - AA', with A the covariates in the rows of the
        eigenvalues lam > 0: they are not below the least lam times the least of those of Q that
        are not 0, 1 - s^2 for the singular values s of A.
    """
    lam, rank, covariates = spectrum.eigenvalues, spectrum.rank, spectrum.covariates
    low = float(lam[-1])
    if folded and 0 < rank < len(lam):
        share = np.linalg.svd(covariates[:rank], compute_uv=False) ** 2
        left = 1.0 - share[share < 1.0 - 1e-9]
        low = float(lam[rank - 1] * left.min(initial=1.0))
    if low > 0.0:
        low = 2.0 ** (np.floor(_STEPS * np.log2(low)) / _STEPS)
    if not lam[0] > 0.0:
        return low, float(lam[0])
    high = np.ceil(_STEPS * np.log2(lam[0]))
    while 2.0 ** ((high - 1) / _STEPS) > lam[spectrum.n_covariates :].max(initial=low):
        distance = lam - 2.0 ** ((high - 1) / _STEPS)
        if (np.abs(distance) < 1e-9 * lam[0]).any():
            break
        border = -(covariates.T / distance) @ covariates
        above = (distance > 0.0).sum() + (np.linalg.eigvalsh(border) > 0.0).sum()
        if above > spectrum.n_covariates:
            break
        high -= 1
    return float(low), float(2.0 ** (high / _STEPS))


def _ladder(low: float, high: float, h2_max: float, count: int) -> Array:
    """Candidates (count,) for the poles mu between the bounds."""
    # For mu below `least`, h (1 - h) / v(mu, h) is nearly h for every h up to h2_max.
    least = low if low > 0.0 else min(1e-8 * high, 1e-3 * (1.0 - h2_max) / h2_max)
    # Denser towards both ends, where functions with poles between two candidates are fitted worst.
    place = 0.5 - 0.5 * np.cos(np.linspace(0.0, np.pi, count))
    return np.asarray(least * (high / least) ** place)


def _corners(low: float, high: float, ladder: Array, h2: Array) -> Array:
    """Functions of which every b'P(h)b / b'b is a convex combination, (functions, len(h2))."""
    least, spread = (1.0 - h2) + low * h2, (high - low) * h2
    inside = least + spread * (1.0 - h2) / _v(ladder[:, None], h2)
    return np.concatenate([least[None], (least + spread)[None], inside])


def _v(mu: Array | float, h2: Array | float) -> Array:
    """Variances v(mu, h)."""
    return np.asarray(mu * h2 + (1.0 - h2))


@lru_cache(maxsize=256)
def _nodes_and_poles(low: float, high: float, h2_max: float) -> tuple[Array, Array]:
    """Nodes (q,), 0 and h2_max first, and poles (q - 2,), each as it was chosen (module).

    Of a few numbers of nodes that suffice, the one that amplifies rounding errors least.
    """
    mu = _ladder(low, high, h2_max, 2 * _POLES)
    most = min(h2_max / (1.0 - h2_max) if h2_max < 1.0 else np.inf, 1e4 / mu[0])
    odds = np.geomspace(1e-4 / high, most, _POINTS)
    inner = odds / (1.0 + odds)
    h2 = np.concatenate([[0.0], inner[inner < h2_max], [h2_max]])
    spread = high - low
    corner = ((1.0 - h2) + low * h2) * _v(mu[:, None], h2) + spread * h2 * (1.0 - h2)
    nodes, poles = [0.0, h2_max], list[float]()
    enough = list[int]()
    # Logarithms of what the error owes to mu, to h and to both.
    with np.errstate(divide="ignore"):
        both = np.log(spread * mu)[:, None] - np.log(corner)
        of_mu = -np.log(_v(mu, h2_max))
        of_h2 = np.log(h2) + np.log(h2_max - h2)
        while len(nodes) < _MOST and len(enough) < _TRIED:
            error = both + of_mu[:, None] + of_h2
            row, column = np.unravel_index(int(np.argmax(error)), error.shape)
            if not error[row, column] > np.log(TOLERANCE / 2.0):
                enough.append(len(nodes))
            if not error[row, column] > -np.inf:
                break
            pole, node = float(mu[row]), float(h2[column])
            of_mu += np.log(np.abs(mu - pole)) - np.log(_v(mu, node))
            of_h2 += np.log(np.abs(h2 - node)) - np.log(_v(pole, h2))
            nodes.append(node)
            poles.append(pole)
    chosen, removed = np.array(nodes), np.array(poles)
    target = _corners(low, high, mu[::2], h2)

    def growth(count: int) -> float:
        weights = _weights(chosen[:count], removed[: count - 2], h2)
        base = _corners(low, high, mu[::2], chosen[:count])
        return float(((base @ np.abs(weights)) / target).max())

    count = min(enough, key=growth, default=len(nodes))
    return chosen[:count], removed[: count - 2]


def _weights(nodes: Array, poles: Array, h2: Array) -> Array:
    """Weights (q, len(h2)) of the values at the nodes, in closed form (module)."""

    def product(x: Array, without: Index | None = None) -> Array:
        """g(x); for x = nodes its derivative, without the factor that is 0."""
        out = np.ones_like(x)
        for q, node in enumerate(nodes):
            out *= x - node if without is None else np.where(without == q, 1.0, x - node)
            if q >= 2:  # by turns, so that the product stays in range
                out /= _v(poles[q - 2], x)
        return out

    distance = h2 - nodes[:, None]
    at_node = distance == 0.0
    slope = product(nodes, np.arange(len(nodes)))
    with np.errstate(over="ignore", invalid="ignore"):  # its error shows it
        weights = product(h2) / slope[:, None] / np.where(at_node, 1.0, distance)
    return np.where(at_node.any(axis=0), at_node, weights)
