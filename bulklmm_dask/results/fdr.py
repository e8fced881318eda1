"""False discovery rates by Benjamini and Hochberg (1995), also where only some p-values are known.

With m tests, those of the k smallest p-values are found at the rate q if the largest of them is at
most q k / m. `false_discovery_rates` needs these k only, for the rate of a test is the minimum of
p_j m / j over its own rank and all later ranks j, and it exceeds q from rank k + 1 on.

`highest_p` bounds that largest p-value from a histogram of the LODs. The p-values of a bin lie
between those of its upper and its lower edge. If all of them were as small as the first, at least
as many tests would be found, so the bound is never too low.
"""

from __future__ import annotations

import numpy as np
from scipy.special import chdtri

from bulklmm_dask.lmm.statistics import neg_log10_p
from bulklmm_dask.storage.summaries.cells import upper_edge
from bulklmm_dask.typing import Array, Columns, Index

# Relative, and more than the rounding of a LOD in single precision.
_SLACK = 1e-6


def false_discovery_rates(p: Array, tests: int | None = None) -> Array:
    """Adjusted p-values: the lowest false discovery rate at which each test is found.

    Parameters
    ----------
    p : array (k,)
        The k smallest p-values of all tests, in any order.
    tests : int, optional
        Number m of all tests; k if not given.

    Returns
    -------
    array (k,)
        Minimum over j >= i of p_j m / j, at most 1, for the test of rank i. With fewer p-values
        than tests it is right for rates at which no more than k tests are found.
    """
    order = np.argsort(p, kind="stable")
    rate = p[order] * ((p.size if tests is None else tests) / np.arange(1, p.size + 1))
    out = np.empty(p.size)
    out[order] = np.minimum(np.minimum.accumulate(rate[::-1])[::-1], 1.0)
    return out


def highest_p(counts: Columns, rate: float) -> float:
    """Bound the p-values that are found at a false discovery rate, from counts of all LODs.

    Parameters
    ----------
    counts : dict
        From `count_lods`: ``df``, ``cell`` and ``count``.
    rate : float
        False discovery rate, between 0 and 1.

    Returns
    -------
    float
        -log10 of a p-value that no pair found at this rate exceeds; infinite if none is found.
    """
    best = neg_log10_p(upper_edge(counts["cell"]), counts["df"])
    order = np.argsort(-best, kind="stable")
    rank = np.cumsum(counts["count"][order])
    with np.errstate(divide="ignore"):
        needed = np.log10(rank[-1:] / (rate * rank))
    found = np.flatnonzero(best[order] >= needed)
    return float(needed[found[-1]]) if found.size else np.inf


def least_lod(score: float, df: Index | int) -> Array:
    """LOD whose -log10 p is `score`, less a slack for rounding, for each number of df."""
    lod = np.zeros(int(np.max(df, initial=0)) + 1)
    lod[1:] = chdtri(np.arange(1, lod.size), 10.0**-score) / (2.0 * np.log(10.0))
    lod[0] = 0.0 if score <= 0.0 else np.inf  # no degree of freedom: p is 1
    return np.asarray((lod * (1.0 - _SLACK))[df])
