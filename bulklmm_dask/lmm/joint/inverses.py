r"""Inverses of X'M(h)X of many markers, computed at a few nodes of h and interpolated.

Let N be an orthonormal basis of the space orthogonal to the covariates, so that
M(h) = N (N'V(h)N)^-1 N', and let [a, b] contain all eigenvalues of K~ = N'KN. For orthonormal
columns X orthogonal to the covariates, the inverse P(h) = (X'M(h)X)^-1 is a Schur complement of
h K~ + (1 - h) I. Hence

P(h) = (1 - h) I + h B + sum_m D_m h (1 - h) / (mu_m h + 1 - h),

with poles mu_m in [a, b] and positive semi-definite matrices B >= a I and D_m that satisfy
B + sum_m D_m <= b I. For every marker, b'P(h)b / b'b is therefore a convex combination of the
functions of `_corners`: interpolation weights that reproduce these functions within a relative
error reproduce every such form within the same error.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import scipy.linalg

from bulklmm_dask.lmm.covariance import Covariance, Spectrum
from bulklmm_dask.lmm.interpolate import FEW, Candidates, Interpolation, relative, with_own_nodes
from bulklmm_dask.lmm.projection import covariate_gram
from bulklmm_dask.typing import Array

# Largest relative error of the functions.
TOLERANCE = 1e-9
# Largest number of nodes, and how many are added at a time.
_MOST = 60
_STEP = 2
# Number of poles mu among the functions.
_POLES = 80
# Singular values below this share of the largest are left out of a fit, which would otherwise give
# large cancelling weights that amplify rounding errors.
_LEAST = 1e-12
# Share of the heritabilities that may be fitted separately.
_SHARE_ALONE = 0.1


@dataclass(frozen=True)
class InverseInterpolation(Interpolation):
    """Nodes and weights for the inverses P(h).

    Attributes
    ----------
    growth : float
        Largest factor by which rounding errors of the values at the nodes are amplified.
    """

    growth: float


def interpolate_inverses(
    spectrum: Spectrum, h2: Array, eigenvalues: tuple[float, float]
) -> InverseInterpolation:
    """Nodes and weights for b'P(h)b at the heritabilities (traits,) of a group of traits.

    Parameters
    ----------
    spectrum : Spectrum
        Eigenvalues and covariates in the rows of the designs.
    h2 : array (traits,)
        Heritabilities.
    eigenvalues : tuple of float
        Smallest and largest eigenvalue of K~ (`eigenvalue_range`).
    """
    distinct, where = np.unique(h2, return_inverse=True)
    if len(distinct) <= FEW:
        return InverseInterpolation(distinct, np.eye(len(distinct))[:, where], 0.0, 1.0)
    ladder = _poles(*eigenvalues, spectrum.h2_max)
    candidates = Candidates.of(spectrum, lambda points: _corners(ladder, points))
    target = _corners(ladder, distinct)
    for count in range(FEW, _MOST + 1, _STEP):
        nodes = candidates.h2[:count]
        base = _corners(ladder, nodes)
        weights = _fit_together(base, target, candidates.row_scale)
        error = np.abs((base @ weights) / target - 1.0).max(axis=0)
        bad = np.flatnonzero(error > TOLERANCE)
        if len(bad) <= FEW + _SHARE_ALONE * len(distinct):
            for j in bad:
                weights[:, j] = _fit_one(base, target[:, j])
            error[bad] = np.abs((base @ weights[:, bad]) / target[:, bad] - 1.0).max(axis=0)
            if error.max() <= TOLERANCE:
                break
    growth = ((base @ np.abs(weights)) / target).max(axis=0)
    alone = np.flatnonzero(error > TOLERANCE)
    nodes, weights = with_own_nodes(nodes, weights, distinct, alone)
    error[alone], growth[alone] = 0.0, 1.0
    return InverseInterpolation(nodes, weights[:, where], float(error.max()), float(growth.max()))


def _fit_together(base: Array, target: Array, scale: Array) -> Array:
    """Weights (q, len(h2)) from `base` (functions, q) to `target` (functions, len(h2)), one fit.

    Functions are divided by their norm at each h (`relative`).
    """
    (left, base_size), (right, size) = relative(base), relative(target)
    solved: Array = scipy.linalg.lstsq(scale * left, scale * right, cond=_LEAST)[0]
    return solved * size / base_size[:, None]


def _fit_one(base: Array, target: Array) -> Array:
    """Weights (q,) for one h, with each function divided by its own value.

    Needed where functions differ by orders of magnitude.
    """
    left, size = relative(base / target[:, None])
    solved: Array = scipy.linalg.lstsq(left, np.ones(len(base)), cond=_LEAST)[0]
    return solved / size


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


def _poles(low: float, high: float, h2_max: float) -> Array:
    """Array (2 + poles,): low, high, and candidates for the poles mu between them."""
    # For mu below `least`, h (1 - h) / (mu h + 1 - h) is nearly h for every h up to h2_max.
    least = low if low > 0.0 else min(1e-8 * high, 1e-3 * (1.0 - h2_max) / h2_max)
    # Denser towards both ends, where functions with poles between two candidates are fitted worst.
    place = 0.5 - 0.5 * np.cos(np.linspace(0.0, np.pi, _POLES))
    return np.concatenate([[low, high], least * (high / least) ** place])


def _corners(ladder: Array, h2: Array) -> Array:
    """Functions of which every b'P(h)b / b'b is a convex combination, (functions, len(h2))."""
    low, high, mu = ladder[0], ladder[1], ladder[2:, None]
    least = (1.0 - h2) + low * h2
    spread = (high - low) * h2
    return np.concatenate(
        [least[None], (least + spread)[None], least + spread * (1.0 - h2) / (mu * h2 + 1.0 - h2)]
    )


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
