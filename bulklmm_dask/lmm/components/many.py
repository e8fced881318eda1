r"""Shares of many traits at once, from a likelihood that is interpolated over the simplex.

With the forms of a trait at the nodes (`nodes`), S(h) = y'M(h)y and log|V(h)| are known at the
points of a lattice of shares, and between them by polynomials, with their derivatives. The
maxima of a mesh are the starts of Newton's method in the coordinates of the lattice, all traits
side by side. From where it ends, `scores` goes on without interpolation.

Traits for which this is no answer are left to a search of their own (`fit`): a likelihood that is
flat, a residual share near its least one, no convergence.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from bulklmm_dask.lmm.components.lattice import STEP, derivatives
from bulklmm_dask.lmm.components.logdet import grades
from bulklmm_dask.lmm.components.nodes import Nodes
from bulklmm_dask.lmm.components.simplex import OF_FACES, edge, shares_of
from bulklmm_dask.typing import Array, Flags, Index

# Another maximum so many nats below the best, or less, may be the higher one, besides what errors
# of interpolation may do; on the mesh also as many more a degree of freedom as a likelihood falls
# from its top to the nearest point.
_NEARLY, _BETWEEN = 1e-3, 0.01
# So many nats from a bound to the next point of the mesh leave room for a top between them.
_SHALLOW = 0.05
# The same at the largest ratios to the residual: beyond them the likelihood may go on rising.
_AT_LEAST = 4.0
# A likelihood may be flat where points within so many nats of the best differ by such a share.
# Fewer points than lie on a line from edge to edge say nothing.
_FLAT, _FAR, _FEW = 1e-2, 0.1, 3
# Longest step, and the last, in steps of the lattice; most steps, and times that one is cut.
_STEP, _LAST, _ITERATIONS, _HALVINGS = 2.5, 1e-3, 30, 4
# A climb is given up that promises less than this many times its next gain, or so near another.
_PROMISED, _NEAR = 1.5, 0.3
# Climbs that are followed together.
_TOGETHER = 256
# Nats by which rounding moves a likelihood.
_NOISE = 1e-5
# Shares are alike if they differ by less.
_ALIKE = 0.01
# Bend of a coordinate that a bound holds: stiffer than any other.
_HELD = 1e6
# Steps from the largest ratios within which traits are left to a search.
_LOWEST = 1.0


@dataclass(frozen=True)
class Found:
    """Maxima of interpolated likelihoods: of every trait the highest, and those nearly as high.

    Attributes
    ----------
    trait : array (m,) of int
        The trait of each, in order.
    place : array (m, k)
        Places of the lattice.
    value : array (m,)
        The likelihood there, without constants.
    bend : array (m, k, k)
        Second derivatives of the likelihood by steps.
    settled : array (traits,) of bool
        Whether one of these is the answer.
    """

    trait: Index
    place: Array
    value: Array
    bend: Array
    settled: Flags


class Surface:
    """Interpolated likelihoods of traits.

    Parameters
    ----------
    nodes : Nodes
    forms : array (q + 1, traits)
        y'M(h_q)y at the nodes, and of the rest of the contrasts (`Nodes.rough_forms`).
    count : int
        Effective degrees of freedom: n, or n - c under REML.
    """

    def __init__(self, nodes: Nodes, forms: Array, count: int) -> None:
        self.nodes, self.forms, self.count = nodes, forms, count
        self._lattice = nodes.rough.lattice
        self._nearly = _NEARLY + count * nodes.rough.error
        # At the points of the lattice, (traits, points).
        self._squares = np.ascontiguousarray((nodes.rough.weights @ forms).T)

    def maxima(self) -> Found:
        """The largest likelihood of every trait."""
        lattice, traits = self.nodes.lattice, self.forms.shape[1]
        weights, logdet, _ = self.nodes.rough.searched
        values = -0.5 * (self.count * np.log(weights @ self.forms) + logdet[:, None])
        flat = self._may_be_flat(values, values.max(axis=0))
        point, trait = self._peaks(values, flat)
        place, value, converged = self._climb(lattice.searched_places[point], trait)
        # The highest of each trait is the last of it in this order.
        order = np.lexsort((value, trait))
        top = order[np.searchsorted(trait[order], np.arange(traits), side="right") - 1]
        inner = lattice.inner(place)
        apart = np.abs(inner - inner[top[trait]]).max(axis=1) > _ALIKE
        below = value[top[trait]] - value
        lowest: Flags = np.asarray((place >= lattice.ends - _LOWEST).any(axis=1))
        settled = ~flat & converged[top] & ~lowest[top]
        settled[trait[apart & (lowest | ~converged) & (below < _AT_LEAST)]] = False
        near = apart & (below < self._nearly)
        near[top] = True
        near &= settled[trait]
        some = np.flatnonzero(near)[np.argsort(trait[near], kind="stable")]
        _, slope, bend = self._at(place[some], trait[some])
        level = self._level(place[some], slope, bend, value[some], trait[some])
        settled[trait[some][level]] = False
        keep = settled[trait[some]]
        some, bend = some[keep], bend[keep]
        return Found(trait[some], place[some], value[some], bend, settled)

    def _level(self, place: Array, slope: Array, bend: Array, value: Array, traits: Index) -> Flags:
        """Which maxima (m,) may lie on a line from edge to edge along which nothing changes.

        The line is that of `estimate.status_of`, by the bend in shares instead of the information.
        """
        lattice = self.nodes.lattice
        inner = lattice.inner(place)
        ratio = lattice.ratios(place)
        k = place.shape[1]
        change = STEP * (ratio + np.array(lattice.scales))
        total = 1.0 + ratio.sum(axis=1)
        # Derivatives of places by weights of the corners: t_k = u_k/u_e, beside the least residual.
        own = inner[:, :-1]
        by = (np.eye(k) + ratio[:, :, None]) * (total / change.T).T[:, :, None]
        bends = np.swapaxes(by, 1, 2) @ bend @ by
        held = (own <= 0.0) & (np.einsum("mij,mi->mj", by, slope) < -_FLAT / _FAR)
        stiff = np.where(held[:, :, None] | held[:, None, :], 0.0, -bends)
        stiff += _HELD * held[:, :, None] * np.eye(k)
        # Over half of `_FAR` a line of more curvature falls by more than `_FLAT`.
        most = (k + 1) * 2.0 * _FLAT / (_FAR / 2.0) ** 2
        lines, of = [], []
        for one in np.flatnonzero(np.linalg.eigvalsh(stiff)[:, 0] < most):
            free = np.flatnonzero(~np.append(held[one], False))
            if len(free) < 2:
                continue
            plane = np.zeros((k + 1, len(free) - 1))
            plane[free] = np.linalg.svd(np.ones((1, len(free))))[2][1:].T
            weakest = plane @ np.linalg.eigh(-plane[:k].T @ bends[one] @ plane[:k])[1][:, 0]
            ends = np.stack([edge(inner[one], way) for way in (weakest, -weakest)])
            if np.ptp(ends, axis=0).max() >= _FAR:
                lines.append(ends)
                of.append(one)
        out = np.zeros(len(place), dtype=bool)
        if lines:
            which = np.array(of)
            there = lattice.place(shares_of(np.concatenate(lines), lattice.least))
            ends_at = self._at(np.minimum(there, lattice.ends), np.repeat(traits[which], 2))[0]
            out[which] = ends_at.reshape(-1, 2).min(axis=1) > value[which] - _FLAT
        return out

    def _peaks(self, values: Array, flat: Flags) -> tuple[Index, Index]:
        """Points of the mesh to climb from, and their traits: maxima nearly as high.

        Also maxima of a bound, beside which a ridge may rise (`Mesh.peaks`).

        Of traits whose likelihood is flat the best alone.
        """
        lattice = self.nodes.lattice
        shape = (lattice.searched,) * len(lattice.ends)
        grid = values.reshape(*shape, -1)
        best = values.argmax(axis=0)
        within = self._nearly + _BETWEEN * self.count
        below = np.full((*shape, 1), within)
        for axis in range(len(shape)):
            np.moveaxis(below, axis, 0)[-1] = max(within, _AT_LEAST)
        highest = values.max(axis=0)
        tops = [_is_top(grid, axis) for axis in range(len(shape))]
        peak = np.logical_and.reduce(tops) & (grid > highest - below)
        for axis in range(len(tops)):
            rest = tops[:axis] + tops[axis + 1 :]
            for end in (0, -1) if rest else ():
                bound = (*(slice(None),) * axis, end)
                of_bound = np.logical_and.reduce([one[bound] for one in rest])
                peak[bound] |= of_bound & (grid[bound] > highest - OF_FACES)
        peak &= ~flat
        point, trait = np.nonzero(peak.reshape(values.shape))
        here, there = (np.stack(np.unravel_index(one, shape)) for one in (point, best[trait]))
        apart = (np.abs(here - there) > 1).any(axis=0) | ((here == 0) != (there == 0)).any(axis=0)
        # On a plateau at a bound, where a share changes little from point to point, rounding makes
        # maxima: they are of shares that are alike.
        inner = self.nodes.rough.searched[2]
        apart &= np.abs(inner[point] - inner[best[trait]]).max(axis=1) > _ALIKE
        every = np.arange(values.shape[1])
        starts, of = [best, point[apart]], [every, trait[apart]]
        # Between a bound and the next point there may be a top of its own.
        there = np.stack(np.unravel_index(best, shape))
        for axis, own in enumerate(there):
            beside = best + shape[0] ** (len(shape) - 1 - axis)
            some = np.flatnonzero((own == 0) & ~flat)
            some = some[values[beside[some], some] > highest[some] - _SHALLOW]
            starts.append(beside[some])
            of.append(some)
        return np.concatenate(starts), np.concatenate(of)

    def _may_be_flat(self, values: Array, highest: Array) -> Flags:
        """Whether points with nearly the best likelihood have other shares."""
        near = values > highest - _FLAT
        out = near.sum(axis=0) > _FEW
        for trait in np.flatnonzero(out):
            inner = self.nodes.rough.searched[2][near[:, trait]]
            out[trait] = bool(np.ptp(inner, axis=0).max() > _FAR)
        return out

    def _climb(self, place: Array, traits: Index) -> tuple[Array, Array, Flags]:
        """Newton's method from places (m, k) of some traits.

        Returns the places reached, the likelihoods there, and which climbs converged: also those
        that were given up since they lead nowhere better.
        """
        ends = self.nodes.lattice.ends
        place = place.copy()
        done = np.zeros(len(place), dtype=bool)
        active: Index = np.arange(len(place))
        value, slope, bend = self._at(place, traits)
        reached = value.copy()
        for _ in range(_ITERATIONS):
            step = _newton(place[active], slope, bend, ends)
            small = np.abs(step).max(axis=1) < _LAST
            place[active[small]] = np.clip(place[active[small]] + step[small], 0.0, ends)
            gain = np.einsum("mk,mk->m", slope, step)
            less, near = self._given_up(place, reached, traits, active, gain)
            reached[active[near]] = -np.inf
            needless = small | less | near
            done[active[needless]] = True
            left = ~needless
            active, step, slope, bend = active[left], step[left], slope[left], bend[left]
            if not len(active):
                break
            here, value = place[active], reached[active]
            size = np.ones(len(active))
            waiting = np.arange(len(active))
            for _ in range(_HALVINGS):
                target = np.clip(here[waiting] + size[waiting, None] * step[waiting], 0.0, ends)
                found = self._at(target, traits[active[waiting]])
                up = found[0] > value[waiting] - _NOISE
                taken = waiting[up]
                place[active[taken]], reached[active[taken]] = target[up], found[0][up]
                slope[taken], bend[taken] = found[1][up], found[2][up]
                waiting = waiting[~up]
                if not len(waiting):
                    break
                size[waiting] /= 4.0
            else:
                # As high as rounding lets it.
                done[active[waiting]] = True
                keep = np.ones(len(active), dtype=bool)
                keep[waiting] = False
                active, slope, bend = active[keep], slope[keep], bend[keep]
        return place, reached, done

    def _given_up(
        self, place: Array, value: Array, traits: Index, active: Index, gain: Array
    ) -> tuple[Flags, Flags]:
        """Which active climbs promise too little, and which are where a higher one is."""
        order = np.lexsort((value, traits))
        last = np.flatnonzero(np.diff(traits[order], append=-1))
        top = np.zeros(self.forms.shape[1], dtype=np.int64)
        top[traits[order[last]]] = order[last]
        best = top[traits[active]]
        lowest = (place[active] >= self.nodes.lattice.ends - _LOWEST).any(axis=1)
        less = value[active] + _PROMISED * np.maximum(gain, 0.0) + self._nearly < value[best]
        near = np.abs(place[active] - place[best]).max(axis=1) < _NEAR
        other = best != active
        return other & less & ~lowest, other & near

    def _at(self, place: Array, traits: Index) -> tuple[Array, Array, Array]:
        """Likelihoods (m,) at places (m, k) of some traits, slopes (m, k) and bends (m, k, k)."""
        k = place.shape[1]
        value, slope, bend = np.empty(len(place)), np.empty_like(place), np.empty((*place.shape, k))
        for start in range(0, len(place), _TOGETHER):
            some = slice(start, start + _TOGETHER)
            along = self._lattice.along(place[some])
            s, s1, s2 = grades(derivatives(self._squares[traits[some]], along))
            logs, l1, l2 = grades(derivatives(self.nodes.rough.logdet[None], along))
            first = s1 / s[:, None]
            value[some] = -0.5 * (self.count * np.log(s) + logs)
            slope[some] = -0.5 * (self.count * first + l1)
            curved = s2 / s[:, None, None] - first[:, :, None] * first[:, None, :]
            bend[some] = -0.5 * (self.count * curved + l2)
        return value, slope, bend


def _is_top(grid: Array, axis: int) -> Flags:
    """Which points are not below their neighbours along an axis."""
    rising = np.diff(grid, axis=axis) > 0.0
    out = np.ones(grid.shape, dtype=bool)
    before = (slice(None),) * axis
    out[(*before, slice(None, -1))] &= ~rising
    out[(*before, slice(1, None))] &= rising
    return out


def _newton(place: Array, slope: Array, bend: Array, ends: Array) -> Array:
    """Steps (m, k) uphill, at most `_STEP` long along each axis of the bend, not through bounds.

    They are those of Newton's method in the ratios t, in which ridges between similar kernels are
    straight: a step dt = (t + s) u moves a place by log(1 + u).
    """
    diagonal = np.arange(place.shape[1])
    bend = bend.copy()
    bend[:, diagonal, diagonal] -= STEP * slope
    held, bend = _free(place, slope, bend, ends)
    values, vectors = np.linalg.eigh(bend)
    turned = np.einsum("mij,mi->mj", vectors, np.where(held, 0.0, slope))
    # Uphill where the likelihood is not concave; nothing where it is level. Each direction has its
    # own longest step: a level one, as towards a share of 0, does not shorten the others.
    curvature = np.maximum(np.abs(values), 1e-12)
    along = np.clip(turned / curvature, -_STEP, _STEP)
    step = np.where(held, 0.0, np.einsum("mij,mj->mi", vectors, along))
    moved = np.log1p(STEP * np.maximum(step, -_STEP)) / STEP
    return np.asarray(np.clip(place + moved, 0.0, ends) - place)


def _free(place: Array, slope: Array, bend: Array, ends: Array) -> tuple[Flags, Array]:
    """Coordinates (m, k) that a bound holds, and bends in which these have a bend of their own."""
    held = ((place <= 0.0) & (slope <= 0.0)) | ((place >= ends) & (slope >= 0.0))
    bend = np.where(held[:, :, None] | held[:, None, :], 0.0, bend)
    return held, bend - _HELD * held[:, :, None] * np.eye(bend.shape[1])
