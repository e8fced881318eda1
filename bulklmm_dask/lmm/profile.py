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


def _combine(
    spectrum: Spectrum,
    reml: bool,
    h2: Array,
    quadratic: Array,
    slope: Array,
    a: Array,
    a_slope: Array,
) -> Profile:
    """Put the parts together; `h2` (k,) goes with the leading axis of the others."""
    v = spectrum.variances(h2)
    shape = (-1,) + (1,) * (quadratic.ndim - 1)
    logdet = spectrum.copies @ np.log(v)
    logdet_slope = (spectrum.copies * (spectrum.eigenvalues - 1.0)) @ (1.0 / v)
    count = spectrum.n
    if reml:
        count -= spectrum.n_covariates
        inverse, logdet_a = inverse_and_logdet(a)
        logdet = logdet + logdet_a
        logdet_slope = logdet_slope + np.einsum("kab,kba->k", inverse, a_slope)
    return Profile(
        value=-0.5 * (count * np.log(quadratic) + logdet.reshape(shape)),
        slope=-0.5 * (count * slope / quadratic + logdet_slope.reshape(shape)),
        quadratic=quadratic,
    )


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
    quadratic, slope = w @ y2, -(wdw @ y2)
    a = (w @ spectrum.covariate_products).reshape(k, c, c)
    a_slope = -(wdw @ spectrum.covariate_products).reshape(k, c, c)
    if c:
        by_row = (k * c, spectrum.rows)
        b = ((w[:, None, :] * spectrum.covariates.T).reshape(by_row) @ y).reshape(k, c, -1)
        b_slope = -((wdw[:, None, :] * spectrum.covariates.T).reshape(by_row) @ y).reshape(k, c, -1)
        coefficients = inverse_and_logdet(a)[0] @ b
        quadratic = quadratic - (b * coefficients).sum(axis=1)
        slope = (
            slope
            - 2.0 * (b_slope * coefficients).sum(axis=1)
            + (coefficients * (a_slope @ coefficients)).sum(axis=1)
        )
    return _combine(spectrum, reml, grid, quadratic, slope, a, a_slope)


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
    c = spectrum.n_covariates
    my, a = project(spectrum, y, h2)
    quadratic = np.einsum("kj,kj->j", y, my)
    slope = -((spectrum.eigenvalues - 1.0) @ (my * my))
    a_slope = np.zeros_like(a)
    if reml and c:
        v = spectrum.variances(h2)
        wdw = (spectrum.eigenvalues - 1.0)[:, None] / (v * v)
        a_slope = -(wdw.T @ spectrum.covariate_products).reshape(-1, c, c)
    return _combine(spectrum, reml, h2, quadratic, slope, a, a_slope)
