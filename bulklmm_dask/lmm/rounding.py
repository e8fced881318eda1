"""How numbers were rounded when they were written, and what that does to eigenvalues."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from bulklmm_dask.typing import Array

# Numbers of decimals and of significant digits that are looked for; more leave hardly an error.
_DECIMALS = range(1, 11)
_DIGITS = range(2, 10)
# How far a rounded number may be off a whole number of its last digits, in units of that digit.
_WHOLE = 1e-3


@dataclass(frozen=True)
class Rounding:
    """How the entries of a matrix were rounded.

    Attributes
    ----------
    error : float
        Largest error of an entry; 0 if no rounding is seen.
    words : str
        How they were rounded, such as "6 decimals".
    """

    error: float
    words: str

    def eigenvalue(self, n: int) -> float:
        """Largest change of an eigenvalue of an n x n matrix: the norm of a matrix of errors."""
        return n * self.error


def rounding_of(matrix: Array) -> Rounding:
    """Find the coarsest rounding that all entries of a matrix, not all 0, show."""
    entries = np.unique(np.abs(matrix))
    entries = entries[entries > 0.0]
    found = [Rounding(0.0, "")]
    for decimals in _DECIMALS:
        if _are_whole(entries * 10.0**decimals):
            found.append(Rounding(0.5 * 10.0**-decimals, f"{decimals} decimals"))
            break
    place = np.floor(np.log10(entries))
    for digits in _DIGITS:
        if _are_whole(entries / 10.0 ** (place + 1 - digits)):
            last = float(10.0 ** (place.max() + 1 - digits))
            found.append(Rounding(0.5 * last, f"{digits} significant digits"))
            break
    with np.errstate(over="ignore", under="ignore"):
        single = entries.astype(np.float32)
    if (single == entries).all():
        error = float(entries.max() * np.finfo(np.float32).eps / 2)
        found.append(Rounding(error, "single precision"))
    return max(found, key=lambda each: each.error)


def _are_whole(values: Array) -> bool:
    """Whether positive values are whole numbers from 1 on."""
    nearest = np.rint(values)
    return bool(((np.abs(values - nearest) <= _WHOLE) & (nearest >= 1.0)).all())
