r"""``alt-grid``: the likelihood of every pair at the points of a grid of h (Yu et al. 2023).

For one h, the gain g_ij(h) = -(n/2) ln(1 - r2_ij(h)) of every pair is one matrix product, and the
likelihood with the marker is l1_ij(h) = l0_j(h) + g_ij(h).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Self

import numpy as np

from bulklmm_dask.lmm.alt.scan import TO_LOD, Alternative, Scores, settle
from bulklmm_dask.lmm.alt.tiles import AltTraits, Tiles
from bulklmm_dask.lmm.basis import Basis
from bulklmm_dask.lmm.compiled.grid import GridTile, grid_tile
from bulklmm_dask.lmm.lod import largest_lod
from bulklmm_dask.lmm.markers import Markers
from bulklmm_dask.lmm.null.fit import NullModel
from bulklmm_dask.typing import Array, Columns, Flags, Index, Real

# Likelihoods of a grid that differ by fewer nats are compared in double precision.
_TIED = 2e-4
# Largest difference of null likelihoods that a loop knows, in units of N/2 nats.
_LOWEST = 60.0


@dataclass(frozen=True)
class AltGrid(Alternative):
    """Scanner of alt-grid: h2 of every pair is chosen from a grid, the points of `traits`."""

    traits: AltTraits

    @classmethod
    def of(
        cls, basis: Basis, model: NullModel, grid: Array, *, reml: bool, effects: bool = False
    ) -> Self:
        """Prepare the traits that a null model could be fitted to."""
        points = np.unique(np.minimum(grid, basis.h2_max))
        return cls(AltTraits.of(basis, model, points, reml=reml), effects)

    def _scores(self, markers: Markers, *, single: bool) -> Columns:
        traits = self.traits
        tiles = Tiles(traits, markers, traits.points, single=single)
        out = Scores.empty(len(markers.tested), len(traits.h2), single=single)
        again: list[tuple[Index, Index]] = []
        best = self._by_passes if tiles.loops is None else self._by_loop
        for rows, columns, found in best(tiles):
            doubt = found.inexact | found.ties if traits.reml and single else found.inexact
            doubt &= markers.tested[rows]
            if doubt.any():
                j, i = np.nonzero(doubt)
                again.append((i + rows.start, j + columns.start))
            out.lod[rows, columns] = found.lod.T
            out.h2_alt[rows, columns] = traits.points[found.best].T
        if again:
            i, j = (np.concatenate(part) for part in zip(*again, strict=True))
            logs = tiles.exact_logs(i, j)
            best = (tiles.exact_gains(logs, i) + traits.objective[j]).argmax(axis=1)
            pair = np.arange(len(i))
            value = logs[pair, best] * (-0.5 * traits.basis.n) + traits.full[j, best]
            out.lod[i, j] = np.minimum(value * TO_LOD, largest_lod(traits.basis.n))
            out.h2_alt[i, j] = traits.points[best]
        settle(out, traits, markers.tested)
        return {"lod": out.lod, "h2_alt": out.h2_alt}

    def _by_loop(self, tiles: Tiles) -> Iterator[tuple[slice, slice, GridTile]]:
        """Markers, traits and scores of tiles, by a compiled loop."""
        traits, unit, loops = self.traits, 2.0 / self.traits.count, tiles.loops
        assert loops is not None
        lower = traits.objective.max(axis=1, keepdims=True) - traits.objective
        # What is so much lower is never the best; single precision has to hold its factor.
        factor = np.exp(np.minimum(unit * lower, _LOWEST)).astype(tiles.dtype)
        full = traits.full.astype(tiles.dtype)
        volume = np.exp(-unit * tiles.added) + np.zeros_like(tiles.inverse)
        tied = float(np.exp(unit * _TIED))
        for columns, rows, score in tiles.scores():
            found = grid_tile(
                score,
                tiles.inverse,
                volume,
                factor[columns],
                full[columns],
                rows.start,
                traits.basis.n,
                tiles.largest_r2,
                tied,
                loops,
            )
            yield rows, columns, found

    def _by_passes(self, tiles: Tiles) -> Iterator[tuple[slice, slice, GridTile]]:
        """The same by NumPy."""
        traits = self.traits
        objective, full = (part.astype(tiles.dtype) for part in (traits.objective, traits.full))
        for tile in tiles:
            likelihood = tiles.gains(tile)
            likelihood += objective[tile.columns, :, None]
            best = likelihood.argmax(axis=1)
            value = np.take_along_axis(tile.logs, best[:, None], axis=1)[:, 0]
            value *= -0.5 * traits.basis.n
            value += np.take_along_axis(full[tile.columns], best, axis=1)
            value *= TO_LOD
            inexact = ties = tiles.inexact(tile)
            if traits.reml and tiles.dtype == np.float32:
                ties = _is_tied(likelihood, best)
            yield tile.rows, tile.columns, GridTile(value, best, inexact, ties)


def _is_tied(likelihood: Real, best: Index) -> Flags:
    """Whether rounding may decide which of the points (traits, points, markers) is the best.

    `likelihood` is overwritten at the best points.
    """
    place = best[:, None]
    top = np.take_along_axis(likelihood, place, axis=1)[:, 0]
    np.put_along_axis(likelihood, place, -np.inf, axis=1)
    return np.asarray(likelihood.max(axis=1) > top - _TIED)
