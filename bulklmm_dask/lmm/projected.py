r"""Rows that the covariates have no part in: eigenvectors of the kinship projected off them.

Let N be an orthonormal basis of the space orthogonal to the covariates and N'KN = E diag(mu) E'
(Kang et al. 2008). In the rows E'N' the projection M(h) is diagonal, with entries 1/v(mu, h):

x'M(h)y = sum_k x_k y_k / v(mu_k, h).

No term of the covariates is left, and sums of few rational terms (`compress`) serve all pairs.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Self

import numpy as np

from bulklmm_dask.lmm.compiled.loops import loops
from bulklmm_dask.lmm.compiled.pairs import volume_integrals
from bulklmm_dask.lmm.compress import Compression, compress, log_integrals, terms_at
from bulklmm_dask.lmm.covariance import Spectrum
from bulklmm_dask.typing import Array


@dataclass(frozen=True)
class Projected:
    """Projected rows of one spectrum.

    Attributes
    ----------
    spectrum : Spectrum
        Rows of the traits, covariates among them.
    vectors : array (rows, r)
        Directions of the rows in use, in the rows of the spectrum.
    mu : array (r,)
        Eigenvalues, in descending order.
    null : array (rows, k)
        Directions in the null space of the kinship that no marker has a part in.
    """

    spectrum: Spectrum
    vectors: Array
    mu: Array
    null: Array

    @classmethod
    def of(cls, spectrum: Spectrum, *, folded: bool) -> Self:
        """Project the rows; `folded` if no marker has a part in the null space of the kinship."""
        lam, covariates = spectrum.eigenvalues, spectrum.covariates
        beside = np.linalg.qr(covariates, mode="complete")[0][:, spectrum.n_covariates :]
        values, vectors = np.linalg.eigh(beside.T @ (lam[:, None] * beside))
        rounding = 64 * np.finfo(np.float64).eps * len(lam) * lam.max(initial=0.0)
        mu = np.where(values > rounding, values, 0.0)[::-1]
        turned = np.ascontiguousarray((beside @ vectors)[:, ::-1])
        used = int(np.count_nonzero(mu)) if folded else len(mu)
        return cls(spectrum, np.ascontiguousarray(turned[:, :used]), mu[:used], turned[:, used:])

    @cached_property
    def compression(self) -> Compression:
        """Sums over the rows in use as sums of a few terms."""
        return compress(self.mu, self.spectrum.h2_max)

    @cached_property
    def left(self) -> Array:
        """P' of the compression, (q, r)."""
        return np.ascontiguousarray(self.compression.matrix.T)

    @property
    def poles(self) -> Array:
        """Eigenvalues of the terms of sums over rows in use, (q,)."""
        return self.compression.mu

    @cached_property
    def with_null(self) -> Array:
        """The same and 0, the eigenvalue of the rows not in use, (q + 1,); 1 for no such rows."""
        return np.append(self.poles, 0.0 if self.null.shape[1] else 1.0)

    def square_terms(self, y: Array, inside: Array) -> Array:
        """Terms (q + 1, traits) of y'My, from the spectrum's rows of y and the rows in use."""
        rest = self.null.T @ y
        return np.concatenate([self.left @ (inside * inside), (rest * rest).sum(axis=0)[None]])

    def log_volumes(self, *, reml: bool) -> tuple[LogVolume, LogVolume]:
        """log|V|, and that of the likelihood to maximise (`log_volume`)."""
        full = self.log_volume(reml=False)
        return full, self.log_volume(reml=True) if reml else full

    def log_volume(self, *, reml: bool) -> LogVolume:
        """log|V|, under REML log|V| + log|C'WC|."""
        spectrum = self.spectrum
        of_rows, change = spectrum.compression, spectrum.eigenvalues - 1.0
        copies = spectrum.copies - 1.0 if reml else spectrum.copies
        terms = of_rows.matrix.T @ (copies * change)
        if not reml:
            return LogVolume(of_rows.mu, terms)
        # With every row counted once, log|V| + log|C'WC| is the sum of log v of projected rows.
        return LogVolume(
            np.concatenate([of_rows.mu, self.with_null]),
            np.concatenate([terms, self.left @ (self.mu - 1.0), [-float(self.null.shape[1])]]),
        )


@dataclass(frozen=True)
class LogVolume:
    """A logarithm of a determinant, and its derivatives in h, from a few terms.

    Attributes
    ----------
    poles, terms : array (q,)
        Its first derivative is the sum of terms / v(poles, h).
    """

    poles: Array
    terms: Array

    def at(self, h2: Array) -> Array:
        """Values (k,), 0 at h = 0, without a constant."""
        which = loops()
        if which is not None:
            return volume_integrals(self.poles, self.terms, h2, which)
        return np.asarray(self.terms @ log_integrals(self.poles, h2))

    def derivatives(self, h2: Array) -> tuple[Array, Array]:
        """First and second derivative, (k,)."""
        value, first, _ = terms_at(self.poles, h2)
        return np.asarray(self.terms @ value), np.asarray(self.terms @ first)
