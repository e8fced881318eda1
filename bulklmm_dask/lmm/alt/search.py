r"""``alt-exact`` over interpolated gains, where few terms do not suffice for `exact`.

The null likelihood l0 is known at any h, only the gain g needs products, and g is smooth. It is
computed at some twenty nodes and interpolated, first to a short row of points per trait where its
l0 is high. If these do not determine the maximum (`maximum`), g is interpolated to all points of
the curve. Pairs that are still unsure, and all pairs with a LOD of at least `refine_above`, are
optimised one by one on the likelihood itself (`pairs`).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import Self

import numpy as np

from bulklmm_dask.lmm.alt.gains import STEPS, Curve, GainNodes, gain_nodes
from bulklmm_dask.lmm.alt.maximum import Summit, has_rival, is_peak, summit
from bulklmm_dask.lmm.alt.pairs import TOGETHER, optimise_pairs
from bulklmm_dask.lmm.alt.scan import TO_LOD, Alternative, Scores, refined_from, settle
from bulklmm_dask.lmm.alt.tiles import AltTraits, Tile, Tiles
from bulklmm_dask.lmm.basis import Basis, fold
from bulklmm_dask.lmm.lod import largest_lod
from bulklmm_dask.lmm.markers import Markers
from bulklmm_dask.lmm.null.fit import NullModel
from bulklmm_dask.typing import Array, Columns, Flags, Index, Real

# Intervals in the row of points of a trait; with the widest stride the row covers the whole curve.
_INTERVALS = 32
# The row of points of a trait covers null likelihoods down to this many nats below their maximum.
_DEPTH = 3.0
# A second maximum of a null likelihood counts if at most this many nats below the highest.
_REACH = 8.0
# All points are searched if a likelihood outside the row may come within this many nats of the
# best.
_MARGIN = 1.0
# Error of the optimum due to grid spacing on a flat likelihood, in nats.
_APART = 2e-5
# Error of a likelihood due to rounding, in nats.
_ROUNDING = {"float64": 0.0, "float32": 1e-5}


@dataclass(frozen=True)
class AltSearch(Alternative):
    """Scanner of alt-exact: h2 of every pair maximises the likelihood over the whole interval.

    Attributes
    ----------
    traits : AltTraits
        Traits, with null likelihoods at all points of the curve.
    curve : Curve
        Heritabilities of the points.
    nodes : GainNodes
        Interpolation of gains from the nodes to the points.
    first, stride : array (traits,)
        Row of points of each trait: numbers first, first + stride, ...
    several : array (traits,) of bool
        Whether the null likelihood has more than one relevant maximum.
    outside : array (traits, nodes + 1)
        Highest null likelihood outside the row of points, in each interval between nodes, before
        the first and after the last.
    refine_above : float
        Pairs with at least this LOD are optimised on the likelihood itself.
    """

    traits: AltTraits
    curve: Curve
    nodes: GainNodes
    first: Index
    stride: Index
    several: Flags
    outside: Array
    refine_above: float

    @classmethod
    def of(
        cls,
        basis: Basis,
        model: NullModel,
        *,
        reml: bool,
        refine_above: float,
        effects: bool = False,
    ) -> Self:
        """Prepare the traits that a null model could be fitted to."""
        curve = Curve.of(basis)
        traits = AltTraits.of(basis, model, curve.points(), reml=reml)
        nodes = gain_nodes(fold(basis, model.rotated)[0], traits.points, reml=reml)
        first, stride = _rows_of_points(traits.objective)
        return cls(
            traits,
            effects,
            curve,
            nodes,
            first,
            stride,
            _has_several_maxima(traits.objective),
            _beside(traits.objective, first, first + stride * _INTERVALS, nodes.index),
            refined_from(refine_above if nodes.suffice else 0.0, basis.n),
        )

    def _scores(self, markers: Markers, *, single: bool) -> Columns:
        traits = self.traits
        tiles = Tiles(traits, markers, traits.points[self.nodes.index], single=single)
        out = Scores.empty(len(markers.tested), len(traits.h2), single=single)
        waiting = _Waiting([], 0)
        for tile in tiles:
            gains = tiles.gains(tile)
            found, unsure = self._near_null(tiles, tile, gains)
            where = (tile.rows, tile.columns)
            lod = found.value * TO_LOD
            out.lod[where] = lod.T
            out.h2_alt[where] = self.curve.h2(found.place / STEPS).T
            inexact = tiles.inexact(tile)
            wanted = (unsure | inexact | (lod >= self.refine_above)) & markers.tested[tile.rows]
            if wanted.any():
                waiting = waiting.with_pairs(tile, gains, inexact, wanted)
            if waiting.count >= TOGETHER:
                self._look_closer(tiles, waiting, out)
                waiting = _Waiting([], 0)
        self._look_closer(tiles, waiting, out)
        settle(out, traits, markers.tested)
        return {"lod": out.lod, "h2_alt": out.h2_alt, "refined": out.refined}

    def _near_null(self, tiles: Tiles, tile: Tile, gains: Real) -> tuple[Summit, Flags]:
        """Search each trait's row of points; also the mask of pairs that need all points.

        Both are arrays (traits, markers) of the tile; places are in steps of the curve.
        """
        traits, dtype = self.traits, tiles.dtype
        first, stride = self.first[tile.columns], self.stride[tile.columns]
        points = first[:, None] + stride[:, None] * np.arange(_INTERVALS + 1)
        # Pairs (traits, markers, points): the points of a pair lie together.
        weights = self.nodes.weights[points].astype(dtype).swapaxes(1, 2)
        objective = traits.objective[tile.columns]
        likelihood = gains.swapaxes(1, 2) @ weights
        likelihood += np.take_along_axis(objective, points, axis=1)[:, None].astype(dtype)
        full = None
        if traits.reml:
            full = (tile.logs * dtype.type(-0.5 * traits.basis.n)).swapaxes(1, 2) @ weights
            full += np.take_along_axis(traits.full[tile.columns], points, axis=1)[:, None]
        found = summit(likelihood, full, error=max(self._error(tiles), _APART))
        last = first + stride * _INTERVALS
        unsure = found.unsure | found.at_start & (first > 0)[:, None]
        unsure |= found.at_end & (last < STEPS)[:, None]
        several = np.flatnonzero(self.several[tile.columns])
        unsure[several] |= has_rival(likelihood[several], found.place[several], found.top[several])
        # Between two nodes a gain is hardly larger than at the higher one.
        outside = self.outside[tile.columns, :, None].astype(dtype)
        between = np.maximum(gains[:, :-1], gains[:, 1:])
        between += outside[:, 1:-1]
        elsewhere = between.max(axis=1)
        for end in (0, -1):
            np.maximum(elsewhere, gains[:, end] + outside[:, end], out=elsewhere)
        unsure |= elsewhere > found.top - _MARGIN
        place = first[:, None].astype(dtype) + stride[:, None].astype(dtype) * found.place
        return replace(found, place=place), unsure

    def _look_closer(self, tiles: Tiles, waiting: _Waiting, out: Scores) -> None:
        """Search all points for the waiting pairs; refine those still unsure or with a high LOD."""
        traits = self.traits
        for i, j, gains, inexact in waiting.batches():
            if inexact:
                gains = tiles.exact_gains(tiles.exact_logs(i, j), i)
            curves = gains @ self.nodes.weights.T.astype(gains.dtype)
            curves += traits.objective[j]
            full = None
            if traits.reml:
                alone = (gains - tiles.added[:, i].T) * (traits.basis.n / traits.count)
                full = alone @ self.nodes.weights.T + traits.full[j]
            found = summit(curves, full, error=self._error(tiles))
            lod = np.minimum(found.value * TO_LOD, largest_lod(traits.basis.n))
            out.lod[i, j] = lod
            out.h2_alt[i, j] = self.curve.h2(found.place / STEPS)
            exact = np.flatnonzero(found.unsure | (lod >= self.refine_above))
            error = self.nodes.error_of(gains[exact].max(axis=1))
            self._refine(tiles, i[exact], j[exact], curves[exact], error, out)

    def _error(self, tiles: Tiles) -> float:
        """Error of the interpolated likelihood, in nats."""
        return max(self.nodes.error, _ROUNDING[tiles.dtype.name])

    def _refine(
        self, tiles: Tiles, i: Index, j: Index, curves: Real, error: Array, out: Scores
    ) -> None:
        """Optimise pairs of markers i and traits j, one by one, on the likelihood itself."""
        traits = self.traits
        h2, full = optimise_pairs(
            tiles.spectrum,
            tiles.markers(i),
            tiles.y[:, j],
            traits.points,
            curves,
            reml=traits.reml,
            error=error,
        )
        lod = (full - traits.reference[j]) * TO_LOD
        out.lod[i, j] = np.minimum(lod, largest_lod(traits.basis.n))
        out.h2_alt[i, j] = h2
        out.refined[i, j] = True


@dataclass(frozen=True)
class _Waiting:
    """Pairs collected from several tiles: markers, traits, gains (pairs, nodes), `inexact`."""

    parts: list[tuple[Index, Index, Real, Flags]]
    count: int

    def with_pairs(self, tile: Tile, gains: Real, inexact: Flags, wanted: Flags) -> _Waiting:
        """Add the wanted pairs (traits, markers) of a tile."""
        c, r = np.nonzero(wanted)
        part = (r + tile.rows.start, c + tile.columns.start, gains[c, :, r], inexact[c, r])
        return _Waiting([*self.parts, part], self.count + len(c))

    def batches(self) -> Iterator[tuple[Index, Index, Real, bool]]:
        """Yield the pairs in batches of `TOGETHER`, whose vectors stay in cache.

        A batch holds only pairs that are inexact, or none: no pair depends on its neighbours.
        """
        if not self.parts:
            return
        i, j, gains, inexact = (np.concatenate(part) for part in zip(*self.parts, strict=True))
        for kind in (False, True):
            mine = np.flatnonzero(inexact == kind)
            for start in range(0, len(mine), TOGETHER):
                part = mine[start : start + TOGETHER]
                yield i[part], j[part], gains[part], kind


def _rows_of_points(objective: Array) -> tuple[Index, Index]:
    """First point and stride of each trait, covering evenly where its likelihood is high."""
    high = objective >= objective.max(axis=1, keepdims=True) - _DEPTH
    low = high.argmax(axis=1)
    top = STEPS - high[:, ::-1].argmax(axis=1)
    stride = np.clip(-(-(top - low + 2) // _INTERVALS), 1, STEPS // _INTERVALS)
    first = (low + top - stride * _INTERVALS) // 2
    first = np.where(low == 0, 0, np.where(top == STEPS, STEPS - stride * _INTERVALS, first))
    return np.clip(first, 0, STEPS - stride * _INTERVALS), stride


def _beside(objective: Array, first: Index, last: Index, nodes: Index) -> Array:
    """Maximum of the objective (traits, points) in each interval between nodes.

    Points from `first` to `last` of the trait are left out.
    """
    point = np.arange(STEPS + 1)
    inside = (point >= first[:, None]) & (point <= last[:, None])
    outside = np.where(inside, -np.inf, objective)
    # Both nodes of an interval belong to it.
    edges = np.concatenate([[0], nodes, [STEPS]])
    parts = [outside[:, low : high + 1].max(axis=1) for low, high in pairwise(edges)]
    return np.stack(parts, axis=1)


def _has_several_maxima(objective: Array) -> Flags:
    """Mask (traits,) of traits with a second maximum at most `_REACH` nats below the highest."""
    near = objective >= objective.max(axis=1, keepdims=True) - _REACH
    return (is_peak(objective) & near).sum(axis=1) > 1
