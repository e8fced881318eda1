r"""Eigenbasis of a kinship: computed once, used for every trait and every marker.

The model is y = C a + g b + u + e with Var(y) = s2 [h2 K + (1 - h2) I]. With K = U diag(lam) U',
the entries of the rotated trait U'y are independent (`covariance`). If samples have residual
weights w, traits, covariates and markers are multiplied by w before the rotation, and K by w on
both sides.

A kinship far from 1 in size is divided by a power of two, `unit`, so that no heritability in use is
within rounding of 0 or 1. With V(h) in units of s2, s2 h K = s2' h' K/unit and s2 (1 - h) =
s2' (1 - h'), where h' and s2' are those of the kinship in use.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np
import scipy.linalg
import scipy.linalg.lapack

from bulklmm_dask.errors import InputError
from bulklmm_dask.lmm.columns import independent_columns, logdet_as_measured
from bulklmm_dask.lmm.covariance import Spectrum, heritability
from bulklmm_dask.lmm.powers import unit_of
from bulklmm_dask.lmm.projected import Projected
from bulklmm_dask.surface import function
from bulklmm_dask.typing import Array, Real

# With a rank-deficient kinship V(1) is singular, so h2 = 1 has no density. GEMMA also bounds the
# ratio h/(1-h) by 1e5.
LARGEST_H2_IF_SINGULAR = 1.0 - 1e-5
# If the largest weight is more than this times the smallest, an eigendecomposition of the weighted
# kinship would lose the small eigenvalues in the rounding of the large ones.
_WIDE_WEIGHTS = 100.0


@dataclass(frozen=True)
class Basis(Spectrum):
    """Eigenbasis of the kinship of n samples; one row per eigenvector.

    Attributes
    ----------
    vectors : array (n, n) or None
        U, one eigenvector per column; None stands for the identity (no kinship).
    weights : array (n,) or None
        Residual weights w, by which samples are multiplied before rotation; None for ones.
    unit : float
        Power of two that the weighted kinship was divided by.
    """

    vectors: Array | None
    weights: Array | None = None
    unit: float = 1.0

    @property
    def graded(self) -> bool:
        """Whether the weights are of very different size."""
        return self.typical is not None

    @cached_property
    def projected(self) -> Projected:
        """Rows beside the covariates, for markers without a part in the null space of the kinship.

        All chunks of traits on the same samples share them.
        """
        return Projected.of(fold(self, np.empty((self.rows, 0)))[0], folded=True)

    @cached_property
    def to_projected(self) -> Array | None:
        """Directions (n, r) of the projected rows in the weighted samples.

        None unless these are all rows beside the covariates, so that no marker has a part in
        others.
        """
        rows = self.projected
        if self.vectors is None or rows.null.size or len(rows.vectors) != self.rows:
            return None
        return self.vectors @ rows.vectors

    def __getstate__(self) -> dict[str, Any]:
        """Leave the projected rows, n x n numbers each, out of pickles."""
        made = "projected", "to_projected"
        return {name: value for name, value in vars(self).items() if name not in made}

    def share_left(self, share: float) -> float:
        """The share of the squares of a rotated column to which `share` of it as measured shrinks.

        A column that varies where weights are small is dwarfed by its values where they are large.
        """
        if not self.graded or self.weights is None:
            return share
        return share * float(self.weights.min() / self.weights.max()) ** 2

    def as_given(self, h2: Real) -> Array:
        """Heritabilities of the kinship as given, from those of the kinship in use."""
        given = h2 if self.unit == 1.0 else heritability(h2.astype(np.float64), self.unit)
        return np.asarray(given, dtype=np.float64)

    def in_use(self, h2: Array) -> Array:
        """Heritabilities of the kinship in use, from those of the kinship as given."""
        if self.unit == 1.0:
            return h2
        return np.minimum(heritability(h2, 1.0 / self.unit), self.h2_max).astype(np.float64)

    def slope_as_given(self, h2: Array) -> Array:
        """Derivative of `as_given` at heritabilities of the kinship in use."""
        ratio = h2 + self.unit * (1.0 - h2)
        return np.asarray(self.unit / ratio / ratio)  # a square would overflow, or be 0

    def variance_as_given(self, sigma2: Array, h2: Array) -> Array:
        """Total variances s2 for the kinship as given, from s2 and h2 of the kinship in use."""
        return sigma2 if self.unit == 1.0 else sigma2 * (h2 / self.unit + (1.0 - h2))

    def rotate(self, columns: Array, out: Array | None = None) -> Array:
        """Rotate columns (n, k) as measured: U' diag(w) times the columns, written into `out`."""
        weighted = columns if self.weights is None else columns * self.weights[:, None]
        if out is None:
            return self._turn(weighted)
        if self.vectors is None:
            np.copyto(out, weighted)
            return out
        return np.matmul(self.vectors.T, weighted, out=out)

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
        return logdet_as_measured(weighted, self.weights)


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
    folded, directions = spectrum.folded
    below = y[rank:]
    inside = directions.T @ below
    rest = below - directions @ inside
    length = np.sqrt(np.einsum("kj,kj->j", rest, rest))
    return folded, np.concatenate([y[:rank], inside, length[None]])


Eigen = tuple[Array, Array]  # eigenvalues, falling, and eigenvectors in columns


def eigen_of(kinship: Array) -> Eigen:
    """Eigenvalues and eigenvectors of a kinship as given, to keep them for `make_basis`."""
    unit = unit_of(_typical_variance(kinship, None)) if len(kinship) else 1.0
    values, vectors = _eigenvectors(kinship if unit == 1.0 else kinship / unit)
    return values * unit, vectors


def make_basis(
    kinship: Array | None,
    covariates: Array,
    weights: Array | None = None,
    eigen: Eigen | None = None,
) -> Basis:
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
    eigen : pair of arrays, optional
        What `eigen_of` gave for this kinship; it serves where there are no weights.

    Raises
    ------
    InputError
        If an eigenvalue is below -1e-3 times the largest.
    """
    n = len(covariates)
    columns, _ = independent_columns(covariates, weights)
    wide = are_wide(weights)
    typical = 1.0 if kinship is None or not n else _typical_variance(kinship, weights)
    unit = unit_of(typical)
    if kinship is None or typical == 0.0:
        of_weights = 1.0 if wide else None
        return Basis(np.ones(n), np.ones(n), columns, 0.0, of_weights, None, weights)
    kinship = kinship if unit == 1.0 else kinship / unit
    if weights is None and eigen is not None:
        values, vectors = eigen[0] / unit, eigen[1]
    elif weights is None:
        values, vectors = _eigenvectors(kinship)
    elif wide:
        values, vectors = _graded_eigenvectors(kinship, weights)
    else:
        values, vectors = _eigenvectors(kinship * np.outer(weights, weights))
    singular = bool(n) and values[-1] == 0.0
    return Basis(
        eigenvalues=values,
        copies=np.ones(n),
        covariates=vectors.T @ columns,
        h2_max=LARGEST_H2_IF_SINGULAR if singular else 1.0,
        typical=typical / unit if wide else None,
        vectors=vectors,
        weights=weights,
        unit=unit,
    )


def _typical_variance(kinship: Array, weights: Array | None) -> float:
    """Mean of the diagonal of the kinship times the geometric mean of the squared weights."""
    logarithm = 0.0 if weights is None else 2.0 * float(np.log(weights).mean())
    return float(np.diag(kinship).mean() * np.exp(logarithm))


def _eigenvectors(kinship: Array) -> tuple[Array, Array]:
    """Eigenvalues in descending order, 0 where they are rounding, and eigenvectors."""
    values, vectors = scipy.linalg.eigh(kinship, driver="evd")
    values, vectors = values[::-1], np.ascontiguousarray(vectors[:, ::-1])
    n = len(values)
    largest = values[0] if n else 0.0
    if n and values[-1] < -1e-3 * max(largest, 0.0):
        raise InputError(
            f"the kinship is not positive semi-definite: eigenvalue {values[-1]:.4g} against the "
            f"largest, {largest:.4g}; compute it with {function('kinship')} or correct its entries"
        )
    rounding = 64 * np.finfo(np.float64).eps * n * largest
    return np.where(values > rounding, values, 0.0), vectors


def are_wide(weights: Array | None) -> bool:
    """Tell whether weights (n,) are of very different size, so that a basis is `graded`."""
    return weights is not None and bool(weights.max() > _WIDE_WEIGHTS * weights.min())


def _graded_eigenvectors(kinship: Array, weights: Array) -> tuple[Array, Array]:
    """Eigenvalues and eigenvectors of the weighted kinship, for weights of very different size.

    With K = LL' the squared singular values and the left singular vectors of diag(w) L are those of
    the weighted kinship. One-sided Jacobi rotations with pivoting compute them with an error
    relative to each singular value, not to the largest (Drmac and Veselic 2008).
    """
    values, vectors = _eigenvectors(kinship)
    factor = vectors[:, values > 0.0] * np.sqrt(values[values > 0.0])
    found, left, _, scale, _, _ = scipy.linalg.lapack.dgejsv(
        weights[:, None] * factor, joba=2, jobu=1, jobv=3
    )
    roots = np.zeros(len(values))
    roots[: len(found)] = found * (scale[1] / scale[0])
    return roots * roots, np.ascontiguousarray(left)
