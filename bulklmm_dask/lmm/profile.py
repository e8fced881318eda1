r"""The profile likelihood of the heritability h, for many traits at once.

With W = diag(1/v(h)) and M = W - W C (C'WC)^-1 C'W, S = y'My, n samples and c covariates:

- ML:   l(h) = -1/2 [ n log S + sum log v ]
- REML: l(h) = -1/2 [ (n - c) log S + sum log v + log |C'WC| ]

up to constants (Kang et al. 2008; the scale-free form of design section 2). Derivatives in h use
v' = lam - 1 and S' = -(My)' diag(v') (My). All traits are in the rotated spectrum.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from bulklmm_dask.lmm.basis import Spectrum

Array = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Profile:
    """Value and slope of the profile log-likelihood, and S = y'My; arrays of one shape."""

    value: Array
    slope: Array
    quadratic: Array


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
    spectrum: Spectrum, reml: bool, h2: Array, quadratic: Array, slope: Array, a: Array
) -> Profile:
    """Put the parts together; `h2` (k,) goes with the leading axis of the others."""
    v = spectrum.variances(h2)
    shape = (-1,) + (1,) * (quadratic.ndim - 1)
    logdet = spectrum.copies @ np.log(v)
    logdet_slope = (spectrum.copies * (spectrum.eigenvalues - 1.0)) @ (1.0 / v)
    count = spectrum.n
    if reml:
        count -= spectrum.n_covariates
        of_covariates, of_covariates_slope = covariate_terms(spectrum, a, v)
        logdet, logdet_slope = logdet + of_covariates, logdet_slope + of_covariates_slope
    return Profile(
        value=-0.5 * (count * np.log(quadratic) + logdet.reshape(shape)),
        slope=-0.5 * (count * slope / quadratic + logdet_slope.reshape(shape)),
        quadratic=quadratic,
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


def profile_on_grid(spectrum: Spectrum, y: Array, grid: Array, *, reml: bool) -> Profile:
    """Profile likelihood of every trait at every h of a grid, by matrix products.

    Parameters
    ----------
    spectrum : Spectrum
        Of k rows.
    y : array (k, traits)
        Rotated traits.
    grid : array (k,)
        Heritabilities in [0, spectrum.h2_max].

    Returns
    -------
    Profile of arrays (k, traits).
    """
    k, c = len(grid), spectrum.n_covariates
    w = 1.0 / spectrum.variances(grid).T
    wdw = w * w * (spectrum.eigenvalues - 1.0)
    y2 = y * y
    a = (w @ spectrum.covariate_products).reshape(k, c, c)
    a_slope = -(wdw @ spectrum.covariate_products).reshape(k, c, c)
    b, b_slope = _on_covariates(spectrum, w, y), -_on_covariates(spectrum, wdw, y)
    coefficients = inverse_and_logdet(a)[0] @ b
    quadratic = w @ y2 - (b * coefficients).sum(axis=1)
    slope = (
        -(wdw @ y2)
        - 2.0 * (b_slope * coefficients).sum(axis=1)
        + (coefficients * (a_slope @ coefficients)).sum(axis=1)
    )
    return _combine(spectrum, reml, grid, quadratic, slope, a)


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


def profile_at(spectrum: Spectrum, y: Array, h2: Array, *, reml: bool) -> Profile:
    """Profile likelihood of trait j at its own h_j: y (n, traits), h2 (traits,)."""
    my, a = project(spectrum, y, h2)
    quadratic = np.einsum("kj,kj->j", y, my)
    slope = -((spectrum.eigenvalues - 1.0) @ (my * my))
    return _combine(spectrum, reml, h2, quadratic, slope, a)
