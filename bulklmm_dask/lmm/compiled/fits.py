"""Likelihoods of single traits from a few terms, in one pass (`fits.h`).

`bulk` says what is computed; there NumPy does the same.
"""

from __future__ import annotations

import numpy as np

from bulklmm_dask.lmm.compiled.loops import loaded
from bulklmm_dask.typing import Array, Flags, Index

# Covariates for which the loops have room.
MOST_COVARIATES = 8
# Numbers that are written of each trait.
SUMS = 9


def project_out(columns: Array, covariates: Array, loops: int) -> tuple[Array, Array]:
    """Project columns off covariates, in place; their squared lengths before and after, (k,).

    Parameters
    ----------
    columns : array (n, k)
        Each row contiguous. If rows are a power of two of bytes apart, they share places of the
        cache, and the loop is slow.
    covariates : array (n, c)
        Orthonormal.
    loops : int
        Which loops (`loops.loops`).
    """
    size, left = np.empty((2, columns.shape[1]))
    loaded().project_out(columns, np.ascontiguousarray(covariates), size, left, loops)
    return size, left


def fit_sums(
    poles: Array,
    terms: Array,
    gram: Array,
    trace: Array,
    some: Index,
    h2: Array,
    loops: int,
) -> Array:
    """Sums of some traits, each at its own h, (`SUMS`, k).

    These are y'Wy; S and its first two derivatives in h; those of log|V|; |A|, and the first two
    derivatives of log|A|.

    Parameters
    ----------
    poles : array (q,)
    terms : array (q, 1 + c, traits)
        Terms of y'Wy and of b.
    gram : array (q, c * c)
        Terms of A.
    trace : array (q,)
        Terms of tr(V^-1 V').
    some : array (k,)
        Positions of the traits.
    h2 : array (k,)
    loops : int
        Which loops (`loops.loops`).
    """
    out = np.empty((SUMS, len(h2)))
    loaded().fit_sums(poles, terms, gram, trace, some, h2, out, loops)
    return out


def fit_slopes(
    terms: Array,
    value: Array,
    first: Array,
    inverse: Array,
    gram_slope: Array,
    logdet_slope: Array,
    change: Array,
    count: int,
    flat: float,
    left: float,
    loops: int,
) -> tuple[Array, Flags]:
    """S times the slopes of likelihoods on a mesh, (g, traits), and whether they are exact.

    Parameters
    ----------
    terms : array (q, 1 + c, traits)
        Terms of y'Wy and of b.
    value, first : array (g, q)
        1/v of the terms and its derivative in h.
    inverse, gram_slope : array (g, c, c)
        A^-1 and A'.
    logdet_slope : array (g,)
        Derivative of log|V|, under REML of log|V| + log|A|.
    change : array (g,)
        Largest |v'/v| of the terms.
    count : int
        Effective degrees of freedom.
    flat : float
        Share of count * change * S below which a slope is rounding.
    left : float
        Least share of y'Wy that S has to be.
    loops : int
        Which loops (`loops.loops`).
    """
    traits = terms.shape[2]
    slope, sure = np.empty((len(value), traits)), np.empty(traits, np.bool_)
    loaded().fit_slopes(
        terms, value, first, inverse, gram_slope, logdet_slope, change, count, flat, left, slope,
        sure, loops,
    )  # fmt: skip
    return slope, sure
