"""Floating-point operations of fits and scans, from sizes alone; a multiplication counts as one.

Only products of matrices and decompositions are counted: what else a step does is measured as time
for each pair or each trait (`engine.calibration`).
"""

from __future__ import annotations

from dataclasses import dataclass

from bulklmm_dask.lmm.components.choice import bulk_kernels
from bulklmm_dask.lmm.components.simplex import count_of_ratios
from bulklmm_dask.lmm.footprint import CURVE, OF_KERNELS
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
# Eigendecompositions of sums of kernels for the nodes of these, and covariances of a mesh.
_RAYS, _MESH = 122, 153
# Covariances that the shares of a trait are climbed through, by itself, and in bulk on average.
_CLIMB, _SETTLED = 15, 3


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
    together : bool
        As in `Footprint`.
    """

    model: ModelOptions
    n_samples: int
    n_covariates: int = 1
    searched: bool = False
    rank: int | None = None
    together: bool = True

    @property
    def _nodes(self) -> int:
        """Nodes of kernels of a fit in bulk; 0 for none."""
        return OF_KERNELS[bulk_kernels(self.model, together=self.together)]

    def basis(self) -> float:
        """Eigendecomposition: about 9 n^3 with divide and conquer.

        `alt-exact` of distinct samples decomposes also the part beside the covariates, and puts
        both together. Of several kernels those of the nodes, or Cholesky factors of a mesh of
        covariances.
        """
        model, cube = self.model, float(self.n_samples**3)
        if model.components:
            return 9.0 * _RAYS * cube if self._nodes else _MESH / 3.0 * cube
        twice = model.alternative and model.grid is None and not self.searched and not self.rank
        return (9.0 + twice * 13.0) * cube

    def fit(self, traits: int) -> float:
        """Null models of traits: their rotation, and likelihoods on a grid."""
        n, model = self.n_samples, self.model
        if model.components:
            climbs = _SETTLED if self._nodes else _CLIMB
            return traits * (2.0 * climbs * n**3 + 4.0 * self._nodes * n**2)
        points = _GRID if model.grid is None else len(model.grid)
        points += CURVE * (self.searched and model.alternative and model.grid is None)
        return 2.0 * n * traits * (n + points * (2 * self.n_covariates + 2))

    def rotation(self, variants: int) -> float:
        """Rotation of markers into the eigenbasis; of several kernels, to their nodes."""
        each = 1.0 + self._nodes / 2.0
        return 2.0 * variants * self.model.columns * self.n_samples**2 * each

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
        if model.components:  # nodes, or the markers whitened for each trait
            each = n + self._nodes if self._nodes else (n + 1.0) * n * model.columns
            return 2.0 * variants * traits * each
        each = n * model.columns + _BETWEEN * model.columns * (model.columns + 1) / 2
        return 2.0 * variants * traits * each

    def permuted(self, variants: float, traits: int, count: int) -> float:
        """Scores of permuted traits."""
        rows = self.rank or self.n_samples
        return 2.0 * variants * rows * self.model.columns * traits * count

    def permuting(self, traits: int, count: int) -> float:
        """Rotation of permuted traits, and their likelihoods; for each ratio of several kernels."""
        n = self.n_samples
        estimated = n + _REFIT * (self.n_covariates + 1)
        if self.model.components:
            estimated *= 1 + count_of_ratios(self.model.components - 1)
        return 2.0 * n * estimated * traits * count

    def ratios(self, variants: int) -> float:
        """Eigenbases of a part of permutations with several kernels, and its markers in each."""
        if not self.model.components:
            return 0.0
        n = self.n_samples
        return count_of_ratios(self.model.components - 1) * (9.0 * n**3 + 2.0 * variants * n**2)
