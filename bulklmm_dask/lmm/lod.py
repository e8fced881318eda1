r"""LOD scores from r2, the share of the residual sum of squares that a marker explains.

LOD = -(n/2) log10(1 - r2) = (n/2) log10(RSS0/RSS1), for n samples.
"""

from __future__ import annotations

import numpy as np

from bulklmm_dask.typing import Real

# Lower bound of 1 - r2, just above rounding: a perfect fit has LOD 6.5 n instead of infinity.
SMALLEST = 1e-13
# Pairs with a larger r2 are computed again without interpolation: its error would show in the LOD.
NEARLY_PERFECT = 0.99
# Relative rounding error of r2 in single precision, as measured.
SINGLE_ROUNDING = 4.0045e-7


def lod_of_ratio(ratio: Real, n: int, out: Real | None = None) -> Real:
    """LOD scores of n samples from the ratio 1 - r2 = RSS1/RSS0.

    Parameters
    ----------
    ratio : array
        RSS1/RSS0, float32 or float64; overwritten. Values below `SMALLEST`, or below the rounding
        error of 1 in its precision, are raised to that bound.
    n : int
        Number of samples.
    out : array, optional
        Array for the scores; by default they overwrite `ratio`.
    """
    np.maximum(ratio, max(SMALLEST, float(np.spacing(ratio.dtype.type(1.0))) / 2), out=ratio)
    np.log(ratio, out=ratio)
    to_lod = -0.5 * n / np.log(10.0)
    return np.multiply(ratio, to_lod, out=ratio if out is None else out, casting="same_kind")


def largest_r2(n: int, lod_error: float, error: float = SINGLE_ROUNDING) -> float:
    """The r2 up to which a relative `error` of r2 changes the LOD by at most `lod_error`.

    The change is (n/2) log10(e) error r2/(1 - r2).
    """
    odds = lod_error * np.log(10.0) / (0.5 * n * error)
    return float(odds / (1.0 + odds))
