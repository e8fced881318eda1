r"""Orthonormal columns of markers that are tested by several columns, and their degrees of freedom.

The columns X (n, d) of a marker - genotype probabilities, or a dosage and its products with
covariates - are tested together, so any basis of their span gives the same test. The columns are
projected off the covariates and orthonormalised in their order. Columns that depend linearly on
earlier ones or on the covariates drop out; the number left is the degrees of freedom of the test.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from bulklmm_dask.lmm.basis import Basis, fold
from bulklmm_dask.lmm.covariance import Spectrum
from bulklmm_dask.lmm.markers import NO_VARIATION, outside_covariates
from bulklmm_dask.typing import Array

# If less than this share of a column's squared length is left, rounding leaves it more than 1e-12
# off orthogonal, and it is orthogonalised again.
_NEARLY_DEPENDENT = 1e-4


@dataclass(frozen=True)
class Designs:
    """A block of markers of d columns each, rotated to the eigenbasis of one group of samples.

    Attributes
    ----------
    columns : array (variants, d, r)
        Rotated columns, orthogonal to the covariates, orthonormal within a marker, 0 where a
        column dropped out. Trailing entries that are zero for the whole block are cut off.
    kept : array (variants, d) of bool
        False where a column depends on earlier ones or on the covariates.
    transform : array (variants, d, d)
        Lower triangular T: the orthonormal columns are T times the original ones, up to
        covariates. Coefficients of the original columns are T' times those of the orthonormal.
    folded : bool
        Whether the entries are rows of the folded basis (`bulklmm_dask.lmm.basis.fold`), because
        no marker has a part in the null space of the kinship.
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
        Eigenbasis of the n samples of the group.
    columns : array (variants, d, n)
        Columns as measured, none missing.
    centre : bool
        Subtract the mean of every column first, which saves digits. Has to be False if the
        covariates of the basis have no intercept (`bulklmm_dask.lmm.joint.effects`).
    """
    given = np.asarray(columns, dtype=np.float64)
    variants, d, n = given.shape
    mean = given.mean(axis=2) if centre else np.zeros((variants, d))
    if centre:
        given = given - mean[:, :, None]
    rotated = basis.rotate_rows(given.reshape(-1, n))
    size = np.einsum("ik,ik->i", rotated, rotated).reshape(variants, d)
    if basis.graded:
        rotated = outside_covariates(basis, rotated)
    spectrum, rotated, folded = _in_few_rows(basis, rotated)
    inside = spectrum.covariates
    rotated = rotated - (rotated @ inside) @ inside.T
    if spectrum.rank == spectrum.rows:
        x = rotated.reshape(variants, d, -1)
    else:
        x = np.ascontiguousarray(rotated[:, : _reach(rotated)]).reshape(variants, d, -1)
    # What centring leaves of a constant column, through rounding of its mean, is no variation.
    share = basis.share_left(NO_VARIATION)
    least = np.where(size > 1e-20 * n * mean * mean, share * size, np.inf)
    transform, left = _orthonormaliser(x @ x.swapaxes(1, 2), least)
    x = transform @ x
    kept = left > least
    # One round leaves nearly dependent columns orthogonal to a few digits only.
    weak = np.flatnonzero((kept & (left < _NEARLY_DEPENDENT * size)).any(axis=1))
    again, _ = _orthonormaliser(x[weak] @ x[weak].swapaxes(1, 2), np.full((len(weak), d), 0.5))
    x[weak] = again @ x[weak]
    transform[weak] = again @ transform[weak]
    return Designs(x, kept, transform, folded)


def rows_of(basis: Basis, rotated: Array, *, folded: bool) -> tuple[Spectrum, Array]:
    """Basis and rotated traits (n, traits) in the rows of folded or of unfolded `Designs`."""
    return fold(basis, rotated) if folded else (basis, rotated)


def _in_few_rows(basis: Basis, rotated: Array) -> tuple[Spectrum, Array, bool]:
    """Rotated columns (k, n) in the rows of the folded basis, if no column needs more.

    Gives the basis, the columns in its rows, and whether it is folded.
    """
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
    """Number of leading entries of rows (k, n) up to the last one above rounding."""
    largest = np.abs(rows).max(axis=0, initial=0.0)
    size = np.sqrt(np.einsum("ik,ik->i", rows, rows).max(initial=0.0))
    above = np.flatnonzero(largest > 1e-12 * size)
    return int(above[-1]) + 1 if len(above) else 0


def _orthonormaliser(gram: Array, least: Array) -> tuple[Array, Array]:
    """Lower triangular T (k, d, d) with T gram T' = I, by Gram-Schmidt in the order of columns.

    Also the squared length (k, d) left of every column beside those before it. If it is at most
    `least` (k, d), the column gets a row of zeros in T.
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
