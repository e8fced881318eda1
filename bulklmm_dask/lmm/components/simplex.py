"""Points of a simplex: a mesh that is denser at the edges, and steps that stay within."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import combinations

import numpy as np
from scipy.optimize import nnls

from bulklmm_dask.typing import Array, Flags, Index

# Steps of the mesh along an edge, by the number of corners; of more corners, the last.
_STEPS = {1: 1, 2: 16, 3: 10, 4: 7, 5: 5, 6: 4}
# How far below the highest value tops of edges and faces count, in nats.
OF_FACES = 2.0
# Added to the diagonal of an information matrix, as a share of its largest entry.
_RIDGE = 1e-10
# Information below this share of the largest slope leaves a model linear on the simplex.
_FLAT = 1e-12
# Weight of the condition that weights sum to one, beside the root of the information.
_SUM = 1e3


@dataclass(frozen=True)
class Mesh:
    """Points of the simplex of some corners.

    Attributes
    ----------
    points : array (q, corners)
        Weights, each row summing to one.
    steps : array (q, corners) of int
        The same in whole steps; neighbours differ by one step from one corner to another.
    """

    points: Array
    steps: Index

    @classmethod
    def of(cls, corners: int) -> Mesh:
        """Mesh with these many corners, all of them and all edges included."""
        count = _STEPS.get(corners, _STEPS[6])
        bars = np.array(list(combinations(range(count + corners - 1), corners - 1)), dtype=int)
        bars = bars.reshape(-1, corners - 1)
        ends = np.pad(bars, ((0, 0), (1, 1)), constant_values=-1)
        ends[:, -1] = count + corners - 1
        steps = np.diff(ends, axis=1) - 1
        t = steps / count
        raw = t**3 * (10.0 - 15.0 * t + 6.0 * t * t)
        return cls(raw / raw.sum(axis=1, keepdims=True), steps)

    def peaks(self, values: Array, most: int, within: float) -> Array:
        """Points not below any of their neighbours, the highest first.

        Near the highest value, a point of an edge or face counts if it is not below its neighbours
        there: beside a ridge a likelihood may have a top of its own at the bound.

        Parameters
        ----------
        values : array (q,)
            Values of the points; -inf for those left out.
        most : int
            Largest number of points.
        within : float
            Largest distance from the highest value.
        """
        best = values.max()
        hopeful = np.flatnonzero((values >= best - within) & np.isfinite(values))
        order = hopeful[np.argsort(-values[hopeful], kind="stable")]
        found: list[int] = []
        for point in order:
            near = np.abs(self.steps - self.steps[point]).sum(axis=1) <= 2
            off = self.steps[point] == 0
            if off.sum() < len(off) - 1 and values[point] >= best - OF_FACES:
                near &= ~self.steps[:, off].any(axis=1)
            if values[point] >= values[near].max():
                found.append(int(point))
            if len(found) == most:
                break
        return self.points[found]


def ratios(kernels: int) -> Array:
    """Ratios (q, kernels) of kernels to each other, in even steps; one of a single kernel."""
    if kernels == 1:
        return np.ones((1, 1))
    steps = Mesh.of(kernels).steps
    return np.asarray(steps / steps.sum(axis=1, keepdims=True))


def count_of_ratios(kernels: int) -> int:
    """Number of `ratios`."""
    return len(ratios(kernels))


def edge(inner: Array, direction: Array) -> Array:
    """Where a line from a point of the simplex leaves it."""
    falling = direction < -1e-9 * np.abs(direction).max()
    length = float((inner[falling] / -direction[falling]).min())
    return np.maximum(inner + length * direction, 0.0)


def shares_of(inner: Array, least: float) -> Array:
    """Shares (..., k + 1) from weights of corners that have at least so much residual each."""
    own = (1.0 - least) * inner[..., :-1]
    return np.concatenate([own, 1.0 - own.sum(axis=-1, keepdims=True)], axis=-1)


def newton_target(inner: Array, slope: Array, information: Array, free: Flags) -> Array:
    """Point of the simplex where a quadratic model of a function is largest.

    The model is g'(x - u) - 1/2 (x - u)'B(x - u), with weight on the free corners only.

    Parameters
    ----------
    inner : array (corners,)
        The point u.
    slope, information : arrays (corners,), (corners, corners)
        Slope g and information B there.
    free : array (corners,) of bool
        Corners that may have weight.
    """
    target = np.zeros_like(inner)
    b = information[np.ix_(free, free)]
    largest = float(np.diag(b).max())
    if largest <= _FLAT * np.abs(slope[free]).max():
        target[np.argmax(np.where(free, slope, -np.inf))] = 1.0
        return target
    values, vectors = np.linalg.eigh(b / largest)
    values = np.maximum(values, 0.0) + _RIDGE
    root = np.sqrt(values)[:, None] * vectors.T
    # |root x - aim|^2 / 2 is minus the model, up to a constant.
    aim = root @ inner[free] + (vectors.T @ (slope[free] / largest)) / np.sqrt(values)
    weight = _SUM * max(1.0, float(np.abs(aim).max()))
    rows = np.concatenate([root, np.full((1, len(b)), weight)])
    found, _ = nnls(rows, np.append(aim, weight))
    target[free] = found / found.sum()
    return target
