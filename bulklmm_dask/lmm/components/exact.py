r"""LOD scores of the null methods with several kernels: every trait whitened by its own covariance.

The shares h of a trait are those of largest likelihood without a marker. With V(h) its covariance,

    LOD = -(n/2) log10(1 - r2),  r2 = (x'My)^2 / (x'Mx y'My),

M the projection off the covariates in the metric of V(h), as with one kinship. Here V(h) is
factored for every trait and all markers are multiplied by its inverse root (`whitened`), 2 n^2
operations a marker and trait: whatever the null scanners test and report follows.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from bulklmm_dask.lmm.components.kernels import RotatedKernels
from bulklmm_dask.lmm.components.whitened import null_model, whiten
from bulklmm_dask.lmm.groups import FittedGroup
from bulklmm_dask.lmm.options import ModelOptions
from bulklmm_dask.lmm.samples import Samples
from bulklmm_dask.lmm.scanner import Scanner, make_scanner
from bulklmm_dask.typing import Array, Columns, Index


@dataclass(frozen=True)
class ComponentScan:
    """Scanner of traits measured on the same n samples, one after the other.

    Attributes
    ----------
    kernels : RotatedKernels
        Kernels of the samples.
    samples : Samples
        The samples without a kinship: covariates, and those that interact with a marker.
    traits : array (n, traits)
        Values as measured.
    inner : array (k + 1, traits)
        Weights of the corners of the admissible shares (`RotatedKernels.vertices`).
    sigma2 : array (traits,)
        Total variances.
    options : ModelOptions
        What is tested.
    """

    kernels: RotatedKernels
    samples: Samples
    traits: Array
    inner: Array
    sigma2: Array
    options: ModelOptions

    def scan(self, genotypes: Array, *, single: bool) -> Columns:
        """Statistics of every pair, (variants, traits, ...), by name (`Scanner`)."""
        each = [
            self.whitened(place).scan(genotypes, single=single)
            for place in range(self.traits.shape[1])
        ]
        return {name: np.concatenate([one[name] for one in each], axis=1) for name in each[0]}

    def whitened(self, place: int) -> Scanner:
        """The scanner of one trait, in the samples whitened by its covariance."""
        y = self.traits[:, [place]]
        basis = whiten(self.kernels, self.inner[:, place])
        model = null_model(basis, y[:, 0], float(self.sigma2[place]))
        alone = FittedGroup(np.arange(len(y)), np.zeros(1, np.int64), basis, model)
        return make_scanner(alone, self.options, y, self.samples)

    def take(self, places: Index) -> ComponentScan:
        """The scanner of some of the traits."""
        return replace(
            self,
            traits=self.traits[:, places],
            inner=self.inner[:, places],
            sigma2=self.sigma2[places],
        )
