r"""Inverses of X'M(h)X of many markers, computed at a few nodes of h.

Between the nodes they are interpolated (`interpolate`).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import scipy.linalg

from bulklmm_dask.lmm.covariance import Covariance, Spectrum
from bulklmm_dask.lmm.projection import covariate_gram
from bulklmm_dask.typing import Array


def eigenvalue_range(spectrum: Spectrum, *, folded: bool) -> tuple[float, float]:
    """Smallest and largest eigenvalue of K~ in the rows that designs and covariates share.

    Folded designs (`Designs.folded`) have no part in the null space of the kinship, so its zero
    eigenvalues do not count, unless a covariate lies partly in it: then the projection off that
    covariate mixes both spaces.
    """
    rank, rows = spectrum.rank, spectrum.rows
    inner, share, _ = np.linalg.svd(spectrum.covariates[:rank], full_matrices=False)
    mixed = (share > 1e-7) & (share < 1.0 - 1e-9)
    if folded and not mixed.any():
        rows, covariates = rank, inner[:, share > 0.5]
    else:
        covariates = spectrum.covariates
    c = covariates.shape[1]
    complement = scipy.linalg.qr(covariates)[0][:, c:] if c else np.eye(rows)
    values = scipy.linalg.eigvalsh((complement.T * spectrum.eigenvalues[:rows]) @ complement)
    if not len(values):
        return 0.0, 1.0
    rounding = 64 * np.finfo(np.float64).eps * rows * values[-1]
    return float(values[0]) if values[0] > rounding else 0.0, float(values[-1])


@dataclass(frozen=True)
class NodeWeights:
    """Factors of X'M(h)X at the nodes; with X (d, r) it is X W X' - (X F)(X F)'.

    Attributes
    ----------
    weights : array (r, nodes)
        Diagonal of W, 1/v.
    factors : array (r, c * nodes)
        F = W C L^-T with C'WC = LL'.
    covariates : int
        Number of covariates c.
    """

    weights: Array
    factors: Array
    covariates: int

    @classmethod
    def at(cls, covariance: Covariance, nodes: Array) -> NodeWeights:
        """Compute the factors at nodes (q,) in the rows of a covariance."""
        w = covariance.at(nodes).weights
        c, q = covariance.n_covariates, len(nodes)
        inverse = np.linalg.inv(np.linalg.cholesky(covariate_gram(covariance, w)))
        factors = np.einsum("kc,qac->kaq", covariance.covariates, inverse) * w[:, None, :]
        return cls(w, factors.reshape(len(w), c * q), c)


def inverses_at_nodes(columns: Array, at: NodeWeights, leading: tuple[int, ...]) -> list[Array]:
    """Inverses of X'M(h)X of the first columns of every marker at every node.

    Parameters
    ----------
    columns : array (d, variants, r)
        Orthonormal columns of the markers; zeros for one that dropped out, which is left out of
        the inverse.
    at : NodeWeights
        Factors at the nodes.
    leading : tuple of int
        Numbers k of leading columns to invert, ascending, each from 1 to d.

    Returns
    -------
    list of array (k, k, variants, nodes)
        One array for every k of `leading`.
    """
    d, variants, r = columns.shape
    q = at.weights.shape[1]
    a = np.empty((d, d, variants, q))
    inside = (columns.reshape(-1, r) @ at.factors[:r]).reshape(d, variants, at.covariates, q)
    for i in range(d):
        products = (columns[i] * columns[i:]).reshape(-1, r) @ at.weights[:r]
        a[i, i:] = products.reshape(d - i, variants, q)
        a[i, i:] -= (inside[i] * inside[i:]).sum(axis=2)
        a[i:, i] = a[i, i:]
        a[i, i][~columns[i].any(axis=1)] = 1.0
    found = []
    for k in range(leading[-1]):  # the sweep operator: a becomes minus its inverse, row by row
        pivot = a[k, k].copy()
        row = a[k] / pivot
        a -= row[:, None] * a[k]
        a[k], a[:, k], a[k, k] = row, row, -1.0 / pivot
        if k + 1 in leading:
            found.append(-a[: k + 1, : k + 1])
    return found
