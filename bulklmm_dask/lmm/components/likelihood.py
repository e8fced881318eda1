r"""Profile likelihood of the shares of several components.

With V = sum_k u_k V_k over the corners of the admissible shares (`RotatedKernels.vertices`), P the
inverse of its leading block of contrasts y, S = y'Py and d = n - c,

- ML:   l(u) = -1/2 [ n log S + log|V| ]
- REML: l(u) = -1/2 [ d log S + log|V of the contrasts| ]

up to constants. Neither changes when u is multiplied by a number, so that u'l' = 0. With
w_k = V_kPy and t_k the derivative of the log-determinant,

    l_k = -1/2 [ t_k - (count/S) y'P w_k ],

and the average of observed and expected information on the variances, s2 maximised out, is
(Gilmour et al. 1995)

    A - (Au)(Au)'/(u'Au),    A_kl = 1/2 (count/S) w_k'P w_l.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from scipy.linalg import lapack, solve_triangular

from bulklmm_dask.lmm.components.kernels import RotatedKernels
from bulklmm_dask.typing import Array


@dataclass(frozen=True)
class Point:
    """Log-likelihood of one trait at some weights of the corners.

    Attributes
    ----------
    value : float
        Log-likelihood in nats, without constants.
    quadratic : float
        S; divided by `count` it estimates s2.
    slope : array (k + 1,)
        Derivatives in the weights.
    information : array (k + 1, k + 1)
        Average information A on the variances in units of s2, the scale among them.
    """

    value: float
    quadratic: float
    slope: Array
    information: Array

    def profiled(self, inner: Array) -> Array:
        """Average information with s2 maximised out, (k + 1, k + 1); 0 along the weights."""
        along = self.information @ inner
        return np.asarray(self.information - np.outer(along, along) / (inner @ along))


@dataclass(frozen=True)
class Likelihood:
    """Profile log-likelihoods of traits measured on the same samples.

    Attributes
    ----------
    kernels : RotatedKernels
        Kernels of the n samples.
    reml : bool
        Restricted instead of full likelihood.
    """

    kernels: RotatedKernels
    reml: bool

    @property
    def count(self) -> int:
        """Effective degrees of freedom: n, or n - c under REML."""
        return self.kernels.contrasts if self.reml else self.kernels.n

    @cached_property
    def corners(self) -> Array:
        """Corners on the rows of the likelihood that kernels act on, (k + 1, rows, rows)."""
        rows = np.r_[: self.kernels.rank, self.kernels.contrasts : self.count]
        return np.ascontiguousarray(self.kernels.vertices[:, rows[:, None], rows])

    @cached_property
    def rest(self) -> Array:
        """Residual share (k + 1,) of each corner: all that other contrasts have."""
        least = self.kernels.least_residual
        return np.append(np.full(len(self.kernels.kernels), least), 1.0)

    def values(self, inner: Array, y: Array) -> Array:
        """Log-likelihoods (traits,) of contrasts y (n - c, traits) at weights (k + 1,)."""
        found = self._factor(inner)
        if found is None:
            return np.full(y.shape[1], -np.inf)
        factor, logdet = found
        r = self.kernels.rank
        white = solve_triangular(factor[:r, :r], y[:r], lower=True, check_finite=False)
        squares = np.einsum("kj,kj->j", white, white)
        if r < len(y):
            squares += np.einsum("kj,kj->j", y[r:], y[r:]) / (self.rest @ inner)
        return np.asarray(-0.5 * (self.count * np.log(squares) + logdet))

    def at(self, inner: Array, y: Array) -> Point | None:
        """Likelihood of one trait y (n - c,) with its derivatives; None where V is singular."""
        found = self._factor(inner)
        if found is None:
            return None
        factor, logdet = found
        r = self.kernels.rank
        block = factor[:r, :r]

        def solved(right: Array) -> Array:
            half = solve_triangular(block, right, lower=True, check_finite=False)
            return np.asarray(
                solve_triangular(block, half, lower=True, trans=1, check_finite=False)
            )

        py = solved(y[:r])
        w = self.corners[:, :r, :r] @ py
        squares, slopes, products = float(y[:r] @ py), w @ py, w @ solved(w.T)
        # Of the inverse the lower triangle alone is filled; the upper one is its mirror.
        lower = np.tril(lapack.dpotri(factor, lower=1)[0])
        lower[np.diag_indices_from(lower)] /= 2.0
        change = 2.0 * (self.corners.reshape(len(self.corners), -1) @ lower.ravel())
        if r < len(y):
            own, residual, left = self.rest, float(self.rest @ inner), float(y[r:] @ y[r:])
            squares += left / residual
            slopes += own * left / residual**2
            products += np.outer(own, own) * left / residual**3
            change += own * (len(y) - r) / residual
        scale = self.count / squares
        return Point(
            value=-0.5 * (self.count * np.log(squares) + logdet),
            quadratic=squares,
            slope=-0.5 * (change - scale * slopes),
            information=0.5 * scale * products,
        )

    def _factor(self, inner: Array) -> tuple[Array, float] | None:
        """Cholesky factor of V, and its log-determinant as far as the likelihood has it."""
        flat = inner @ self.corners.reshape(len(self.corners), -1)
        # The transpose is the same matrix, in the order of columns that LAPACK works in.
        covariance = flat.reshape(self.corners.shape[1:]).T
        factor, info = lapack.dpotrf(covariance, lower=1, clean=0, overwrite_a=1)
        diagonal = np.diag(factor)
        if info or not diagonal.min() > 0.0:
            return None
        logdet = 2.0 * float(np.log(diagonal).sum())
        rest = self.kernels.contrasts - self.kernels.rank
        if rest:
            logdet += rest * float(np.log(self.rest @ inner))
        return factor, logdet
