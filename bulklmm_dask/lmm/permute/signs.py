r"""Null traits that keep their h2 and their correlations: signs of independent directions change.

With the covariates projected out, the eigenvectors of the kinship are directions of the samples in
which every trait varies independently, whatever its h2. To change the sign of all traits along some
of them changes neither the joint distribution of the traits under the mixed model nor any h2, but
what a marker explains is lost.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Self

import numpy as np

from bulklmm_dask.lmm.basis import independent_columns
from bulklmm_dask.lmm.samples import Samples
from bulklmm_dask.typing import Array

# A trait of which the directions hold less than this share, squared, lies among the covariates.
_NO_VARIATION = 1e-20


def random_signs(seed: int, number: int, size: int) -> Array:
    """Signs (size,), -1 or 1, of null data set `number`; each number has a stream of its own."""
    return np.random.default_rng([seed, number]).choice([-1.0, 1.0], size)


@dataclass(frozen=True)
class Directions:
    """Orthonormal directions of samples, multiplied by their weights, free of the covariates.

    Attributes
    ----------
    covariates : array (samples, c)
        As measured, with the intercept; NaN where a sample lacks one.
    weighted : array (samples, k)
        Directions times the weights: their products with traits as measured are coordinates.
    back : array (samples, k)
        Directions over the weights: their products with coordinates are traits.
    """

    covariates: Array
    weighted: Array
    back: Array

    @classmethod
    def of(cls, samples: Samples) -> Self:
        """Eigenvectors of the kinship between the directions that the covariates leave.

        Those of the largest eigenvalues come first. Samples that lack a covariate have no part in
        any direction. Without a kinship all directions are alike.
        """
        weights = np.ones(len(samples)) if samples.weights is None else samples.weights
        rows = np.flatnonzero(samples.complete)
        columns, _ = independent_columns(samples.covariates[rows] * weights[rows, None])
        free = np.linalg.qr(columns, mode="complete")[0][:, columns.shape[1] :]
        if samples.kinship is not None:
            relation = samples.kinship[np.ix_(rows, rows)] * np.outer(weights[rows], weights[rows])
            free = free @ np.linalg.eigh(free.T @ relation @ free)[1][:, ::-1]
        directions = np.zeros((len(samples), free.shape[1]))
        directions[rows] = free
        return cls(samples.covariates, directions * weights[:, None], directions / weights[:, None])

    @property
    def count(self) -> int:
        """Number of directions k."""
        return self.back.shape[1]

    def coordinates(self, traits: Array) -> Array:
        """Coordinates (traits, k) of traits (traits, samples); NaN for those without variation.

        A missing value stands for its mean given the covariates, by least squares.
        """
        filled = np.array(traits, dtype=np.float64)
        known = ~np.isnan(filled) & ~np.isnan(self.covariates).any(axis=1)
        for pattern in np.unique(known[~known.all(axis=1)], axis=0):
            mine = (known == pattern).all(axis=1)
            values = filled[np.ix_(mine, pattern)].T
            fitted = np.linalg.lstsq(self.covariates[pattern], values, rcond=None)[0]
            means = np.nan_to_num(self.covariates[~pattern]) @ fitted
            filled[np.ix_(mine, ~pattern)] = means.T
        found = filled @ self.weighted
        size = np.einsum("ts,ts->t", filled, filled)
        found[np.einsum("tk,tk->t", found, found) <= _NO_VARIATION * size] = np.nan
        return found

    def with_signs(self, signs: Array) -> Array:
        """Matrix (samples, k) that takes coordinates to traits with these signs (k or more,)."""
        return np.asarray(self.back * signs[: self.count])
