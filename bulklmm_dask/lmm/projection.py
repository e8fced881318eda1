r"""Projection off the covariates in the metric of the model, for many traits at once.

With W = diag(1/v(h)) the projection is M(h) = W - W C (C'WC)^-1 C'W. Residual sums of squares,
scores and effects are forms x'M(h)y. All columns x, y and C are rotated.
"""

from __future__ import annotations

import numpy as np

from bulklmm_dask.lmm.covariance import Covariance, Variances
from bulklmm_dask.typing import Array

# Traits whose rows are projected at a time: they stay in cache.
TRAITS_TOGETHER = 256


def in_cache(count: int) -> list[slice]:
    """Cut range(count) into slices of at most `TRAITS_TOGETHER`."""
    return [
        slice(start, min(start + TRAITS_TOGETHER, count))
        for start in range(0, count, TRAITS_TOGETHER)
    ]


def inverse_and_logdet(a: Array) -> tuple[Array, Array]:
    """Inverses (k, c, c) and log-determinants (k,) of positive definite matrices (k, c, c)."""
    if a.shape[-1] == 1:
        return 1.0 / a, np.log(a[:, 0, 0])
    return np.asarray(np.linalg.inv(a)), np.asarray(np.linalg.slogdet(a)[1])


def covariate_gram(covariance: Covariance, weights: Array) -> Array:
    """C' diag(w_j) C, (k, c, c), for every column w_j of `weights` (rows, k)."""
    shape = (weights.shape[1], covariance.n_covariates, covariance.n_covariates)
    return np.asarray((weights.T @ covariance.covariate_products).reshape(shape))


def covariate_terms(covariance: Covariance, a: Array, at: Variances) -> tuple[Array, Array]:
    """log|C'WC| and its slope in h, both (k,), from a = C'WC (k, c, c)."""
    inverse, logdet = inverse_and_logdet(a)
    slope = -covariate_gram(covariance, at.slope / (at.value * at.value))
    return logdet, np.einsum("kab,kba->k", inverse, slope)


def on_covariates(covariance: Covariance, weights: Array, y: Array) -> Array:
    """C' diag(w_g) y, (k, c, traits), for every row w_g of `weights` (k, rows)."""
    k, c = len(weights), covariance.n_covariates
    stacked = (weights[:, None, :] * covariance.covariates.T).reshape(k * c, covariance.rows)
    return (stacked @ y).reshape(k, c, y.shape[1])


def forms_on_grid(covariance: Covariance, x: Array, y: Array, grid: Array) -> Array:
    """x_j'M(h)y_j, (k, pairs), of paired columns x_j and y_j at every h of a grid (k,)."""
    weights = covariance.at(grid).weights
    w = weights.T
    inverse, _ = inverse_and_logdet(covariate_gram(covariance, weights))
    solved = inverse @ on_covariates(covariance, w, y)
    return w @ (x * y) - (on_covariates(covariance, w, x) * solved).sum(axis=1)


def project(covariance: Covariance, y: Array, at: Variances) -> tuple[Array, Array]:
    """M(h_j) y_j of every column j at its own h_j, and C'WC.

    Parameters
    ----------
    covariance : Covariance
    y : array (rows, columns)
    at : Variances
        Variances at the heritability of each column.

    Returns
    -------
    projected : array (rows, columns)
        M(h_j) y_j.
    gram : array (columns, c, c)
        C'WC at each h_j.
    """
    w = at.weights
    a = covariate_gram(covariance, w)
    if not covariance.n_covariates:
        return y / at.value, a
    b = (covariance.covariates.T @ (w * y)).T[:, :, None]
    coefficients = (inverse_and_logdet(a)[0] @ b)[:, :, 0]
    return w * (y - covariance.covariates @ coefficients.T), a


def directions(covariance: Covariance, given: Array, at: Variances) -> Array:
    """Directions u_jk of the trait-specific covariates q_jk of trait j, at its own h_j.

    u_jk = M_(k-1) q_jk / sqrt(q_jk' M_(k-1) q_jk), and M_K = M - sum over k of u_jk u_jk' is the
    projection off the common covariates and those of the trait.

    Parameters
    ----------
    covariance : Covariance
    given : array (K, rows, traits)
        Rotated trait-specific covariates q.
    at : Variances
        Variances at the heritability of each trait.

    Returns
    -------
    array (K, rows, traits)
        u; zeros for a column of zeros.
    """
    found = np.zeros_like(given)
    for k, q in enumerate(given):
        rest, _ = project(covariance, q, at)
        for u in found[:k]:
            rest -= u * np.einsum("kj,kj->j", u, q)
        size = np.einsum("kj,kj->j", q, rest)
        found[k] = rest / np.sqrt(np.where(size > 0.0, size, 1.0))
    return found
