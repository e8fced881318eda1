"""Scanners: traits of one group of samples, ready for any block of markers, whatever the method."""

from __future__ import annotations

from typing import Protocol

import numpy as np

from bulklmm_dask.lmm.alt.scan import AltExact, AltGrid
from bulklmm_dask.lmm.groups import FittedGroup
from bulklmm_dask.lmm.joint.scanner import JointScan
from bulklmm_dask.lmm.null.scan import NullScan
from bulklmm_dask.lmm.options import ModelOptions
from bulklmm_dask.lmm.samples import Samples
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
    group: FittedGroup, options: ModelOptions, traits: Array, samples: Samples
) -> Scanner:
    """Scanner of the traits of a group.

    Parameters
    ----------
    group : FittedGroup
        With the basis of its samples and the null models of its traits.
    options : ModelOptions
        Decide which scanner it is, and what it computes.
    traits : array (samples, traits)
        The chunk that the group was fitted in, as measured.
    samples : Samples
        Those of the chunk.
    """
    basis, model = group.basis, group.model
    if options.joint:
        y, covariates = traits[np.ix_(group.rows, group.columns)], samples.covariates[group.rows]
        modifiers = covariates[:, list(samples.interacting)]
        return JointScan.of(basis, model, y, covariates, modifiers, options)
    effects = options.with_effects
    if not options.alternative:
        return NullScan.of(basis, model, effects=effects)
    if options.grid is not None:
        grid = np.array(options.grid)
        return AltGrid.of(basis, model, grid, reml=options.reml, effects=effects)
    above = options.refine_above
    return AltExact.of(basis, model, reml=options.reml, refine_above=above, effects=effects)
