r"""Covariates that every trait has for itself, in bulk: columns q_j1 ... q_jK of trait j.

With M the projection off the common covariates in the metric of W = diag(1/v) (`projection`),
the projection that takes q_j1 along as well is M_1 = M - u u', u = M q / sqrt(q'Mq), and so on for
every further column. Forms follow by elimination, without another inverse:

    x'M_1 y = x'My - (x'Mq)(q'My) / q'Mq

and so do their slopes in h. C'WC grows by the factor q'Mq (its Schur complement).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TypeVar

import numpy as np

from bulklmm_dask.lmm.basis import Basis, fold
from bulklmm_dask.lmm.covariance import Spectrum
from bulklmm_dask.typing import Array

Column = TypeVar("Column")

# A column whose part outside of the others is below this share of its squared length is none.
NO_SHARE = 1e-7


@dataclass(frozen=True)
class Conditioned:
    """The form y'M_K y with its slope in h, and what the K columns add to log|C'WC|.

    Attributes
    ----------
    quadratic, slope : array
    logdet, logdet_slope : array or float
    rank : array or float
        How many of the K columns are not zero.
    """

    quadratic: Array
    slope: Array
    logdet: Array | float
    logdet_slope: Array | float
    rank: Array | float


def condition(
    columns: Sequence[Column], form: Callable[[Column, Column], tuple[Array, Array]]
) -> Conditioned:
    """Eliminate all columns but the last from the form of the last.

    Parameters
    ----------
    columns : sequence
        q_1 ... q_K and y, in whatever shape `form` takes them.
    form : callable
        x'My and its slope in h, of two columns.
    """
    pairs = {
        (i, j): form(x, columns[j]) for i, x in enumerate(columns) for j in range(i, len(columns))
    }
    every = range(len(columns))
    value, slope = (
        np.array([[pairs[min(i, j), max(i, j)][part] for j in every] for i in every])
        for part in (0, 1)
    )
    logdet: Array | float = 0.0
    logdet_slope: Array | float = 0.0
    rank: Array | float = 0.0
    while len(value) > 1:
        present = value[0, 0] > 0.0
        pivot, pivot_slope = np.where(present, value[0, 0], 1.0), slope[0, 0]
        ratio = value[0, 1:] / pivot  # of a column of zeros: 0
        cross = ratio[:, None] * slope[0, 1:]
        value = value[1:, 1:] - ratio[:, None] * value[0, 1:]
        slope = slope[1:, 1:] - cross - cross.swapaxes(0, 1) + ratio[:, None] * ratio * pivot_slope
        logdet = logdet + np.log(pivot)
        logdet_slope = logdet_slope + pivot_slope / pivot
        rank = rank + present
    return Conditioned(value[0, 0], slope[0, 0], logdet, logdet_slope, rank)


def outside(basis: Basis, given: Array, rotated: Array) -> Array:
    """Rotated columns (n, traits) off the covariates and each off its own `given` columns.

    Parameters
    ----------
    basis : Basis
        Of n samples.
    given : array (K, n, traits)
        Orthonormal for every trait, and off the covariates; or zeros.
    rotated : array (n, traits)
    """
    for _ in range(2):  # twice is enough: orthogonal to rounding
        rotated = rotated - basis.covariates @ (basis.covariates.T @ rotated)
        for q in given:
            rotated -= q * np.einsum("kj,kj->j", q, rotated)
    return rotated


def orthonormal_columns(basis: Basis, extra: Array) -> Array:
    """Orthonormal basis, trait by trait, of what the columns add to the covariates.

    Parameters
    ----------
    basis : Basis
        Of n samples.
    extra : array (n, traits, K)
        Columns as measured, none missing.

    Returns
    -------
    array (K, n, traits)
        Rotated. Zeros stand for a column that adds nothing to the covariates and to the columns
        before it.
    """
    given = np.zeros((extra.shape[2], *extra.shape[:2]))
    for k, column in enumerate(np.moveaxis(extra, 2, 0)):
        rotated = basis.rotate(column - column.mean(axis=0))
        rest = outside(basis, given[:k], rotated)
        left, size, raw = (np.einsum("kj,kj->j", x, x) for x in (rest, rotated, column))
        # Rounding of a constant column (a mean that is not exact) is nothing either.
        adds = (left > NO_SHARE * size) & (size > 1e-20 * raw)
        given[k] = np.where(adds, rest / np.sqrt(np.where(adds, left, 1.0)), 0.0)
    return given


def fold_together(spectrum: Spectrum, y: Array, given: Array) -> tuple[Spectrum, Array, Array]:
    """Fold the null space of the kinship (`basis.fold`) for traits and what they are given.

    A fold keeps one row a trait for what the covariates leave of it there, so that products of
    two columns survive if one of them leaves nothing. Markers do: samples without a difference
    that the kinship sees have the same genotypes. Where a column is of another kind nothing is
    folded.
    """
    if not len(given):
        folded_spectrum, folded_y = fold(spectrum, y)
        return folded_spectrum, folded_y, np.empty((0, *folded_y.shape))
    columns = np.concatenate([y, *given], axis=1)
    folded_spectrum, folded = fold(spectrum, columns)
    folded_y, *folded_given = np.split(folded, len(given) + 1, axis=1)
    if folded_spectrum is not spectrum:
        if max(np.abs(q[-1]).max() for q in folded_given) > 1e-10:
            return spectrum, y, given
        for q in folded_given:
            q[-1] = 0.0
    return folded_spectrum, folded_y, np.array(folded_given).reshape(len(given), *folded_y.shape)
