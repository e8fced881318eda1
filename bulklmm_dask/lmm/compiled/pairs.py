"""Likelihoods of single pairs from a few terms, in one pass (`pairs.h`).

`alt.sums` and `projected` say what is computed; there NumPy does the same.
"""

from __future__ import annotations

import numpy as np

from bulklmm_dask.lmm.compiled.loops import loaded
from bulklmm_dask.typing import Array, Flags, Index


def pair_derivatives(
    poles: Array,
    terms: Array,
    some: Index,
    h2: Array,
    volume: tuple[Array, Array],
    count: int,
    loops: int,
    *,
    reml: bool,
) -> tuple[Array, Array]:
    """First two derivatives of the likelihoods of some pairs, each at its own h, (pairs,).

    Parameters
    ----------
    poles : array (q,)
    terms : array (q, 3, all pairs)
        Terms of S_yy, S_xy and S_xx.
    some : array (pairs,)
        Positions of the pairs.
    h2 : array (pairs,)
    volume : tuple of array (k,)
        Poles and terms of the logarithm of the determinant.
    count : int
        Effective degrees of freedom.
    loops : int
        Which loops (`loops.loops`).
    reml : bool
    """
    module = loaded()
    slope, bend = np.empty_like(h2), np.empty_like(h2)
    module.pair_derivatives(poles, terms, some, h2, *volume, count, reml, slope, bend, loops)
    return slope, bend


def pair_values(poles: Array, terms: Array, h2: Array, loops: int) -> Array:
    """S_yy, S_xy and S_xx of all pairs, each at its own h, (3, pairs)."""
    module = loaded()
    out = np.empty((3, len(h2)))
    module.pair_values(poles, terms, np.arange(len(h2)), h2, out, loops)
    return out


def pair_rivals(
    poles: Array,
    terms: Array,
    mesh: Array,
    weights: Array,
    volume: Array,
    count: int,
    reach: float,
    h2: Array,
    loops: int,
    *,
    reml: bool,
) -> tuple[Flags, Flags]:
    """Whether an end of the mesh, or a peak between them not near h2, may be the highest point.

    Parameters
    ----------
    poles, terms, count, loops, reml
        As in `pair_derivatives`, for all pairs.
    mesh : array (points,)
    weights : array (q, points)
        1/v of the terms at the points.
    volume : array (points,)
        Under REML the logarithm of the determinant, else a root of it.
    reach : float
        How far above the least cost a point counts: a factor, under REML a difference.
    h2 : array (pairs,)
    """
    module = loaded()
    at_end, between = np.empty((2, len(h2)), np.bool_)
    some = np.arange(len(h2))
    module.pair_rivals(
        poles, terms, some, mesh, weights, volume, count, reml, reach, h2, at_end, between, loops
    )
    return at_end, between


def volume_integrals(poles: Array, terms: Array, h2: Array, loops: int) -> Array:
    """Sums of terms (q,) times the integrals of 1/v from 0 to h, of heritabilities (k,), (k,)."""
    module = loaded()
    out = np.empty_like(h2)
    module.volume_integrals(poles, terms, h2, out, loops)
    return out
