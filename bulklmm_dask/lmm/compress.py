r"""Weights 1/v of all rows as sums of a few: rational compression of sums over the samples.

With v(lam, h) = lam h + 1 - h, for every h in [0, h_max] and every eigenvalue lam in use

1/v(lam, h) = sum_q P_q(lam) / v(mu_q, h),

P_q(lam) = prod_i v(mu_q, h_i) / v(lam, h_i)  prod_(j != q) (lam - mu_j) / (mu_q - mu_j),

but for a relative error of

prod_i (h - h_i) (lam - mu_i) / [v(mu_i, h) v(lam, h_i)].

The pairs (mu_i, h_i) are taken where this error is largest, until it is below a tolerance: 12 to 25
of them suffice, up to a hundred for nearly singular kinships. A sum over n rows with the weights
1/v, and its derivatives in h, then follow at every h from sums over q, computed once:

sum_k x_k / v(lam_k, h) = sum_q t_q / v(mu_q, h),   t_q = sum_k P_q(lam_k) x_k.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from bulklmm_dask.typing import Array

# Largest relative error of 1/v.
TOLERANCE = 1e-11
# Largest number of terms.
_MOST = 140
# Eigenvalues within a factor of the square root of 2 are a cell: similar kinships have the same
# cells, and so the same terms. Candidates for mu in a cell, and for h in all.
_CELLS, _IN_CELL, _POINTS = 2, 9, 300


@dataclass(frozen=True)
class Compression:
    """1/v(lam_k, h) = sum over q of matrix_kq / v(mu_q, h).

    Attributes
    ----------
    mu : array (q,)
        Eigenvalues of the terms.
    matrix : array (rows, q)
        P_q(lam_k); zeros where too many terms would be needed.
    error : float
        Largest relative error.
    """

    mu: Array
    matrix: Array
    error: float

    @property
    def suffices(self) -> bool:
        """Whether the error is as small as it should be."""
        return self.error <= TOLERANCE


def compress(eigenvalues: Array, h2_max: float) -> Compression:
    """Terms for eigenvalues (rows,) at heritabilities from 0 to `h2_max`."""
    positive = eigenvalues[eigenvalues > 0.0]
    if not len(positive) or h2_max == 0.0:
        return Compression(np.zeros(1), np.ones((len(eigenvalues), 1)), 0.0)
    cells = np.unique(np.floor(_CELLS * np.log2(positive)).astype(np.int64))
    mu, h2, size, error = _terms(len(positive) < len(eigenvalues), tuple(cells.tolist()), h2_max)
    if error > TOLERANCE:
        return Compression(mu, np.zeros((len(eigenvalues), len(mu))), error)
    lam = eigenvalues[:, None]
    distance = lam - mu
    # prod_i (lam - mu_i) / v(lam, h_i) of all terms together, less the factor of each.
    shared = (distance / _v(lam, h2)).prod(axis=1, keepdims=True)
    at_term = distance == 0.0
    out = shared * size / np.where(at_term, 1.0, distance)
    rows = at_term.any(axis=1)
    out[rows] = at_term[rows]
    return Compression(mu, out, error)


def weights_at(poles: Array, h2: Array) -> Array:
    """1/v of terms (q,) at heritabilities (k,), (q, k)."""
    return np.asarray(1.0 / (poles[:, None] * h2 + (1.0 - h2)))


def terms_at(poles: Array, h2: Array) -> tuple[Array, Array, Array]:
    """1/v of terms (q,) at heritabilities (k,), and its first two derivatives in h, each (q, k)."""
    change = (poles - 1.0)[:, None]
    value = weights_at(poles, h2)
    moved = change * value
    first = -value * moved
    return value, first, -2.0 * first * moved


def log_integrals(poles: Array, h2: Array) -> Array:
    """Integrals of 1/v from 0 to h, log(v)/(mu - 1), of terms (q,) at heritabilities (k,): (q, k).

    If tr(V^-1 V') is the sum of t/v(mu, h), log|V| is the sum of t times the integral.
    """
    change = poles - 1.0
    out = np.log(poles[:, None] * h2 + (1.0 - h2))
    near = np.flatnonzero(np.abs(change) < 1e-3)
    out[near] = np.log1p(change[near, None] * h2)
    out /= np.where(change == 0.0, 1.0, change)[:, None]
    out[change == 0.0] = h2
    return np.asarray(out)


def _v(lam: Array | float, h2: Array | float) -> Array:
    """Variances v(lam, h)."""
    return np.asarray(lam * h2 + (1.0 - h2))


@lru_cache(maxsize=256)
def _terms(
    singular: bool, cells: tuple[int, ...], h2_max: float
) -> tuple[Array, Array, Array, float]:
    """Terms for eigenvalues in some cells, and 0 if singular: mu_q, h_q and a factor of P_q.

    The factor is prod_i v(mu_q, h_i) / prod_(j != q) (mu_q - mu_j); the last value is the error.
    """
    ladder = 2.0 ** ((np.array(cells)[:, None] + np.linspace(0.0, 1.0, _IN_CELL)) / _CELLS)
    low, high = float(ladder[0, 0]), float(ladder[-1, -1])
    candidates = np.concatenate([[0.0] * singular, ladder.ravel()])
    most = min(h2_max / (1.0 - h2_max) if h2_max < 1.0 else np.inf, 1e4 / low)
    odds = np.geomspace(min(1e-4 / high, 0.1 * most), most, _POINTS)
    inner = odds / (1.0 + odds)
    points = np.concatenate([[0.0], inner[inner < h2_max], [h2_max]])
    both = np.zeros((len(candidates), len(points)))
    mu, h2 = list[float](), list[float]()
    error = np.inf
    with np.errstate(divide="ignore"):
        while len(mu) < _MOST:
            row, column = np.unravel_index(int(np.argmax(both)), both.shape)
            error = float(np.exp(both[row, column])) if mu else np.inf
            if error <= 0.5 * TOLERANCE:
                break
            pole, point = float(candidates[row]), float(points[column])
            if not mu and singular:
                pole = 0.0
            mu.append(pole)
            h2.append(point)
            of_mu = np.log(np.abs(candidates - pole)) - np.log(_v(candidates, point))
            of_h2 = np.log(np.abs(points - point)) - np.log(_v(pole, points))
            both += of_mu[:, None] + of_h2
    chosen, points = np.array(mu), np.array(h2)
    if error > TOLERANCE:
        return chosen, points, np.zeros(len(chosen)), error
    apart = chosen[:, None] - chosen
    np.fill_diagonal(apart, 1.0)
    size = (_v(chosen[:, None], points) / apart).prod(axis=1)
    return chosen, points, size, error
