"""The false discovery rate over all pairs of a scan, by Benjamini and Hochberg, from counts.

With m tests, a test of p-value p is found at the rate q if p <= q k / m for some k and at least k
of the m are no larger than that. Which pairs of a scan these are depends on all others, but those
need only be counted. A cell of LODs contains p-values from that of its upper end to that of its
lower: were all as small as the first, no fewer tests would be found, so the bound on p that follows
is no lower than the true one. Pairs beyond it need not be seen to know the others exactly: the rate
of a test is the least of p_j m / j over it and those after it in rank, and that is above q wherever
j is the rank of a test that is not found.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from scipy.stats import chi2

from bulklmm_dask.lmm.statistics import neg_log10_p
from bulklmm_dask.results.pvalue_counts import lower_edge
from bulklmm_dask.typing import Array, Columns

# More than the rounding of a LOD in single precision.
_SLACK = 1e-6


def highest_p(cells: Columns, rate: float) -> float:
    """-log10 of a p-value that no pair found at this rate exceeds; infinite if none is found.

    Parameters
    ----------
    cells : dict
        Counts of all LODs, from `count_lods`.
    rate : float
        Of false discoveries, between 0 and 1.
    """
    best = neg_log10_p(lower_edge(cells["cell"] + 1), cells["df"])
    order = np.argsort(-best, kind="stable")
    rank = np.cumsum(cells["count"][order])
    with np.errstate(divide="ignore"):
        needed = np.log10(rank[-1:] / (rate * rank))
    found = np.flatnonzero(best[order] >= needed)
    return float(needed[found[-1]]) if found.size else np.inf


def least_lod(score: float, df: npt.NDArray[np.integer] | int) -> Array:
    """LOD with which -log10 p reaches `score`, or a little less, for each number of df."""
    known = np.zeros(int(np.max(df, initial=0)) + 1)
    known[1:] = chi2.isf(10.0**-score, np.arange(1, known.size)) / (2.0 * np.log(10.0))
    known[0] = 0.0 if score <= 0.0 else np.inf  # nothing is tested: p is 1
    return np.asarray((known * (1.0 - _SLACK))[df])


def rates(score: Array, tests: int) -> Array:
    """Adjusted p of the pairs of smallest p among all tests: the least rate that finds each.

    Parameters
    ----------
    score : array (k,)
        -log10 p of the k smallest p-values.
    tests : int
        Number of all tests.

    Returns
    -------
    array (k,)
        min over j >= i of p_j m / j, at most 1; right for every rate that finds no more than k.
    """
    order = np.argsort(-score, kind="stable")
    rank = np.arange(1, score.size + 1)
    own = np.log10(tests / rank) - score[order]
    out = np.empty(score.size)
    out[order] = 10.0 ** np.minimum(np.minimum.accumulate(own[::-1])[::-1], 0.0)
    return out
