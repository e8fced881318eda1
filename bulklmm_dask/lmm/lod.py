r"""LOD scores from r2, the share of the residual sum of squares that a marker explains.

LOD = -(n/2) log10(1 - r2) = (n/2) log10(RSS0/RSS1), for n samples.
"""

from __future__ import annotations

import numpy as np

from bulklmm_dask.typing import Real

# Lower bound of RSS1/RSS0, just above the rounding of residuals: a perfect fit has LOD 13 n instead
# of infinity.
SMALLEST = 1e-26
# 1 - r2 below which the ratio is computed from the residuals: the difference has lost its digits.
CANCELLED = 1e-6
# Pairs with a larger r2 are computed again without interpolation: its error would show in the LOD.
NEARLY_PERFECT = 0.99
# Relative rounding error of r2 in single precision, as measured.
SINGLE_ROUNDING = 4.0045e-7
# Largest error of a LOD due to computing r2 in single precision.
SINGLE_ERROR = 2e-5


def largest_lod(n: int) -> float:
    """LOD of n samples that a perfect fit gets."""
    return float(-0.5 * n * np.log10(SMALLEST))


def lod_of_ratio(ratio: Real, n: int, out: Real | None = None) -> Real:
    """LOD scores of n samples from the ratio 1 - r2 = RSS1/RSS0.

    Parameters
    ----------
    ratio : array
        RSS1/RSS0, float32 or float64; overwritten. Values below `SMALLEST`, in single precision
        below the rounding error of 1, are raised to that bound.
    n : int
        Number of samples.
    out : array, optional
        Array for the scores; by default they overwrite `ratio`.
    """
    smallest = SMALLEST if ratio.dtype == np.float64 else float(np.spacing(np.float32(1.0))) / 2
    np.maximum(ratio, smallest, out=ratio)
    np.log(ratio, out=ratio)
    to_lod = -0.5 * n / np.log(10.0)
    return np.multiply(ratio, to_lod, out=ratio if out is None else out, casting="same_kind")


def largest_r2(n: int, lod_error: float, error: float = SINGLE_ROUNDING) -> float:
    """The r2 up to which a relative `error` of r2 changes the LOD by at most `lod_error`.

    The change is (n/2) log10(e) error r2/(1 - r2).
    """
    odds = lod_error * np.log(10.0) / (0.5 * n * error)
    return float(odds / (1.0 + odds))
