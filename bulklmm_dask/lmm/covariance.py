r"""The covariance of rotated traits, as likelihoods and scanners ask for it.

Today there is one: a kinship and independent noise, Var(y) = s2 V(h), V(h) = h K + (1 - h) I. With
K = U diag(lam) U' the entries of the rotated trait U'y are independent with variances s2 v_k(h),

    v_k(h) = h lam_k + 1 - h,    v_k'(h) = lam_k - 1.

This form, unlike the ratio h/(1-h), stays finite on the whole of [0, 1] as long as every lam_k > 0.
No other module computes v or v': callers ask a `Covariance` for its `Variances`.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Protocol

import numpy as np
import numpy.typing as npt

from bulklmm_dask.lmm.compress import Compression, compress
from bulklmm_dask.typing import Array, Flags

# Heritabilities a decade of h/(1-h) in the grid of a kinship with eigenvalues of any size.
_PER_DECADE = 8
# Least distance of points of a mesh, as a share of h or of 1 - h.
_APART = 1e-3


@dataclass(frozen=True)
class Variances:
    """Variances v_k(h) of every row at some heritabilities, and how they change with h.

    Attributes
    ----------
    value : array (rows, k)
        v of every row at k heritabilities, in units of s2.
    slope : array (rows, 1)
        dv/dh, the same at every h because v is linear in h.
    copies : array (rows,)
        Number of samples that a row counts for in log|V|.
    """

    value: Array
    slope: Array
    copies: Array

    @cached_property
    def weights(self) -> Array:
        """Weights 1/v, (rows, k)."""
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
        """Forms x_j'V'y_j, (k,), of paired columns x_j and y_j of two arrays (rows, k)."""
        return np.asarray(self.slope[:, 0] @ (x * y))


class Covariance(Protocol):
    """Interface through which likelihoods and scanners use the covariance of rotated traits.

    A model of several kernels would be another class with this interface.
    """

    @property
    def rows(self) -> int:
        """Number of rows of the rotated traits."""

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
        """Products C_ka C_kb of every row k, (rows, c * c); their sums weighted by 1/v are C'WC."""

    @property
    def distinct(self) -> Flags:
        """Mask (rows,) of rows, one for each distinct variance function v(h)."""

    def at(self, h2: npt.ArrayLike) -> Variances:
        """Variances and their slopes at heritabilities (k,)."""

    def variances(self, h2: npt.ArrayLike) -> Array:
        """The variances alone, (rows, k)."""

    @property
    def scale(self) -> float:
        """Mean variance of the samples due to the kinship at h = 1, in units of s2."""

    def share(self, h2: float) -> float:
        """Share of the mean variance of the samples that the kinship explains at h2."""

    def at_share(self, share: Array) -> Array:
        """Heritabilities at which the kinship explains these shares of the mean variance."""

    def grid(self) -> Array:
        """Heritabilities (k,), both ends included, dense enough to bracket each local maximum."""

    @property
    def mesh(self) -> Array:
        """A finer grid, (k,), that also resolves maxima near 1 of nearly singular kinships."""

    @property
    def compression(self) -> Compression:
        """Sums over the rows with weights 1/v as sums of a few terms."""


def heritability(share: npt.NDArray[np.floating], scale: float) -> npt.NDArray[np.floating]:
    """Heritability h at which h s/(h s + 1 - h) = share; `scale` s is the mean eigenvalue."""
    return share / (share + scale * (1 - share))


@dataclass(frozen=True)
class Spectrum:
    """Covariance of one kinship and independent noise: eigenvalues and rotated covariates, k rows.

    Attributes
    ----------
    eigenvalues : array (k,)
        lam, in descending order: the null space of the kinship comes last.
    copies : array (k,)
        Number of samples a row counts for in log|V|; 1 unless rows were folded (`basis.fold`).
    covariates : array (k, c)
        Orthonormal basis of the covariates with the intercept, rotated by U'.
    h2_max : float
        Upper end of the admissible heritabilities: 1, just below 1 for a singular kinship, 0
        without a kinship.
    typical : float or None
        Typical variance due to the kinship at h = 1 where weights of very different size let the
        mean of the eigenvalues say nothing; None otherwise.
    """

    eigenvalues: Array
    copies: Array
    covariates: Array
    h2_max: float
    typical: float | None

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
        """Mean of the eigenvalues, and so the mean variance due to the kinship at h = 1.

        Where weights are of very different size, the typical variance (`typical`).
        """
        if self.typical is not None:
            return self.typical
        return max(float(self.copies @ self.eigenvalues) / self.n, 1e-300)

    @property
    def n_covariates(self) -> int:
        """Number of independent covariates c, the intercept among them."""
        return self.covariates.shape[1]

    @cached_property
    def covariate_products(self) -> Array:
        """Products C_ka C_kb of every row, (k, c * c); their sums weighted by 1/v are C'WC."""
        c = self.covariates
        return np.ascontiguousarray((c[:, :, None] * c[:, None, :]).reshape(self.rows, -1))

    @property
    def distinct(self) -> Flags:
        """Mask (k,) of the first row of every distinct eigenvalue."""
        lam = self.eigenvalues
        size = lam[0] if self.typical is None else lam[:-1]
        return np.concatenate([[True], lam[:-1] - lam[1:] > 1e-9 * size])

    def at(self, h2: npt.ArrayLike) -> Variances:
        """Variances and their slopes at heritabilities (q,)."""
        return Variances(self.variances(h2), (self.eigenvalues - 1.0)[:, None], self.copies)

    def variances(self, h2: npt.ArrayLike) -> Array:
        """v_k(h) of every row k at every heritability, (k, len(h2))."""
        h = np.asarray(h2, dtype=np.float64)
        return self.eigenvalues[:, None] * h + (1.0 - h)

    def share(self, h2: float) -> float:
        """Share of the mean variance of the samples that the kinship explains at h2."""
        return h2 * self.scale / (h2 * self.scale + 1.0 - h2)

    def at_share(self, share: Array) -> Array:
        """Heritabilities at which the kinship explains these shares of the mean variance."""
        return np.asarray(heritability(share, self.scale), dtype=np.float64)

    def grid(self) -> Array:
        """Heritabilities (q,), both ends included, dense enough to bracket each local maximum.

        They are evenly spaced in the share of the variance that the kinship explains, so that the
        grid suits a kinship of any scale, and logarithmically spaced near both ends.
        """
        if self.h2_max == 0.0:
            return np.zeros(1)
        if self.typical is not None:
            inner = self._wide_grid()
            return np.concatenate([[0.0], inner[inner < self.h2_max], [self.h2_max]])
        tail = 10.0 ** -np.arange(5.0, 1.5, -0.5)
        share = np.concatenate([tail, np.linspace(0.025, 0.975, 39), 1.0 - tail[::-1]])
        h2 = self.at_share(share)
        inner = h2[(h2 > 0.0) & (h2 < self.h2_max)]
        return np.concatenate([[0.0], inner, [self.h2_max]])

    @cached_property
    def mesh(self) -> Array:
        """Heritabilities (q,), both ends included, finer than `grid`.

        Four of them a decade of h below the range of the eigenvalues, and of 1 - h down to 0.03
        times the smallest, where the likelihoods of nearly singular kinships have narrow maxima.
        """
        grid = self.grid()
        positive = self.eigenvalues[: self.rank]
        if len(grid) == 1 or self.typical is not None or not len(positive):
            return grid
        last = max(1.0 - self.h2_max, min(0.03 * positive[-1], 1e-2))
        rest = np.geomspace(last, 0.1, max(2, int(4 * np.log10(0.1 / last)) + 2))
        first = min(1e-2, 0.03 / positive[0])
        near = np.geomspace(first, 0.1, max(2, int(4 * np.log10(0.1 / first)) + 2))
        points = np.unique(np.concatenate([grid, np.minimum(1.0 - rest, self.h2_max), near]))
        # Between points that are nearly the same, rounding would look like a peak. The end stays.
        apart = np.diff(points) > _APART * np.minimum(points[1:], 1.0 - points[:-1])
        mesh = points[np.append(True, apart)]
        mesh[-1] = self.h2_max
        return mesh

    @cached_property
    def compression(self) -> Compression:
        """Sums over the rows with weights 1/v as sums of a few terms."""
        return compress(self.eigenvalues, self.h2_max)

    @cached_property
    def folded(self) -> tuple[Spectrum, Array]:
        """The same with rank + c + 1 rows (`basis.fold`), which all traits share.

        Also the directions (k - rank, c) of the covariates in the null space of the kinship.
        """
        rank, c = self.rank, self.n_covariates
        directions, corner = np.linalg.qr(self.covariates[rank:])
        found = Spectrum(
            eigenvalues=np.concatenate([self.eigenvalues[:rank], np.zeros(c + 1)]),
            copies=np.concatenate([np.ones(rank), np.zeros(c), [float(self.rows - rank)]]),
            covariates=np.concatenate([self.covariates[:rank], corner, np.zeros((1, c))]),
            h2_max=self.h2_max,
            typical=self.typical,
        )
        return found, directions

    def _wide_grid(self) -> Array:
        """Heritabilities evenly spaced in log h/(1-h), from the largest to the least eigenvalue."""
        lam = self.eigenvalues
        low, high = np.log10(1e-5 / lam[0]), np.log10(1e5 / lam[self.rank - 1])
        odds = np.logspace(low, high, int(_PER_DECADE * (high - low)) + 1)
        return odds / (1.0 + odds)


def refined(grid: Array, count: int) -> Array:
    """Interpolate a grid to `count` heritabilities, spaced like it, both ends included."""
    return np.interp(np.linspace(0, len(grid) - 1, count), np.arange(len(grid)), grid)
