r"""Kernels of the random effects of a model, on the samples where a trait was measured.

Of the model y = C a + sum_k u_k + e, Var(u_k) = s2 h_k K_k and Var(e) = s2 h_e diag(1/w^2), every
K_k is divided by the mean of its diagonal on the samples used. So h_k is the share of the mean
variance of these samples, and h_1 + ... + h_e = 1.

With y, C and K_k multiplied by the weights, and O = [Q, C] orthogonal, where C is an orthonormal
basis of the covariates, O'V(h)O has the contrasts Q'y first: from one Cholesky factor follow

- the restricted likelihood, that of Q'y alone, from the leading block of n - c rows;
- the full likelihood, whose log|V| needs the other c rows too.

Of the contrasts the first r are those that kernels act on; on the rest, as on what samples of a
strain and a cage differ by, V is h_e I.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np

from bulklmm_dask.lmm.basis import LARGEST_H2_IF_SINGULAR, are_wide
from bulklmm_dask.lmm.columns import independent_columns, logdet_as_measured
from bulklmm_dask.lmm.components.simplex import shares_of
from bulklmm_dask.typing import Array, Flags, Index

# A kernel is 0, or follows from others, if less than this share of its norm is left beside them.
_NOTHING = 1e-5
# Eigenvalues below this part of the largest, a sample, are 0.
_RANK = 64 * np.finfo(np.float64).eps
# Parts of a combination of kernels below this share of the largest are rounding.
_NO_PART = 1e-3


@dataclass(frozen=True)
class KernelSamples:
    """The part of the model that all traits share, for n samples and k kernels.

    Attributes
    ----------
    covariates : array (n, c)
        Covariates with the intercept; a sample with a NaN is left out for every trait.
    kernels : array (k, n, n)
        Symmetric and positive semi-definite, of any scale.
    weights : array (n,) or None
        Residual weights w > 0; None for ones.
    interacting : tuple of int
        Columns of `covariates` whose product with the genotype is tested together with it.
    """

    covariates: Array
    kernels: Array
    weights: Array | None = None
    interacting: tuple[int, ...] = ()

    def __len__(self) -> int:
        return len(self.covariates)

    @property
    def complete(self) -> Flags:
        """Mask (n,) of the samples that have all covariates."""
        return np.asarray(~np.isnan(self.covariates).any(axis=1))

    def take(self, rows: Index) -> KernelSamples:
        """Some of the samples."""
        if np.array_equal(rows, np.arange(len(self))):
            return self
        return KernelSamples(
            self.covariates[rows],
            self.kernels[:, rows[:, None], rows],
            None if self.weights is None else self.weights[rows],
            self.interacting,
        )

    def rotated(self) -> RotatedKernels:
        """Kernels of mean diagonal one, with the contrasts beside the covariates first."""
        weights = self.weights
        columns, _ = independent_columns(self.covariates, weights)
        whole, _ = np.linalg.qr(columns, mode="complete")
        c = columns.shape[1]
        turn = np.concatenate([whole[:, c:], columns], axis=1)
        size = np.einsum("kii->k", self.kernels) / len(self)
        scaled = self.kernels / np.where(size > 0.0, size, 1.0)[:, None, None]
        if weights is not None:
            scaled = scaled * np.outer(weights, weights)
        kernels = _turned(scaled, turn)
        d = len(self) - c
        values, own = np.linalg.eigh(kernels[:, :d, :d].sum(axis=0))
        rank = int(np.count_nonzero(values > _RANK * len(self) * values.max(initial=0.0)))
        if 0 < rank < d:
            along = np.concatenate([turn[:, :d] @ own[:, ::-1], columns], axis=1)
            split = _turned(scaled, along)
            # A semi-definite kernel is 0 beside its range; rounding of other ranges is not.
            if np.abs(split[:, rank:d]).max() <= _RANK * np.abs(split).max():
                split[:, rank:d] = 0.0
                split[:, :, rank:d] = 0.0
                return RotatedKernels(split, np.ascontiguousarray(along), c, weights, rank)
        return RotatedKernels(kernels, np.ascontiguousarray(turn), c, weights, d)


@dataclass(frozen=True)
class RotatedKernels:
    """Kernels of mean diagonal one on n samples, rotated by O = [Q, C].

    Attributes
    ----------
    kernels : array (k, n, n)
        O'K_kO; with weights of diag(w) K_k diag(w).
    turn : array (n, n)
        O: contrasts Q beside the covariates first, then an orthonormal basis of the covariates.
    n_covariates : int
        Number of independent covariates c, the intercept among them.
    weights : array (n,) or None
        Residual weights w.
    rank : int
        Number r of contrasts that kernels act on; they are the first.
    kept : dict
        What this process has computed from the kernels (`nodes`).
    """

    kernels: Array
    turn: Array
    n_covariates: int
    weights: Array | None
    rank: int
    kept: dict[Any, Any] = field(default_factory=dict, repr=False, compare=False)

    def __getstate__(self) -> dict[str, Any]:
        """Leave what follows from the kernels out of pickles."""
        return {**vars(self), "kept": {}}

    @property
    def n(self) -> int:
        """Number of samples."""
        return len(self.turn)

    @property
    def contrasts(self) -> int:
        """Number of contrasts n - c."""
        return self.n - self.n_covariates

    @property
    def graded(self) -> bool:
        """Whether the weights are of very different size."""
        return are_wide(self.weights)

    def rotate(self, columns: Array) -> Array:
        """Contrasts Q' diag(w) y, (n - c, traits), of columns (n, traits) as measured."""
        weighted = columns if self.weights is None else columns * self.weights[:, None]
        return self.turn[:, : self.contrasts].T @ weighted

    @cached_property
    def log_weights(self) -> float:
        """Sum of log w. log|V| as measured is log|V| after weighting minus twice this sum."""
        return 0.0 if self.weights is None else float(np.log(self.weights).sum())

    @cached_property
    def covariate_logdet(self) -> float:
        """log|C'C| of the covariates as measured; after weighting, C is orthonormal."""
        if self.weights is None:
            return 0.0
        return logdet_as_measured(self.turn[:, self.contrasts :], self.weights)

    @cached_property
    def least_residual(self) -> float:
        """Least admissible share of the residual: 0, or 1e-5 where a kernel is singular."""
        rounding = _RANK * self.n
        for kernel in self.kernels:
            values = np.linalg.eigvalsh(kernel)
            if values[0] <= rounding * values[-1]:
                return 1.0 - LARGEST_H2_IF_SINGULAR
        return 0.0

    @cached_property
    def vertices(self) -> Array:
        """Covariances at the corners of the admissible shares, (k + 1, n, n), the residual last.

        Corner k has as little residual as is admissible. V is their sum weighted by `inner` shares.
        """
        least, unit = self.least_residual, np.eye(self.n)
        return np.concatenate([(1.0 - least) * self.kernels + least * unit, unit[None]])

    def shares(self, inner: Array) -> Array:
        """Shares (..., k + 1) of the kernels and the residual, from weights of `vertices`."""
        return shares_of(inner, self.least_residual)

    def in_shares(self, form: Array) -> Array:
        """A quadratic form (k + 1, k + 1) in weights of `vertices` as one in shares."""
        least, size = self.least_residual, len(form)
        turn = np.eye(size) / (1.0 - least)
        turn[-1] = -least / (1.0 - least)
        turn[-1, -1] = 1.0
        return turn.T @ form @ turn

    def dependent(self) -> tuple[int, ...]:
        """Components that the data cannot tell apart; empty if there are none.

        Kernels and the residual, number k, act on the contrasts alone. One component is 0 there;
        of several, a combination with all of them is 0.
        """
        d = self.contrasts
        inside = np.concatenate([self.kernels[:, :d, :d], np.eye(d)[None]])
        flat = inside.reshape(len(inside), -1)
        size = np.sqrt(np.einsum("ki,ki->k", flat, flat))
        whole = np.sqrt(np.einsum("kij,kij->k", self.kernels, self.kernels))
        zero = np.flatnonzero(size[:-1] <= _NOTHING * whole)
        if len(zero):
            return (int(zero[0]),)
        unit = flat / size[:, None]
        values, vectors = np.linalg.eigh(unit @ unit.T)
        if values[0] > _NOTHING**2:
            return ()
        part = np.abs(vectors[:, 0])
        return tuple(int(k) for k in np.flatnonzero(part > _NO_PART * part.max()))


def _turned(kernels: Array, turn: Array) -> Array:
    """Kernels O'K_kO, symmetric to all digits."""
    turned = turn.T @ kernels @ turn
    return np.asarray((turned + turned.transpose(0, 2, 1)) / 2.0)
