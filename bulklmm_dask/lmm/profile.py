r"""The profile likelihood of the heritability h, for many traits at once.

With W = diag(1/v(h)) and M = W - W C (C'WC)^-1 C'W, S = y'My, n samples and c covariates:

- ML:   l(h) = -1/2 [ n log S + sum log v ]
- REML: l(h) = -1/2 [ (n - c) log S + sum log v + log |C'WC| ]

up to constants (Kang et al. 2008; the scale-free form of design section 2). Derivatives in h use
v' = lam - 1 and S' = -(My)' diag(v') (My). All traits are in the rotated basis.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from bulklmm_dask.lmm.basis import Basis

Array = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Profile:
    """Value and slope of the profile log-likelihood, and S = y'My; arrays of one shape."""

    value: Array
    slope: Array
    quadratic: Array


def bracketing_grid(basis: Basis) -> Array:
    """Heritabilities (k,) dense enough that neighbours bracket single maxima; both ends included.

    The grid is even in the share of the variance that the kinship explains, h s/(h s + 1 - h)
    with s the mean eigenvalue, so that it fits a kinship of any scale, and has logarithmic tails.
    """
    if basis.h2_max == 0.0:
        return np.zeros(1)
    tail = 10.0 ** -np.arange(5.0, 1.5, -0.5)
    share = np.concatenate([tail, np.linspace(0.025, 0.975, 39), 1.0 - tail[::-1]])
    scale = max(float(basis.eigenvalues.mean()), 1e-300)
    h2 = share / (share + scale * (1.0 - share))
    inner = h2[(h2 > 0.0) & (h2 < basis.h2_max)]
    return np.concatenate([[0.0], inner, [basis.h2_max]])


def inverse_and_logdet(a: Array) -> tuple[Array, Array]:
    """Inverses (k, c, c) and log-determinants (k,) of positive definite matrices (k, c, c)."""
    if a.shape[-1] == 1:
        return 1.0 / a, np.log(a[:, 0, 0])
    return np.asarray(np.linalg.inv(a)), np.asarray(np.linalg.slogdet(a)[1])


def _combine(
    basis: Basis, reml: bool, h2: Array, quadratic: Array, slope: Array, a: Array, a_slope: Array
) -> Profile:
    """Put the parts together; `h2` (k,) goes with the leading axis of the others."""
    v = basis.variances(h2)
    shape = (-1,) + (1,) * (quadratic.ndim - 1)
    logdet = np.log(v).sum(axis=0)
    logdet_slope = ((basis.eigenvalues - 1.0)[:, None] / v).sum(axis=0)
    count = basis.n
    if reml:
        count -= basis.n_covariates
        inverse, logdet_a = inverse_and_logdet(a)
        logdet = logdet + logdet_a
        logdet_slope = logdet_slope + np.einsum("kab,kba->k", inverse, a_slope)
    return Profile(
        value=-0.5 * (count * np.log(quadratic) + logdet.reshape(shape)),
        slope=-0.5 * (count * slope / quadratic + logdet_slope.reshape(shape)),
        quadratic=quadratic,
    )


def profile_on_grid(basis: Basis, y: Array, grid: Array, *, reml: bool) -> Profile:
    """Profile likelihood of every trait at every h of a grid, by matrix products.

    Parameters
    ----------
    basis : Basis
        Of n samples.
    y : array (n, traits)
        Rotated traits.
    grid : array (k,)
        Heritabilities in [0, basis.h2_max].

    Returns
    -------
    Profile of arrays (k, traits).
    """
    k, c = len(grid), basis.n_covariates
    w = 1.0 / basis.variances(grid).T
    wdw = w * w * (basis.eigenvalues - 1.0)
    y2 = y * y
    quadratic, slope = w @ y2, -(wdw @ y2)
    a = (w @ basis.covariate_products).reshape(k, c, c)
    a_slope = -(wdw @ basis.covariate_products).reshape(k, c, c)
    if c:
        by_row = (k * c, basis.n)
        b = ((w[:, None, :] * basis.covariates.T).reshape(by_row) @ y).reshape(k, c, -1)
        b_slope = -((wdw[:, None, :] * basis.covariates.T).reshape(by_row) @ y).reshape(k, c, -1)
        coefficients = inverse_and_logdet(a)[0] @ b
        quadratic = quadratic - (b * coefficients).sum(axis=1)
        slope = (
            slope
            - 2.0 * (b_slope * coefficients).sum(axis=1)
            + (coefficients * (a_slope @ coefficients)).sum(axis=1)
        )
    return _combine(basis, reml, grid, quadratic, slope, a, a_slope)


def project(basis: Basis, y: Array, h2: Array) -> tuple[Array, Array]:
    """M(h_j) y_j of every trait at its own h_j, (n, traits), and C'WC, (traits, c, c)."""
    w = 1.0 / basis.variances(h2)
    c = basis.n_covariates
    a = (w.T @ basis.covariate_products).reshape(-1, c, c)
    residual = y
    if c:
        b = (basis.covariates.T @ (w * y)).T[:, :, None]
        coefficients = (inverse_and_logdet(a)[0] @ b)[:, :, 0]
        residual = y - basis.covariates @ coefficients.T
    return w * residual, a


def profile_at(basis: Basis, y: Array, h2: Array, *, reml: bool) -> Profile:
    """Profile likelihood of trait j at its own h_j: y (n, traits), h2 (traits,)."""
    c = basis.n_covariates
    my, a = project(basis, y, h2)
    quadratic = np.einsum("kj,kj->j", y, my)
    slope = -((basis.eigenvalues - 1.0) @ (my * my))
    a_slope = np.zeros_like(a)
    if reml and c:
        v = basis.variances(h2)
        wdw = (basis.eigenvalues - 1.0)[:, None] / (v * v)
        a_slope = -(wdw.T @ basis.covariate_products).reshape(-1, c, c)
    return _combine(basis, reml, h2, quadratic, slope, a, a_slope)
