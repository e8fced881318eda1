r"""Interpolation in h: functions known at a few nodes, evaluated at the heritability of any trait.

x'M(h)x is, for every marker x, a combination of the functions 1/v_k(h) (and of products of them
with covariates). Nodes are taken by a pivoted QR decomposition of such functions (an interpolative
decomposition), weights by least squares, and the relative error is measured at every heritability
that is asked for; nodes are added until it is below the tolerance.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import scipy.linalg

from bulklmm_dask.lmm.basis import Basis
from bulklmm_dask.lmm.covariance import Covariance, refined
from bulklmm_dask.lmm.projection import covariate_gram, inverse_and_logdet
from bulklmm_dask.typing import Array, Index

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


def in_order(functions: Array) -> Index:
    """Columns of functions (functions, points) in the order in which they serve best as nodes.

    Each is the one that those before it interpolate worst: a QR decomposition with pivots.
    """
    return np.asarray(scipy.linalg.qr(functions, mode="r", pivoting=True)[1], dtype=np.int64)


@dataclass(frozen=True)
class Candidates:
    """Heritabilities in the order in which they serve best as nodes, and the row scale of a fit.

    They depend on the covariance only, so that a trait's scores do not depend on its neighbours.

    Attributes
    ----------
    h2 : array (points,)
    row_scale : array (functions, 1)
        One over the size of each function, as a share of all at each h.
    """

    h2: Array
    row_scale: Array

    @classmethod
    def of(cls, covariance: Covariance, functions: Callable[[Array], Array]) -> Candidates:
        """Choose among the points of a fine grid.

        Parameters
        ----------
        covariance : Covariance
        functions : callable
            Functions (functions, k) of heritabilities (k,), to be interpolated.
        """
        coarse = covariance.grid()
        fine = refined(coarse, 4 * len(coarse))
        values, _ = relative(functions(fine))
        row_scale = 1.0 / np.linalg.norm(values, axis=1)[:, None]
        return cls(fine[in_order(row_scale * values)], row_scale)


def relative(functions: Array) -> tuple[Array, Array]:
    """Functions divided by their norm at each h, and it: no h counts for more than another."""
    size = np.linalg.norm(functions, axis=0)
    return functions / size, size


def with_own_nodes(nodes: Array, weights: Array, h2: Array, alone: Index) -> tuple[Array, Array]:
    """Nodes and weights (q, len(h2)) with some of the heritabilities as nodes of their own."""
    nodes = np.concatenate([nodes, h2[alone]])
    weights = np.pad(weights, ((0, len(alone)), (0, 0)))
    weights[:, alone] = np.eye(len(nodes))[:, len(nodes) - len(alone) :]
    return nodes, weights


def _solve(basis: Basis, nodes: Array, row_scale: Array, functions: Array) -> tuple[Array, Array]:
    """Weights (q, len(h2)) that fit the functions (functions, len(h2)), and the error at each h."""
    target, size = relative(functions)
    base, base_size = relative(_test_functions(basis, nodes))
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
    candidates = Candidates.of(basis, lambda points: _test_functions(basis, points))
    functions = _test_functions(basis, distinct)
    for count in range(FEW, MOST + 1, _STEP):
        nodes = candidates.h2[:count]
        weights, error = _solve(basis, nodes, candidates.row_scale, functions)
        if error.max() <= tolerance:
            break
    alone = np.flatnonzero(error > tolerance)
    nodes, weights = with_own_nodes(nodes, weights, distinct, alone)
    error[alone] = 0.0
    return Interpolation(nodes, weights[:, where], float(error.max()))
