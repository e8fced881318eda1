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
from typing import NamedTuple, Self

import numpy as np

from bulklmm_dask.lmm.compiled.fits import MOST_COVARIATES, fit_slopes, fit_sums
from bulklmm_dask.lmm.compiled.loops import loops
from bulklmm_dask.lmm.compress import terms_at
from bulklmm_dask.lmm.covariance import Covariance
from bulklmm_dask.lmm.projected import LogVolume
from bulklmm_dask.lmm.projection import inverse_and_logdet
from bulklmm_dask.lmm.roots import bracketed_roots
from bulklmm_dask.typing import Array, Flags, Index

# Traits that are searched, and candidates that are iterated, at a time: they stay in cache.
_TRAITS, _TOGETHER = 1024, 1024
# Numbers of the traits whose sums are made at a time.
_CELLS = 2**18
# With a smaller share of y'Wy left beside the covariates, S has lost too many digits: at a maximum,
# and for the sign of the slope.
_LEFT, _LEFT_ON_MESH = 1e-3, 1e-6
# A likelihood is flat if no slope is above this share of what it may be: its maxima are rounding.
_FLAT = 1e-10
# Information below this share of that of log|V| is rounding of larger numbers.
_FLAT_BEND = 1e-6


class _Sums(NamedTuple):
    """Sums of some traits, each at its own h; arrays (k,).

    y'Wy; S and its first two derivatives in h; those of log|V|; log|A|, and its first two.
    """

    total: Array
    s: Array
    s_slope: Array
    s_bend: Array
    volume_slope: Array
    volume_bend: Array
    gram: Array
    gram_slope: Array
    gram_bend: Array


class _OnMesh(NamedTuple):
    """What all traits share at the points of a mesh.

    1/v of the terms and its derivative, (g, q); A^-1 and A', (g, c, c); the derivative of log|V|,
    under REML of log|V| + log|A|, and the largest |v'/v|, (g,).
    """

    value: Array
    first: Array
    inverse: Array
    gram_slope: Array
    logdet_slope: Array
    change: Array


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
        step = max(64, min(_TRAITS, _CELLS // len(y)))
        for start in range(0, y.shape[1], step):
            some = slice(start, start + step)
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
        return replace(self, terms=np.take(self.terms, index, axis=2))

    @property
    def count(self) -> int:
        """Effective degrees of freedom: n, or n - c under REML."""
        return self.covariance.n - self.covariance.n_covariates * self.reml

    @property
    def _loops(self) -> int | None:
        """Which compiled loops serve; None for NumPy."""
        return loops() if self.terms.shape[1] <= 1 + MOST_COVARIATES else None

    def maximise(self) -> tuple[Array, Flags]:
        """Heritability (traits,) of the largest likelihood, and whether the sums were exact enough.

        Both ends of the interval are candidates besides the local maxima.
        """
        mesh = self.covariance.mesh
        ends, shared = mesh[[0, -1]], self._on_mesh(mesh)
        best, sure = np.empty(self.terms.shape[2]), np.ones(self.terms.shape[2], np.bool_)
        for start in range(0, len(best), _TRAITS):
            some = np.arange(start, min(start + _TRAITS, len(best)))
            part = self.take(some)
            slope, sure[some] = part._slopes(shared)
            rising, falling = slope > 0.0, slope < 0.0
            cell, trait = np.nonzero(rising[:-1] & ~rising[1:] | (~falling[:-1] & falling[1:]))
            found = part._roots(mesh, slope, cell, trait)
            h2 = np.concatenate([np.repeat(ends, len(some)), found])
            who = np.concatenate([np.arange(2 * len(some)) % len(some), trait])
            sums = part._sums(who, h2)
            order = np.argsort(part._value(sums, h2), kind="stable")
            best[some[who[order]]] = h2[order]  # the last write of a trait is its best
            sure[some[who[sums.s < _LEFT * sums.total]]] = False
        return best, sure

    def _roots(self, mesh: Array, slope: Array, cell: Index, trait: Index) -> Array:
        """Roots (k,) of the slopes of some traits in cells of the mesh."""
        found = np.empty(len(cell))
        for start in range(0, len(cell), _TOGETHER):
            k = slice(start, start + _TOGETHER)
            edges, own = np.stack([cell[k], cell[k] + 1]), trait[k]

            def derivatives(index: Index, h2: Array, own: Index = own) -> tuple[Array, Array]:
                return self._derivatives(own[index], h2)

            found[k] = bracketed_roots(derivatives, mesh[edges], slope[edges, own])
        return found

    def _gram(self, weights: Array) -> Array:
        """A or a derivative of it, (k, c, c), from the weights or theirs, (q, k)."""
        c = self.covariance.n_covariates
        return np.asarray((weights.T @ self.gram).reshape(weights.shape[1], c, c))

    def _on_mesh(self, mesh: Array) -> _OnMesh:
        """What all traits share at heritabilities (g,)."""
        value, first, _ = terms_at(self.mu, mesh)
        inverse, _ = inverse_and_logdet(self._gram(value))
        gram_slope, logdet_slope = self._gram(first), self.trace @ value
        if self.reml:
            logdet_slope = logdet_slope + np.einsum("gab,gba->g", inverse, gram_slope)
        change = np.abs((self.mu - 1.0)[:, None] * value).max(axis=0)
        rows = np.ascontiguousarray(value.T), np.ascontiguousarray(first.T)
        return _OnMesh(*rows, inverse, gram_slope, logdet_slope, change)

    def _slopes(self, at: _OnMesh) -> tuple[Array, Flags]:
        """S times the slope of the likelihoods on a mesh, (g, traits), and whether it is exact."""
        which = self._loops
        if which is not None:
            return fit_slopes(self.terms, *at, self.count, _FLAT, _LEFT_ON_MESH, which)
        columns, shape = self.terms.reshape(len(self.mu), -1), (-1, *self.terms.shape[1:])
        sums, slopes = (at.value @ columns).reshape(shape), (at.first @ columns).reshape(shape)
        total, s_slope, b = sums[:, 0], slopes[:, 0], sums[:, 1:]
        x = at.inverse @ b
        s = total - (b * x).sum(axis=1)
        s_slope += (x * (at.gram_slope @ x - 2.0 * slopes[:, 1:])).sum(axis=1)
        slope = -0.5 * (self.count * s_slope + at.logdet_slope[:, None] * s)
        flat = (np.abs(slope) <= _FLAT * self.count * at.change[:, None] * s).all(axis=0)
        return slope, np.asarray((s > _LEFT_ON_MESH * total).all(axis=0) & ~flat)

    def _sums(self, some: Index, h2: Array) -> _Sums:
        """Sums of some traits, each at its own h."""
        which = self._loops
        if which is not None:
            found = fit_sums(self.mu, self.terms, self.gram, self.trace, some, h2, which)
            np.log(found[6], out=found[6])
            return _Sums(*found)
        every = len(some) == self.terms.shape[2] and bool((some == np.arange(len(some))).all())
        terms = self.terms if every else self.terms[:, :, some]
        weights = terms_at(self.mu, h2)
        sums = [np.einsum("qak,qk->ka", terms, w) for w in weights]
        s, s_slope, s_bend = (each[:, 0] for each in sums)
        b, b_slope, b_bend = (each[:, 1:] for each in sums)
        a, a_slope, a_bend = (self._gram(w) for w in weights)
        inverse, logdet = inverse_and_logdet(a)
        x = np.einsum("kab,kb->ka", inverse, b)
        rest = b_slope - np.einsum("kab,kb->ka", a_slope, x)
        s_bend = s_bend + np.einsum("ka,kab,kb->k", x, a_bend, x)
        s_bend -= 2.0 * np.einsum("ka,ka->k", x, b_bend)
        once = inverse @ a_slope
        return _Sums(
            total=s,
            s=s - np.einsum("ka,ka->k", b, x),
            s_slope=s_slope - np.einsum("ka,ka->k", x, b_slope + rest),
            s_bend=s_bend - 2.0 * np.einsum("ka,kab,kb->k", rest, inverse, rest),
            volume_slope=self.trace @ weights[0],
            volume_bend=self.trace @ weights[1],
            gram=logdet,
            gram_slope=np.einsum("kaa->k", once),
            gram_bend=np.einsum("kab,kba->k", inverse, a_bend)
            - np.einsum("kab,kba->k", once, once),
        )

    def _derivatives(self, some: Index, h2: Array) -> tuple[Array, Array]:
        """First two derivatives of the likelihoods of some traits, each at its own h."""
        return self._slope_and_bend(self._sums(some, h2))

    def _slope_and_bend(self, sums: _Sums) -> tuple[Array, Array]:
        """First two derivatives of the likelihoods, (k,)."""
        slope, bend = sums.volume_slope, sums.volume_bend
        if self.reml:
            slope, bend = slope + sums.gram_slope, bend + sums.gram_bend
        ratio = sums.s_slope / sums.s
        return (
            -0.5 * (self.count * ratio + slope),
            -0.5 * (self.count * (sums.s_bend / sums.s - ratio * ratio) + bend),
        )

    def _value(self, sums: _Sums, h2: Array) -> Array:
        """Likelihoods in nats, (k,)."""
        logdet = LogVolume(self.mu, self.trace).at(h2) + self.reml * sums.gram
        return -0.5 * (self.count * np.log(np.maximum(sums.s, 1e-300)) + logdet)

    def evaluate(self, h2: Array) -> tuple[Array, Array, Array, Flags]:
        """Likelihood of each trait at its own h, its slope, and S; whether they are exact enough.

        All are (traits,), in the units of `likelihood.Profile`.
        """
        sums = self._at(h2)
        slope, _ = self._slope_and_bend(sums)
        return self._value(sums, h2), slope, sums.s, sums.s > _LEFT * sums.total

    def information(self, h2: Array) -> tuple[Array, Array, Array]:
        """Observed information on h of each trait at its own h, the expected one, and a least one.

        All are (traits,). Information that is not above the least is too inexact. The expected one
        is that of the restricted likelihood, 1/2 [tr(MDMD) - tr(MD)^2 / (n - c)], D = V'(h), where
        tr(MD) and -tr(MDMD) are the derivatives of log|V| + log|A|.
        """
        sums = self._at(h2)
        first, second = sums.volume_slope + sums.gram_slope, sums.volume_bend + sums.gram_bend
        expected = 0.5 * (-second - first**2 / replace(self, reml=True).count)
        exact = sums.s > _LEFT * sums.total
        least = np.where(exact, -_FLAT_BEND * sums.volume_bend, np.inf)
        return -self._slope_and_bend(sums)[1], expected, least

    def _at(self, h2: Array) -> _Sums:
        """Sums of all traits, each at its own h."""
        runs = range(0, len(h2), _TOGETHER)
        ranges = [np.arange(start, min(start + _TOGETHER, len(h2))) for start in runs]
        parts = [self._sums(some, h2[some]) for some in ranges]
        return _Sums(*(np.concatenate(each) for each in zip(*parts, strict=True)))
