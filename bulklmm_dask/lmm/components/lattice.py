r"""Points over the shares of several kernels, between which functions of them are polynomials.

Beside a residual of variance 1 kernel k has the variance t_k = h_k/h_e. In the coordinates

    x_k = log(1 + t_k/s_k),   s_k = 1/(largest eigenvalue of kernel k),

the inverse of I + sum_k t_k K_k is analytic within about pi of the real axis whatever the
eigenvalues are: from t_k = 0, where a component is not there, to t_k much larger than 1. So
polynomials through the extrema of Chebyshev's, along each coordinate, converge by a factor of
about two a point (Trefethen 2013, chapter 8), without cells.

Places are coordinates x in steps of `STEP`.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.polynomial import chebyshev

from bulklmm_dask.typing import Array

# A step of a coordinate.
STEP = 0.3


@dataclass(frozen=True)
class Lattice:
    """Points of k coordinates.

    Attributes
    ----------
    scales : tuple of float
        s of each kernel.
    most : float
        The largest ratio t of a kernel to the residual.
    count : int
        Points along each coordinate that polynomials go through.
    searched : int
        Points along each coordinate that maxima are looked for on.
    least : float
        Least admissible share of the residual (`RotatedKernels.least_residual`).
    """

    scales: tuple[float, ...]
    most: float
    count: int
    searched: int
    least: float = 0.0

    @cached_property
    def ends(self) -> Array:
        """The last place (k,) of each coordinate; the first is 0."""
        return np.log1p(self.most / np.array(self.scales)) / STEP

    @cached_property
    def axis(self) -> Array:
        """Points (count,) of a coordinate, as parts of its length."""
        return 0.5 - 0.5 * np.cos(np.pi * np.arange(self.count) / (self.count - 1))

    @cached_property
    def places(self) -> Array:
        """Places (points, k) of all points, the last coordinate fastest."""
        return self._grid(self.axis)

    @cached_property
    def searched_places(self) -> Array:
        """Places (searched ** k, k) that maxima are looked for on, the last coordinate fastest."""
        return self._grid(self.searched_parts)

    def _grid(self, parts: Array) -> Array:
        grids = np.meshgrid(*(parts for _ in self.scales), indexing="ij")
        return np.stack([grid.ravel() for grid in grids], axis=1) * self.ends

    def ratios(self, place: Array) -> Array:
        """Ratios t (m, k) of the kernels to the residual at places (m, k)."""
        return np.asarray(np.array(self.scales) * np.expm1(STEP * place))

    def inner(self, place: Array) -> Array:
        """Weights (m, k + 1) of the corners of the admissible shares at places (m, k)."""
        ratio = self.ratios(place)
        own = ratio / (1.0 + ratio.sum(axis=1, keepdims=True)) / (1.0 - self.least)
        return np.concatenate([own, 1.0 - own.sum(axis=1, keepdims=True)], axis=1)

    def place(self, shares: Array) -> Array:
        """Places (m, k) of shares (m, k + 1); beyond `ends` where there are no points."""
        ratio = shares[:, :-1] / np.maximum(shares[:, -1:], 1e-300)
        return np.asarray(np.log1p(ratio / np.array(self.scales)) / STEP)

    def along(self, place: Array) -> list[Array]:
        """Of each coordinate the weights (m, count, 3) of its points, and two derivatives.

        Derivatives are by steps.
        """
        values, first, second = self._polynomials
        out = []
        for d, end in enumerate(self.ends):
            powers = chebyshev.chebvander(2.0 * place[:, d] / end - 1.0, self.count - 1)
            scale = 2.0 / end
            each = (powers @ values, scale * (powers @ first), scale**2 * (powers @ second))
            out.append(np.stack(each, axis=-1))
        return out

    def weights(self, place: Array) -> Array:
        """Weights (m, points) of all points at places (m, k)."""
        along = [each[..., 0] for each in self.along(place)]
        out = along[0]
        for each in along[1:]:
            out = (out[:, :, None] * each[:, None, :]).reshape(len(out), -1)
        return out

    def onto(self, values: Array, parts: Array) -> Array:
        """Values (points, q) at all points interpolated at a grid, (len(parts) ** k, q).

        `parts` of the length of each coordinate.
        """
        k = len(self.scales)
        out = values.reshape(*(self.count,) * k, -1)
        for d, along in enumerate(self.along(parts[:, None] * self.ends)):
            out = np.moveaxis(np.tensordot(along[..., 0], np.moveaxis(out, d, 0), axes=1), 0, d)
        return np.ascontiguousarray(out).reshape(len(parts) ** k, -1)

    @cached_property
    def searched_parts(self) -> Array:
        """Points (searched,) of a coordinate that maxima are looked for on, as parts of it."""
        return np.linspace(0.0, 1.0, self.searched)

    @cached_property
    def _polynomials(self) -> tuple[Array, Array, Array]:
        """Coefficients (count, count) of polynomials that are 1 at one of the points, 0 at others.

        Also of their two derivatives.
        """
        powers = chebyshev.chebvander(2.0 * self.axis - 1.0, self.count - 1)
        values: Array = np.linalg.inv(powers).astype(np.float64)
        first, second = (
            np.pad(np.asarray(chebyshev.chebder(values, order), np.float64), ((0, order), (0, 0)))
            for order in (1, 2)
        )
        return values, first, second


def derivatives(values: Array, along: list[Array]) -> Array:
    """Derivatives (m, 3, ..., 3) of up to two orders along each coordinate.

    Parameters
    ----------
    values : array (m, points) or (1, points)
        Values at the points of a lattice.
    along : list of arrays (m, count, 3)
        Weights from `Lattice.along`.
    """
    count, k = along[0].shape[1], len(along)
    out = values.reshape(len(values), count ** (k - 1), count) @ along[-1]
    for d in range(k - 2, -1, -1):
        done = out.reshape(len(out), count**d, count, -1).swapaxes(2, 3)
        out = (done @ along[d][:, None]).swapaxes(2, 3)
        out = out.reshape(len(out), count**d, -1)
    return np.asarray(out.reshape(len(out), *(3,) * k))
