r"""Inverses of X'M(h)X of many markers, computed at a few nodes of h.

Between the nodes they are interpolated (`interpolate`).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from bulklmm_dask.lmm.covariance import Covariance
from bulklmm_dask.lmm.projection import covariate_gram
from bulklmm_dask.typing import Array


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
