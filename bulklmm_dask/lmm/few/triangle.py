r"""S_xx = x'M(h)x of many markers for one trait, by a triangular factor in half the products.

With M = R'R, R triangular, S_xx = |Rx|^2. In single precision its error is below `ERROR` |M| |x|^2
where many entries of x are 0; otherwise it would grow with the number of samples, for in a sum of
many equal numbers rounding errors have one sign. So a call that many samples have is subtracted
from a marker instead of the mean: M x is the same where the intercept is among the covariates. The
largest error that was measured is 10 units of single precision.

Small numbers among large ones, such as means of rare markers in place of missing calls, add to it:
each is rounded to the digits of a sum of up to `_SAMPLES` large ones, 256 units for a share of 1
(`SMALL_ERROR`).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Self

import numpy as np

from bulklmm_dask.lmm.basis import Basis
from bulklmm_dask.typing import Array, Single

# Error of S_xx as a multiple of |M| |x|^2: units of single precision.
ERROR = 32.0 * 2.0**-24
# What is added to it for each share of the samples with a small number.
SMALL_ERROR = 512.0 * 2.0**-24
# Rows of R that are multiplied at a time, and samples whose products are summed in one go.
_ROWS, _SAMPLES = 128, 256
# Least share of the samples that have a common call, and samples in which it is looked for.
_SHARE, _LOOKED_AT = 0.3, 31
# A number is small up to this share of the largest; largest share of the samples with one.
_SMALL, _MOST_SMALL = 0.25, 0.05
# M leaves no more than this share of a constant.
_NOTHING = 1e-9


@dataclass(frozen=True)
class Triangle:
    """S_xx of one trait, from markers in the order of the samples.

    Attributes
    ----------
    factor : array (n, n)
        R' in single precision: lower triangular.
    """

    factor: Single

    @classmethod
    def of(cls, basis: Basis, h2: float) -> Self | None:
        """Factor M at a heritability; None if it does not leave out constants."""
        root = np.sqrt(basis.at(np.array([h2])).weights)
        vectors = np.eye(basis.n) if basis.vectors is None else basis.vectors
        covariates = np.linalg.qr(root * basis.covariates)[0]
        half = root * vectors.T
        half -= covariates @ (covariates.T @ half)
        factor: Array = np.asarray(np.linalg.qr(half, mode="r"))
        constant = np.ones(basis.n) if basis.weights is None else basis.weights
        left = np.linalg.norm(factor @ constant)
        if left > _NOTHING * float(root.max()) * np.linalg.norm(constant):
            return None
        return cls(np.ascontiguousarray(factor.T, np.float32))

    def squares(self, x: Single) -> Array:
        """S_xx (variants,) of markers (variants, n), weighted and less their common call."""
        n, out = x.shape[1], np.zeros(len(x))
        for start in range(0, n, _ROWS):
            rows = slice(start, start + _ROWS)
            turned = x[:, start : start + _SAMPLES] @ self.factor[start : start + _SAMPLES, rows]
            for first in range(start + _SAMPLES, n, _SAMPLES):
                some = slice(first, first + _SAMPLES)
                turned += x[:, some] @ self.factor[some, rows]
            np.multiply(turned, turned, out=turned)
            out += turned.sum(axis=1)  # pairwise: after a large square small ones still count
        return out


def less_common_call(dosage: Array) -> tuple[Single, Array]:
    """Markers less a call that many samples have, and the error of their S_xx.

    The call is the median of some samples: mostly the commonest.

    Parameters
    ----------
    dosage : array (variants, n)

    Returns
    -------
    single : array (variants, n)
    error : array (variants,)
        In units of |M| |x|^2; infinite where the triangle does not serve.
    """
    n = dosage.shape[1]
    some = np.sort(dosage[:, np.linspace(0, n - 1, min(n, _LOOKED_AT), dtype=np.int64)], axis=1)
    single = (dosage - some[:, some.shape[1] // 2, None]).astype(np.float32)
    size = np.abs(single)
    largest = size.max(axis=1, keepdims=True)
    others = np.count_nonzero(size, axis=1)
    small = (others - np.count_nonzero(size > _SMALL * largest, axis=1)) / n
    serves = (others <= (1.0 - _SHARE) * n) & (small <= _MOST_SMALL)
    return single, np.where(serves, ERROR + SMALL_ERROR * small, np.inf)
