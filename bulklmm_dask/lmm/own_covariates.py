r"""Trait-specific covariates q_j1 ... q_jK of trait j, for many traits at once.

Let M be the projection off the common covariates in the metric of W = diag(1/v) (`projection`).
Projecting off q_j1 as well gives M_1 = M - u u' with u = M q / sqrt(q'Mq), and so on for every
further column. Quadratic forms follow by elimination, without another matrix inverse:

    x'M_1 y = x'My - (x'Mq)(q'My) / q'Mq

and so do their slopes in h. |C'WC| is multiplied by q'Mq (the Schur complement).
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

# A column is dropped if less than this share of its squared length is left beside the others.
NO_SHARE = 1e-7


@dataclass(frozen=True)
class Conditioned:
    """The form y'M_K y, and the contribution of the K columns to log|C'WC|; one entry per trait.

    Attributes
    ----------
    quadratic, slope : array
        y'M_K y and its derivative in h.
    logdet, logdet_slope : array or float
        Sum over the columns of log q'Mq, and its derivative in h.
    rank : array or float
        Number of the K columns that are not zero.
    """

    quadratic: Array
    slope: Array
    logdet: Array | float
    logdet_slope: Array | float
    rank: Array | float


def condition(
    columns: Sequence[Column], form: Callable[[Column, Column], tuple[Array, Array]]
) -> Conditioned:
    """Eliminate all columns but the last from the quadratic form of the last.

    Parameters
    ----------
    columns : sequence
        q_1 ... q_K and y, in the representation that `form` takes.
    form : callable
        Gives x'My and its slope in h for two columns x and y.
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
        ratio = value[0, 1:] / pivot  # 0 for a column of zeros
        cross = ratio[:, None] * slope[0, 1:]
        value = value[1:, 1:] - ratio[:, None] * value[0, 1:]
        slope = slope[1:, 1:] - cross - cross.swapaxes(0, 1) + ratio[:, None] * ratio * pivot_slope
        logdet = logdet + np.log(pivot)
        logdet_slope = logdet_slope + pivot_slope / pivot
        rank = rank + present
    return Conditioned(value[0, 0], slope[0, 0], logdet, logdet_slope, rank)


def outside(basis: Basis, given: Array, rotated: Array) -> Array:
    """Project rotated columns off the common covariates and off those of their own trait.

    Parameters
    ----------
    basis : Basis
        Eigenbasis of n samples, with the common covariates.
    given : array (K, n, traits)
        Rotated trait-specific covariates, orthonormal for every trait and orthogonal to the common
        ones; or zeros.
    rotated : array (n, traits)
        Rotated columns, one per trait.
    """
    for again in range(2):  # twice makes them orthogonal to rounding
        part = basis.covariates @ (basis.covariates.T @ rotated)
        rotated = np.subtract(rotated, part, out=rotated if again else part)
        for q in given:
            rotated -= q * np.einsum("kj,kj->j", q, rotated)
    return rotated


def orthonormal_columns(basis: Basis, extra: Array) -> Array:
    """Orthonormalise the trait-specific covariates of every trait, beside the common ones.

    Parameters
    ----------
    basis : Basis
        Eigenbasis of n samples, with the common covariates.
    extra : array (n, traits, K)
        Trait-specific covariates as measured, none missing.

    Returns
    -------
    array (K, n, traits)
        Rotated columns. A column that depends linearly on the common covariates and the columns
        before it is replaced by zeros.
    """
    given = np.zeros((extra.shape[2], *extra.shape[:2]))
    for k, column in enumerate(np.moveaxis(extra, 2, 0)):
        rotated = basis.rotate(column - column.mean(axis=0))
        rest = outside(basis, given[:k], rotated)
        left, size, raw = (np.einsum("kj,kj->j", x, x) for x in (rest, rotated, column))
        # What centring leaves of a constant column, through rounding of its mean, adds nothing.
        adds = (left > basis.share_left(NO_SHARE) * size) & (size > 1e-20 * raw)
        given[k] = np.where(adds, rest / np.sqrt(np.where(adds, left, 1.0)), 0.0)
    return given


def fold_together(spectrum: Spectrum, y: Array, given: Array) -> tuple[Spectrum, Array, Array]:
    """Fold the null space of the kinship (`basis.fold`) for traits and their own covariates.

    In the null space, `fold` keeps only the length of what the common covariates leave of a
    column. Products of two columns are therefore kept only if this length is 0 for one of them.
    It is 0 for markers: samples that the kinship does not distinguish (replicates) have the same
    genotypes. If it is not 0 for some column of `given`, nothing is folded.
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
