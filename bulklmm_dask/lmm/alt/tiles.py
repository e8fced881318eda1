r"""Gains in likelihood of all pairs at several heritabilities, computed in tiles that fit a cache.

A tile holds ln(1 - r2_ij(h)) of some pairs at nodes h. Multiplied by -n/2 it is the gain g_ij(h) of
the model with the marker over the model without: l1_ij(h) = l0_j(h) + g_ij(h).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any, Self

import numpy as np

from bulklmm_dask.lmm.alt.pairs import TOGETHER, log_ratios, pair_effects
from bulklmm_dask.lmm.basis import Basis, fold
from bulklmm_dask.lmm.compiled.loops import loops
from bulklmm_dask.lmm.covariance import Spectrum
from bulklmm_dask.lmm.likelihood import ProfileLikelihood
from bulklmm_dask.lmm.lod import CANCELLED, SINGLE_ERROR, largest_r2
from bulklmm_dask.lmm.markers import Markers, variation
from bulklmm_dask.lmm.null.fit import NullModel
from bulklmm_dask.lmm.powers import back
from bulklmm_dask.lmm.projection import project
from bulklmm_dask.typing import Array, Flags, Index, Real

# Rows (traits x nodes) and markers of a tile.
_TILE_ROWS, _TILE_MARKERS = 1024, 512


@dataclass(frozen=True)
class PairTraits:
    """Traits of one group whose h2 is estimated again with every marker.

    Attributes
    ----------
    basis : Basis
        Eigenbasis of the n samples of the group.
    rotated : array (n, traits)
        As in `NullModel`.
    h2 : array (traits,)
        Heritabilities of the null models.
    reml : bool
        Maximise the restricted instead of the full likelihood.
    scale, exponent : array (traits,)
        As in `NullModel`.
    count : int
        Effective degrees of freedom with the marker: n, or n - c - 1 under REML.
    """

    basis: Basis
    rotated: Array
    h2: Array
    reml: bool
    scale: Array
    exponent: Index
    count: int

    @classmethod
    def of_model(cls, basis: Basis, model: NullModel, *, reml: bool) -> PairTraits:
        """Take the traits that a null model could be fitted to."""
        return PairTraits(
            basis,
            model.rotated,
            model.h2[model.fitted],
            reml,
            model.scale,
            model.exponent,
            basis.n - (basis.n_covariates + 1) * reml,
        )

    def effects(self, markers: Markers, h2: Real) -> tuple[Real, Real]:
        """Effect of every marker on every trait and its standard error, at h2 (variants, traits).

        NaN where nothing is tested.
        """
        spectrum, y = self.rows_for(markers)
        tested = np.flatnonzero(markers.tested)
        x = np.zeros((spectrum.rows, len(tested)))
        x[: markers.rotated.shape[1]] = markers.rotated[tested].T
        beta, se = np.full((2, *h2.shape), np.nan)
        for j in range(h2.shape[1]):
            for start in range(0, len(tested), TOGETHER):
                some = slice(start, start + TOGETHER)
                rows = tested[some]
                at = np.minimum(h2[rows, j].astype(np.float64), spectrum.h2_max)
                beta[rows, j], se[rows, j] = pair_effects(spectrum, x[:, some], y[:, [j]], at)
        return back(beta * self.scale, self.exponent), back(se * self.scale, self.exponent)

    def rows_for(self, markers: Markers) -> tuple[Spectrum, Array]:
        """Traits (rows, traits) and their rows; folded if no marker is in the null space of K."""
        if markers.rotated.shape[1] <= self.basis.rank:
            return fold(self.basis, self.rotated)
        return self.basis, self.rotated


@dataclass(frozen=True)
class AltTraits(PairTraits):
    """The same with their null likelihoods at some heritabilities.

    Attributes
    ----------
    points : array (p,)
        Heritabilities.
    objective : array (traits, p)
        Part of the likelihood to maximise that does not depend on the marker, in nats: `full`
        under ML, and under REML that part of the restricted likelihood with the marker. The
        likelihood of a pair is `objective` plus its gain.
    full : array (traits, p)
        Full (ML) null likelihood in nats, minus `reference`.
    reference : array (traits,)
        Full null likelihood at the null estimate, in nats.
    """

    points: Array
    objective: Array
    full: Array
    reference: Array

    @classmethod
    def of(cls, basis: Basis, model: NullModel, points: Array, *, reml: bool) -> Self:
        """Evaluate the null likelihoods of the traits that a null model could be fitted to."""
        traits = cls.of_model(basis, model, reml=reml)
        likelihood = ProfileLikelihood.of(basis, model.rotated, reml=False)
        reference = likelihood.at(traits.h2).value
        full = (likelihood.on_grid(points).value - reference).T
        objective = full
        if reml:
            restricted = replace(likelihood, reml=True).on_grid(points)
            # One degree of freedom fewer than in the null model: that of the marker.
            objective = (restricted.value + 0.5 * np.log(restricted.quadratic)).T
            objective = objective - objective.max(axis=1, keepdims=True)
        return cls(
            basis,
            traits.rotated,
            traits.h2,
            reml,
            traits.scale,
            traits.exponent,
            traits.count,
            points,
            np.ascontiguousarray(objective),
            np.ascontiguousarray(full),
            reference,
        )


@dataclass(frozen=True)
class Tile:
    """ln(1 - r2) of some pairs at the nodes: `logs` (traits, nodes, markers).

    `columns` and `rows` are the positions of the traits and of the markers in the block.
    """

    columns: slice
    rows: slice
    logs: Real


class Tiles:
    """Iterates over the tiles of a block of markers and a group of traits, at nodes of h."""

    def __init__(self, traits: AltTraits, markers: Markers, nodes: Array, *, single: bool) -> None:
        self.dtype: np.dtype[Any] = np.dtype(np.float32 if single else np.float64)
        self.traits, self.nodes = traits, nodes
        self.spectrum, self.y = traits.rows_for(markers)
        self.x = np.where(markers.tested[:, None], markers.rotated, 0.0)
        sxx = variation(traits.basis, markers, nodes).T
        sxx[:, ~markers.tested] = 1.0
        self.inverse = np.ascontiguousarray((1.0 / sxx).astype(self.dtype))
        # Term of S_xx in the restricted likelihood, relative to the first node to keep it small.
        self._added = -0.5 * np.log(sxx / sxx[0]) if traits.reml else np.zeros((1, len(self.x)))
        self.added: Real = self._added.astype(self.dtype)
        # ln(1 - r2) below this is too inexact in this precision.
        left = 1.0 - largest_r2(traits.basis.n, SINGLE_ERROR) if single else CANCELLED
        self.largest_r2 = 1.0 - left
        self.loops = loops()
        self._least = float(np.log(left))

    def __iter__(self) -> Iterator[Tile]:
        smallest = float(np.spacing(self.dtype.type(1.0))) / 2
        for columns, rows, logs in self.scores():
            np.multiply(logs, logs, out=logs)
            np.multiply(logs, self.inverse[:, rows], out=logs)
            np.subtract(1.0, logs, out=logs)
            np.maximum(logs, smallest, out=logs)
            np.log(logs, out=logs)
            yield Tile(columns, rows, logs)

    def scores(self) -> Iterator[tuple[slice, slice, Real]]:
        """Yield traits, markers and their scores (traits, nodes, markers): r2 = score^2 inverse."""
        n_markers, width = self.x.shape
        by_column = np.ascontiguousarray(self.x.T.astype(self.dtype))
        height = max(1, _TILE_ROWS // len(self.nodes))
        for j in range(0, self.y.shape[1], height):
            columns = slice(j, min(j + height, self.y.shape[1]))
            z = self._scores(columns, width)
            for i in range(0, n_markers, _TILE_MARKERS):
                rows = slice(i, min(i + _TILE_MARKERS, n_markers))
                flat = z @ by_column[:, rows]
                yield columns, rows, flat.reshape(columns.stop - j, len(self.nodes), -1)

    def _scores(self, columns: slice, width: int) -> Real:
        """Scores M(h) y / sqrt(S), (traits * nodes, width): one row per trait and node."""
        repeated = np.repeat(self.y[:, columns], len(self.nodes), axis=1)
        count = columns.stop - columns.start
        at = self.spectrum.at(np.tile(self.nodes, count))
        projected, _ = project(self.spectrum, repeated, at)
        size = np.sqrt(np.einsum("kj,kj->j", repeated, projected))
        return np.ascontiguousarray((projected[:width] / size).T.astype(self.dtype))

    def gains(self, tile: Tile) -> Real:
        """Gains of the likelihood to maximise, in nats, (traits, nodes, markers)."""
        gains = tile.logs * self.dtype.type(-0.5 * self.traits.count)
        if self.traits.reml:
            gains += self.added[:, tile.rows]
        return gains

    def inexact(self, tile: Tile) -> Flags:
        """Mask (traits, markers) of pairs that one node explains too well for this precision."""
        traits, _, markers = tile.logs.shape
        if tile.logs.min(initial=0.0) >= self._least:
            return np.zeros((traits, markers), np.bool_)
        return np.asarray((tile.logs < self._least).any(axis=1))

    def markers(self, i: Index) -> Array:
        """Markers i (pairs,) in the rows of the traits, (rows, pairs)."""
        x = np.zeros((self.spectrum.rows, len(i)))
        x[: self.x.shape[1]] = self.x[i].T
        return x

    def exact_logs(self, i: Index, j: Index) -> Array:
        """ln(1 - r2) of markers i and traits j at the nodes, (pairs, nodes), from residuals."""
        out = np.empty((len(i), len(self.nodes)))
        for start in range(0, len(i), TOGETHER):
            some = slice(start, start + TOGETHER)
            y = self.y[:, j[some]]
            out[some] = log_ratios(self.spectrum, self.markers(i[some]), y, self.nodes)
        return out

    def exact_gains(self, logs: Array, i: Index) -> Array:
        """Gains (pairs, nodes) in double precision from the logarithms of markers i."""
        return logs * (-0.5 * self.traits.count) + self._added[:, i].T
