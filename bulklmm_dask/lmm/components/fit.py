"""Shares of one trait after the other: the largest likelihood over the simplex, and over its faces.

A mesh of the simplex, whose Cholesky factors all traits of a group share, finds the local maxima;
average information with a line search climbs each to the top.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from bulklmm_dask.lmm.components.likelihood import Likelihood, Point
from bulklmm_dask.lmm.components.simplex import Mesh, newton_target
from bulklmm_dask.typing import Array, Flags

# Maxima of the mesh that are climbed: their number, and how many nats below the highest.
_PEAKS, _WITHIN = 5, 4.0
# A climb ends where the next step promises less, in nats: for shares to 1e-6, and for a likelihood.
_FOR_SHARES, _FOR_LIKELIHOOD = 1e-13, 1e-9
# Gains below this, in nats, are about those by which rounding changes the likelihood.
_DROWNED = 1e-8
# Small weights of the residual where a likelihood may have another maximum, between points of the
# mesh. Below the first one nothing changes unless kernels of mean diagonal one have an eigenvalue
# as small.
_SMALL, _NEARLY_SINGULAR = (1e-3, 1e-4, 1e-6, 1e-8), 1e-3
_ITERATIONS = 200
_HALVINGS = 25


@dataclass(frozen=True)
class Optimum:
    """Largest likelihood of one trait over a face of the simplex.

    Attributes
    ----------
    inner : array (k + 1,)
        Weights of the corners.
    point : Point
        The likelihood there.
    """

    inner: Array
    point: Point


@dataclass(frozen=True)
class Search:
    """Likelihoods of traits measured on the same samples, searched over the shares.

    Attributes
    ----------
    likelihood : Likelihood
        The likelihood.
    y : array (n - c, traits)
        Contrasts of the traits, none of them 0.
    """

    likelihood: Likelihood
    y: Array

    @cached_property
    def mesh(self) -> Mesh:
        """Points where the likelihoods of all traits are known."""
        return Mesh.of(len(self.likelihood.kernels.vertices))

    @cached_property
    def on_mesh(self) -> Array:
        """Likelihoods (points, traits) of the mesh."""
        return np.stack([self.likelihood.values(u, self.y) for u in self.mesh.points])

    @cached_property
    def beside(self) -> Array:
        """Points of the mesh at small weights of the residual (levels, points, corners)."""
        rank = self.likelihood.kernels.rank
        kernels = self.likelihood.corners[:-1, :rank, :rank].mean(axis=0)
        without = self.mesh.points[self.mesh.points[:, -1] == 0.0]
        nearly_singular = np.linalg.eigvalsh(kernels)[0] <= _NEARLY_SINGULAR
        residual = np.eye(without.shape[1])[-1]
        levels = _SMALL if nearly_singular else _SMALL[:1]
        return np.stack([(1.0 - small) * without + small * residual for small in levels])

    @cached_property
    def on_beside(self) -> Array:
        """Likelihoods (levels, points, traits) there."""
        found = [[self.likelihood.values(u, self.y) for u in level] for level in self.beside]
        return np.array(found).reshape(*self.beside.shape[:2], self.y.shape[1])

    def best(self, trait: int, near: Iterable[Array] = ()) -> Optimum:
        """The largest likelihood of a trait over all shares; climbs start at some points too."""
        free = np.ones(self.mesh.points.shape[1], dtype=bool)
        return self._best(trait, free, near, _FOR_SHARES)

    def uphill(self, trait: int, start: Array) -> Optimum | None:
        """The maximum of a trait above weights (k + 1,); None where V is singular."""
        free = np.ones(len(start), dtype=bool)
        return climb(self.likelihood, self.y[:, trait], start, free, _FOR_SHARES)

    def without(self, trait: int, component: int, whole: Optimum) -> Optimum:
        """The largest likelihood of a trait without a component; `whole` is that with it."""
        if whole.inner[component] == 0.0:
            return whole
        free = np.arange(len(whole.inner)) != component
        rest = np.where(free, whole.inner, 0.0)
        near = [rest / rest.sum()] if rest.sum() > 1e-6 else []
        return self._best(trait, free, near, _FOR_LIKELIHOOD)

    def _best(self, trait: int, free: Flags, near: Iterable[Array], least: float) -> Optimum:
        """The highest of the climbs from the peaks of the mesh and from points given."""
        values = np.where(self.mesh.points[:, ~free].any(axis=1), -np.inf, self.on_mesh[:, trait])
        starts = [*self.mesh.peaks(values, _PEAKS, _WITHIN), *near]
        for points, at in zip(self.beside, self.on_beside[:, :, trait], strict=True):
            at = np.where(points[:, ~free].any(axis=1), -np.inf, at)
            if at.max() >= values.max() - _WITHIN:
                starts.append(points[at.argmax()])
        y = self.y[:, trait]
        climbs = [climb(self.likelihood, y, start, free, least) for start in starts]
        return max((one for one in climbs if one is not None), key=lambda found: found.point.value)


def climb(
    likelihood: Likelihood, y: Array, inner: Array, free: Flags, least: float
) -> Optimum | None:
    """Climb from weights (k + 1,) to a local maximum, with weight on the free corners only.

    It ends where the next step promises less than `least`, in nats.
    """
    here = _Place.of(likelihood, y, inner, free)
    if here is None:
        return None
    for _ in range(_ITERATIONS):
        reached = None if here.gain < least else _step(likelihood, y, here, free)
        if reached is None:
            break
        here = reached
    return Optimum(here.inner, here.point)


@dataclass(frozen=True)
class _Place:
    """A point of a climb: the likelihood, where the next step leads, and what it promises."""

    inner: Array
    point: Point
    target: Array
    gain: float

    @classmethod
    def of(cls, likelihood: Likelihood, y: Array, inner: Array, free: Flags) -> _Place | None:
        """The likelihood at some weights; None where V is singular."""
        point = likelihood.at(inner, y)
        if point is None:
            return None
        target = newton_target(inner, point.slope, point.profiled(inner), free)
        return cls(inner, point, target, float(point.slope @ (target - inner)))

    def is_above(self, other: _Place, promised: float) -> bool:
        """Whether a step from another place was worth it.

        Small gains drown in the rounding of the likelihood: then the next step must promise less.
        """
        gain = self.point.value - other.point.value
        if promised > _DROWNED:
            return gain > 1e-4 * promised
        return gain > -_DROWNED and self.gain < other.gain


def _step(likelihood: Likelihood, y: Array, here: _Place, free: Flags) -> _Place | None:
    """Go towards the target as far as the likelihood rises; None if it does not."""
    step = 1.0
    for _ in range(_HALVINGS):
        # At the whole step exactly, so that weights of 0 are exact.
        inner = here.target if step == 1.0 else here.inner + step * (here.target - here.inner)
        reached = _Place.of(likelihood, y, inner, free)
        if reached is not None and reached.is_above(here, step * here.gain):
            return reached
        step /= 2.0
    return None
