"""What follows from a LOD score: the p-value and the share of the variance explained."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from scipy.special import gammaln, log_ndtr

from bulklmm_dask.typing import Array


def neg_log10_p(lod: npt.ArrayLike, df: npt.ArrayLike) -> Array:
    r"""-log10 P(chi2_df >= 2 ln(10) LOD), finite for any LOD.

    With x = 2 ln(10) LOD the tail is 2 Phi(-sqrt x) for one degree of freedom and exp(-x/2) for
    two; two more add (x/2)^(df/2) exp(-x/2) / Gamma(df/2 + 1). All terms are positive, so their
    logarithms are added.

    Parameters
    ----------
    lod : array
        Scores; negative ones count as 0, NaN stays NaN.
    df : array of int
        Degrees of freedom, broadcast against `lod`; where it is 0 nothing is tested and p is 1.
    """
    score, freedom = np.broadcast_arrays(np.asarray(lod, np.float64), np.asarray(df))
    out = np.zeros(score.shape)
    for k in np.unique(freedom[freedom > 0]):
        where = freedom == k
        half = np.maximum(score[where], 0.0) * np.log(10.0)
        log_p = np.log(2.0) + log_ndtr(-np.sqrt(2.0 * half)) if k % 2 else -half
        known = ~np.isnan(half)
        half, log_p = half[known], log_p[known]
        log_half = np.log(np.maximum(half, 1e-300))
        for order in np.arange(1.0 if k % 2 == 0 else 0.5, k / 2):
            log_p = np.logaddexp(log_p, order * log_half - half - gammaln(order + 1.0))
        values = np.full(known.shape, np.nan)
        values[known] = np.maximum(-log_p / np.log(10.0), 0.0)
        out[where] = values
    return out


def explained(lod: npt.ArrayLike, n_samples: int) -> Array:
    """Share of the trait's variance, in the metric of the model, that a marker explains.

    1 - RSS1/RSS0 = 1 - 10^(-2 LOD / n), as R/qtl2 users compute it; 0 where the LOD is negative.
    """
    score = np.maximum(np.asarray(lod, np.float64), 0.0)
    return np.asarray(-np.expm1(score * (-2.0 * np.log(10.0) / n_samples)))
