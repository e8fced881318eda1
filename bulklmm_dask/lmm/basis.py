r"""The eigenbasis of a kinship: factored once, used for every trait and every marker.

The model is y = C a + g b + u + e with Var(y) = s2 [h2 K + (1 - h2) I]. With K = U diag(lam) U',
the rotated entries U'y are independent with variances s2 v_k(h), v_k(h) = h lam_k + 1 - h. This
form, unlike the ratio h/(1-h), stays finite on the whole of [0, 1] as long as every lam_k > 0.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
import numpy.typing as npt
import scipy.linalg

from bulklmm_dask.errors import InputError

Array = npt.NDArray[np.float64]

# With a rank-deficient kinship h2 = 1 has no density; GEMMA stops at lambda = h/(1-h) = 1e5 too.
LARGEST_H2_IF_SINGULAR = 1.0 - 1e-5


@dataclass(frozen=True)
class Basis:
    """Eigenbasis of the kinship of n samples, with the rotated covariates.

    Attributes
    ----------
    eigenvalues : array (n,)
        lam, in descending order, so that rows no marker reaches come last.
    vectors : array (n, n) or None
        U, one eigenvector a column; None stands for the identity (no kinship).
    covariates : array (n, c)
        Orthonormal basis of the covariates with the intercept, rotated by U'.
    h2_max : float
        Upper end of the admissible heritabilities: 1, just below 1 for a singular kinship, 0
        without a kinship.
    """

    eigenvalues: Array
    vectors: Array | None
    covariates: Array
    h2_max: float

    @property
    def n(self) -> int:
        """Number of samples."""
        return len(self.eigenvalues)

    @property
    def n_covariates(self) -> int:
        """Number of independent covariates c, the intercept among them."""
        return self.covariates.shape[1]

    @cached_property
    def covariate_products(self) -> Array:
        """C_ka C_kb for every sample k, as (n, c * c): weighted sums of it are C'WC."""
        c = self.covariates
        return np.ascontiguousarray((c[:, :, None] * c[:, None, :]).reshape(self.n, -1))

    def rotate(self, columns: Array) -> Array:
        """U' applied to columns (n, k)."""
        return columns if self.vectors is None else self.vectors.T @ columns

    def rotate_rows(self, rows: Array) -> Array:
        """The same for vectors that lie in rows (k, n)."""
        return rows if self.vectors is None else rows @ self.vectors

    def variances(self, h2: npt.ArrayLike) -> Array:
        """v_k(h) of every sample k at every heritability, (n, len(h2))."""
        h = np.asarray(h2, dtype=np.float64)
        return self.eigenvalues[:, None] * h + (1.0 - h)


def independent_columns(matrix: Array, tolerance: float = 1e-9) -> tuple[Array, list[int]]:
    """Orthonormal basis (n, rank) of the columns, and which columns depend on earlier ones.

    Columns are taken in their order, so the intercept, put first, always survives.
    """
    kept: list[Array] = []
    dependent: list[int] = []
    for index, column in enumerate(matrix.T):
        rest = column.astype(np.float64)
        for _ in range(2):  # twice is enough (Kahan): orthogonal to rounding
            for q in kept:
                rest = rest - q * (q @ rest)
        norm = np.linalg.norm(rest)
        if norm > tolerance * max(float(np.linalg.norm(column)), 1e-300):
            kept.append(rest / norm)
        else:
            dependent.append(index)
    return (np.column_stack(kept) if kept else np.empty((len(matrix), 0))), dependent


def make_basis(kinship: Array | None, covariates: Array) -> Basis:
    """Factor the kinship of n samples and rotate the covariates.

    Parameters
    ----------
    kinship : array (n, n) or None
        Symmetric and positive semi-definite; None for ordinary regression.
    covariates : array (n, c)
        With the intercept; columns that depend on earlier ones are left out.

    Raises
    ------
    InputError
        If an eigenvalue lies below -1e-6 of the largest.
    """
    n = len(covariates)
    columns, _ = independent_columns(covariates)
    if kinship is None:
        return Basis(np.ones(n), None, columns, 0.0)
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
        vectors=vectors,
        covariates=vectors.T @ columns,
        h2_max=LARGEST_H2_IF_SINGULAR if singular else 1.0,
    )
