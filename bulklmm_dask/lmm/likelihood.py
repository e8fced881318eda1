r"""The profile likelihood of the heritability h, for many traits at once.

With W = diag(1/v(h)) and M = W - W C (C'WC)^-1 C'W, S = y'My, n samples and c covariates:

- ML:   l(h) = -1/2 [ n log S + sum log v ]
- REML: l(h) = -1/2 [ (n - c) log S + sum log v + log |C'WC| ]

up to constants (Kang et al. 2008; the scale-free form of design section 2). Derivatives in h use
v' = lam - 1 and S' = -(My)' diag(v') (My). All traits are in the rotated spectrum.

A prior on the residual variance (scale t2, sample size nu; `prior`) has its usual form in terms of
delta = h/(1-h), variances delta lam + 1 and the residual variance s2_e,

    -1/2 [ (n+nu+2) log s2_e + sum log(delta lam + 1) + (rss + nu t2)/s2_e ],

at its maximum s2_e = (rss + nu t2)/(n+nu+2). Since rss = (1-h) S and delta lam + 1 = v/(1-h),

- ML:   l(h) = -1/2 [ (n+nu+2) log(S + nu t2/(1-h)) + (nu+2) log(1-h) + sum log v ]

and under REML n - c stands for n and log|C'WC| is added: the likelihood with more residuals and one
more term. It tends to minus infinity at h = 1.

Covariates that every trait has for itself (`given`) are eliminated from all forms (`conditional`).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from bulklmm_dask.lmm.basis import Basis, Spectrum
from bulklmm_dask.lmm.own_covariates import Conditioned, condition
from bulklmm_dask.lmm.prior import Prior
from bulklmm_dask.typing import Array


@dataclass(frozen=True)
class Profile:
    """Profile log-likelihoods of traits.

    Attributes
    ----------
    value, slope : array
    quadratic : array
        S = y'My, with a prior S + nu t2/(1-h).
    count : float or array
        What its logarithm is multiplied by, times -1/2; `quadratic` / `count` estimates s2.
    """

    value: Array
    slope: Array
    quadratic: Array
    count: Array | float


def constant(basis: Basis, scale: Array, *, reml: bool) -> Array:
    """What a profile likelihood leaves out, (traits,) in nats: the likelihood less `Profile.value`.

    With d = n, or n - c under REML, and s the scale by which a trait was divided, it is

        -d/2 [ log(2 pi s^2 / d) + 1 ] + sum log w + 1/2 log|C'C|,

    the last term under REML only. It brings back the samples and covariates C as measured, before
    they were multiplied by weights w.

    Parameters
    ----------
    basis : Basis
        Of n samples and c covariates.
    scale : array (traits,)
        By which each trait was divided.
    reml : bool
        Of the restricted instead of the full likelihood.
    """
    degrees = basis.n - basis.n_covariates * reml
    scaled = np.log(2.0 * np.pi / degrees) + 2.0 * np.log(scale) + 1.0
    rest = basis.log_weights + (0.5 * basis.covariate_logdet if reml else 0.0)
    return np.asarray(-0.5 * degrees * scaled + rest)


def bracketing_grid(spectrum: Spectrum) -> Array:
    """Heritabilities (k,) dense enough that neighbours bracket single maxima; both ends included.

    The grid is even in the share of the variance that the kinship explains, h s/(h s + 1 - h)
    with s the mean eigenvalue, so that it fits a kinship of any scale, and has logarithmic tails.
    """
    if spectrum.h2_max == 0.0:
        return np.zeros(1)
    tail = 10.0 ** -np.arange(5.0, 1.5, -0.5)
    share = np.concatenate([tail, np.linspace(0.025, 0.975, 39), 1.0 - tail[::-1]])
    scale = spectrum.scale
    h2 = share / (share + scale * (1.0 - share))
    inner = h2[(h2 > 0.0) & (h2 < spectrum.h2_max)]
    return np.concatenate([[0.0], inner, [spectrum.h2_max]])


def inverse_and_logdet(a: Array) -> tuple[Array, Array]:
    """Inverses (k, c, c) and log-determinants (k,) of positive definite matrices (k, c, c)."""
    if a.shape[-1] == 1:
        return 1.0 / a, np.log(a[:, 0, 0])
    return np.asarray(np.linalg.inv(a)), np.asarray(np.linalg.slogdet(a)[1])


def covariate_terms(spectrum: Spectrum, a: Array, v: Array) -> tuple[Array, Array]:
    """log|C'WC| and its slope in h, from C'WC (k, c, c) and the variances (rows, k)."""
    inverse, logdet = inverse_and_logdet(a)
    slope = -(((spectrum.eigenvalues - 1.0)[:, None] / (v * v)).T @ spectrum.covariate_products)
    return logdet, np.einsum("kab,kba->k", inverse, slope.reshape(a.shape))


def _combine(
    spectrum: Spectrum, reml: bool, h2: Array, y: Conditioned, a: Array, prior: Prior | None
) -> Profile:
    """Put the parts together; `h2` (k,) goes with the leading axis of the forms of `y`."""
    v = spectrum.variances(h2)
    shape = (-1,) + (1,) * (y.quadratic.ndim - 1)
    logdet = spectrum.copies @ np.log(v)
    logdet_slope = (spectrum.copies * (spectrum.eigenvalues - 1.0)) @ (1.0 / v)
    quadratic, slope = y.quadratic, y.slope
    count: Array | float = spectrum.n
    if reml:
        count = count - spectrum.n_covariates - y.rank
        of_covariates, of_covariates_slope = covariate_terms(spectrum, a, v)
        logdet, logdet_slope = logdet + of_covariates, logdet_slope + of_covariates_slope
    logdet, logdet_slope = logdet.reshape(shape), logdet_slope.reshape(shape)
    if reml:
        logdet, logdet_slope = logdet + y.logdet, logdet_slope + y.logdet_slope
    if prior is not None:
        rest = (1.0 - h2).reshape(shape)
        quadratic, slope = quadratic + prior.pull / rest, slope + prior.pull / rest**2
        count = count + prior.count
        logdet = logdet + prior.count * np.log(rest)
        logdet_slope = logdet_slope - prior.count / rest
    return Profile(
        value=-0.5 * (count * np.log(quadratic) + logdet),
        slope=-0.5 * (count * slope / quadratic + logdet_slope),
        quadratic=quadratic,
        count=count,
    )


def _on_covariates(spectrum: Spectrum, weights: Array, y: Array) -> Array:
    """C' diag(weights_g) y for every row g of the weights, (len(weights), c, traits)."""
    k, c = len(weights), spectrum.n_covariates
    stacked = (weights[:, None, :] * spectrum.covariates.T).reshape(k * c, spectrum.rows)
    return (stacked @ y).reshape(k, c, y.shape[1])


def forms_on_grid(spectrum: Spectrum, x: Array, y: Array, grid: Array) -> Array:
    """x_j'M(h)y_j of paired columns (rows, pairs) at every h of a grid, (k, pairs)."""
    w = 1.0 / spectrum.variances(grid).T
    c = spectrum.n_covariates
    a = (w @ spectrum.covariate_products).reshape(len(grid), c, c)
    solved = inverse_and_logdet(a)[0] @ _on_covariates(spectrum, w, y)
    return w @ (x * y) - (_on_covariates(spectrum, w, x) * solved).sum(axis=1)


@dataclass(frozen=True)
class _OnGrid:
    """Columns y and what C' makes of them at every h: C'Wy, its slope, and (C'WC)^-1 C'Wy."""

    columns: Array
    product: Array
    slope: Array
    coefficients: Array


def profile_on_grid(
    spectrum: Spectrum,
    y: Array,
    grid: Array,
    *,
    reml: bool,
    prior: Prior | None = None,
    given: Array | None = None,
) -> Profile:
    """Profile likelihood of every trait at every h of a grid, by matrix products.

    Parameters
    ----------
    spectrum : Spectrum
        Of k rows.
    y : array (k, traits)
        Rotated traits.
    grid : array (k,)
        Heritabilities in [0, spectrum.h2_max].
    reml : bool
        Restricted instead of full likelihood.
    prior : Prior, optional
        On the residual variance, in squared units of `y`; needs a grid that stays below 1.
    given : array (K, k, traits), optional
        Covariates that every trait has for itself, rotated; zeros for none.

    Returns
    -------
    Profile of arrays (k, traits).
    """
    k, c = len(grid), spectrum.n_covariates
    w = 1.0 / spectrum.variances(grid).T
    wdw = w * w * (spectrum.eigenvalues - 1.0)
    a = (w @ spectrum.covariate_products).reshape(k, c, c)
    a_slope = -(wdw @ spectrum.covariate_products).reshape(k, c, c)
    inverse = inverse_and_logdet(a)[0]

    def prepare(x: Array) -> _OnGrid:
        b = _on_covariates(spectrum, w, x)
        return _OnGrid(x, b, -_on_covariates(spectrum, wdw, x), inverse @ b)

    def form(p: _OnGrid, q: _OnGrid) -> tuple[Array, Array]:
        both = p.columns * q.columns
        return w @ both - (p.product * q.coefficients).sum(axis=1), (
            (p.coefficients * (a_slope @ q.coefficients)).sum(axis=1)
            - (p.slope * q.coefficients).sum(axis=1)
            - (q.slope * p.coefficients).sum(axis=1)
            - wdw @ both
        )

    conditioned = condition([prepare(x) for x in (*_columns(given), y)], form)
    return _combine(spectrum, reml, grid, conditioned, a, prior)


def _columns(given: Array | None) -> tuple[Array, ...]:
    return () if given is None else tuple(given)


def project(spectrum: Spectrum, y: Array, h2: Array) -> tuple[Array, Array]:
    """M(h_j) y_j of every trait at its own h_j, (n, traits), and C'WC, (traits, c, c)."""
    w = 1.0 / spectrum.variances(h2)
    c = spectrum.n_covariates
    a = (w.T @ spectrum.covariate_products).reshape(-1, c, c)
    residual = y
    if c:
        b = (spectrum.covariates.T @ (w * y)).T[:, :, None]
        coefficients = (inverse_and_logdet(a)[0] @ b)[:, :, 0]
        residual = y - spectrum.covariates @ coefficients.T
    return w * residual, a


def directions(spectrum: Spectrum, given: Array, h2: Array) -> Array:
    """u_jk = M_(k-1) q_jk / sqrt(q_jk' M_(k-1) q_jk) of every trait at its own h_j, (K, n, traits).

    M_K = M - sum over k of u_k u_k' is the projection off the covariates and the given columns q
    (K, n, traits). A column of zeros has no direction: zeros.
    """
    found = np.zeros_like(given)
    for k, q in enumerate(given):
        rest, _ = project(spectrum, q, h2)
        for u in found[:k]:
            rest -= u * np.einsum("kj,kj->j", u, q)
        size = np.einsum("kj,kj->j", q, rest)
        found[k] = rest / np.sqrt(np.where(size > 0.0, size, 1.0))
    return found


def profile_at(
    spectrum: Spectrum,
    y: Array,
    h2: Array,
    *,
    reml: bool,
    prior: Prior | None = None,
    given: Array | None = None,
) -> Profile:
    """Profile likelihood of trait j at its own h_j: y (n, traits), h2 (traits,).

    `prior` and `given` (K, n, traits) as in `profile_on_grid`.
    """
    change = spectrum.eigenvalues - 1.0
    projected = [(x, *project(spectrum, x, h2)) for x in (*_columns(given), y)]

    def form(p: tuple[Array, ...], q: tuple[Array, ...]) -> tuple[Array, Array]:
        return np.einsum("kj,kj->j", p[0], q[1]), -(change @ (p[1] * q[1]))

    return _combine(spectrum, reml, h2, condition(projected, form), projected[-1][2], prior)
