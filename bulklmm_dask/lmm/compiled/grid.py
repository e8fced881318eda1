"""LODs of a tile of pairs, each at the best of several heritabilities, in one pass (`grid.h`)."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from bulklmm_dask.lmm.compiled.loops import loaded
from bulklmm_dask.typing import Flags, Index, Real


@dataclass(frozen=True)
class GridTile:
    """Pairs at the best of their points, all (traits, markers).

    Attributes
    ----------
    lod : array
    best : array of int
        Position of the point.
    inexact : array of bool
        Whether a point has an r2 above the limit.
    ties : array of bool
        Whether another point is nearly as good.
    """

    lod: Real
    best: Index
    inexact: Flags
    ties: Flags


def grid_tile(
    score: Real,
    inverse: Real,
    volume: Real,
    factor: Real,
    full: Real,
    first: int,
    n: int,
    limit: float,
    tied: float,
    loops: int,
) -> GridTile:
    """Find the point at which (1 - r2) factor volume is least, and the LOD there.

    r2 = score^2 inverse, LOD = (full - (n/2) ln(1 - r2))/ln 10.

    Parameters
    ----------
    score : array (traits, points, markers)
        float32 or float64, as are all others.
    inverse, volume : array (points, all markers)
        1/S_xx, and the factor of a marker.
    factor, full : array (traits, points)
        The factor of a trait, and its full likelihood in nats.
    first : int
        Position of the first marker of the tile among all.
    n : int
        Number of samples.
    limit : float
        The r2 above which a point is inexact.
    tied : float
        Points are tied up to this multiple of the least.
    loops : int
        Which loops (`loops.loops`).
    """
    module = loaded()
    shape = score.shape[0], score.shape[2]
    lod = np.empty(shape, score.dtype)
    best, (inexact, ties) = np.empty(shape, np.int64), np.empty((2, *shape), np.bool_)
    half_n, to_lod = 0.5 * n, float(1.0 / np.log(10.0))
    of_traits = (np.ascontiguousarray(part) for part in (factor, full))
    module.grid(
        score,
        inverse,
        volume,
        *of_traits,
        first,
        half_n,
        to_lod,
        limit,
        tied,
        lod,
        best,
        inexact,
        ties,
        loops,
    )
    return GridTile(lod, best, inexact, ties)
