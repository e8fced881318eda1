"""Terms of single pairs, and peaks of their likelihoods on a mesh, in one pass (`peaks.h`)."""

from __future__ import annotations

import numpy as np

from bulklmm_dask.lmm.compiled.loops import loaded
from bulklmm_dask.typing import Array, Flags, Index

# Peaks that are listed of a pair.
MOST_PEAKS = 6


def pair_terms(
    x: Array,
    y: Array,
    matrix: Array,
    squares: Array,
    traits: Array,
    i: Index,
    j: Index,
    wanted: Flags,
    weights: Array,
    xx: Array,
    root: Array,
    factor: float,
    loops: int,
) -> tuple[Array, Index, Index, Flags]:
    """Terms of S_yy, S_xy and S_xx (q + 1, 3, pairs), and the peaks of the wanted pairs.

    Parameters
    ----------
    x, y : array (markers, r), (traits, r)
        Projected markers and traits.
    matrix : array (r, q)
        Compresses sums over rows.
    squares : array (markers, q)
        Terms of S_xx.
    traits : array (q + 1, traits)
        Terms of S_yy.
    i, j : array (pairs,)
        Markers and traits.
    wanted : array (pairs,) of bool
        Pairs whose peaks are looked for.
    weights : array (q + 1, points)
        1/v of the terms at the points of the mesh.
    xx : array (markers, points)
        S_xx there.
    root : array (markers or 1, points)
        By which residual sums of squares are multiplied to be compared.
    factor : float
        How far above the least such product another one may be.
    loops : int
        Which loops (`loops.loops`).

    Returns
    -------
    terms : array (q + 1, 3, pairs)
    pair, point : array (peaks,)
        Pair of each peak, in ascending order, and its place in the mesh.
    lost : array (pairs,) of bool
        Wanted pairs with no peak, or more than `MOST_PEAKS`; none of theirs is listed.
    """
    terms = np.empty((len(traits), 3, len(i)))
    peaks = np.empty((2, MOST_PEAKS * len(i)), np.int64)
    lost = np.zeros(len(i), np.bool_)
    found = loaded().pair_terms(
        x, y, matrix, squares, traits, i, j, terms, wanted, weights, xx, root, factor, peaks, lost,
        loops,
    )  # fmt: skip
    return terms, peaks[0, :found], peaks[1, :found], lost
