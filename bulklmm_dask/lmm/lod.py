r"""LOD scores from r2, the share of the residual sum of squares that a marker explains.

LOD = -(n/2) log10(1 - r2) = (n/2) log10(RSS0/RSS1), for n samples.

A logarithm in single precision takes an eighth to a third of the time of one in double precision
(`lods_of_r2`). It serves for low LODs: with eps = 2^-24, a relative error d of r2 moves a LOD by at
most (n/2) log10(e) d r2/(1 - r2) (`largest_r2`), the rounding of 1 - r2 by (n/2) log10(e) eps
unless it is compensated, and the logarithm by a relative error of 4 eps.
"""

from __future__ import annotations

from typing import overload

import numpy as np

from bulklmm_dask.typing import Array, Real, Single

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

# Rounding error of a number in single precision, relative to it.
ROUNDING = 2.0**-24
# Samples from which on the rounding of 1 - r2 in single precision, 1.9e-6 LOD, is compensated.
_MANY = 300


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


def lods_of_r2(r2: Real, n: int, out: Single, scratch: Real) -> None:
    """Write the LOD scores of n samples from r2 (markers, traits), below 1, into `out`.

    Parameters
    ----------
    r2 : array
        float32 or float64; overwritten.
    n : int
        Number of samples.
    out : array
        The scores.
    scratch : array
        Of the shape and dtype of `r2`; overwritten.
    """
    np.subtract(1.0, r2, out=scratch)
    compensated = n > _MANY and r2.dtype == np.float32
    if compensated:  # log(a - b) = log a - b/a: r2 becomes b, by subtractions that are exact
        np.subtract(scratch, 1.0, out=scratch)
        np.add(r2, scratch, out=r2)
        np.add(scratch, 1.0, out=scratch)
        np.divide(r2, scratch, out=r2)
    np.log(scratch, out=scratch)
    if compensated:
        np.subtract(scratch, r2, out=scratch)
    np.multiply(scratch, -0.5 * n / np.log(10.0), out=out, casting="same_kind")


@overload
def largest_r2(n: int, lod_error: float, error: float = SINGLE_ROUNDING) -> float: ...


@overload
def largest_r2(n: int, lod_error: float, error: Array) -> Array: ...


def largest_r2(n: int, lod_error: float, error: Array | float = SINGLE_ROUNDING) -> Array | float:
    """The r2 up to which a relative `error` of r2 changes the LOD by at most `lod_error`.

    The change is (n/2) log10(e) error r2/(1 - r2).
    """
    odds = lod_error * np.log(10.0) / (0.5 * n * error)
    return odds / (1.0 + odds)
