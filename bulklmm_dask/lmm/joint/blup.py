r"""Best linear unbiased predictors (BLUPs) of the effects of genotypes at a marker.

The k genotypes of a marker are taken as random, u ~ N(0, s2_u I), beside the model of the trait at
its own h2 (as R/qtl2's scan1blup, Broman et al. 2019). With Z (n, k) and y in the metric of that
model and projected off the covariates, G = Z'Z = U diag(d) U', b = U'Z'y and theta = s2_u / s2, the
restricted log-likelihood of theta is, with m = n - c,

    -1/2 [m log(y'y - sum_i theta b_i^2 / (1 + theta d_i)) + sum_i log(1 + theta d_i)].

At its maximum the predictors are U diag(theta / (1 + theta d)) b, and s2 theta U diag(1 / (1 +
theta d)) U' is their conditional covariance. Many genotypes, of which some are rare, shrink towards
their common mean instead of having wild effects.
"""

from __future__ import annotations

import numpy as np

from bulklmm_dask.lmm.basis import Basis
from bulklmm_dask.typing import Array, Columns, Flags

# Values of theta, relative to the mean of d, between which the maximum is looked for: a grid, then
# halvings by the derivative.
_LOWEST, _HIGHEST, _POINTS, _HALVINGS = -5.0, 5.0, 41, 50
# Markers at a time.
_PIECE = 64


def predictors(basis: Basis, rotated: Array, h2: float, x: Array) -> Columns:
    """Predict the effects of the genotypes of some markers on one trait.

    Parameters
    ----------
    basis : Basis
        Eigenbasis of the n samples of the trait, with its covariates.
    rotated : array (n,)
        The trait, as `NullModel.rotated`.
    h2 : float
        Its heritability, of the kinship in use.
    x : array (variants, n, genotypes)
        Probabilities of the genotypes, none missing.

    Returns
    -------
    dict
        ``beta`` (variants, genotypes), deviations from their mean, and ``se``, their conditional
        standard deviations; NaN for genotypes that no sample has.
    """
    root = np.sqrt(basis.at(np.array([h2])).weights[:, 0])
    inside = np.linalg.qr(root[:, None] * basis.covariates)[0]
    y = root * rotated
    y = y - inside @ (inside.T @ y)
    parts = [
        _of_markers(basis, root, inside, y, x[start : start + _PIECE])
        for start in range(0, len(x), _PIECE)
    ]
    return {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}


def _of_markers(basis: Basis, root: Array, inside: Array, y: Array, x: Array) -> Columns:
    variants, n, k = x.shape
    rows = basis.rotate_rows(x.transpose(0, 2, 1).reshape(-1, n)) * root
    rows -= (rows @ inside) @ inside.T
    z = rows.reshape(variants, k, n)
    d, u = np.linalg.eigh(z @ z.swapaxes(1, 2))
    d = np.maximum(d, 0.0)
    b = np.einsum("vki,vk->vi", u, z @ y)
    freedom = n - inside.shape[1]
    scale = d.mean(axis=1)
    theta = _best(b, d, float(y @ y), freedom, np.where(scale > 0.0, scale, 1.0))
    shrunk = 1.0 / (1.0 + theta[:, None] * d)
    rest = np.maximum(y @ y - theta * (b * b * shrunk).sum(axis=1), 0.0)
    beta = theta[:, None] * np.einsum("vki,vi->vk", u, shrunk * b)
    there = x.any(axis=1)
    share = there / np.maximum(there.sum(axis=1, keepdims=True), 1)
    # Deviations from the mean of the genotypes that there are.
    apart = u - (share[:, None] @ u)
    variance = rest / freedom * theta
    se = np.sqrt(variance[:, None] * np.einsum("vki,vi,vki->vk", apart, shrunk, apart))
    beta -= (share * beta).sum(axis=1, keepdims=True)
    beta[~there] = se[~there] = np.nan
    return {"beta": beta, "se": se}


def _best(b: Array, d: Array, total: float, freedom: int, scale: Array) -> Array:
    """The theta (variants,) of the highest likelihood, 0 if none is higher than there."""
    square, eigenvalues = (b * b)[:, None], d[:, None]

    def grown_and_rest(power: Array) -> tuple[Array, Array, Array]:
        """Theta (variants, m, 1), 1 + theta d and the residual form, at 10^power / scale."""
        theta = (10.0**power / scale[:, None])[:, :, None]
        grown = 1.0 + theta * eigenvalues
        rest = total - (theta * square / grown).sum(axis=2)
        return theta, grown, np.maximum(rest, np.finfo(float).tiny)

    def likelihood(power: Array) -> Array:
        _, grown, rest = grown_and_rest(power)
        return np.asarray(-0.5 * (freedom * np.log(rest) + np.log(grown).sum(axis=2)))

    def rises(power: Array) -> Flags:
        """Whether the likelihood rises with theta, by its derivative."""
        _, grown, rest = grown_and_rest(power[:, None])
        gain = freedom * (square / grown**2).sum(axis=2) / rest
        return np.asarray(gain > (eigenvalues / grown).sum(axis=2))[:, 0]

    powers = np.linspace(_LOWEST, _HIGHEST, _POINTS)
    at = likelihood(np.tile(powers, (len(b), 1))).argmax(axis=1)
    low, high = powers[np.maximum(at - 1, 0)], powers[np.minimum(at + 1, _POINTS - 1)]
    for _ in range(_HALVINGS):
        middle = (low + high) / 2
        above = rises(middle)
        low, high = np.where(above, middle, low), np.where(above, high, middle)
    power = (low + high) / 2
    found = likelihood(power[:, None])[:, 0]
    nothing = -0.5 * freedom * np.log(max(total, np.finfo(float).tiny))
    return np.where(found > nothing, 10.0**power / scale, 0.0)
