r"""Several columns a marker, made orthonormal: what is tested at once, and its degrees of freedom.

A marker with the columns X (n, d) - genotype probabilities, or a dosage and its products with
covariates - is tested as a whole, so any basis of the span of its columns serves. Taken in their
order and off the covariates, the columns become orthonormal; those that depend on earlier ones or
on the covariates drop out, and the number of those left is the degrees of freedom of the test.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from bulklmm_dask.lmm.basis import Basis, fold
from bulklmm_dask.lmm.covariance import Spectrum
from bulklmm_dask.lmm.markers import NO_VARIATION
from bulklmm_dask.typing import Array

# Share of a column's squared size; with less left, rounding leaves more than 1e-12 of the others.
_NEARLY_DEPENDENT = 1e-4


@dataclass(frozen=True)
class Designs:
    """A block of markers of d columns each, in the basis of one group of samples.

    Attributes
    ----------
    columns : array (variants, d, r)
        Rotated, off the covariates, orthonormal within a marker, 0 where a column dropped out.
        Trailing rows of the rotated space that are zero for the whole block are cut off.
    kept : array (variants, d) of bool
        False where a column depends on earlier ones or on the covariates.
    transform : array (variants, d, d)
        Lower triangular: the orthonormal columns are `transform` times the given ones (up to
        covariates), so coefficients of the given ones are its transpose times the coefficients
        of the orthonormal ones.
    folded : bool
        Whether the rows are those of the folded basis (`bulklmm_dask.lmm.basis.fold`): no marker
        reaches into the null space of the kinship.
    """

    columns: Array
    kept: npt.NDArray[np.bool_]
    transform: Array
    folded: bool

    @property
    def df(self) -> npt.NDArray[np.int64]:
        """Degrees of freedom (variants,): the rank of the columns beside the covariates."""
        return self.kept.sum(axis=1)

    def leading_df(self, count: int) -> npt.NDArray[np.int64]:
        """Degrees of freedom (variants,) of the first `count` columns alone."""
        return self.kept[:, :count].sum(axis=1)


def prepare_designs(basis: Basis, columns: npt.ArrayLike, *, centre: bool = True) -> Designs:
    """Centre, rotate and orthonormalise the columns of a block of markers.

    Parameters
    ----------
    basis : Basis
        Of the n samples of the group.
    columns : array (variants, d, n)
        For the samples of the group, none missing.
    centre : bool
        Take the mean of every column out first, which spares digits. To be switched off where
        the covariates of the basis have no intercept (`bulklmm_dask.lmm.joint.effects`).
    """
    given = np.asarray(columns, dtype=np.float64)
    variants, d, n = given.shape
    mean = given.mean(axis=2) if centre else np.zeros((variants, d))
    if centre:
        given = given - mean[:, :, None]
    rotated = basis.rotate_rows(given.reshape(-1, n))
    size = np.einsum("ik,ik->i", rotated, rotated).reshape(variants, d)
    spectrum, rotated, folded = _in_few_rows(basis, rotated)
    inside = spectrum.covariates
    rotated = rotated - (rotated @ inside) @ inside.T
    if spectrum.rank == spectrum.rows:
        x = rotated.reshape(variants, d, -1)
    else:
        x = np.ascontiguousarray(rotated[:, : _reach(rotated)]).reshape(variants, d, -1)
    # Rounding of a constant column (a mean that is not exact) is no variation either.
    least = np.where(size > 1e-20 * n * mean * mean, NO_VARIATION * size, np.inf)
    transform, left = _orthonormaliser(x @ x.swapaxes(1, 2), least)
    x = transform @ x
    kept = left > least
    # Nearly dependent columns are orthogonal only to some digits after one round.
    weak = np.flatnonzero((kept & (left < _NEARLY_DEPENDENT * size)).any(axis=1))
    again, _ = _orthonormaliser(x[weak] @ x[weak].swapaxes(1, 2), np.full((len(weak), d), 0.5))
    x[weak] = again @ x[weak]
    transform[weak] = again @ transform[weak]
    return Designs(x, kept, transform, folded)


def rows_of(basis: Basis, rotated: Array, *, folded: bool) -> tuple[Spectrum, Array]:
    """The rows that `Designs` of this kind live in, and traits (n, traits) in them."""
    return fold(basis, rotated) if folded else (basis, rotated)


def _in_few_rows(basis: Basis, rotated: Array) -> tuple[Spectrum, Array, bool]:
    """Rotated columns (k, n) in the rows of the folded basis, if that holds them."""
    rank = basis.rank
    if rank == basis.rows:
        return basis, rotated, True
    if _reach(rotated) > rank:
        return basis, rotated, False
    spectrum, _ = fold(basis, np.empty((basis.rows, 0)))
    few = np.zeros((len(rotated), spectrum.rows))
    few[:, :rank] = rotated[:, :rank]
    return spectrum, few, True


def _reach(rows: Array) -> int:
    """Up to where any of the rows (k, n) has an entry above rounding."""
    largest = np.abs(rows).max(axis=0, initial=0.0)
    size = np.sqrt(np.einsum("ik,ik->i", rows, rows).max(initial=0.0))
    above = np.flatnonzero(largest > 1e-12 * size)
    return int(above[-1]) + 1 if len(above) else 0


def _orthonormaliser(gram: Array, least: Array) -> tuple[Array, Array]:
    """Lower triangular T (k, d, d) with T gram T' the identity, by Gram-Schmidt in order.

    A column of which no more than `least` (k, d) is left, squared, gets a row of zeros. Also what
    is left of every column, (k, d).
    """
    k, d = least.shape
    out, lefts = np.zeros((k, d, d)), np.empty((k, d))
    for j in range(d):
        onto = (out[:, :j] @ gram[:, :, j : j + 1])[:, :, 0]
        row = -np.einsum("ia,iab->ib", onto, out[:, :j])
        row[:, j] += 1.0
        left = np.einsum("ia,iab,ib->i", row, gram, row, optimize=True)
        keep = left > least[:, j]
        out[keep, j] = row[keep] / np.sqrt(left[keep])[:, None]
        lefts[:, j] = left
    return out, lefts
