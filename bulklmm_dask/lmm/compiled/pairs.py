"""Likelihoods of single pairs from a few terms, in one pass (`pairs.h`).

`alt.sums` and `projected` say what is computed; there NumPy does the same.
"""

from __future__ import annotations

import numpy as np

from bulklmm_dask.lmm.compiled.loops import loaded
from bulklmm_dask.typing import Array, Index


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


def pair_values(poles: Array, terms: Array, some: Index, h2: Array, loops: int) -> Array:
    """S_yy, S_xy and S_xx of some pairs, each at its own h, (3, pairs)."""
    module = loaded()
    out = np.empty((3, len(h2)))
    module.pair_values(poles, terms, some, h2, out, loops)
    return out


def volume_integrals(poles: Array, terms: Array, h2: Array, loops: int) -> Array:
    """Sums of terms (q,) times the integrals of 1/v from 0 to h, of heritabilities (k,), (k,)."""
    module = loaded()
    out = np.empty_like(h2)
    module.volume_integrals(poles, terms, h2, out, loops)
    return out
