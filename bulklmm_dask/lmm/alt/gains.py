r"""Gain in log-likelihood by a marker as a function of h, interpolated from a few nodes.

The gain g(h) = -(n/2) ln(1 - r2(h)) of a marker and a trait is smooth in h, but its curvature
depends on the eigenvalues of the kinship: a large one, even if its eigenvector is nearly the
intercept, bends every curve near h = 0, and small ones near h = 1. Chebyshev nodes are too sparse
there. The nodes are therefore chosen by a pivoted QR decomposition (an interpolative decomposition)
of the curves of pairs simulated with the same eigenvalues and covariates, and their number by the
error measured on other simulated pairs.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import scipy.linalg

from bulklmm_dask.lmm.covariance import Covariance, heritability
from bulklmm_dask.lmm.projection import forms_on_grid
from bulklmm_dask.typing import Array, Index, Real

# Steps from point to point of a curve; divisible by many numbers, so that even strides cover it.
STEPS = 480
# Smallest and largest number of nodes.
_LEAST, _MOST = 8, 48
# Number of simulated pairs.
_PAIRS = 160
# Largest allowed error of a simulated gain below `_STRONG`, in nats; 3e-4 nats are 1.3e-4 LOD. It
# is smaller under REML: there the LOD is not stationary in h2, and its error grows with the square
# root of the error of the likelihood.
_TOLERANCE, _TOLERANCE_REML = 3e-4, 1e-6
# Gain in nats from which on errors are relative to the gain.
_STRONG = 20.0


@dataclass(frozen=True)
class Curve:
    """Heritabilities from 0 to h2_max, dense near both ends.

    At u in [0, 1] the share of the variance that the kinship explains is
    top u^3 / (u^3 + (1-u)^3), and h = share / (share + scale (1 - share)). From one of the STEPS
    points to the next, 1 - h changes by at most a third, down to 1 - h = 1e-5: likelihoods with
    their maximum at a high h2 are narrow.

    Attributes
    ----------
    top : float
        Share of the variance at h2_max.
    scale : float
        Mean eigenvalue of the kinship (`Covariance.scale`).
    h2_max : float
        Upper end of the heritabilities.
    """

    top: float
    scale: float
    h2_max: float

    @classmethod
    def of(cls, covariance: Covariance) -> Curve:
        """Make the curve for the scale and the h2_max of a covariance."""
        top = covariance.share(covariance.h2_max)
        return cls(top, covariance.scale, covariance.h2_max)

    def h2(self, u: npt.NDArray[np.floating]) -> npt.NDArray[np.floating]:
        """Heritabilities at positions u in [0, 1], in the dtype of `u`."""
        cube = u * u * u
        share = self.top * cube / (cube + (1 - u) ** 3)
        return heritability(share, self.scale)

    def points(self) -> Array:
        """All STEPS + 1 heritabilities, both ends exact."""
        h2 = np.asarray(self.h2(np.linspace(0.0, 1.0, STEPS + 1)), dtype=np.float64)
        h2[0], h2[-1] = 0.0, self.h2_max
        return h2


@dataclass(frozen=True)
class GainNodes:
    """Interpolation of gains: g(points[k]) = sum over q of weights[k, q] g(points[index[q]]).

    Attributes
    ----------
    index : array (q,)
        Positions of the nodes among the points of the curve, ascending.
    weights : array (points, q)
        Interpolation weights.
    error : float
        Largest error measured on simulated pairs, in nats of the likelihood.
    """

    index: Index
    weights: Array
    error: float

    def error_of(self, gain: Real) -> Array:
        """Error in nats of curves with these largest gains (pairs,)."""
        return self.error * np.maximum(gain.astype(np.float64) / _STRONG, 1.0)

    @property
    def suffice(self) -> bool:
        """Whether the error is small enough to select by LOD the pairs to be refined."""
        return self.error <= _TOLERANCE


def _simulated(covariance: Covariance, points: Array, seed: int, *, reml: bool) -> Array:
    """Curves (curves, points) of simulated pairs of various h2, markers and effect sizes.

    The curves are the gain of each pair and, under REML, also -1/2 log S_xx of each marker and a
    constant, because log S_xx is defined up to a constant.
    """
    rng = np.random.default_rng(seed)
    lam = covariance.variances([1.0])[:, 0] / covariance.scale  # eigenvalues, mean 1
    size = (covariance.rows, _PAIRS)
    roughness = np.resize([0.0, 0.25, 0.5], _PAIRS)
    x = rng.standard_normal(size) * (lam[:, None] + 1e-12) ** roughness
    h2 = np.resize([0.0, 0.3, 0.6, 0.9, 1.0], _PAIRS) * covariance.h2_max
    y = rng.standard_normal(size) * np.sqrt(covariance.variances(h2))
    strength = rng.permutation(np.resize([0.0, 0.1, 0.2, 0.4, 0.8, 2.0], _PAIRS))
    for a in (x, y):
        a -= covariance.covariates @ (covariance.covariates.T @ a)
        a /= np.maximum(np.linalg.norm(a, axis=0), 1e-300)
    y += strength * x
    sxy, sxx, syy = (forms_on_grid(covariance, a, b, points) for a, b in ((x, y), (x, x), (y, y)))
    r2 = np.minimum(sxy * sxy / (sxx * syy), 1.0 - 1e-12)
    gains = -0.5 * covariance.n * np.log1p(-r2).T
    # Errors of gains above `_STRONG` are taken relative to the gain.
    gains /= np.maximum(gains.max(axis=1, keepdims=True) / _STRONG, 1.0)
    if not reml:
        return gains
    return np.concatenate([gains, -0.5 * np.log(sxx / sxx[:1]).T, np.ones((1, len(points)))])


def gain_nodes(covariance: Covariance, points: Array, *, reml: bool) -> GainNodes:
    """Choose nodes and weights for gains at `points` (p,); under REML for log S_xx as well."""
    train, test = (_simulated(covariance, points, seed, reml=reml) for seed in (0, 1))
    tolerance = _TOLERANCE_REML if reml else _TOLERANCE
    order = scipy.linalg.qr(train, mode="r", pivoting=True)[1]
    for count in range(_LEAST, _MOST + 1):
        index = np.sort(order[:count])
        weights = scipy.linalg.lstsq(train[:, index], train, cond=1e-10)[0].T
        error = float(np.abs(test[:, index] @ weights.T - test).max())
        if error <= tolerance:
            break
    return GainNodes(index, np.ascontiguousarray(weights), error)
