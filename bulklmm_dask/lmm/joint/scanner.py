"""Scanner of several columns per marker: genotypes, and their products with covariates."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Self

import numpy as np

from bulklmm_dask.lmm.basis import Basis
from bulklmm_dask.lmm.joint.design import prepare_designs
from bulklmm_dask.lmm.joint.effects import MultiEffects
from bulklmm_dask.lmm.joint.scan import MultiScan
from bulklmm_dask.lmm.null.fit import NullModel
from bulklmm_dask.lmm.options import ModelOptions
from bulklmm_dask.typing import Array, Columns


@dataclass(frozen=True)
class JointScan:
    """Scanner of several columns per marker for the traits of one group.

    Attributes
    ----------
    multi : MultiScan
        Computes the LOD scores.
    modifiers : array (n, q)
        Covariates whose product with the genotype is tested together with it.
    additive : int or None
        Number of columns that are not products, if the interaction is to be tested by itself.
    effects : MultiEffects or None
        Computes effects, if requested. Without interactions it gives effects of all genotypes, in
        a model without intercept.
    """

    multi: MultiScan
    modifiers: Array
    additive: int | None
    effects: MultiEffects | None

    @classmethod
    def of(
        cls,
        basis: Basis,
        model: NullModel,
        y: Array,
        covariates: Array,
        modifiers: Array,
        options: ModelOptions,
    ) -> Self:
        """Make the scanner of the traits that have a null model.

        All arrays are as measured: traits `y` (n, traits), `covariates` (n, c) with the intercept
        first, and `modifiers` (n, q), the covariates whose product with the genotype is tested.
        """
        effects = None
        if options.with_effects:
            other = basis
            if not options.interactions:
                other = basis.with_covariates(covariates[:, 1:])
            effects = MultiEffects.of(other, y, model.h2[model.fitted])
        return cls(
            MultiScan.of(basis, model),
            modifiers,
            options.additive if "lod_interaction" in options.wanted else None,
            effects,
        )

    def scan(self, x: Array, *, single: bool) -> Columns:
        """Statistics of every pair, (variants, traits, ...), degrees of freedom among them.

        Parameters
        ----------
        x : array (variants, n) or (variants, n, genotypes)
            Dosages or genotype probabilities, none missing.
        single : bool
            Compute matrix products in single precision.
        """
        designs = prepare_designs(self.multi.basis, _columns(x, self.modifiers))
        found: Columns = dict(self.multi.scan(designs, single=single, additive=self.additive))
        found["df"] = np.broadcast_to(designs.df[:, None], found["lod"].shape)
        if self.effects is not None:
            if not self.modifiers.size:
                columns = x.transpose(0, 2, 1)
                designs = prepare_designs(self.effects.basis, columns, centre=False)
            found |= self.effects.scan(designs)
        return found


def _columns(x: Array, modifiers: Array) -> Array:
    """Tested columns of every marker, (variants, d, n): genotypes but the first, then products."""
    genotypes = x[:, None] if x.ndim == 2 else x.transpose(0, 2, 1)[:, 1:]
    return np.concatenate([genotypes, *(genotypes * m for m in modifiers.T)], axis=1)
