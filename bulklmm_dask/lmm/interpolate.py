r"""Few heritabilities that stand for all: interpolation of functions of h between nodes.

x'M(h)x is, for every marker x, a combination of the functions 1/v_k(h) (and of products of them
with covariates). Nodes are taken by a pivoted QR decomposition of such functions (an interpolative
decomposition), weights by least squares, and the relative error is measured at every heritability
that is asked for; nodes are added until it is below the tolerance.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import scipy.linalg

from bulklmm_dask.lmm.basis import Basis
from bulklmm_dask.lmm.covariance import refined
from bulklmm_dask.lmm.projection import covariate_gram, inverse_and_logdet
from bulklmm_dask.typing import Array

# Up to this many distinct heritabilities are nodes themselves: nothing to interpolate.
FEW = 12
MOST = 44
TOLERANCE = 1e-8
_STEP = 4
_PROBES = 24


@dataclass(frozen=True)
class Interpolation:
    """f(h_j) = sum over q of f(nodes_q) weights_qj.

    Attributes
    ----------
    nodes : array (q,)
    weights : array (q, traits)
    error : float
        Largest relative error measured over all h_j and all test functions.
    """

    nodes: Array
    weights: Array
    error: float


def _test_functions(basis: Basis, h2: Array) -> Array:
    """Functions of h that span x'M(h)x of any marker, (functions, len(h2)), all positive.

    1/v of every row of distinct variances, and x'M(h)x of generic markers, which bring in the
    covariates.
    """
    w, new = basis.at(h2).weights, basis.distinct
    c = basis.n_covariates
    if c == 0:
        return w[new]
    x = np.random.default_rng(0).standard_normal((_PROBES, basis.n))
    x -= (x @ basis.covariates) @ basis.covariates.T
    inverse, _ = inverse_and_logdet(covariate_gram(basis, w))
    b = ((x[:, None, :] * basis.covariates.T).reshape(-1, basis.n) @ w).reshape(_PROBES, c, -1)
    generic = (x * x) @ w - np.einsum("sah,hab,sbh->sh", b, inverse, b, optimize=True)
    return np.concatenate([w[new], generic])


@dataclass(frozen=True)
class _Pivots:
    """Heritabilities in the order in which they serve best as nodes, and the row scale of the fit.

    They depend on the basis only, so that a trait's scores do not depend on its neighbours.
    """

    h2: Array
    row_scale: Array


def _relative(functions: Array) -> tuple[Array, Array]:
    """Functions divided by their norm at each h: no h counts for more than another."""
    size = np.linalg.norm(functions, axis=0)
    return functions / size, size


def _pivots(basis: Basis) -> _Pivots:
    coarse = basis.grid()
    fine = refined(coarse, 4 * len(coarse))
    functions, _ = _relative(_test_functions(basis, fine))
    row_scale = 1.0 / np.linalg.norm(functions, axis=1)[:, None]
    order = scipy.linalg.qr(row_scale * functions, mode="r", pivoting=True)[1]
    return _Pivots(fine[order], row_scale)


def _solve(basis: Basis, nodes: Array, row_scale: Array, functions: Array) -> tuple[Array, Array]:
    """Weights (q, len(h2)) that fit the functions (functions, len(h2)), and the error at each h."""
    target, size = _relative(functions)
    base, base_size = _relative(_test_functions(basis, nodes))
    solved = scipy.linalg.lstsq(row_scale * base, row_scale * target)[0]
    error = np.abs((base @ solved) / target - 1.0).max(axis=0)
    return solved * size / base_size[:, None], error


def interpolate(basis: Basis, h2: Array, *, tolerance: float = TOLERANCE) -> Interpolation:
    """Nodes and weights for the heritabilities (traits,) of a group of traits.

    Nodes are added until the largest relative error over all traits is below `tolerance`. A trait
    for which that cannot be had becomes a node of its own.
    """
    distinct, where = np.unique(h2, return_inverse=True)
    if len(distinct) <= FEW:
        return Interpolation(distinct, np.eye(len(distinct))[:, where], 0.0)
    pivots = _pivots(basis)
    functions = _test_functions(basis, distinct)
    for count in range(FEW, MOST + 1, _STEP):
        nodes = pivots.h2[:count]
        weights, error = _solve(basis, nodes, pivots.row_scale, functions)
        if error.max() <= tolerance:
            break
    alone = np.flatnonzero(error > tolerance)
    nodes = np.concatenate([nodes, distinct[alone]])
    weights = np.pad(weights, ((0, len(alone)), (0, 0)))
    weights[:, alone] = np.eye(len(nodes))[:, len(nodes) - len(alone) :]
    error[alone] = 0.0
    return Interpolation(nodes, weights[:, where], float(error.max()))
