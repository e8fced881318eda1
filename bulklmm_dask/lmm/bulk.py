r"""Maxima of the likelihoods of very many traits at once, from compressed sums.

With W = diag(1/v), A = C'WC and b = C'Wy, S = y'My = y'Wy - b'A^-1 b. The sums y'Wy, b, A and
tr(V^-1 V') follow at every h, with their derivatives, from a few terms a trait (`compress`): one
pass over the rotated traits is all that depends on the number of samples. With x = A^-1 b and
primes for derivatives in h,

- S' = (y'Wy)' - 2 x'b' + x'A'x,  S'' = (y'Wy)'' - 2 x'b'' + x'A''x - 2 z'Az,  z = A^-1 (b' - A'x)
- log|A|' = tr(A^-1 A'),  log|A|'' = tr(A^-1 A'') - tr(A^-1 A' A^-1 A').

The slope of the likelihood on a mesh brackets the local maxima, a safeguarded Newton iteration
finds all of them together, and the likelihoods there and at both ends are compared.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Self

import numpy as np

from bulklmm_dask.lmm.compress import log_integrals, terms_at, weights_at
from bulklmm_dask.lmm.covariance import Covariance
from bulklmm_dask.lmm.projection import inverse_and_logdet
from bulklmm_dask.lmm.roots import bracketed_roots
from bulklmm_dask.typing import Array, Flags, Index

# Traits whose sums are made, and candidates that are iterated, at a time: they stay in cache.
_TRAITS, _TOGETHER = 1024, 1024
# With a smaller share of y'Wy left beside the covariates, S has lost too many digits: at a maximum,
# and for the sign of the slope.
_LEFT, _LEFT_ON_MESH = 1e-3, 1e-6
# A likelihood is flat if no slope is above this share of what it may be: its maxima are rounding.
_FLAT = 1e-10
# Information below this share of that of log|V| is rounding of larger numbers.
_FLAT_BEND = 1e-6


@dataclass(frozen=True)
class CompressedLikelihood:
    """Profile likelihoods of rotated traits without a prior or covariates of their own.

    Attributes
    ----------
    covariance : Covariance
    reml : bool
        Restricted instead of full likelihood.
    mu : array (q,)
        Eigenvalues of the terms.
    terms : array (q, 1 + c, traits)
        Terms of y'Wy and of b.
    gram : array (q, c * c)
        Terms of A.
    trace : array (q,)
        Terms of tr(V^-1 V').
    """

    covariance: Covariance
    reml: bool
    mu: Array
    terms: Array
    gram: Array
    trace: Array

    @classmethod
    def of(cls, covariance: Covariance, y: Array, *, reml: bool) -> Self:
        """Make the sums of rotated traits (rows, traits)."""
        matrix, mu = covariance.compression.matrix, covariance.compression.mu
        fixed = covariance.covariates
        left = np.ascontiguousarray(matrix.T)
        c = fixed.shape[1]
        # P'(C_a y) for all covariates a is one product with the rows of P' times C_a.
        stacked = (left[:, None] * fixed.T).reshape(len(mu) * c, len(fixed))
        terms = np.empty((len(mu), 1 + c, y.shape[1]))
        for start in range(0, y.shape[1], _TRAITS):
            some = slice(start, start + _TRAITS)
            part = np.ascontiguousarray(y[:, some])
            terms[:, 1:, some] = (stacked @ part).reshape(len(mu), c, part.shape[1])
            terms[:, 0, some] = left @ (part * part)
        at = covariance.at(np.zeros(1))
        return cls(
            covariance,
            reml,
            mu,
            terms,
            left @ covariance.covariate_products,
            left @ (at.copies * at.slope[:, 0]),
        )

    def take(self, index: Index) -> Self:
        """Likelihoods of some traits."""
        return replace(self, terms=self.terms[:, :, index])

    @property
    def count(self) -> int:
        """Effective degrees of freedom: n, or n - c under REML."""
        return self.covariance.n - self.covariance.n_covariates * self.reml

    def maximise(self) -> tuple[Array, Flags]:
        """Heritability (traits,) of the largest likelihood, and whether the sums were exact enough.

        Both ends of the interval are candidates besides the local maxima.
        """
        mesh = self.covariance.mesh
        ends = mesh[[0, -1]]
        best, sure = np.empty(self.terms.shape[2]), np.ones(self.terms.shape[2], np.bool_)
        for start in range(0, len(best), _TRAITS):
            some = np.arange(start, min(start + _TRAITS, len(best)))
            part = self.take(some)
            slope, sure[some] = part._slope_on(mesh)
            rising, falling = slope > 0.0, slope < 0.0
            cell, trait = np.nonzero(rising[:-1] & ~rising[1:] | (~falling[:-1] & falling[1:]))
            found = np.empty(len(cell))
            for first in range(0, len(cell), _TOGETHER):
                k = slice(first, first + _TOGETHER)
                edges = np.stack([cell[k], cell[k] + 1])
                candidates = part.take(trait[k])
                found[k] = bracketed_roots(
                    candidates._derivatives, mesh[edges], slope[edges, trait[k]]
                )
            h2 = np.concatenate([np.repeat(ends, len(some)), found])
            who = np.concatenate([np.arange(2 * len(some)) % len(some), trait])
            values, left, _ = part.take(who)._values(h2)
            order = np.argsort(values, kind="stable")  # the last write of a trait is its best
            best[some[who[order]]] = h2[order]
            sure[some[who[left < _LEFT]]] = False
        return best, sure

    def _gram(self, weights: Array) -> Array:
        """A or a derivative of it, (k, c, c), from the weights or theirs, (q, k)."""
        c = self.covariance.n_covariates
        return np.asarray((weights.T @ self.gram).reshape(weights.shape[1], c, c))

    def _slope_on(self, mesh: Array) -> tuple[Array, Flags]:
        """S times the slope of the likelihoods on a mesh, (g, traits), and whether it is exact."""
        value, first, _ = terms_at(self.mu, mesh)
        columns, shape = self.terms.reshape(len(self.mu), -1), (len(mesh), *self.terms.shape[1:])
        sums, slopes = (value.T @ columns).reshape(shape), (first.T @ columns).reshape(shape)
        total, s_slope, b = sums[:, 0], slopes[:, 0], sums[:, 1:]
        inverse, _ = inverse_and_logdet(self._gram(value))
        a_slope = self._gram(first)
        x = inverse @ b
        s = total - (b * x).sum(axis=1)
        s_slope += (x * (a_slope @ x - 2.0 * slopes[:, 1:])).sum(axis=1)
        logdet_slope = self.trace @ value
        if self.reml:
            logdet_slope = logdet_slope + np.einsum("gab,gba->g", inverse, a_slope)
        slope = -0.5 * (self.count * s_slope + logdet_slope[:, None] * s)
        change = np.abs((self.mu - 1.0)[:, None] * value).max(axis=0)[:, None]
        flat = (np.abs(slope) <= _FLAT * self.count * change * s).all(axis=0)
        return slope, np.asarray((s > _LEFT_ON_MESH * total).all(axis=0) & ~flat)

    def _derivatives(self, some: Index, h2: Array) -> tuple[Array, Array]:
        """First two derivatives of the likelihoods of some traits, each at its own h."""
        every = len(some) == self.terms.shape[2]
        return (self if every else self.take(some))._slope_and_bend(h2)

    def _slope_and_bend(self, h2: Array) -> tuple[Array, Array]:
        """First two derivatives of the likelihood of each trait at its own h, (traits,)."""
        weights = terms_at(self.mu, h2)
        sums = [np.einsum("qak,qk->ka", self.terms, w) for w in weights]
        s, s_slope, s_bend = (each[:, 0] for each in sums)
        b, b_slope, b_bend = (each[:, 1:] for each in sums)
        a, a_slope, a_bend = (self._gram(w) for w in weights)
        inverse, _ = inverse_and_logdet(a)
        x = np.einsum("kab,kb->ka", inverse, b)
        rest = b_slope - np.einsum("kab,kb->ka", a_slope, x)
        s -= np.einsum("ka,ka->k", b, x)
        s_slope -= np.einsum("ka,ka->k", x, b_slope + rest)
        s_bend += np.einsum("ka,kab,kb->k", x, a_bend, x) - 2.0 * np.einsum("ka,ka->k", x, b_bend)
        s_bend -= 2.0 * np.einsum("ka,kab,kb->k", rest, inverse, rest)
        logdet_slope, logdet_bend = self._logdet(weights)
        ratio = s_slope / s
        return (
            -0.5 * (self.count * ratio + logdet_slope),
            -0.5 * (self.count * (s_bend / s - ratio * ratio) + logdet_bend),
        )

    def _logdet(self, weights: tuple[Array, Array, Array]) -> tuple[Array, Array]:
        """First two derivatives of log|V|, under REML of log|V| + log|A|, (traits,)."""
        slope, bend = self.trace @ weights[0], self.trace @ weights[1]
        if not self.reml:
            return slope, bend
        a, a_slope, a_bend = (self._gram(w) for w in weights)
        inverse, _ = inverse_and_logdet(a)
        once = inverse @ a_slope
        slope = slope + np.einsum("kaa->k", once)
        bend = bend + np.einsum("kab,kba->k", inverse, a_bend)
        return slope, bend - np.einsum("kab,kba->k", once, once)

    def evaluate(self, h2: Array) -> tuple[Array, Array, Array, Flags]:
        """Likelihood of each trait at its own h, its slope, and S; whether they are exact enough.

        All are (traits,), in the units of `likelihood.Profile`.
        """
        parts = []
        for start in range(0, len(h2), _TOGETHER):
            some = np.arange(start, min(start + _TOGETHER, len(h2)))
            these = self.take(some)
            value, left, s = these._values(h2[some])
            parts.append((value, these._slope_and_bend(h2[some])[0], s, left > _LEFT))
        value, slope, s, sure = (np.concatenate(part) for part in zip(*parts, strict=True))
        return value, slope, s, sure

    def information(self, h2: Array) -> tuple[Array, Array, Array]:
        """Observed information on h of each trait at its own h, the expected one, and a least one.

        All are (traits,). Information that is not above the least is too inexact. The expected one
        is that of the restricted likelihood, 1/2 [tr(MDMD) - tr(MD)^2 / (n - c)], D = V'(h), where
        tr(MD) and -tr(MDMD) are the derivatives of log|V| + log|A|.
        """
        observed, expected, least = np.empty((3, len(h2)))
        restricted = replace(self, reml=True)
        for start in range(0, len(h2), _TOGETHER):
            some = np.arange(start, min(start + _TOGETHER, len(h2)))
            these, weights = self.take(some), terms_at(self.mu, h2[some])
            observed[some] = -these._slope_and_bend(h2[some])[1]
            first, second = restricted._logdet(weights)
            expected[some] = 0.5 * (-second - first**2 / restricted.count)
            exact = these._values(h2[some])[1] > _LEFT
            least[some] = np.where(exact, -_FLAT_BEND * (self.trace @ weights[1]), np.inf)
        return observed, expected, least

    def _values(self, h2: Array) -> tuple[Array, Array, Array]:
        """Likelihood of each trait at its own h, in nats, the share S / y'Wy, and S; (traits,)."""
        value = weights_at(self.mu, h2)
        sums = np.einsum("qak,qk->ka", self.terms, value)
        total, b = sums[:, 0], sums[:, 1:]
        inverse, of_covariates = inverse_and_logdet(self._gram(value))
        s = total - np.einsum("ka,kab,kb->k", b, inverse, b)
        logdet = self.trace @ log_integrals(self.mu, h2) + self.reml * of_covariates
        left = s / total
        return -0.5 * (self.count * np.log(np.maximum(s, 1e-300)) + logdet), left, s
