r"""Columns of a model: centred, and judged by one rule whether they add to those before them.

A model with an intercept does not change when a constant is added to a covariate or to a trait. So
neither may the judgement whether it is constant or follows from others: dates such as 20240131 vary
little about a large mean, and rounding errors relative to that mean must not hide it.
"""

from __future__ import annotations

import numpy as np

from bulklmm_dask.typing import Array

# A covariate is dropped if less than this share of its squared length is left beside the others.
NO_SHARE = 1e-18
# Rounding changes squared lengths by this share: values that differ by four units in the last place
# are taken as equal.
ROUNDING = (4.0 * np.finfo(np.float64).eps) ** 2


def least_left(size: Array, measured: Array, share: float) -> Array:
    """Squared lengths that columns must exceed beside the others of a model, to add to it.

    Parameters
    ----------
    size : array
        Squared lengths of the columns, centred if the model has an intercept.
    measured : array
        Squared lengths as measured, which their rounding errors are relative to.
    share : float
        Share of `size` that counts as nothing.
    """
    return np.maximum(share * size, ROUNDING * measured)


def centred(columns: Array) -> Array:
    """Subtract the mean of every column (n, k); differences of nearby numbers are exact."""
    rest = columns - columns.mean(axis=0)
    return np.asarray(rest - rest.mean(axis=0))  # again, for the rounding of a large mean


def has_intercept(covariates: Array) -> bool:
    """Whether the first of the covariates (n, c) is a constant other than 0."""
    if not covariates.size:
        return False
    first = covariates[:, 0]
    return bool(first[0] != 0.0 and (first == first[0]).all())


def independent_columns(covariates: Array, weights: Array | None = None) -> tuple[Array, list[int]]:
    """Orthonormal basis of covariates, and the indices of those that depend on earlier ones.

    Columns are taken in their order, so the intercept, which comes first, is always kept. If there
    is one, all others are centred, which leaves the span as it is.

    Parameters
    ----------
    covariates : array (n, c)
        Covariates as measured, none missing.
    weights : array (n,), optional
        Residual weights by which the columns are multiplied.

    Returns
    -------
    basis : array (n, rank)
        Orthonormal columns that span the weighted covariates.
    dependent : list of int
        Positions of the columns that were left out.
    """
    # Powers of two are exact; squares of the scaled columns neither overflow nor vanish.
    scaled = np.ldexp(covariates, -np.frexp(np.abs(covariates).max(axis=0, initial=0.0))[1])
    columns = scaled.copy()
    if has_intercept(covariates):
        columns[:, 1:] = centred(scaled[:, 1:])
    # Weights change no rank, but a large one hides what is left of a column elsewhere.
    basis, dependent = _orthonormal(columns, np.square(scaled).sum(axis=0))
    if weights is not None:
        independent = np.delete(columns, dependent, axis=1)
        basis, _ = _orthonormal(weights[:, None] * independent, np.zeros(independent.shape[1]), 0.0)
    return basis, dependent


def _orthonormal(
    columns: Array, measured: Array, share: float = NO_SHARE
) -> tuple[Array, list[int]]:
    """Gram-Schmidt: orthonormal columns, and the indices of those of which nothing is left.

    `measured` and `share` are as in `least_left`.
    """
    kept: list[Array] = []
    dependent: list[int] = []
    for index, rest in enumerate(columns.T):
        least = least_left(rest @ rest, measured[index], share)
        for _ in range(2):  # twice makes them orthogonal to rounding (Kahan)
            for q in kept:
                rest = rest - q * (q @ rest)
        left = float(rest @ rest)
        if left > least:
            kept.append(rest / np.sqrt(left))
        else:
            dependent.append(index)
    return (np.column_stack(kept) if kept else np.empty((len(columns), 0))), dependent


def logdet_as_measured(columns: Array, weights: Array) -> float:
    """log|C'C| of columns (n, c) as measured, from those that were multiplied by weights (n,)."""
    corner = np.linalg.qr(columns / weights[:, None], mode="r")
    return 2.0 * float(np.log(np.abs(np.diag(corner))).sum())
