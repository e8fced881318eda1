"""Floating-point operations of fits and scans, from sizes alone; a multiplication counts as one.

Only products of matrices and decompositions are counted: what else a step does is measured as time
for each pair or each trait (`engine.calibration`).
"""

from __future__ import annotations

from dataclasses import dataclass

from bulklmm_dask.lmm.footprint import CURVE
from bulklmm_dask.lmm.options import ModelOptions

# Points of a likelihood curve on the whole interval.
_GRID = 55
# Products of `alt-exact` over the samples, one in double precision, and over few terms.
_SERIES, _TERMS = 2.5, 115
# Nodes of gains of `alt-exact` where they are interpolated, and points that they are taken to.
_NODES, _ROW = 48, 33
# Nodes that variations of markers are interpolated from.
_BETWEEN = 36
# Points of the curve of a permuted trait.
_REFIT = 41


@dataclass(frozen=True)
class Operations:
    """Operations of the steps of one model.

    Attributes
    ----------
    model : ModelOptions
        What is estimated and tested.
    n_samples, n_covariates : int
        Samples, and columns of covariates with the intercept.
    searched : bool
        As in `Footprint`.
    rank : int or None
        Rank of the kinship, if it is lower than the number of samples: scores have so many rows.
    """

    model: ModelOptions
    n_samples: int
    n_covariates: int = 1
    searched: bool = False
    rank: int | None = None

    def basis(self) -> float:
        """Eigendecomposition: about 9 n^3 with divide and conquer.

        `alt-exact` of distinct samples decomposes also the part beside the covariates, and puts
        both together.
        """
        model = self.model
        twice = model.alternative and model.grid is None and not self.searched and not self.rank
        return (9.0 + twice * 13.0) * self.n_samples**3

    def fit(self, traits: int) -> float:
        """Null models of traits: their rotation, and likelihoods on a grid."""
        n, model = self.n_samples, self.model
        points = _GRID if model.grid is None else len(model.grid)
        points += CURVE * (self.searched and model.alternative and model.grid is None)
        return 2.0 * n * traits * (n + points * (2 * self.n_covariates + 2))

    def rotation(self, variants: int) -> float:
        """Rotation of markers into the eigenbasis."""
        return 2.0 * variants * self.model.columns * self.n_samples**2

    def products(self, variants: int, traits: int) -> float:
        """Scores of all pairs, and what is interpolated for each."""
        n, model = self.rank or self.n_samples, self.model
        if model.alternative:
            if model.grid is not None:
                each = float(n * len(model.grid))
            elif self.searched:
                each = float(_NODES * (n + _ROW * (1 + model.reml)))
            else:
                each = _SERIES * n + _TERMS
            return 2.0 * variants * traits * each
        each = n * model.columns + _BETWEEN * model.columns * (model.columns + 1) / 2
        return 2.0 * variants * traits * each

    def permuted(self, variants: float, traits: int, count: int) -> float:
        """Scores of permuted traits."""
        rows = self.rank or self.n_samples
        return 2.0 * variants * rows * self.model.columns * traits * count

    def permuting(self, traits: int, count: int) -> float:
        """Rotation of permuted traits, and their likelihoods."""
        n = self.n_samples
        return 2.0 * n * (n + _REFIT * (self.n_covariates + 1)) * traits * count
