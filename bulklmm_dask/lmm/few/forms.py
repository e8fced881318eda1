r"""S_xx = x'M(h)x of many markers at the heritabilities of few traits, in single precision.

With M = V^-1 - V^-1 C (C'V^-1 C)^-1 C'V^-1 the projection off the covariates C in the metric of
V(h), there are two ways, and the cheaper one depends on the number of traits:

- One trait: M + s QQ' = L L' with a triangular factor, S_xx = |L'x|^2 - s |Q'x|^2, where Q is an
  orthonormal basis of the covariates and s of the size of M, which makes the matrix definite. Half
  of the work of a rotation.
- More traits: r = U'x in the eigenbasis once for all, S_xx = sum_k r_k^2 / v_k(h) - |A'r|^2, where
  A = V^-1 C R^-1 with C'V^-1 C = R R'.

Both lose digits where M is large in other directions than that of x. The relative error of S_xx is
below `error` |M| |x|^2 / S_xx with |M| = max 1/v. The largest measured, 5 and 20 units of single
precision, are those of markers that are eigenvectors of the kinship; of others it is 5 units.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Protocol, Self

import numpy as np
import scipy.linalg
from scipy.linalg.blas import strmm

from bulklmm_dask.lmm.basis import Basis
from bulklmm_dask.lmm.projection import covariate_gram
from bulklmm_dask.typing import Array, Single

# Rounding error of a number in single precision, relative to it.
_UNIT = 2.0**-24
# Columns whose squares are summed in single precision; the sums are added up in double precision.
_COLUMNS = 128
# Samples whose products are summed in one go: the longer a sum, the larger its rounding error.
_SAMPLES = 256
# Markers whose squares are summed in double precision at a time.
_ROWS = 64


class Form(Protocol):
    """S_xx at the heritabilities of some traits.

    Attributes
    ----------
    error : float
        Relative error of S_xx, as a multiple of |M| |x|^2 / S_xx.
    """

    error: ClassVar[float]

    def squares(self, x: Single, inside: Array) -> Array:
        """S_xx (variants, traits) of markers (variants, n), weighted, centred; overwritten.

        `inside` is |Q'x|^2 (variants,), the square of their part in the covariates.
        """


@dataclass(frozen=True)
class Triangle:
    """S_xx of one trait, from a triangular factor of its projection.

    Attributes
    ----------
    factor : array (n, n)
        L in single precision, in columns (Fortran order).
    shift : float
        s.
    """

    error: ClassVar[float] = 6.0 * _UNIT

    factor: Single
    shift: float

    @classmethod
    def of(cls, basis: Basis, h2: Array) -> Self:
        """Factor M at the heritability of one trait, (1,)."""
        m, fixed = projection_matrix(basis, h2), in_samples(basis, basis.covariates)
        shift = float(np.trace(m)) / max(basis.n - basis.n_covariates, 1)
        m += shift * (fixed @ fixed.T)
        factor = scipy.linalg.cholesky(m.T, lower=True, overwrite_a=True, check_finite=False)
        return cls(np.asfortranarray(factor, np.float32), shift)

    def squares(self, x: Single, inside: Array) -> Array:
        """S_xx (variants, 1); see `Form`."""
        product = strmm(1.0, self.factor, x.T, side=0, lower=1, trans_a=1, overwrite_b=1).T
        out = np.empty(len(x))
        for start in range(0, len(x), _ROWS):
            part = product[start : start + _ROWS].astype(np.float64)
            np.einsum("ik,ik->i", part, part, out=out[start : start + _ROWS])
        return (out - self.shift * inside)[:, None]


@dataclass(frozen=True)
class Rotation:
    """S_xx of some traits, from markers in the eigenbasis.

    Attributes
    ----------
    vectors : array (n, n)
        U in single precision.
    weights : array (n, traits)
        1/v.
    covariates : array (n, c * traits)
        A of each covariate and trait.
    """

    error: ClassVar[float] = 24.0 * _UNIT

    vectors: Single
    weights: Single
    covariates: Single

    @classmethod
    def of(cls, basis: Basis, h2: Array) -> Self:
        """Prepare the weights of traits (traits,)."""
        w, fixed = basis.at(h2).weights, basis.covariates
        if fixed.shape[1]:
            factor = np.linalg.cholesky(covariate_gram(basis, w))
            solved = np.linalg.solve(factor, w.T[:, None, :] * fixed.T)  # (traits, c, n)
            parts = solved.transpose(2, 1, 0).reshape(len(w), -1)
        else:
            parts = np.empty((len(w), 0))
        vectors = np.eye(basis.n) if basis.vectors is None else basis.vectors
        return cls(*(np.ascontiguousarray(x, np.float32) for x in (vectors, w, parts)))

    def squares(self, x: Single, inside: Array) -> Array:
        """S_xx (variants, traits); see `Form`."""
        traits = self.weights.shape[1]
        rotated = x[:, :_SAMPLES] @ self.vectors[:_SAMPLES]
        for start in range(_SAMPLES, x.shape[1], _SAMPLES):
            some = slice(start, start + _SAMPLES)
            rotated += x[:, some] @ self.vectors[some]
        out, fixed = np.zeros((len(x), traits)), np.zeros((len(x), self.covariates.shape[1]))
        for start in range(0, rotated.shape[1], _COLUMNS):
            some = slice(start, start + _COLUMNS)
            part = rotated[:, some]
            if fixed.size:
                fixed += part @ self.covariates[some]
            out += (part * part) @ self.weights[some]
        return out - (fixed * fixed).reshape(len(x), -1, traits).sum(axis=1)


def in_samples(basis: Basis, rotated: Array) -> Array:
    """Columns in the order of the samples, weighted, from columns in the eigenbasis."""
    return rotated if basis.vectors is None else basis.vectors @ rotated


def projection_matrix(basis: Basis, h2: Array) -> Array:
    """M (n, n) of the weighted samples at one heritability, (1,)."""
    w = basis.at(h2).weights
    vectors = np.eye(basis.n) if basis.vectors is None else basis.vectors
    half = vectors * np.sqrt(w[:, 0])
    m = half @ half.T
    if basis.n_covariates:
        fixed = in_samples(basis, w * basis.covariates)
        root = np.linalg.cholesky(covariate_gram(basis, w)[0])
        part = scipy.linalg.solve_triangular(root, fixed.T, lower=True)
        m -= part.T @ part
    return np.asarray(m)
