r"""Interpolation in h: from values at a few nodes to the heritability of every trait.

For every marker x, x'M(h)x is a combination of the functions 1/v_k(h) and of terms from the
covariates. The nodes are chosen by a pivoted QR decomposition of such functions (an interpolative
decomposition) and the weights by least squares. The relative error is measured at the heritability
of every trait; nodes are added until it is below the tolerance.
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

# Up to this many distinct heritabilities become nodes themselves, without interpolation. It is also
# the first number of nodes tried; `_STEP` nodes are added at a time up to `MOST`.
FEW = 12
MOST = 44
_STEP = 4
TOLERANCE = 1e-8
# Random markers among the test functions.
_PROBES = 24


@dataclass(frozen=True)
class Interpolation:
    """f(h_j) = sum over q of f(nodes_q) weights_qj.

    Attributes
    ----------
    nodes : array (q,)
        Heritabilities at which f has to be computed.
    weights : array (q, traits)
    error : float
        Largest relative error measured over all h_j and all test functions.
    """

    nodes: Array
    weights: Array
    error: float


def _test_functions(basis: Basis, h2: Array) -> Array:
    """Positive functions of h that span x'M(h)x of any marker, (functions, len(h2)).

    They are 1/v of every distinct row, and x'M(h)x of random markers, which contain the terms
    from the covariates.
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
    """Order of the columns of functions (functions, points) from best to worst as nodes.

    Each column is the one that those before it interpolate worst (QR with column pivoting).
    """
    return np.asarray(scipy.linalg.qr(functions, mode="r", pivoting=True)[1], dtype=np.int64)


@dataclass(frozen=True)
class Candidates:
    """Candidate nodes from best to worst, and the scale of each function in a fit.

    They depend on the covariance only, so that the scores of a trait do not depend on which other
    traits are in its chunk.

    Attributes
    ----------
    h2 : array (points,)
        Heritabilities, the best node first.
    row_scale : array (functions, 1)
        1 / norm of each function over all h, after `relative`.
    """

    h2: Array
    row_scale: Array

    @classmethod
    def of(cls, covariance: Covariance, functions: Callable[[Array], Array]) -> Candidates:
        """Order the points of a fine grid.

        Parameters
        ----------
        covariance : Covariance
        functions : callable
            Takes heritabilities (k,), gives values (functions, k) of what is interpolated.
        """
        coarse = covariance.grid()
        fine = refined(coarse, 4 * len(coarse))
        values, _ = relative(functions(fine))
        row_scale = 1.0 / np.linalg.norm(values, axis=1)[:, None]
        return cls(fine[in_order(row_scale * values)], row_scale)


def relative(functions: Array) -> tuple[Array, Array]:
    """Functions (functions, k) divided by their norm at each h, and the norms (k,).

    Without the division, values of h where functions are large would dominate a fit.
    """
    size = np.linalg.norm(functions, axis=0)
    return functions / size, size


def with_own_nodes(nodes: Array, weights: Array, h2: Array, alone: Index) -> tuple[Array, Array]:
    """Add the heritabilities with the numbers `alone` as nodes, used by themselves only."""
    nodes = np.concatenate([nodes, h2[alone]])
    weights = np.pad(weights, ((0, len(alone)), (0, 0)))
    weights[:, alone] = np.eye(len(nodes))[:, len(nodes) - len(alone) :]
    return nodes, weights


def _solve(basis: Basis, nodes: Array, row_scale: Array, functions: Array) -> tuple[Array, Array]:
    """Weights (q, len(h2)) fitted to functions (functions, len(h2)); relative error at each h."""
    target, size = relative(functions)
    base, base_size = relative(_test_functions(basis, nodes))
    solved = scipy.linalg.lstsq(row_scale * base, row_scale * target)[0]
    error = np.abs((base @ solved) / target - 1.0).max(axis=0)
    return solved * size / base_size[:, None], error


def interpolate(basis: Basis, h2: Array, *, tolerance: float = TOLERANCE) -> Interpolation:
    """Nodes and weights for the heritabilities (traits,) of a group of traits.

    Nodes are added until the largest relative error over all traits is below `tolerance`. The
    heritability of a trait for which this fails becomes a node itself.
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
