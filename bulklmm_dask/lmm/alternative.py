r"""Heritability estimated again for every pair of a marker and a trait.

For one h, the gain g_ij(h) = -(n/2) ln(1 - r2_ij(h)) of every pair is one matrix product, and the
likelihood with the marker is l1_ij(h) = l0_j(h) + g_ij(h); LOD = (max l1 - max l0) / ln 10.

``alt-grid`` takes the maximum over a grid of h (Yu, Farage and Sen 2024, BulkLMM). ``alt-exact``
(ours) takes it over the whole interval: l0 is known at any h, only g needs products, and g is
smooth. It is computed at some fifteen nodes, interpolated to a short row of points per trait where
its l0 is high, and the best point is refined by a parabola. Pairs whose best point is not safely
bracketed, and those with a LOD a person will look at, are optimised one by one on the full
likelihood (`pairs`).

Under REML, h2 maximises the restricted likelihood of the model with the marker among the
covariates, -1/2 [(n-c-1) log RSS1 + sum log v + log|C'WC| + log S_xx], and the LOD is the ratio of
the full likelihoods at the two estimates of h2.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Self

import numpy as np
import numpy.typing as npt

from bulklmm_dask.lmm.basis import Basis, Spectrum, fold
from bulklmm_dask.lmm.gains import STEPS, Curve, GainNodes, gain_nodes
from bulklmm_dask.lmm.lod import Markers, variation
from bulklmm_dask.lmm.null import NullModel
from bulklmm_dask.lmm.pairs import TOGETHER, optimise_pairs
from bulklmm_dask.lmm.profile import profile_at, profile_on_grid, project

Array = npt.NDArray[np.float64]
Real = npt.NDArray[np.floating]
Index = npt.NDArray[np.int64]

# Rows (traits x nodes) and markers of a tile: small enough to stay in cache.
_TILE_ROWS, _TILE_MARKERS = 512, 256

# Intervals between the points of a trait; the widest stride covers the whole curve.
_INTERVALS = 32
# They span where the null likelihood is within this many nats of its maximum.
_DEPTH = 3.0
_CLIMBS = 3
# By how much, in nats, a peak may be higher than the points beside it, and than an end.
_BETWEEN, _BESIDE = 0.06, 2e-3
# Traits with several maxima within _REACH nats are searched at every _COARSE-th point of the whole
# curve too: one elsewhere that comes within _RIVAL of the best is settled by `pairs`.
_REACH, _COARSE, _RIVAL = 8.0, 8, 0.15
# A node outside the points whose likelihood comes this close to the best point's wins a search.
_MARGIN = 0.5

# LODs of the dense search are off by less than this.
_DENSE_ERROR = 0.01

_TO_LOD = 1.0 / np.log(10.0)


@dataclass(frozen=True)
class Scores:
    """What an alternative scan gives of a block of pairs, all (variants, traits).

    Attributes
    ----------
    lod : array of float32 (single precision) or float64
    h2_alt : array of float32
        Heritability with the marker in the model; the trait's own where nothing is tested.
    refined : array of bool
        Which pairs were optimised on the full likelihood.
    """

    lod: Real
    h2_alt: npt.NDArray[np.float32]
    refined: npt.NDArray[np.bool_]

    @classmethod
    def empty(cls, n_variants: int, n_traits: int, *, single: bool) -> Self:
        """Scores to be filled."""
        shape = (n_variants, n_traits)
        lod: Real = np.empty(shape, np.float32 if single else np.float64)
        return cls(lod, np.empty(shape, np.float32), np.zeros(shape, np.bool_))


@dataclass(frozen=True)
class AltTraits:
    """Traits of one group with their null likelihoods over a row of heritabilities.

    Attributes
    ----------
    basis : Basis
        Of the n samples of the group.
    rotated : array (n, traits)
        As in `NullModel`.
    h2 : array (traits,)
        Null estimates.
    reml : bool
    points : array (p,)
        Heritabilities.
    objective : array (traits, p)
        What a gain is added to and maximised, in nats: l0 under ML; under REML the part of the
        restricted likelihood with the marker in that does not depend on the marker.
    full : array (traits, p)
        The full (ML) null likelihood, relative to its value at the null estimate.
    reference : array (traits,)
        That value.
    count : int
        What the logarithm of 1 - r2 is multiplied by, times -1/2: n, or n - c - 1 under REML.
    """

    basis: Basis
    rotated: Array
    h2: Array
    reml: bool
    points: Array
    objective: Array
    full: Array
    reference: Array
    count: int

    @classmethod
    def of(cls, basis: Basis, model: NullModel, points: Array, *, reml: bool) -> Self:
        """Evaluate the null likelihoods of the traits that a null model could be fitted to."""
        spectrum, y = fold(basis, model.rotated)
        h2 = model.h2[model.fitted]
        reference = profile_at(spectrum, y, h2, reml=False).value
        full = (profile_on_grid(spectrum, y, points, reml=False).value - reference).T
        objective, count = full, basis.n
        if reml:
            restricted = profile_on_grid(spectrum, y, points, reml=True)
            # One degree of freedom fewer than the null model's: the marker's.
            objective = (restricted.value + 0.5 * np.log(restricted.quadratic)).T
            objective = objective - objective.max(axis=1, keepdims=True)
            count = basis.n - basis.n_covariates - 1
        return cls(
            basis,
            model.rotated,
            h2,
            reml,
            points,
            np.ascontiguousarray(objective),
            np.ascontiguousarray(full),
            reference,
            count,
        )

    def rows_for(self, markers: Markers) -> tuple[Spectrum, Array]:
        """The traits in as few rows as hold them and the markers."""
        if markers.rotated.shape[1] <= np.count_nonzero(self.basis.eigenvalues):
            return fold(self.basis, self.rotated)
        return self.basis, self.rotated


@dataclass(frozen=True)
class _Tile:
    """Log of 1 - r2 of some pairs at the nodes: `logs` (traits, nodes, markers)."""

    columns: slice
    rows: slice
    logs: Real


class _Tiles:
    """A block of markers against a group of traits at nodes of h, tile by tile."""

    def __init__(self, traits: AltTraits, markers: Markers, nodes: Array, *, single: bool) -> None:
        self.dtype: np.dtype[Any] = np.dtype(np.float32 if single else np.float64)
        self.traits, self.nodes = traits, nodes
        self.spectrum, self.y = traits.rows_for(markers)
        self.x = np.where(markers.tested[:, None], markers.rotated, 0.0)
        sxx = variation(traits.basis, markers, nodes).T
        sxx[:, ~markers.tested] = 1.0
        self.inverse = np.ascontiguousarray((1.0 / sxx).astype(self.dtype))
        # What S_xx adds to the restricted likelihood; a constant is free and keeps it small.
        added = -0.5 * np.log(sxx / sxx[0]) if traits.reml else np.zeros((1, 1))
        self.added: Real = added.astype(self.dtype)

    def __iter__(self) -> Iterator[_Tile]:
        n_markers, width = self.x.shape
        by_column = np.ascontiguousarray(self.x.T.astype(self.dtype))
        smallest = float(np.spacing(self.dtype.type(1.0))) / 2
        height = max(1, _TILE_ROWS // len(self.nodes))
        for j in range(0, self.y.shape[1], height):
            columns = slice(j, min(j + height, self.y.shape[1]))
            z = self._scores(columns, width)
            for i in range(0, n_markers, _TILE_MARKERS):
                rows = slice(i, min(i + _TILE_MARKERS, n_markers))
                flat = z @ by_column[:, rows]
                logs = flat.reshape(columns.stop - j, len(self.nodes), -1)
                np.multiply(flat, flat, out=flat)
                np.multiply(logs, self.inverse[:, rows], out=logs)
                np.subtract(1.0, flat, out=flat)
                np.maximum(flat, smallest, out=flat)
                np.log(flat, out=flat)
                yield _Tile(columns, rows, logs)

    def _scores(self, columns: slice, width: int) -> Real:
        """Z = M(h) y / sqrt(S) at every node, one row a trait and node: (traits * nodes, width)."""
        repeated = np.repeat(self.y[:, columns], len(self.nodes), axis=1)
        count = columns.stop - columns.start
        projected, _ = project(self.spectrum, repeated, np.tile(self.nodes, count))
        size = np.sqrt(np.einsum("kj,kj->j", repeated, projected))
        return np.ascontiguousarray((projected[:width] / size).T.astype(self.dtype))

    def gains(self, tile: _Tile) -> Real:
        """What the markers add to the likelihood that is maximised, (traits, nodes, markers)."""
        gains = tile.logs * self.dtype.type(-0.5 * self.traits.count)
        if self.traits.reml:
            gains += self.added[:, tile.rows]
        return gains


def _pick(values: Real, index: Index) -> Real:
    """values[t, index[t, m], m] of values (traits, points, markers), as (traits, markers)."""
    return np.take_along_axis(values, index[:, None, :], axis=1)[:, 0]


@dataclass(frozen=True)
class AltGrid:
    """Heritability of every pair chosen from a grid: the points of `traits`."""

    traits: AltTraits

    @classmethod
    def of(cls, basis: Basis, model: NullModel, grid: Array, *, reml: bool) -> Self:
        """Prepare the traits that a null model could be fitted to."""
        points = np.unique(np.minimum(grid, basis.h2_max))
        return cls(AltTraits.of(basis, model, points, reml=reml))

    def scan(self, markers: Markers, *, single: bool) -> dict[str, npt.NDArray[Any]]:
        """Score a block of markers in the basis of the group."""
        traits = self.traits
        tiles = _Tiles(traits, markers, traits.points, single=single)
        out = Scores.empty(len(markers.tested), len(traits.h2), single=single)
        objective, full = (part.astype(tiles.dtype) for part in (traits.objective, traits.full))
        for tile in tiles:
            likelihood = tiles.gains(tile)
            likelihood += objective[tile.columns, :, None]
            best = likelihood.argmax(axis=1)
            value = _pick(tile.logs, best) * (-0.5 * traits.basis.n)
            value += np.take_along_axis(full[tile.columns], best, axis=1)
            out.lod[tile.rows, tile.columns] = value.T * _TO_LOD
            out.h2_alt[tile.rows, tile.columns] = traits.points[best].T
        _settle(out, traits, markers)
        return {"lod": out.lod, "h2_alt": out.h2_alt}


def _settle(out: Scores, traits: AltTraits, markers: Markers) -> None:
    """No LOD where nothing is tested, and none below zero where a maximum cannot be."""
    out.lod[~markers.tested] = 0.0
    out.h2_alt[~markers.tested] = traits.h2
    if not traits.reml:
        np.maximum(out.lod, 0.0, out=out.lod)


@dataclass(frozen=True)
class AltExact:
    """Heritability of every pair over the whole interval.

    Attributes
    ----------
    traits : AltTraits
        At all points of the curve.
    curve : Curve
    nodes : GainNodes
    first, stride : array (traits,)
        The row of points of each trait: first, first + stride, ...
    several : array (traits,) of bool
        Whose null likelihood has more than one maximum.
    refine_above : float
        LOD from which on a pair is optimised on the full likelihood.
    """

    traits: AltTraits
    curve: Curve
    nodes: GainNodes
    first: Index
    stride: Index
    several: npt.NDArray[np.bool_]
    refine_above: float

    @classmethod
    def of(cls, basis: Basis, model: NullModel, *, reml: bool, refine_above: float) -> Self:
        """Prepare the traits that a null model could be fitted to."""
        curve = Curve.of(basis)
        traits = AltTraits.of(basis, model, curve.points(), reml=reml)
        nodes = gain_nodes(fold(basis, model.rotated)[0], traits.points, reml=reml)
        rows = _rows_of_points(traits.objective)
        return cls(traits, curve, nodes, *rows, _has_several_maxima(traits.objective), refine_above)

    def scan(self, markers: Markers, *, single: bool) -> dict[str, npt.NDArray[Any]]:
        """Score a block of markers in the basis of the group."""
        traits = self.traits
        tiles = _Tiles(traits, markers, traits.points[self.nodes.index], single=single)
        out = Scores.empty(len(markers.tested), len(traits.h2), single=single)
        # Zero means all pairs, also those that the dense search leaves a rounding below it.
        above = self.refine_above - _DENSE_ERROR if self.refine_above > 0 else -np.inf
        waiting = _Waiting([], 0)
        for tile in tiles:
            gains = tiles.gains(tile)
            where = (tile.rows, tile.columns)
            lod, u, unsure = self._dense(tiles, tile, gains)
            out.lod[where] = lod.T
            out.h2_alt[where] = self.curve.h2(u).T
            wanted = (unsure | (lod >= above)) & markers.tested[tile.rows]
            if wanted.any():
                waiting = waiting.with_pairs(tile, gains, wanted)
            if waiting.count >= TOGETHER:
                self._refine(tiles, waiting, out)
                waiting = _Waiting([], 0)
        self._refine(tiles, waiting, out)
        _settle(out, traits, markers)
        return {"lod": out.lod, "h2_alt": out.h2_alt, "refined": out.refined}

    def _dense(
        self, tiles: _Tiles, tile: _Tile, gains: Real
    ) -> tuple[Real, Real, npt.NDArray[np.bool_]]:
        """LOD and place on the curve of every pair of a tile, and which pairs are not settled."""
        traits, dtype = self.traits, tiles.dtype
        first, stride = self.first[tile.columns], self.stride[tile.columns]
        points = first[:, None] + stride[:, None] * np.arange(_INTERVALS + 1)
        weights = self.nodes.weights[points].astype(dtype)
        objective = traits.objective[tile.columns]
        own = np.take_along_axis(objective, points, axis=1)[:, :, None].astype(dtype)
        likelihood = weights @ gains
        likelihood += own
        peak = likelihood.argmax(axis=1)
        middle = np.clip(peak, 2, _INTERVALS - 2)
        around = _Quartic.through(likelihood, middle)
        offset = start = (peak - middle).astype(dtype)
        for _ in range(_CLIMBS):
            offset = around.climb(offset)
        # The ends are exact; a peak beside one, or far above its points, is left to `pairs`.
        at_end = (peak == 0) | (peak == _INTERVALS)
        top = _pick(likelihood, peak)
        unsure = around(offset) > top + np.where(at_end, _BESIDE, _BETWEEN).astype(dtype)
        offset = np.where(at_end, start, offset)
        best = value = around(offset)
        if traits.reml:
            logs = weights @ (tile.logs * dtype.type(-0.5 * traits.basis.n))
            logs += np.take_along_axis(traits.full[tile.columns], points, axis=1)[:, :, None]
            value = _Quartic.through(logs, middle)(offset)
        last = first + stride * _INTERVALS
        unsure |= (peak == 0) & (first > 0)[:, None]
        unsure |= (peak == _INTERVALS) & (last < STEPS)[:, None]
        u = first[:, None] + stride[:, None] * (middle + offset)
        several = np.flatnonzero(self.several[tile.columns])
        if len(several):
            coarse = self.nodes.weights[::_COARSE].astype(dtype) @ gains[several]
            coarse += objective[several][:, ::_COARSE, None].astype(dtype)
            rival = _is_peak(coarse) & (coarse > best[several][:, None, :] - _RIVAL)
            apart = np.arange(0, STEPS + 1, _COARSE)[:, None] - u[several][:, None, :]
            rival &= np.abs(apart) > stride[several][:, None, None] + _COARSE
            unsure[several] |= rival.any(axis=1)
        index = self.nodes.index
        inside = (index >= first[:, None]) & (index <= last[:, None])
        outside = np.where(inside, -np.inf, objective[:, index]).astype(dtype)
        unsure |= (gains + outside[:, :, None]).max(axis=1) > best - _MARGIN
        return value * _TO_LOD, (u / STEPS).astype(dtype), unsure

    def _refine(self, tiles: _Tiles, waiting: _Waiting, out: Scores) -> None:
        """Optimise pairs on the full likelihood."""
        traits = self.traits
        width = tiles.x.shape[1]
        for i, j, gains in waiting.batches():
            x = np.zeros((tiles.spectrum.rows, len(i)))
            x[:width] = tiles.x[i].T
            curves = gains @ self.nodes.weights.T + traits.objective[j]
            h2, full = optimise_pairs(
                tiles.spectrum, x, tiles.y[:, j], traits.points, curves, reml=traits.reml
            )
            out.lod[i, j] = (full - traits.reference[j]) * _TO_LOD
            out.h2_alt[i, j] = h2
            out.refined[i, j] = True


@dataclass(frozen=True)
class _Waiting:
    """Pairs of several tiles to be optimised together: markers, traits, gains at the nodes."""

    parts: list[tuple[Index, Index, Real]]
    count: int

    def with_pairs(self, tile: _Tile, gains: Real, wanted: npt.NDArray[np.bool_]) -> _Waiting:
        """Add the wanted pairs (traits, markers) of a tile."""
        c, r = np.nonzero(wanted)
        part = (r + tile.rows.start, c + tile.columns.start, gains[c, :, r])
        return _Waiting([*self.parts, part], self.count + len(c))

    def batches(self) -> Iterator[tuple[Index, Index, Real]]:
        """All pairs, so many at a time that their vectors stay in cache."""
        if not self.parts:
            return
        i, j, gains = (np.concatenate(part) for part in zip(*self.parts, strict=True))
        for start in range(0, self.count, TOGETHER):
            part = slice(start, start + TOGETHER)
            yield i[part], j[part], gains[part]


def _rows_of_points(objective: Array) -> tuple[Index, Index]:
    """First point and stride of each trait: evenly over where its likelihood is high."""
    high = objective >= objective.max(axis=1, keepdims=True) - _DEPTH
    low = high.argmax(axis=1)
    top = STEPS - high[:, ::-1].argmax(axis=1)
    stride = np.clip(-(-(top - low + 2) // _INTERVALS), 1, STEPS // _INTERVALS)
    first = (low + top - stride * _INTERVALS) // 2
    first = np.where(low == 0, 0, np.where(top == STEPS, STEPS - stride * _INTERVALS, first))
    return np.clip(first, 0, STEPS - stride * _INTERVALS), stride


def _has_several_maxima(objective: Array) -> npt.NDArray[np.bool_]:
    """Which traits have a second maximum that a marker may lift above the first."""
    near = objective >= objective.max(axis=1, keepdims=True) - _REACH
    return (_is_peak(objective[:, :, None])[:, :, 0] & near).sum(axis=1) > 1


def _is_peak(values: Real) -> npt.NDArray[np.bool_]:
    """Which points of (traits, points, markers) are higher than their neighbours, ends included."""
    rising = np.ones(values.shape, np.bool_)
    rising[:, 1:] = values[:, 1:] >= values[:, :-1]
    rising[:, :-1] &= values[:, :-1] > values[:, 1:]
    return rising


@dataclass(frozen=True)
class _Quartic:
    """The polynomial through the values at -2, -1, 0, 1 and 2, for many pairs at once."""

    coefficients: tuple[Real, Real, Real, Real, Real]

    @classmethod
    def through(cls, values: Real, middle: Index) -> Self:
        """Take five points of (traits, points, markers) around the middle one of each pair."""
        a, b, c, d, e = (_pick(values, middle + step) for step in (-2, -1, 0, 1, 2))
        return cls(
            (
                c,
                (a - e + 8 * (d - b)) / 12,
                (16 * (b + d) - 30 * c - a - e) / 24,
                (e - a + 2 * (b - d)) / 12,
                (a + e - 4 * (b + d) + 6 * c) / 24,
            )
        )

    def __call__(self, t: Real) -> Real:
        """Value at t."""
        c0, c1, c2, c3, c4 = self.coefficients
        return c0 + t * (c1 + t * (c2 + t * (c3 + t * c4)))

    def climb(self, t: Real) -> Real:
        """Newton's step from t towards the maximum, where there is one, within [-2, 2]."""
        _, c1, c2, c3, c4 = self.coefficients
        slope = c1 + t * (2 * c2 + t * (3 * c3 + t * 4 * c4))
        bend = 2 * c2 + t * (6 * c3 + t * 12 * c4)
        convex = bend >= 0
        step = np.where(convex, np.sign(slope), -slope / np.where(convex, 1, bend))
        return np.clip(t + np.clip(step, -0.5, 0.5), -2, 2)
