r"""A lattice over the shares of several kernels, on which functions of the covariance are smooth.

Shares of k kernels beside each other are broken off a stick: a_1, (1 - a_1) a_2, and so on; the
last coordinate is the weight of the residual, from a least one on. Each coordinate is a function of
s, from 0 to 1 (a) or from the least weight to 1,

    a(s) = (g(s) - g(-S)) / (g(S) - g(-S)),   g(s) = 1/(1 + e^-s),

in which 1/(a x + (1 - a) y) is analytic within pi of the real axis whatever the ratio x/y: equal
steps of s resolve shares of any size down to e^-S, and polynomials through twelve neighbours
have errors of 1e-8 at steps of 0.3.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from bulklmm_dask.typing import Array, Index

# Points along each coordinate that a local polynomial goes through.
ORDER = 12


@dataclass(frozen=True)
class Axis:
    """One coordinate: `count` equal steps of s from -reach to reach, shares from `low` to 1."""

    count: int
    reach: float
    low: float = 0.0

    def share(self, place: Array) -> Array:
        """Shares at places, 0 to count - 1 in steps; exactly `low` and 1 at the ends."""
        s = (2.0 * place / (self.count - 1) - 1.0) * self.reach
        most = np.tanh(0.5 * self.reach)
        part = np.clip(0.5 * (1.0 + np.tanh(0.5 * s) / most), 0.0, 1.0)
        return np.asarray(self.low + (1.0 - self.low) * part)

    def place(self, share: Array) -> Array:
        """Places of shares; the inverse of `share`."""
        part = np.clip((share - self.low) / (1.0 - self.low), 0.0, 1.0)
        most = np.tanh(0.5 * self.reach)
        s = 2.0 * np.arctanh(np.clip((2.0 * part - 1.0) * most, -most, most))
        return np.asarray(0.5 * (s / self.reach + 1.0) * (self.count - 1))

    @property
    def coarse(self) -> Axis:
        """Every second point; the count is odd."""
        return Axis((self.count + 1) // 2, self.reach, self.low)

    def first(self, place: Array) -> Index:
        """The first of the `ORDER` points around each place."""
        near = np.floor(place).astype(np.int64) - (ORDER - 2) // 2
        return np.asarray(np.clip(near, 0, self.count - ORDER))


@dataclass(frozen=True)
class Lattice:
    """All points of k axes: those of the kernels beside each other, then that of the residual."""

    axes: tuple[Axis, ...]

    @property
    def shape(self) -> tuple[int, ...]:
        """Number of points along each axis."""
        return tuple(axis.count for axis in self.axes)

    @cached_property
    def places(self) -> Array:
        """Places (points, k) of all points, the last axis fastest."""
        grids = np.meshgrid(*(np.arange(axis.count) for axis in self.axes), indexing="ij")
        return np.stack([grid.ravel() for grid in grids], axis=1).astype(np.float64)

    @cached_property
    def coarse(self) -> Lattice:
        """Every second point along each axis."""
        return Lattice(tuple(axis.coarse for axis in self.axes))

    @cached_property
    def middle(self) -> Array:
        """Places (cells, k) halfway between neighbouring points, the last axis fastest."""
        grids = np.meshgrid(*(np.arange(axis.count - 1) for axis in self.axes), indexing="ij")
        return np.stack([grid.ravel() for grid in grids], axis=1).astype(np.float64) + 0.5

    @cached_property
    def rays(self) -> Array:
        """Shares (rays, k) of the kernels beside each other, at each point of their axes."""
        return self.inner(self.places[:: self.axes[-1].count])[:, :-1] / (1.0 - self.axes[-1].low)

    def inner(self, place: Array) -> Array:
        """Weights (m, k + 1) of the corners of the admissible shares at places (m, k)."""
        a = np.stack([axis.share(place[:, d]) for d, axis in enumerate(self.axes)], axis=1)
        own, residual = a[:, :-1], a[:, -1:]
        one = np.ones_like(residual)
        left = np.cumprod(np.concatenate([one, 1.0 - own], axis=1), axis=1)
        broken = left * np.concatenate([own, one], axis=1)
        return np.concatenate([(1.0 - residual) * broken, residual], axis=1)

    def place(self, inner: Array) -> Array:
        """Places (m, k) of weights (m, k + 1) of the corners; the inverse of `inner`."""
        residual = inner[:, -1]
        left = 1.0 - residual
        out = np.empty((len(inner), len(self.axes)))
        for d, axis in enumerate(self.axes[:-1]):
            out[:, d] = axis.place(inner[:, d] / np.maximum(left, 1e-300))
            left = left - inner[:, d]
        out[:, -1] = self.axes[-1].place(residual)
        return out

    def cell(self, place: Array) -> Index:
        """Number (m,) of the points around places (m, k), which neighbours share."""
        return np.ravel_multi_index(tuple(self._first(place).T), self.shape)

    def points(self, cell: int) -> Index:
        """Positions of the points of a cell, (ORDER ** k,)."""
        first = np.array(np.unravel_index(cell, self.shape))
        grids = np.meshgrid(*(start + np.arange(ORDER) for start in first), indexing="ij")
        return np.ravel_multi_index(tuple(grid.ravel() for grid in grids), self.shape)

    def polynomials(self, place: Array) -> list[tuple[Array, Array, Array]]:
        """Of each axis the weights (m, ORDER) of the points of a cell, and two derivatives.

        Derivatives are by steps of the lattice.
        """
        offset = place - self._first(place) - _MIDDLE
        return [_polynomials(offset[:, d]) for d in range(len(self.axes))]

    def _first(self, place: Array) -> Index:
        """The first point (m, k) of each cell along each axis."""
        each = [axis.first(place[:, d]) for d, axis in enumerate(self.axes)]
        return np.stack(each, axis=1)


def combined(values: Array, along: Sequence[Array]) -> Array:
    """Values (m, ORDER, ..., ORDER, ...) summed with the weights (m, ORDER) of each axis."""
    for weights in along:
        values = np.einsum("mp...,mp->m...", values, weights)
    return values


def _polynomials(t: Array) -> tuple[Array, Array, Array]:
    """Polynomials that are 1 at one of the points and 0 at the others, and two derivatives.

    `t` (m,) are the positions from the middle of the points; each is (m, ORDER).
    """
    powers = t[:, None] ** np.arange(ORDER)
    grade = np.arange(1, ORDER)
    zero = np.zeros((len(t), 1))
    first = np.concatenate([zero, powers[:, :-1] * grade], axis=1)
    second = np.concatenate([zero, first[:, :-1] * grade], axis=1)
    return powers @ _COEFFICIENTS, first @ _COEFFICIENTS, second @ _COEFFICIENTS


_MIDDLE = 0.5 * (ORDER - 1)
# Coefficients (powers, points) of these polynomials.
_COEFFICIENTS = np.linalg.inv((np.arange(ORDER) - _MIDDLE)[:, None] ** np.arange(ORDER))
