r"""Shares of many traits at once, from a likelihood that is interpolated over the simplex.

With the forms of a trait at the nodes (`nodes`), S(h) = y'M(h)y and log|V(h)| are known on a
lattice of shares, and between its points by local polynomials, with their derivatives. The
maxima of every second point are the starts of Newton's method in the coordinates of the lattice,
all traits side by side. Where errors of interpolation may have moved the top, `scan` climbs to it
without.

Traits for which this is no answer are left to a search of their own (`fit`): a second maximum
nearly as high, a likelihood that is flat, a residual share near its least one, no convergence.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from bulklmm_dask.lmm.components.lattice import ORDER, combined
from bulklmm_dask.lmm.components.nodes import Nodes
from bulklmm_dask.lmm.components.simplex import OF_FACES
from bulklmm_dask.typing import Array, Flags, Index

# Another maximum of the lattice so many nats below the best, or less, may be the higher one: these,
# and as many more a degree of freedom as a likelihood falls from its top to the nearest point.
_NEARLY, _BETWEEN = 0.05, 0.01
# The same at the least weight of the residual: below it the likelihood may go on rising.
_AT_LEAST = 4.0
# A likelihood may be flat where points within so many nats of the best differ by such a share.
# Fewer points than lie on a line from edge to edge say nothing.
_FLAT, _FAR, _FEW = 1e-2, 0.1, 3
# Longest step, and the last, in steps of the lattice; and most steps.
_STEP, _LAST, _ITERATIONS = 1.5, 1e-4, 40
# Nats by which rounding and a change of polynomials move a likelihood.
_NOISE = 1e-6
# Shares are alike if they differ by less.
_ALIKE = 0.01
# Bend of a coordinate that a bound holds: stiffer than any other.
_HELD = 1e6
# Places of the residual below which traits are left to a search.
_LOWEST = 1.0


@dataclass(frozen=True)
class Found:
    """Maxima of interpolated likelihoods.

    Attributes
    ----------
    place : array (traits, k)
        Places of the lattice.
    quadratic : array (traits,)
        S there.
    value : array (traits,)
        The likelihood there, without constants.
    error : array (traits,)
        Steps of the lattice by which errors of interpolation may have moved the place.
    settled : array (traits,) of bool
        Whether the maximum is an answer.
    """

    place: Array
    quadratic: Array
    value: Array
    error: Array
    settled: Flags


class Surface:
    """Interpolated likelihoods of traits.

    Parameters
    ----------
    nodes : Nodes
    forms : array (Q, traits)
        y'M(h_q)y at the nodes.
    count : int
        Effective degrees of freedom: n, or n - c under REML.
    """

    def __init__(self, nodes: Nodes, forms: Array, count: int) -> None:
        self.nodes, self.forms, self.count = nodes, forms, count
        self._ends = np.array(nodes.lattice.shape) - 1.0
        size = (ORDER,) * len(nodes.lattice.axes)
        self._cell = np.full(forms.shape[1], -1)
        self._squares = np.empty((forms.shape[1], *size))
        self._logdet = np.empty_like(self._squares)

    def maxima(self) -> Found:
        """The largest likelihood of every trait."""
        nodes, traits = self.nodes, self.forms.shape[1]
        squares = nodes.coarse_weights @ self.forms
        values = -0.5 * (self.count * np.log(squares) + nodes.coarse_logdet[:, None])
        flat = self._may_be_flat(values, values.max(axis=0))
        point, trait = self._peaks(values, flat)
        climbs = Surface(nodes, self.forms[:, trait], self.count)
        place, converged = climbs._climb(2.0 * nodes.lattice.coarse.places[point])
        value, slope, bend = climbs._at(place, np.arange(len(trait)))
        # The highest of each trait is the last of it in this order.
        order = np.lexsort((value, trait))
        top = order[np.searchsorted(trait[order], np.arange(traits), side="right") - 1]
        inner = nodes.lattice.inner(place)
        apart = np.abs(inner - inner[top[trait]]).max(axis=1) > _ALIKE
        lowest = place[:, -1] <= _LOWEST
        within = np.where(lowest | ~converged, _AT_LEAST, _NEARLY)
        settled = ~flat & converged[top] & ~lowest[top]
        settled[trait[apart & (value > value[top[trait]] - within)]] = False
        place, slope, bend = place[top], slope[top], bend[top]
        along = [each[0] for each in nodes.lattice.polynomials(place)]
        quadratic = combined(climbs._squares[top], along)
        # Errors of interpolation make slopes like this.
        noise = 0.5 * self.count * nodes.errors_at(place)
        held, bend = _free(place, slope, bend, self._ends)
        moved = noise / np.maximum(np.abs(np.linalg.eigvalsh(bend)).min(axis=1), 1e-300)
        moved[(held & (np.abs(slope) <= noise[:, None])).any(axis=1)] = np.inf
        return Found(place, quadratic, value[top], moved, settled)

    def _gather(self, place: Array, traits: Index) -> None:
        """See to it that S and log|V| are those of the points around places of some traits."""
        moved = np.flatnonzero(self.nodes.lattice.cell(place) != self._cell[traits])
        shape = self._squares.shape[1:]
        for cell, some in self.nodes.cells(place[moved]):
            mine, points = traits[moved[some]], self.nodes.lattice.points(cell)
            found = self.nodes.weights[points] @ self.forms[:, mine]
            self._squares[mine] = found.T.reshape(-1, *shape)
            self._logdet[mine] = self.nodes.logdet[points].reshape(shape)
            self._cell[mine] = cell

    def _peaks(self, values: Array, flat: Flags) -> tuple[Index, Index]:
        """Points of the coarse lattice to climb from, and their traits: maxima nearly as high.

        Also maxima of a bound, beside which a ridge may rise (`Mesh.peaks`).

        Of traits whose likelihood is flat the best alone.
        """
        coarse = self.nodes.lattice.coarse
        grid = values.reshape(*coarse.shape, -1)
        best = values.argmax(axis=0)
        below = np.full(coarse.shape[-1], _NEARLY + _BETWEEN * self.count)
        below[0] = max(below[0], _AT_LEAST)
        highest = values.max(axis=0)
        tops = [_is_top(grid, axis) for axis in range(len(coarse.shape))]
        peak = np.logical_and.reduce(tops) & (grid > highest - below[:, None])
        for axis in range(len(tops)):
            rest = tops[:axis] + tops[axis + 1 :]
            for end in (0, -1) if rest else ():
                bound = (*(slice(None),) * axis, end)
                of_bound = np.logical_and.reduce([one[bound] for one in rest])
                peak[bound] |= of_bound & (grid[bound] > highest - OF_FACES)
        peak &= ~flat
        point, trait = np.nonzero(peak.reshape(values.shape))
        apart = np.abs(coarse.places[point] - coarse.places[best[trait]]).max(axis=1) > 1.0
        # On a plateau at a bound, where a share changes little from point to point, rounding makes
        # maxima: they are of shares that are alike.
        inner = self.nodes.coarse_inner
        apart &= np.abs(inner[point] - inner[best[trait]]).max(axis=1) > _ALIKE
        every = np.arange(values.shape[1])
        return np.append(best, point[apart]), np.append(every, trait[apart])

    def _may_be_flat(self, values: Array, highest: Array) -> Flags:
        """Whether points with nearly the best likelihood have other shares."""
        near = values > highest - _FLAT
        out = near.sum(axis=0) > _FEW
        for trait in np.flatnonzero(out):
            inner = self.nodes.coarse_inner[near[:, trait]]
            out[trait] = bool(np.ptp(inner, axis=0).max() > _FAR)
        return out

    def _climb(self, place: Array) -> tuple[Array, Flags]:
        """Newton's method from places (traits, k); which traits converged."""
        ends = self._ends
        place = place.copy()
        done = np.zeros(len(place), dtype=bool)
        active: Index = np.arange(len(place))
        value, slope, bend = self._at(place, active)
        for _ in range(_ITERATIONS):
            here = place[active]
            step = _newton(here, slope, bend, ends)
            small = np.abs(step).max(axis=1) < _LAST
            place[active[small]] = np.clip(here[small] + step[small], 0.0, ends)
            done[active[small]] = True
            active, step, value = active[~small], step[~small], value[~small]
            slope, bend = slope[~small], bend[~small]
            if not len(active):
                break
            here = place[active]
            size = np.ones(len(active))
            waiting = np.arange(len(active))
            for _ in range(12):
                target = np.clip(here[waiting] + size[waiting, None] * step[waiting], 0.0, ends)
                new_value, new_slope, new_bend = self._at(target, active[waiting])
                up = new_value > value[waiting] - _NOISE
                taken = waiting[up]
                place[active[taken]] = target[up]
                value[taken], slope[taken], bend[taken] = new_value[up], new_slope[up], new_bend[up]
                waiting = waiting[~up]
                if not len(waiting):
                    break
                size[waiting] /= 2.0
            else:
                keep = np.ones(len(active), dtype=bool)
                keep[waiting] = False
                active, value, slope, bend = active[keep], value[keep], slope[keep], bend[keep]
        return place, done

    def _at(self, place: Array, traits: Index) -> tuple[Array, Array, Array]:
        """Likelihoods (m,) at places (m, k) of some traits, slopes (m, k) and bends (m, k, k)."""
        self._gather(place, traits)
        along = self.nodes.lattice.polynomials(place)
        k = len(along)
        both = np.stack([self._squares[traits], self._logdet[traits]], axis=-1)

        def derived(*orders: int) -> Array:
            return combined(both, [each[order] for each, order in zip(along, orders, strict=True)])

        unit = np.eye(k, dtype=int)
        s, logs = derived(*([0] * k)).T
        slope, bend = np.empty((len(s), k)), np.empty((len(s), k, k))
        first = []
        for d in range(k):
            ds, dl = derived(*unit[d]).T
            first.append(ds / s)
            slope[:, d] = -0.5 * (self.count * ds / s + dl)
        for d in range(k):
            for e in range(d + 1):
                ds, dl = derived(*(unit[d] + unit[e])).T
                second = self.count * (ds / s - first[d] * first[e]) + dl
                bend[:, d, e] = bend[:, e, d] = -0.5 * second
        return -0.5 * (self.count * np.log(s) + logs), slope, bend


def _is_top(grid: Array, axis: int) -> Flags:
    """Which points are not below their neighbours along an axis."""
    rising = np.diff(grid, axis=axis) > 0.0
    out = np.ones(grid.shape, dtype=bool)
    before = (slice(None),) * axis
    out[(*before, slice(None, -1))] &= ~rising
    out[(*before, slice(1, None))] &= rising
    return out


def _newton(place: Array, slope: Array, bend: Array, ends: Array) -> Array:
    """Steps (m, k) uphill, at most `_STEP` long along each axis of the bend, not through bounds."""
    held, bend = _free(place, slope, bend, ends)
    values, vectors = np.linalg.eigh(bend)
    turned = np.einsum("mij,mi->mj", vectors, np.where(held, 0.0, slope))
    # Uphill where the likelihood is not concave; nothing where it is level. Each direction has its
    # own longest step: a level one, as towards a share of 0, does not shorten the others.
    curvature = np.maximum(np.abs(values), 1e-12)
    along = np.clip(turned / curvature, -_STEP, _STEP)
    step = np.where(held, 0.0, np.einsum("mij,mj->mi", vectors, along))
    return np.asarray(np.clip(place + step, 0.0, ends) - place)


def _free(place: Array, slope: Array, bend: Array, ends: Array) -> tuple[Flags, Array]:
    """Coordinates (m, k) that a bound holds, and bends in which these have a bend of their own."""
    held = ((place <= 0.0) & (slope <= 0.0)) | ((place >= ends) & (slope >= 0.0))
    bend = np.where(held[:, :, None] | held[:, None, :], 0.0, bend)
    return held, bend - _HELD * held[:, :, None] * np.eye(bend.shape[1])
