r"""S_xx = x'M(h)x of many markers at the heritabilities of few traits, in single precision.

M = V^-1 - V^-1 C (C'V^-1 C)^-1 C'V^-1 is the projection off the covariates C in the metric of V(h).
Markers are rotated into the eigenbasis, r = U'x, once for all traits: S_xx = sum_k r_k^2 / v_k(h) -
|A'r|^2, where A = V^-1 C R^-1 with C'V^-1 C = R R'.

That loses digits where M is large in other directions than that of x. The relative error of S_xx
is below `ERROR` |M| |x|^2 / S_xx with |M| = max 1/v. The largest measured, 20 units of single
precision, are those of markers that are eigenvectors of the kinship, and of rare ones in families;
of others it is 5 units.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Self

import numpy as np

from bulklmm_dask.lmm.basis import Basis
from bulklmm_dask.lmm.projection import covariate_gram
from bulklmm_dask.typing import Array, Single

# Relative error of S_xx, as a multiple of |M| |x|^2 / S_xx: units of single precision.
ERROR = 48.0 * 2.0**-24
# Columns whose squares are summed in single precision; the sums are added up in double precision.
_COLUMNS = 128
# Samples whose products are summed in one go: the longer a sum, the larger its rounding error.
_SAMPLES = 256


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

    def squares(self, x: Single) -> Array:
        """S_xx (variants, traits) of markers (variants, n), weighted and centred."""
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
