r"""Samples whitened by the covariance of one trait, as a basis that every null scanner takes.

With V = O L L' O' the weighted covariance of the trait (`RotatedKernels`), columns multiplied by
T' diag(w), T = O L'^-1, are those of a model of independent samples of variance one: there is
nothing left to estimate, and tests are those of ordinary regression beside the covariates T'C.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from scipy.linalg import lapack

from bulklmm_dask.lmm.basis import Basis
from bulklmm_dask.lmm.columns import independent_columns
from bulklmm_dask.lmm.components.kernels import RotatedKernels
from bulklmm_dask.lmm.markers import outside_covariates
from bulklmm_dask.lmm.null.fit import NullModel
from bulklmm_dask.lmm.powers import in_range
from bulklmm_dask.lmm.status import OK
from bulklmm_dask.typing import Array


class Whitened(Basis):
    """Basis of independent samples of variance one, whose `vectors` T are not orthogonal."""

    def with_covariates(self, covariates: Array) -> Basis:
        """Copy of the basis with its covariates replaced by others, (n, c) as measured."""
        columns, _ = independent_columns(covariates, self.weights)
        return replace(self, covariates=np.linalg.qr(self._turn(columns))[0])


def whiten(kernels: RotatedKernels, inner: Array) -> Whitened:
    """Basis at weights (k + 1,) of the corners of the admissible shares.

    Raises
    ------
    numpy.linalg.LinAlgError
        If the covariance is singular there.
    """
    n, covariates = kernels.n, np.eye(kernels.n)[:, kernels.contrasts :]
    covariance = (inner @ kernels.vertices.reshape(len(inner), -1)).reshape(n, n)
    factor = np.linalg.cholesky(covariance)
    inverse, _ = lapack.dtrtri(factor, lower=1)
    inverse = np.tril(inverse)
    return Whitened(
        eigenvalues=np.ones(n),
        copies=np.ones(n),
        covariates=np.linalg.qr(inverse @ covariates)[0],
        h2_max=0.0,
        typical=1.0 if kernels.graded else None,
        vectors=kernels.turn @ inverse.T,
        weights=kernels.weights,
    )


def null_model(basis: Whitened, y: Array, sigma2: float) -> NullModel:
    """Null model of one trait y (n,) as measured, at the covariance of the basis."""
    column, exponent = in_range(y[:, None])
    rotated = basis.rotate(column - column.mean(axis=0))
    rotated = outside_covariates(basis, rotated.T).T
    scale = np.sqrt(np.einsum("kj,kj->j", rotated, rotated))
    return NullModel(
        h2=np.zeros(1),
        sigma2=np.array([sigma2]),
        status=np.array([OK], dtype=object),
        rotated=rotated / scale,
        given=np.empty((0, len(y), 1)),
        scale=scale,
        exponent=exponent,
    )
