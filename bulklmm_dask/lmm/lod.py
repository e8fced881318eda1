r"""LOD scores from r2, the share of a trait's variation that a marker explains.

LOD = -(n/2) log10(1 - r2) = (n/2) log10(RSS0/RSS1), for n samples.
"""

from __future__ import annotations

import numpy as np

from bulklmm_dask.typing import Real

# The least value of 1 - r2, above rounding: a perfect fit scores 6.5 n, not infinity or noise.
SMALLEST = 1e-13
# From this r2 on an error of the interpolation would show, and a pair is done again without it.
NEARLY_PERFECT = 0.99
# Relative rounding error of r2 in single precision, as measured.
SINGLE_ROUNDING = 4.0045e-7


def lod_of_ratio(ratio: Real, n: int, out: Real | None = None) -> Real:
    """LOD scores of n samples from 1 - r2 = RSS1/RSS0, which is overwritten.

    Parameters
    ----------
    ratio : array
        Of any precision; values below rounding or `SMALLEST` count as these.
    n : int
        Number of samples.
    out : array, optional
        Where to put the scores, if not in place of `ratio`.
    """
    np.maximum(ratio, max(SMALLEST, float(np.spacing(ratio.dtype.type(1.0))) / 2), out=ratio)
    np.log(ratio, out=ratio)
    to_lod = -0.5 * n / np.log(10.0)
    return np.multiply(ratio, to_lod, out=ratio if out is None else out, casting="same_kind")


def largest_r2(n: int, lod_error: float, error: float = SINGLE_ROUNDING) -> float:
    """The r2 up to which a relative error of it changes no LOD by more than `lod_error`.

    The change is (n/2) log10(e) error r2/(1 - r2).
    """
    odds = lod_error * np.log(10.0) / (0.5 * n * error)
    return float(odds / (1.0 + odds))
