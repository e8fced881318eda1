r"""Eigenbasis of a kinship: computed once, used for every trait and every marker.

The model is y = C a + g b + u + e with Var(y) = s2 [h2 K + (1 - h2) I]. With K = U diag(lam) U',
the entries of the rotated trait U'y are independent (`covariance`). If samples have residual
weights w, traits, covariates and markers are multiplied by w before the rotation, and K by w on
both sides.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
import scipy.linalg

from bulklmm_dask.errors import InputError
from bulklmm_dask.lmm.columns import independent_columns
from bulklmm_dask.lmm.covariance import Spectrum
from bulklmm_dask.typing import Array

# With a rank-deficient kinship V(1) is singular, so h2 = 1 has no density. GEMMA also bounds the
# ratio h/(1-h) by 1e5.
LARGEST_H2_IF_SINGULAR = 1.0 - 1e-5


@dataclass(frozen=True)
class Basis(Spectrum):
    """Eigenbasis of the kinship of n samples; one row per eigenvector.

    Attributes
    ----------
    vectors : array (n, n) or None
        U, one eigenvector per column; None stands for the identity (no kinship).
    weights : array (n,) or None
        Residual weights w, by which samples are multiplied before rotation; None for ones.
    """

    vectors: Array | None
    weights: Array | None = None

    def rotate(self, columns: Array) -> Array:
        """Rotate columns (n, k) as measured: U' diag(w) times the columns."""
        return self._turn(columns if self.weights is None else columns * self.weights[:, None])

    def _turn(self, weighted: Array) -> Array:
        """Rotate columns (n, k) that were multiplied by the weights: U' times the columns."""
        return weighted if self.vectors is None else self.vectors.T @ weighted

    def rotate_rows(self, rows: Array) -> Array:
        """Rotate rows (k, n) as measured: the transpose of `rotate`."""
        weighted = rows if self.weights is None else rows * self.weights
        return weighted if self.vectors is None else weighted @ self.vectors

    def with_covariates(self, covariates: Array) -> Basis:
        """Copy of the basis with its covariates replaced by others, (n, c) as measured."""
        columns, _ = independent_columns(covariates, self.weights)
        return replace(self, covariates=self._turn(columns))

    @cached_property
    def log_weights(self) -> float:
        """Sum of log w. log|V| as measured is log|V| after weighting minus twice this sum."""
        return 0.0 if self.weights is None else float(np.log(self.weights).sum())

    @cached_property
    def covariate_logdet(self) -> float:
        """log|C'C| of the covariates as measured; after weighting, C is orthonormal."""
        if self.weights is None:
            return 0.0
        weighted = self.covariates if self.vectors is None else self.vectors @ self.covariates
        corner = np.linalg.qr(weighted / self.weights[:, None], mode="r")
        return 2.0 * float(np.log(np.abs(np.diag(corner))).sum())


def fold(spectrum: Spectrum, y: Array) -> tuple[Spectrum, Array]:
    """Reduce the rows in the null space of the kinship to c + 1, with the same likelihoods of `y`.

    All rows of eigenvalue 0 have the same variance 1 - h, so a rotation among them changes no
    likelihood. The rotation used here moves the covariates into the first c of these rows, and
    what is left of each trait into one more. With replicated samples the rank is at most the
    number of distinct genotypes (Lippert et al. 2011 use the same reduction in FaST-LMM).

    Parameters
    ----------
    spectrum : Spectrum
        Eigenvalues and covariates of k rows.
    y : array (k, traits)
        Rotated traits.

    Returns
    -------
    spectrum, y
        The same in rank + c + 1 rows; the arguments unchanged if these are not fewer.
    """
    rank, c = spectrum.rank, spectrum.n_covariates
    if spectrum.rows - rank <= c + 1:
        return spectrum, y
    below = y[rank:]
    directions, corner = np.linalg.qr(spectrum.covariates[rank:])
    inside = directions.T @ below
    rest = below - directions @ inside
    length = np.sqrt(np.einsum("kj,kj->j", rest, rest))
    folded = Spectrum(
        eigenvalues=np.concatenate([spectrum.eigenvalues[:rank], np.zeros(c + 1)]),
        copies=np.concatenate([np.ones(rank), np.zeros(c), [float(spectrum.rows - rank)]]),
        covariates=np.concatenate([spectrum.covariates[:rank], corner, np.zeros((1, c))]),
        h2_max=spectrum.h2_max,
    )
    return folded, np.concatenate([y[:rank], inside, length[None]])


def make_basis(kinship: Array | None, covariates: Array, weights: Array | None = None) -> Basis:
    """Compute the eigenbasis of the kinship of n samples and rotate the covariates.

    Parameters
    ----------
    kinship : array (n, n) or None
        Symmetric and positive semi-definite; None for ordinary regression.
    covariates : array (n, c)
        Covariates as measured, with the intercept; linearly dependent columns are dropped.
    weights : array (n,), optional
        Residual weights w > 0 of the model Var(y) = s2 [h2 K + (1 - h2) diag(1/w^2)]. With y, C
        and the markers multiplied by w, and K by w on both sides, it is the unweighted model.

    Raises
    ------
    InputError
        If an eigenvalue is below -1e-6 times the largest.
    """
    n = len(covariates)
    columns, _ = independent_columns(covariates, weights)
    if weights is not None and kinship is not None:
        kinship = kinship * np.outer(weights, weights)
    if kinship is None:
        return Basis(np.ones(n), np.ones(n), columns, 0.0, None, weights)
    values, vectors = scipy.linalg.eigh(kinship, driver="evd")
    values, vectors = values[::-1], np.ascontiguousarray(vectors[:, ::-1])
    largest = values[0] if n else 0.0
    if n and values[-1] < -1e-6 * max(largest, 0.0) - 1e-300:
        raise InputError(
            f"the kinship is not positive semi-definite: eigenvalue {values[-1]:.4g} against the "
            f"largest, {largest:.4g}; compute it with bulklmm_dask.kinship or correct its entries"
        )
    rounding = 64 * np.finfo(np.float64).eps * n * largest
    values = np.where(values > rounding, values, 0.0)
    singular = bool(n) and values[-1] == 0.0
    return Basis(
        eigenvalues=values,
        copies=np.ones(n),
        covariates=vectors.T @ columns,
        h2_max=LARGEST_H2_IF_SINGULAR if singular else 1.0,
        vectors=vectors,
        weights=weights,
    )
