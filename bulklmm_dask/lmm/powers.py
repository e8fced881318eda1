"""Powers of two by which very large or very small numbers are divided: no digit changes."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from bulklmm_dask.typing import Array, Index

# Columns whose largest number is within 2^-200 and 2^200 are left as they are: the squares of their
# numbers neither overflow nor vanish.
_WIDE = 200
# No number is extreme if the sum of up to 2^60 squares is within this and its inverse.
_LEAST = 2.0 ** (60 - 2 * _WIDE)
LOG2 = float(np.log(2.0))
# A scale within 2^-10 and 2^10 is left as it is.
_NEAR = 10


def in_range(columns: Array) -> tuple[Array, Index]:
    """Columns (n, k) divided by 2^e, e (k,), so that squares neither overflow nor vanish.

    `e` is 0, and the column unchanged, unless its largest number is extreme. NaN stays NaN.
    """
    with np.errstate(over="ignore", under="ignore"):
        squares = np.einsum("kj,kj->j", columns, columns)
    if ((squares > _LEAST) & (squares < 1.0 / _LEAST)).all():
        return columns, np.zeros(columns.shape[1], np.int64)
    above, below = (f.reduce(columns, axis=0, initial=0.0) for f in (np.fmax, np.fmin))
    _, exponent = np.frexp(np.maximum(above, -below))
    exponent = np.where(np.abs(exponent) > _WIDE, exponent, 0).astype(np.int64)
    return (back(columns, -exponent) if exponent.any() else columns), exponent


def back(values: npt.ArrayLike, exponent: Index) -> Array:
    """Values times 2^e: infinite or 0 where the product is beyond the range of float64."""
    with np.errstate(over="ignore", under="ignore"):
        return np.asarray(np.ldexp(values, exponent))


def unit_of(value: float) -> float:
    """Power of two by which a positive number is to be divided; 1 if it is near 1."""
    exponent = int(np.frexp(value)[1]) - 1
    return 1.0 if abs(exponent) <= _NEAR else float(np.ldexp(1.0, exponent))
