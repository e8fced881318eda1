"""A marker as several columns tested together: genotypes, and their products with covariates."""

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
    """Traits of one group, ready for the genotypes of any block of markers.

    Attributes
    ----------
    multi : MultiScan
    modifiers : array (n, q)
        Covariates whose product with the genotype is tested along.
    additive : int or None
        Number of columns without the products, if the test of these alone is wanted.
    effects : MultiEffects or None
        If effects are wanted; of all genotypes, without an intercept, where nothing interacts.
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
        """Prepare the traits that a null model could be fitted to.

        `y` (n, traits), `covariates` (n, c), the intercept first, and those among them whose
        product with the genotype is tested, `modifiers` (n, q), as measured.
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
        """Statistics of every pair, (variants, traits, ...), and their degrees of freedom.

        Parameters
        ----------
        x : array (variants, n) or (variants, n, genotypes)
            Dosages or probabilities of genotypes, none missing.
        single : bool
            Multiply in single precision.
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
    """What is tested of every marker, (variants, d, n): genotypes but the first, then products."""
    genotypes = x[:, None] if x.ndim == 2 else x.transpose(0, 2, 1)[:, 1:]
    return np.concatenate([genotypes, *(genotypes * m for m in modifiers.T)], axis=1)
