r"""Maxima of the likelihoods of all pairs near the null estimates, tile by tile (`local`).

With D = g - a^2, and h = N/2 for the N effective degrees of freedom of the likelihood to maximise,

F(t)  = L - h ln D + k ln g,   k = h, or h - 1/2 under REML,
F'(t) = L' - h D'/D + k g'/g,  F'' = L'' - h [D''/D - (D'/D)^2] + k [g''/g - (g'/g)^2].

Newton's step from t = 0 gives t1; a parabola through F'(0), F''(0) and F'(t1) gives the step d that
is left, and F(t1 + d) = F(t1) + d F'(t1)/2. All of it is in single precision, in place, in tiles
that fit a second-level cache. Pairs for which that may be too inexact, or that may have a higher
maximum elsewhere, are marked for a search.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from bulklmm_dask.lmm.alt.climb_passes import TilePairs
from bulklmm_dask.lmm.alt.climb_traits import ClimbTraits
from bulklmm_dask.lmm.alt.local import DEGREE, POWERS, Expansion
from bulklmm_dask.lmm.compiled.climb import Limits, climb_tile
from bulklmm_dask.lmm.compiled.loops import loops
from bulklmm_dask.lmm.compress import weights_at
from bulklmm_dask.typing import Array, Flags, Single

# Traits and markers of a tile.
TRAITS, MARKERS = 64, 512
# A pair is searched if the error of a(t), of the order of t^4 / sqrt(n), may move its likelihood by
# more: n r2 t^8 above `_SERIES`; less under REML, where the LOD is not stationary in h2.
_SERIES, _SERIES_REML = 1.5e-5, 1.5e-7
# A pair is searched if the second step promises more nats than `_STEP`.
_STEP = 0.01
# A pair is searched where r2 is above: its likelihood is hardly that of the null model.
_LARGE = 0.3


@dataclass(frozen=True)
class Climbed:
    """Maxima of the pairs of a tile, all (traits, markers) but the slices.

    Attributes
    ----------
    columns, rows : slice
        Positions of the traits and of the markers in the block.
    value : array
        Full likelihood in nats, relative to that of the null model at its estimate.
    h2 : array
        Heritability.
    unsure : array of bool
        Whether the pair has to be searched.
    """

    columns: slice
    rows: slice
    value: Single
    h2: Single
    unsure: Flags


class Climb:
    """Iterates over the tiles of a block of markers and the traits of an expansion.

    Parameters
    ----------
    expansion : Expansion
    x : array (markers, r)
        Projected markers.
    squares : array (markers, q)
        Terms of their squares.
    n, count : int
        Samples, and effective degrees of freedom of the likelihood to maximise.
    reml : bool
        Maximise the restricted instead of the full likelihood.
    single : bool
        Compute also the products for t = 0 in single precision.
    """

    def __init__(
        self,
        expansion: Expansion,
        x: Array,
        squares: Array,
        n: int,
        count: int,
        *,
        reml: bool,
        single: bool,
    ) -> None:
        self.expansion = expansion
        weights = weights_at(expansion.projected.poles, expansion.elsewhere.h2)
        sxx = np.maximum(squares @ weights, 1e-300)
        # Markers are scaled, so that numbers stay in the range of single precision.
        size = sxx[:, 0]
        x, squares = x.T / np.sqrt(size), squares.T / size
        self._double = None if single else (x, squares)
        self._x, self._squares = x.astype(np.float32), squares.astype(np.float32)
        inverse = (size[:, None] / sxx).T
        self._inverse = np.ascontiguousarray(inverse.astype(np.float32))
        # exp(-2/N (-1/2 ln S_xx)), by which 1 - r2 at a node is divided under REML.
        self._volume = np.ascontiguousarray((inverse ** (1.0 / count)).astype(np.float32))
        # Memory for a and g of a tile: new memory of each tile would have to be cleared.
        cells = min(TRAITS, len(expansion.h0)) * min(MARKERS, x.shape[1])
        self._room = [np.empty(k * cells, np.float32) for k in (POWERS, DEGREE + 1)]
        self._double_room = np.empty(0 if single else cells)
        self._loops = loops()
        h2_max = expansion.projected.spectrum.h2_max
        series = n / (_SERIES_REML if reml else _SERIES)
        self._limits = Limits(n, count, series, _STEP, _LARGE, h2_max, reml)

    def __iter__(self) -> Iterator[Climbed]:
        traits, markers = len(self.expansion.h0), self._x.shape[1]
        for j in range(0, traits, TRAITS):
            columns = slice(j, min(j + TRAITS, traits))
            trait = ClimbTraits(self.expansion, columns, in_order=self._loops is not None)
            for i in range(0, markers, MARKERS):
                yield self._tile(trait, columns, slice(i, min(i + MARKERS, markers)))

    def _tile(self, trait: ClimbTraits, columns: slice, rows: slice) -> Climbed:
        height = columns.stop - columns.start
        width = rows.stop - rows.start
        a, g = (
            room[: size * height * width].reshape(size, height, width)
            for room, size in zip(self._room, (POWERS, DEGREE + 1), strict=True)
        )
        below = 0 if self._double is None else 1
        for factors, values, out in ((trait.scores, self._x, a), (trait.weights, self._squares, g)):
            rest = factors[below * height :]
            np.matmul(rest, values[:, rows], out=out[below:].reshape(-1, width))
        if self._double is not None:
            product = self._double_room[: height * width].reshape(height, width)
            for out, first, part in zip((a, g), trait.first, self._double, strict=True):
                out[0] = np.matmul(first, part[:, rows], out=product)
        far = trait.far_scores @ self._x[:, rows]
        if self._loops is not None:
            inverse, volume, start = self._inverse, self._volume, rows.start
            found = climb_tile(
                a, g, far, trait.table, inverse, volume, start, self._limits, self._loops
            )
            return Climbed(columns, rows, *found)
        pairs = TilePairs(trait, a, g, self._limits)
        with np.errstate(all="ignore"):
            value, objective, t, unsure = pairs.climb()
            inverse, volume = self._inverse[:, rows], self._volume[:, rows]
            pairs.mark_elsewhere(objective, far, inverse, volume, unsure)
            h2 = pairs.h2(t)
        unsure |= ~np.isfinite(value)
        back = trait.back
        return Climbed(columns, rows, value[back], h2[back], unsure[back])
