r"""Gain of a marker as a function of h: few nodes from which the whole curve is interpolated.

g(h) = -ln(1 - r2(h)) of a marker and a trait is smooth in h, but how fast it may turn depends on
the eigenvalues: a large one, even if its vector is nearly the intercept, bends every curve near
h = 0, and small ones near h = 1. Chebyshev nodes waste most of their strength elsewhere. Nodes
are taken by a pivoted QR decomposition of the curves of simulated pairs in this very basis
(an interpolative decomposition), and their number by the error measured on other such pairs.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import scipy.linalg

from bulklmm_dask.lmm.covariance import Covariance, heritability
from bulklmm_dask.lmm.interpolate import in_order
from bulklmm_dask.lmm.projection import forms_on_grid
from bulklmm_dask.typing import Array, Index

# Steps of a curve; divisible by many numbers, it can be walked in even strides.
STEPS = 480
_LEAST, _MOST = 8, 48
_PAIRS = 160
# Largest error of a simulated pair in nats, where its gain is below 20: 1.3e-4 of LOD. A LOD that
# is not stationary at its h2 moves with the root of the error.
_TOLERANCE, _TOLERANCE_REML = 3e-4, 1e-6
_STRONG = 20.0


@dataclass(frozen=True)
class Curve:
    """Heritabilities from 0 to h2_max, dense near both ends.

    At u in [0, 1] the share of the variance that the kinship explains is
    top u^3 / (u^3 + (1-u)^3), and h = share / (share + scale (1 - share)). Steps of u are then
    steps of at most a third in 1 - h down to 1e-5, where likelihoods of high h2 are narrow.
    """

    top: float
    scale: float
    h2_max: float

    @classmethod
    def of(cls, covariance: Covariance) -> Curve:
        """Fit the curve to the scale of a kinship."""
        top = covariance.share(covariance.h2_max)
        return cls(top, covariance.scale, covariance.h2_max)

    def h2(self, u: npt.NDArray[np.floating]) -> npt.NDArray[np.floating]:
        """Heritability at u, in the precision of `u`."""
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
    """g(points_k) = sum over q of weights_kq g(points[index_q]).

    Attributes
    ----------
    index : array (q,)
        Nodes among the points of the curve, ascending.
    weights : array (points, q)
    error : float
        Largest error measured on simulated pairs, in nats of the likelihood.
    """

    index: Index
    weights: Array
    error: float

    @property
    def suffice(self) -> bool:
        """Whether that error is small enough to tell which pairs deserve a closer look."""
        return self.error <= _TOLERANCE


def _simulated(covariance: Covariance, points: Array, seed: int, *, reml: bool) -> Array:
    """Curves of simulated pairs (curves, points): any h2, smooth or rough markers, any strength.

    n/2 g of each pair; under REML also -1/2 log S_xx of each marker, and a constant, which it is
    known up to.
    """
    rng = np.random.default_rng(seed)
    lam = covariance.variances([1.0])[:, 0] / covariance.scale  # of the kinship alone
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
    # A strong pair's error counts relative to its gain.
    gains /= np.maximum(gains.max(axis=1, keepdims=True) / _STRONG, 1.0)
    if not reml:
        return gains
    return np.concatenate([gains, -0.5 * np.log(sxx / sxx[:1]).T, np.ones((1, len(points)))])


def gain_nodes(covariance: Covariance, points: Array, *, reml: bool) -> GainNodes:
    """Choose nodes and weights for the gains of a basis; under REML for log S_xx as well."""
    train, test = (_simulated(covariance, points, seed, reml=reml) for seed in (0, 1))
    tolerance = _TOLERANCE_REML if reml else _TOLERANCE
    order = in_order(train)
    for count in range(_LEAST, _MOST + 1):
        index = np.sort(order[:count])
        weights = scipy.linalg.lstsq(train[:, index], train, cond=1e-10)[0].T
        error = float(np.abs(test[:, index] @ weights.T - test).max())
        if error <= tolerance:
            break
    return GainNodes(index, np.ascontiguousarray(weights), error)
