r"""Null traits with unchanged h2 and correlations, made by changing signs along eigenvectors.

After projecting out the covariates, the coordinates of a trait along the eigenvectors of the
kinship are independent, whatever its h2. Changing the sign of all traits along some eigenvectors
therefore changes neither the joint distribution of the traits under the mixed model nor any h2, but
removes the association with the markers.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Self

import numpy as np

from bulklmm_dask.lmm.columns import independent_columns, least_left
from bulklmm_dask.lmm.powers import in_range
from bulklmm_dask.lmm.samples import Samples
from bulklmm_dask.typing import Array

# A trait is explained by the covariates if the directions hold less than this share of its squares.
_NO_VARIATION = 1e-20


def random_signs(seed: int, number: int, size: int) -> Array:
    """Signs (size,), -1 or 1, of null data set `number`, each from its own random stream."""
    return np.random.default_rng([seed, number]).choice([-1.0, 1.0], size)


@dataclass(frozen=True)
class Directions:
    """Eigenvectors of the (weighted) kinship, orthogonal to the covariates.

    Attributes
    ----------
    covariates : array (samples, c)
        Orthonormal columns that span the weighted covariates, divided by the weights; NaN for
        samples that lack a covariate.
    weighted : array (samples, k)
        Directions times the weights: traits as measured, multiplied by it, give coordinates.
    back : array (samples, k)
        Directions divided by the weights: it turns coordinates into traits as measured.
    """

    covariates: Array
    weighted: Array
    back: Array

    @classmethod
    def of(cls, samples: Samples) -> Self:
        """Eigenvectors of the kinship projected off the covariates, largest eigenvalue first.

        They are 0 for samples that lack a covariate. Without a kinship any orthonormal basis
        orthogonal to the covariates is used.
        """
        weights = np.ones(len(samples)) if samples.weights is None else samples.weights
        rows = np.flatnonzero(samples.complete)
        columns, _ = independent_columns(samples.covariates[rows], weights[rows])
        free = np.linalg.qr(columns, mode="complete")[0][:, columns.shape[1] :]
        if samples.kinship is not None:
            relation = samples.kinship[np.ix_(rows, rows)] * np.outer(weights[rows], weights[rows])
            free = free @ np.linalg.eigh(free.T @ relation @ free)[1][:, ::-1]
        directions = np.zeros((len(samples), free.shape[1]))
        directions[rows] = free
        covariates = np.full((len(samples), columns.shape[1]), np.nan)
        covariates[rows] = columns / weights[rows, None]
        return cls(covariates, directions * weights[:, None], directions / weights[:, None])

    @property
    def count(self) -> int:
        """Number of directions k."""
        return self.back.shape[1]

    def coordinates(self, traits: Array) -> Array:
        """Coordinates (traits, k) of traits (traits, samples); NaN for those without variation.

        Extreme traits are divided by a power of two, which changes no LOD. A missing value is
        replaced by its least-squares prediction from the covariates.
        """
        filled = in_range(np.array(traits, dtype=np.float64).T)[0].T
        complete = ~np.isnan(self.covariates).any(axis=1)
        known = ~np.isnan(filled) & complete
        for pattern in np.unique(known[~known.all(axis=1)], axis=0):
            mine = (known == pattern).all(axis=1)
            values = filled[np.ix_(mine, pattern)].T
            fitted = np.linalg.lstsq(self.covariates[pattern], values, rcond=None)[0]
            means = np.nan_to_num(self.covariates[~pattern]) @ fitted
            filled[np.ix_(mine, ~pattern)] = means.T
        filled[:, ~complete] = 0.0
        mean = filled[:, complete].mean(axis=1, keepdims=True)
        deviations = np.where(complete, filled - mean, 0.0)
        found = deviations @ self.weighted
        left, size, raw = (np.einsum("tk,tk->t", x, x) for x in (found, deviations, filled))
        found[left <= least_left(size, raw, _NO_VARIATION)] = np.nan
        return found

    def with_signs(self, signs: Array) -> Array:
        """Matrix (samples, k) from coordinates to traits, its columns times the first k signs."""
        return np.asarray(self.back * signs[: self.count])
