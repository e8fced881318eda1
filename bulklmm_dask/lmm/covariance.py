r"""The covariance of rotated traits, as likelihoods and scanners ask for it.

Today there is one: a kinship and independent noise, Var(y) = s2 V(h), V(h) = h K + (1 - h) I. With
K = U diag(lam) U' the rotated entries U'y are independent with variances s2 v_k(h),

    v_k(h) = h lam_k + 1 - h,    v_k'(h) = lam_k - 1.

This form, unlike the ratio h/(1-h), stays finite on the whole of [0, 1] as long as every lam_k > 0.
Nothing outside this module computes either: callers ask a `Covariance` for its `Variances`.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Protocol

import numpy as np
import numpy.typing as npt

from bulklmm_dask.typing import Array, Flags


@dataclass(frozen=True)
class Variances:
    """Variances v_k(h) of every row at some heritabilities, and how they change with h.

    Attributes
    ----------
    value : array (rows, k)
        v, in units of s2.
    slope : array (rows, 1)
        dv/dh, the same at every h because v is linear in h.
    copies : array (rows,)
        How many samples a row stands for in log|V|.
    """

    value: Array
    slope: Array
    copies: Array

    @cached_property
    def weights(self) -> Array:
        """1/v, (rows, k)."""
        return 1.0 / self.value

    def logdet(self) -> Array:
        """log|V|, (k,)."""
        return np.asarray(self.copies @ np.log(self.value))

    def logdet_slope(self) -> Array:
        """First derivative of log|V| in h, tr(V^-1 V'), (k,)."""
        return np.asarray((self.copies * self.slope[:, 0]) @ self.weights)

    def logdet_bend(self) -> Array:
        """Second derivative of log|V| in h, -tr(V^-1 V' V^-1 V'), (k,)."""
        change = self.slope[:, 0]
        return np.asarray(-(self.copies * change * change) @ (self.weights * self.weights))

    def slope_form(self, x: Array, y: Array) -> Array:
        """x_j'V'y_j of paired columns (rows, k), (k,)."""
        return np.asarray(self.slope[:, 0] @ (x * y))


class Covariance(Protocol):
    """What likelihoods and scanners use of the covariance of rotated traits and covariates.

    A model of several kernels has to offer the same.
    """

    @property
    def rows(self) -> int:
        """Number of rows of rotated traits."""

    @property
    def n(self) -> int:
        """Number of samples."""

    @property
    def h2_max(self) -> float:
        """Upper end of the admissible heritabilities; the lower end is 0."""

    @property
    def covariates(self) -> Array:
        """Rotated covariates (rows, c)."""

    @property
    def n_covariates(self) -> int:
        """Number of independent covariates c, the intercept among them."""

    @property
    def covariate_products(self) -> Array:
        """C_ka C_kb of every row k, (rows, c * c): weighted sums of it are C'WC."""

    @property
    def distinct(self) -> Flags:
        """Rows (rows,) without those whose variances equal another row's at every h."""

    def at(self, h2: npt.ArrayLike) -> Variances:
        """Variances and their slopes at heritabilities (k,)."""

    def variances(self, h2: npt.ArrayLike) -> Array:
        """The variances alone, (rows, k)."""

    @property
    def scale(self) -> float:
        """Variance of an average sample, in units of s2, that the kinship explains at h = 1."""

    def share(self, h2: float) -> float:
        """Share of the variance of an average sample that the kinship explains at h2."""

    def at_share(self, share: Array) -> Array:
        """Heritabilities at which the kinship explains these shares of the variance."""

    def grid(self) -> Array:
        """Heritabilities (k,) so dense that neighbours bracket single maxima, with both ends."""


def heritability(share: npt.NDArray[np.floating], scale: float) -> npt.NDArray[np.floating]:
    """Heritability h at which h s/(h s + 1 - h) = share, for a kinship of mean eigenvalue s."""
    return share / (share + scale * (1 - share))


@dataclass(frozen=True)
class Spectrum:
    """One kinship and independent noise: eigenvalues and rotated covariates of k rows.

    Attributes
    ----------
    eigenvalues : array (k,)
        lam, in descending order, so that rows no marker reaches come last.
    copies : array (k,)
        How many samples a row stands for in log|V|; 1 unless rows were folded (`basis.fold`).
    covariates : array (k, c)
        Orthonormal basis of the covariates with the intercept, rotated by U'.
    h2_max : float
        Upper end of the admissible heritabilities: 1, just below 1 for a singular kinship, 0
        without a kinship.
    """

    eigenvalues: Array
    copies: Array
    covariates: Array
    h2_max: float

    @property
    def rows(self) -> int:
        """Number of rows k."""
        return len(self.eigenvalues)

    @cached_property
    def n(self) -> int:
        """Number of samples."""
        return int(self.copies.sum())

    @property
    def rank(self) -> int:
        """Number of eigenvalues that are not 0; they come first."""
        return int(np.count_nonzero(self.eigenvalues))

    @property
    def scale(self) -> float:
        """Mean of the eigenvalues: h scale / (h scale + 1 - h) is a share of the variance."""
        return max(float(self.copies @ self.eigenvalues) / self.n, 1e-300)

    @property
    def n_covariates(self) -> int:
        """Number of independent covariates c, the intercept among them."""
        return self.covariates.shape[1]

    @cached_property
    def covariate_products(self) -> Array:
        """C_ka C_kb of every row k, (k, c * c): weighted sums of it are C'WC."""
        c = self.covariates
        return np.ascontiguousarray((c[:, :, None] * c[:, None, :]).reshape(self.rows, -1))

    @property
    def distinct(self) -> Flags:
        """The first row of every eigenvalue, (k,)."""
        lam = self.eigenvalues
        return np.concatenate([[True], lam[:-1] - lam[1:] > 1e-9 * lam[0]])

    def at(self, h2: npt.ArrayLike) -> Variances:
        """Variances and their slopes at heritabilities (q,)."""
        return Variances(self.variances(h2), (self.eigenvalues - 1.0)[:, None], self.copies)

    def variances(self, h2: npt.ArrayLike) -> Array:
        """v_k(h) of every row k at every heritability, (k, len(h2))."""
        h = np.asarray(h2, dtype=np.float64)
        return self.eigenvalues[:, None] * h + (1.0 - h)

    def share(self, h2: float) -> float:
        """Share of the variance of an average sample that the kinship explains at h2."""
        return h2 * self.scale / (h2 * self.scale + 1.0 - h2)

    def at_share(self, share: Array) -> Array:
        """Heritabilities at which the kinship explains these shares of the variance."""
        return np.asarray(heritability(share, self.scale), dtype=np.float64)

    def grid(self) -> Array:
        """Heritabilities (q,) so dense that neighbours bracket single maxima, with both ends.

        They are even in the share of the variance that the kinship explains, so that the grid fits
        a kinship of any scale, and have logarithmic tails.
        """
        if self.h2_max == 0.0:
            return np.zeros(1)
        tail = 10.0 ** -np.arange(5.0, 1.5, -0.5)
        share = np.concatenate([tail, np.linspace(0.025, 0.975, 39), 1.0 - tail[::-1]])
        h2 = self.at_share(share)
        inner = h2[(h2 > 0.0) & (h2 < self.h2_max)]
        return np.concatenate([[0.0], inner, [self.h2_max]])


def refined(grid: Array, count: int) -> Array:
    """Heritabilities (count,) spread like a grid, both ends included."""
    return np.interp(np.linspace(0, len(grid) - 1, count), np.arange(len(grid)), grid)
