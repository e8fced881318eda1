"""Check of a kinship that was handed in: its shape, symmetry and eigenvalues."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import numpy.typing as npt
import scipy.linalg

from bulklmm_dask.errors import InputError
from bulklmm_dask.lmm.rounding import Rounding, rounding_of
from bulklmm_dask.surface import either, function
from bulklmm_dask.typing import Array

# Negative eigenvalues up to this share of the largest are rounding of doubles.
_NEGLIGIBLE = 1e-9
# Up to this share they need no explanation.
_TOLERATED = 1e-6
# Up to this share they are taken for rounding of the entries, if that explains them.
_SLIGHT = 1e-3
# Positive eigenvalues up to this multiple of the most negative one are rounding as well.
_AS_FAR = 1.5
# Sums of n rounded entries that stay below this times sqrt(n) rounding errors are 0: seven standard
# deviations of errors that are uniform and independent.
_SUM_OF_ROUNDED = 4.0
# Sizes of the largest entry between which products with the variances of traits stay doubles.
_SMALLEST, _LARGEST = 1e-305, 1e305


def check_kinship(
    kinship: npt.ArrayLike, n_samples: int, name: str, say: Callable[[str], None]
) -> Array:
    """Check a kinship, and give it as float64 without negative eigenvalues beyond rounding.

    Parameters
    ----------
    kinship : array (n_samples, n_samples)
        Finite, symmetric and positive semi-definite.
    n_samples : int
        Number of samples of the study.
    name : str
        Name of the kinship in messages.
    say : callable
        Takes a warning: that eigenvalues which are negative through rounding of the entries were
        set to 0, or that a matrix which is centred but for rounding was centred again.

    Raises
    ------
    InputError
        If it is none of these, zero everywhere, or of a size that doubles cannot multiply.
    """
    matrix = np.asarray(kinship, dtype=np.float64)
    require_square(matrix.shape, n_samples, name)
    bad = np.argwhere(~np.isfinite(matrix))
    if len(bad):
        i, j = bad[0]
        raise InputError(f"{name} holds {matrix[i, j]} at row {i}, column {j}; it must be finite")
    largest = np.abs(matrix).max(initial=0.0)
    if n_samples and largest == 0.0:
        raise InputError(
            f"{name} is 0 everywhere, which says of no samples that they are related; compute it "
            f"with {function('kinship')}, or use {either('kinship=None', '--kinship none')} for "
            "ordinary regression"
        )
    if n_samples and not _SMALLEST <= largest <= _LARGEST:
        raise InputError(
            f"the largest entry of {name} is {largest:.4g}, where doubles lose their digits; "
            "multiply the kinship by a number that brings it near 1"
        )
    gap = np.abs(matrix - matrix.T)
    if gap.max(initial=0.0) > 1e-8 * largest:
        i, j = np.unravel_index(int(gap.argmax()), gap.shape)
        raise InputError(
            f"{name} is not symmetric: {matrix[i, j]:.6g} at ({i}, {j}) but {matrix[j, i]:.6g} at "
            f"({j}, {i}); use (K + K.T) / 2 if that is rounding"
        )
    matrix = matrix / 2 + matrix.T / 2
    # trace / n is at most the largest eigenvalue, so this fast test is at least as strict.
    margin = _NEGLIGIBLE * max(float(np.trace(matrix / largest)) / max(n_samples, 1), 0.0)
    try:
        np.linalg.cholesky(matrix / largest + margin * np.eye(n_samples))
    except np.linalg.LinAlgError:
        return _without_negative(matrix, largest, name, say)
    return _centred_again(matrix, largest, name, say)


def require_square(shape: tuple[int, ...], n_samples: int, name: str) -> None:
    """Raise InputError unless a kinship is of n x n samples."""
    if shape != (n_samples, n_samples):
        raise InputError(
            f"{name} has shape {shape}, but the study has {n_samples} samples: "
            f"it should be ({n_samples}, {n_samples})"
        )


def _centred_again(matrix: Array, largest: float, name: str, say: Callable[[str], None]) -> Array:
    """The matrix, its rows summing to 0 if they do so but for rounding of the entries.

    A centred kinship of distinct samples has the eigenvalue 0 for the vector of ones, where the
    likelihood under ML has no maximum. Rounding that makes it slightly positive would hide that,
    and would decide on h2 and the LODs.
    """
    n = len(matrix)
    off = float(np.abs(matrix.sum(axis=1)).max(initial=0.0))
    if off <= _NEGLIGIBLE * largest or off > _SUM_OF_ROUNDED * np.sqrt(n) * _SLIGHT * largest:
        return matrix
    rounding = rounding_of(matrix)
    if off > _SUM_OF_ROUNDED * np.sqrt(n) * rounding.error:
        return matrix
    say(
        f"{name} is centred, but because its entries are rounded to {rounding.words} its rows sum "
        f"to up to {off:.4g}; it was centred again. Write it with more digits to keep that out"
    )
    middle = matrix - matrix.mean(axis=0)
    centred = middle - middle.mean(axis=1)[:, None]
    return np.asarray(centred / 2 + centred.T / 2)


def _without_negative(
    matrix: Array, largest: float, name: str, say: Callable[[str], None]
) -> Array:
    """The matrix with eigenvalues that rounding made negative set to 0; or InputError."""
    values, vectors = scipy.linalg.eigh(matrix / largest)
    values *= largest
    least, most = float(values[0]), float(values[-1])
    if least >= -_NEGLIGIBLE * max(most, 0.0):
        return matrix
    rounding = rounding_of(matrix)
    explained = rounding.eigenvalue(len(matrix))
    if least < -explained and least >= -_TOLERATED * max(most, 0.0):
        return matrix
    if most <= 0.0 or least < -min(explained, _SLIGHT * most):
        raise InputError(
            f"{name} is not positive semi-definite: its smallest eigenvalue is {least:.4g}, the "
            f"largest {most:.4g}{_in_words(rounding, least, explained)}; compute it with "
            f"{function('kinship')} or correct its entries"
        )
    say(
        f"{name} has slightly negative eigenvalues, the smallest {least:.4g} against the largest "
        f"{most:.4g}, because its entries are rounded to {rounding.words}; eigenvalues of that "
        "size were set to 0. Write it with more digits to keep them out"
    )
    # What rounding makes of eigenvalues that are 0 is as often positive.
    positive = (vectors * np.where(values > -_AS_FAR * least, values, 0.0)) @ vectors.T
    return np.asarray(positive / 2 + positive.T / 2)


def _in_words(rounding: Rounding, least: float, explained: float) -> str:
    """What rounding of the entries has to do with the smallest eigenvalue."""
    if not rounding.error:
        return ", which is not rounding of its entries"
    if least < -explained:
        return f", more than rounding of its entries to {rounding.words} explains"
    return (
        f"; rounding of its entries to {rounding.words} explains that, but changes too much: write "
        "it with more digits"
    )
