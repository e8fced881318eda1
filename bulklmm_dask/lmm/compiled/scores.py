"""LODs from the scores of a tile, in one pass (`lods.h`)."""

from __future__ import annotations

import numpy as np

from bulklmm_dask.lmm.compiled.loops import loaded
from bulklmm_dask.typing import Index, Real, Single

# The r2 up to which the polynomial of the loop holds.
LARGEST_R2 = 0.5


def lods_of_scores(
    score: Real,
    inverse: Real,
    n: int,
    limit: float,
    out: Single,
    again: Index,
    loops: int,
) -> Index:
    """Write the LODs of n samples into `out`; return the positions of pairs with r2 > `limit`.

    LOD = -(n/2) log10(1 - r2), r2 = score^2 inverse. Its relative error is at most 5 roundings of
    single precision, besides what follows from that of r2: one of them for scores in double
    precision, else 4. Pairs above the limit have a LOD of 0.

    Parameters
    ----------
    score : array (markers, traits)
        S_xy, float32 or float64.
    inverse : array (markers, traits)
        1/S_xx, float64.
    n : int
        Number of samples.
    limit : float
        At most `LARGEST_R2`.
    out : array (markers, traits)
        The scores.
    again : array (1, pairs)
        Memory for the positions.
    loops : int
        Which loops (`loops.loops`).
    """
    module = loaded()
    count = module.lods(score, inverse, out, again, limit, float(n / np.log(10.0)), loops)
    return again[0, :count]
