"""Scanner of several columns per marker: genotypes, and their products with covariates."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Self

import numpy as np

from bulklmm_dask.lmm.basis import Basis
from bulklmm_dask.lmm.columns import centred
from bulklmm_dask.lmm.joint.absent import without_absent
from bulklmm_dask.lmm.joint.design import Designs, prepare_designs
from bulklmm_dask.lmm.joint.effects import MultiEffects
from bulklmm_dask.lmm.joint.reference import in_first_place, tested_genotypes
from bulklmm_dask.lmm.joint.scan import MultiScan
from bulklmm_dask.lmm.null.fit import NullModel
from bulklmm_dask.lmm.options import ModelOptions
from bulklmm_dask.lmm.powers import back, in_range
from bulklmm_dask.typing import Array, Columns, Index


@dataclass(frozen=True)
class JointScan:
    """Scanner of several columns per marker for the traits of one group.

    Attributes
    ----------
    multi : MultiScan
        Computes the LOD scores.
    modifiers : array (n, q)
        Covariates whose product with the genotype is tested together with it, divided by
        2^exponent.
    exponent : array (q,) of int
        Powers of two (`powers`); mostly 0.
    additive : int or None
        Number of columns that are not products, if the interaction is to be tested by itself.
    effects : MultiEffects or None
        Computes effects, if requested. Without interactions it gives effects of all genotypes, in
        a model without intercept.
    """

    multi: MultiScan
    modifiers: Array
    exponent: Index
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
        y, size = in_range(y)
        if options.with_effects:
            other, values = basis, y - y.mean(axis=0)
            if not options.interactions:
                other, values = basis.with_covariates(covariates[:, 1:]), y
            effects = MultiEffects.of(other, values, model.h2[model.fitted], size)
        return cls(
            MultiScan.of(basis, model),
            *in_range(modifiers),
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

        Genotypes that no sample has count as absent (`absent`).
        """
        x = without_absent(x) if x.ndim == 3 else x
        designs = self._designs(x)
        found: Columns = dict(self.multi.scan(designs, single=single, additive=self.additive))
        found["df"] = np.broadcast_to(designs.df[:, None], found["lod"].shape)
        if self.effects is not None:
            if not self.modifiers.size:
                columns = x.transpose(0, 2, 1)
                designs = prepare_designs(self.effects.basis, columns, centre=False)
            # Effects of products are those of products as measured.
            power = np.append(0, self.exponent).repeat(designs.columns.shape[1] // self._blocks)
            effects = self.effects.scan(designs)
            found |= {name: back(values, -power) for name, values in effects.items()}
        return found

    @property
    def _blocks(self) -> int:
        """Number of blocks of columns of a marker: its genotypes, and each of their products."""
        return 1 + self.modifiers.shape[1]

    def _designs(self, x: Array) -> Designs:
        """Tested columns of every marker: genotypes but one, then their products.

        They are products with centred covariates: beside the genotypes these have the same span,
        and far from 0 a product as measured is nearly a multiple of the genotype. The transform is
        that of the genotypes but the first and of the products as measured.
        """
        none = np.empty(0, dtype=np.int64)
        genotypes, markers, places = (
            (x[:, None], none, none) if x.ndim == 2 else tested_genotypes(x)
        )
        products = (genotypes * m for m in centred(self.modifiers).T)
        designs = prepare_designs(self.multi.basis, np.concatenate([genotypes, *products], axis=1))
        k = genotypes.shape[1]
        as_measured = np.eye(designs.columns.shape[1])
        for q, mean in enumerate(self.modifiers.mean(axis=0), start=1):
            as_measured[q * k : (q + 1) * k, :k] = -mean * np.eye(k)
        swapped = in_first_place(self._blocks, k, markers, places, len(x))
        return replace(designs, transform=designs.transform @ as_measured @ swapped)
