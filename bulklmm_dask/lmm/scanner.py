"""Scanners: traits of one group of samples, ready for any block of markers, whatever the method."""

from __future__ import annotations

from typing import Protocol

import numpy as np

from bulklmm_dask.lmm.alt.scan import AltExact, AltGrid
from bulklmm_dask.lmm.basis import Basis
from bulklmm_dask.lmm.joint.scanner import JointScan
from bulklmm_dask.lmm.null.fit import NullModel
from bulklmm_dask.lmm.null.scan import NullScan
from bulklmm_dask.lmm.options import ModelOptions
from bulklmm_dask.typing import Array, Columns


class Scanner(Protocol):
    """What is scanned: the traits of one group, with everything the method needs of them."""

    def scan(self, genotypes: Array, *, single: bool) -> Columns:
        """Statistics of every pair, (variants, traits, ...), under their names.

        All that were asked for and do not follow from the LOD (`statistics`): always ``lod``.

        Parameters
        ----------
        genotypes : array (variants, n) or (variants, n, genotypes)
            Dosages or probabilities of the n samples of the group, none missing.
        single : bool
            Multiply in single precision.
        """


def make_scanner(
    basis: Basis,
    model: NullModel,
    options: ModelOptions,
    *,
    y: Array,
    covariates: Array,
    interacting: tuple[int, ...] = (),
) -> Scanner:
    """Scanner of the traits that a null model could be fitted to.

    Parameters
    ----------
    basis : Basis
        Of the n samples of the group.
    model : NullModel
    options : ModelOptions
        Decide which scanner it is, and what it computes.
    y : array (n, traits)
        These traits as measured.
    covariates : array (n, c)
        As measured, the intercept first.
    interacting : tuple of int
        Columns of the covariates whose product with the genotype is tested along.
    """
    if options.joint:
        modifiers = covariates[:, list(interacting)]
        return JointScan.of(basis, model, y, covariates, modifiers, options)
    effects = options.with_effects
    if not options.alternative:
        return NullScan.of(basis, model, effects=effects)
    if options.grid is not None:
        grid = np.array(options.grid)
        return AltGrid.of(basis, model, grid, reml=options.reml, effects=effects)
    above = options.refine_above
    return AltExact.of(basis, model, reml=options.reml, refine_above=above, effects=effects)
