r"""Profile likelihood of the heritability h, for many traits at once.

With W = diag(1/v(h)) and M = W - W C (C'WC)^-1 C'W, S = y'My, n samples and c covariates:

- ML:   l(h) = -1/2 [ n log S + log|V| ]
- REML: l(h) = -1/2 [ (n - c) log S + log|V| + log|C'WC| ]

up to constants (`constant`), with log|V| = sum log v (Kang et al. 2008, written for variances
v = h lam + 1 - h instead of the ratio h/(1-h)). Derivatives in h use v' and
S' = -(My)' diag(v') (My).

A prior on the residual variance (scale t2, sample size nu; `prior`) has its usual form in terms of
delta = h/(1-h), variances delta lam + 1 and the residual variance s2_e,

    -1/2 [ (n+nu+2) log s2_e + sum log(delta lam + 1) + (rss + nu t2)/s2_e ],

at its maximum s2_e = (rss + nu t2)/(n+nu+2). Since rss = (1-h) S and delta lam + 1 = v/(1-h),

- ML:   l(h) = -1/2 [ (n+nu+2) log(S + nu t2/(1-h)) + (nu+2) log(1-h) + sum log v ]

and under REML n is replaced by n - c and log|C'WC| is added to the sum. The likelihood tends to
minus infinity as h approaches 1.

Trait-specific covariates (`given`) are eliminated from all quadratic forms (`own_covariates`).
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property
from operator import attrgetter
from typing import Protocol, Self

import numpy as np
from scipy.optimize import elementwise

from bulklmm_dask.lmm.basis import Basis
from bulklmm_dask.lmm.bulk import CompressedLikelihood
from bulklmm_dask.lmm.covariance import Covariance, Variances
from bulklmm_dask.lmm.own_covariates import Conditioned, condition, fold_together
from bulklmm_dask.lmm.prior import LARGEST_H2, Prior
from bulklmm_dask.lmm.projection import (
    TRAITS_TOGETHER,
    covariate_gram,
    covariate_terms,
    in_cache,
    inverse_and_logdet,
    on_covariates,
    project,
)
from bulklmm_dask.typing import Array, Flags, Index


@dataclass(frozen=True)
class Profile:
    """Values of profile log-likelihoods; arrays (traits,), or (g, traits) on a grid of h.

    Attributes
    ----------
    value, slope : array
        Log-likelihood in nats, without constants, and its derivative in h.
    quadratic : array
        S = y'My, with a prior S + nu t2/(1-h).
    count : float or array
        Effective degrees of freedom: n, or n - c under REML, and nu + 2 more with a prior.
        `quadratic` / `count` estimates s2.
    """

    value: Array
    slope: Array
    quadratic: Array
    count: Array | float

    def grows(self, h2: Array) -> Flags:
        """Whether the likelihood, at heritabilities near 1, grows without end towards 1.

        It then grows like k/2 log 1/(1-h), k >= 1, so that (1-h) times its slope is about k/2. The
        restricted likelihood does not, if the null space of the kinship is that of covariates.
        """
        return np.asarray(self.slope * (1.0 - h2) > 0.25)


@dataclass(frozen=True)
class _OnGrid:
    """Columns y (k, traits), with C'Wy, its slope in h, and (C'WC)^-1 C'Wy, (g, c, traits)."""

    columns: Array
    product: Array
    slope: Array
    coefficients: Array


@dataclass(frozen=True)
class ProfileLikelihood:
    """Profile log-likelihoods, as functions of h, of traits measured on the same samples.

    Callers use the methods only, so that a likelihood computed otherwise (such as from sums over
    eigenvalues compressed to a few terms) can replace it; `maximise` and `best_of` use only
    `on_grid`, `at` and `take`.

    Attributes
    ----------
    covariance : Covariance
        Covariance of the k rows of `y`.
    y : array (k, traits)
        Rotated traits, none of them constant.
    reml : bool
        Restricted instead of full likelihood.
    prior : Prior, optional
        Prior on the residual variance, in squared units of `y`; needs h2_max below 1.
    given : array (K, k, traits), optional
        Rotated trait-specific covariates; a column of zeros stands for none.
    """

    covariance: Covariance
    y: Array
    reml: bool
    prior: Prior | None = None
    given: Array | None = None

    @classmethod
    def of(
        cls,
        basis: Basis,
        rotated: Array,
        *,
        reml: bool,
        prior: Prior | None = None,
        given: Array | None = None,
    ) -> Self:
        """Likelihoods of rotated traits (n, traits), in as few rows as possible (`basis.fold`).

        `given` (K, n, traits) is as in `NullModel`. With a prior, h2_max is below 1.
        """
        none = np.empty((0, *rotated.shape))
        spectrum, y, folded = fold_together(basis, rotated, none if given is None else given)
        if prior is not None:
            spectrum = replace(spectrum, h2_max=min(spectrum.h2_max, LARGEST_H2))
        return cls(spectrum, y, reml, prior, folded)

    def take(self, index: Index | Flags | slice) -> Self:
        """Likelihoods of some traits, by index or mask."""
        return replace(
            self,
            y=self.y[:, index],
            prior=None if self.prior is None else self.prior.take(index),
            given=None if self.given is None else self.given[:, :, index],
        )

    def on_grid(self, h2: Array) -> Profile:
        """Likelihood of every trait at every h of a grid, by matrix products.

        Parameters
        ----------
        h2 : array (g,)
            Heritabilities in [0, h2_max], below 1 with a prior.

        Returns
        -------
        Profile
            Arrays (g, traits).
        """
        covariance, at = self.covariance, self.covariance.at(h2)
        w = at.weights.T
        wdw = w * w * at.slope.T
        a = covariate_gram(covariance, at.weights)
        a_slope = -covariate_gram(covariance, wdw.T)
        inverse = inverse_and_logdet(a)[0]

        def prepare(x: Array) -> _OnGrid:
            b = on_covariates(covariance, w, x)
            return _OnGrid(x, b, -on_covariates(covariance, wdw, x), inverse @ b)

        def form(p: _OnGrid, q: _OnGrid) -> tuple[Array, Array]:
            both = p.columns * q.columns
            return w @ both - (p.product * q.coefficients).sum(axis=1), (
                (p.coefficients * (a_slope @ q.coefficients)).sum(axis=1)
                - (p.slope * q.coefficients).sum(axis=1)
                - (q.slope * p.coefficients).sum(axis=1)
                - wdw @ both
            )

        return self._combine(h2, at, condition([prepare(x) for x in self._columns()], form), a)

    def at(self, h2: Array) -> Profile:
        """Likelihood of trait j at its own h_j, for `h2` (traits,); the arrays are (traits,)."""
        if len(h2) > TRAITS_TOGETHER:
            parts = [self.take(some).at(h2[some]) for some in in_cache(len(h2))]
            return Profile(
                *(
                    np.concatenate([np.zeros(len(part.value)) + part_of(part) for part in parts])
                    for part_of in map(attrgetter, ("value", "slope", "quadratic", "count"))
                )
            )
        at = self.covariance.at(h2)
        projected = [(x, *project(self.covariance, x, at)) for x in self._columns()]

        def form(p: tuple[Array, ...], q: tuple[Array, ...]) -> tuple[Array, Array]:
            return np.einsum("kj,kj->j", p[0], q[1]), -at.slope_form(p[1], q[1])

        return self._combine(h2, at, condition(projected, form), projected[-1][2])

    @cached_property
    def compressed(self) -> CompressedLikelihood | None:
        """The likelihoods from compressed sums; None with a prior or trait-specific covariates.

        None also where no compression suffices.
        """
        simple = self.prior is None and (self.given is None or not len(self.given))
        if not simple or not self.covariance.compression.suffices:
            return None
        return CompressedLikelihood.of(self.covariance, self.y, reml=self.reml)

    def summed(self, h2: Array) -> Profile:
        """As `at`, from compressed sums where they are exact enough."""
        if self.compressed is None:
            return self.at(h2)
        value, slope, quadratic, sure = self.compressed.evaluate(h2)
        rest = np.flatnonzero(~sure)
        if len(rest):
            exact = self.take(rest).at(h2[rest])
            value[rest], slope[rest], quadratic[rest] = exact.value, exact.slope, exact.quadratic
        return Profile(value, slope, quadratic, self.compressed.count)

    def maximise(self) -> Array:
        """Heritability (traits,) of the largest likelihood over [0, h2_max].

        Without a prior and trait-specific covariates all traits are searched together (`bulk`),
        except those whose sums would be too inexact.
        """
        if self.compressed is None:
            return self.search()
        best, sure = self.compressed.maximise()
        rest = np.flatnonzero(~sure)
        if len(rest):
            best[rest] = self.take(rest).search()
        return best

    def search(self) -> Array:
        """Heritability (traits,) of the largest likelihood over [0, h2_max], from all rows.

        A grid of heritabilities brackets the local maxima of all traits at once; then the root of
        the slope is found within each bracket. Both ends of the interval are candidates too.
        """
        grid = self.covariance.mesh
        if len(grid) == 1:
            return np.zeros(self.y.shape[1])
        if self.prior is not None:  # a strong prior can put the maximum anywhere below 1
            beyond = 1.0 - np.geomspace(1.0 - grid[-2], 1.0 - grid[-1], 12)[1:-1]
            grid = np.concatenate([grid[:-1], beyond, grid[-1:]])
        on_grid = self.on_grid(grid)
        rising, falling = on_grid.slope > 0, on_grid.slope < 0
        ends = on_grid.value[[0, -1]]
        best = np.where(ends[1] > ends[0], grid[-1], grid[0])
        best_value = ends.max(axis=0)
        # A maximum lies between grid points where the slope turns from rising to not rising.
        # Brackets whose better end is far below the best grid value cannot win and are not refined.
        cell, trait = np.nonzero(rising[:-1] & ~rising[1:] | (~falling[:-1] & falling[1:]))
        top = on_grid.value.max(axis=0)
        near = np.maximum(on_grid.value[cell, trait], on_grid.value[cell + 1, trait])
        gain = np.abs(on_grid.slope[cell, trait]) * (grid[cell + 1] - grid[cell])
        hopeful = near + gain >= top[trait]
        cell, trait = cell[hopeful], trait[hopeful]
        if len(cell) == 0:
            return best
        found = elementwise.find_root(
            lambda h2, index: self.take(index).at(h2).slope,
            (grid[cell], grid[cell + 1]),
            args=(trait,),
            tolerances={"xatol": 1e-13},
        )
        # A slope that is nothing but rounding may have no change of sign when it is computed again:
        # the likelihood is flat in the bracket, and one of its ends is as good as any other place.
        h2 = np.where(np.isnan(found.x), grid[cell], found.x)
        values = self.take(trait).at(h2).value
        order = np.argsort(values, kind="stable")  # the last write of a trait is its best candidate
        trait, h2, values = trait[order], h2[order], values[order]
        candidate, candidate_value = best.copy(), np.full_like(best, -np.inf)
        candidate[trait], candidate_value[trait] = h2, values
        return np.where(candidate_value >= best_value, candidate, best)

    def best_of(self, grid: Array) -> Array:
        """Grid value, (traits,), of the largest likelihood; the grid is limited to h2_max."""
        grid = np.unique(np.minimum(grid, self.covariance.h2_max))
        return np.asarray(grid[np.argmax(self.on_grid(grid).value, axis=0)])

    def _columns(self) -> list[Array]:
        """The trait-specific covariates in order, then the traits; each (k, traits)."""
        return [*([] if self.given is None else self.given), self.y]

    def _combine(self, h2: Array, at: Variances, y: Conditioned, a: Array) -> Profile:
        """Likelihood from its parts.

        The first axis of `y.quadratic`, (g, traits) or (traits,), is that of `h2` and `a`.
        """
        shape = (-1,) + (1,) * (y.quadratic.ndim - 1)
        logdet, logdet_slope = at.logdet(), at.logdet_slope()
        quadratic, slope = y.quadratic, y.slope
        count: Array | float = self.covariance.n
        if self.reml:
            count = count - self.covariance.n_covariates - y.rank
            of_covariates, of_covariates_slope = covariate_terms(self.covariance, a, at)
            logdet, logdet_slope = logdet + of_covariates, logdet_slope + of_covariates_slope
        logdet, logdet_slope = logdet.reshape(shape), logdet_slope.reshape(shape)
        if self.reml:
            logdet, logdet_slope = logdet + y.logdet, logdet_slope + y.logdet_slope
        if self.prior is not None:
            rest = (1.0 - h2).reshape(shape)
            quadratic = quadratic + self.prior.pull / rest
            slope = slope + self.prior.pull / rest**2
            count = count + self.prior.count
            logdet = logdet + self.prior.count * np.log(rest)
            logdet_slope = logdet_slope - self.prior.count / rest
        return Profile(
            value=-0.5 * (count * np.log(quadratic) + logdet),
            slope=-0.5 * (count * slope / quadratic + logdet_slope),
            quadratic=quadratic,
            count=count,
        )


class Measured(Protocol):
    """Samples and covariates as measured, which the constant of a likelihood refers to."""

    @property
    def n(self) -> int:
        """Number of samples."""

    @property
    def n_covariates(self) -> int:
        """Number of independent covariates c, the intercept among them."""

    @property
    def log_weights(self) -> float:
        """Sum of log w."""

    @property
    def covariate_logdet(self) -> float:
        """log|C'C| of the covariates as measured."""


def constant(measured: Measured, log_scale: Array, *, reml: bool) -> Array:
    """Constant of the log-likelihood, (traits,) in nats: log-likelihood minus `Profile.value`.

    With d = n, or n - c under REML, and s the scale by which a trait was divided, it is

        -d/2 [ log(2 pi s^2 / d) + 1 ] + sum log w + 1/2 log|C'C|,

    the last term under REML only. The terms in w and C refer the likelihood to the samples and the
    covariates C as measured, before they were multiplied by the weights w.

    Parameters
    ----------
    measured : Measured
        The n samples with their c covariates, such as their `Basis`.
    log_scale : array (traits,)
        Logarithm of the number by which each trait was divided.
    reml : bool
        Restricted instead of full likelihood.
    """
    degrees = measured.n - measured.n_covariates * reml
    scaled = np.log(2.0 * np.pi / degrees) + 2.0 * log_scale + 1.0
    rest = measured.log_weights + (0.5 * measured.covariate_logdet if reml else 0.0)
    return np.asarray(-0.5 * degrees * scaled + rest)
