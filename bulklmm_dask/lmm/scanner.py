"""Interface of the scanners of all methods, and the choice of the scanner for a group of traits."""

from __future__ import annotations

from typing import Protocol

import numpy as np

from bulklmm_dask.lmm.alt.exact import AltExact
from bulklmm_dask.lmm.alt.grid import AltGrid
from bulklmm_dask.lmm.alt.search import AltSearch
from bulklmm_dask.lmm.few.choice import is_few
from bulklmm_dask.lmm.few.scan import FewScan, serves
from bulklmm_dask.lmm.groups import FittedGroup
from bulklmm_dask.lmm.joint.scanner import JointScan
from bulklmm_dask.lmm.null.scan import NullScan
from bulklmm_dask.lmm.options import ModelOptions
from bulklmm_dask.lmm.samples import Samples
from bulklmm_dask.typing import Array, Columns


class Scanner(Protocol):
    """Tests the fitted traits of one group of samples against any block of markers."""

    def scan(self, genotypes: Array, *, single: bool) -> Columns:
        """Statistics of every pair, (variants, traits, ...), by name.

        ``lod``, and the requested statistics that are not derived from it (`statistics`).

        Parameters
        ----------
        genotypes : array (variants, n) or (variants, n, genotypes)
            Dosages or genotype probabilities of the n samples of the group, none missing.
        single : bool
            Compute matrix products in single precision.
        """


def make_scanner(
    group: FittedGroup,
    options: ModelOptions,
    traits: Array,
    samples: Samples,
    n_markers: int | None = None,
) -> Scanner:
    """Make the scanner of the traits of a group.

    Parameters
    ----------
    group : FittedGroup
        Basis of the samples and null models of the traits.
    options : ModelOptions
        Determine the kind of scanner, and the statistics it computes.
    traits : array (samples, traits)
        Values, as measured, of the chunk of traits that the group is part of.
    samples : Samples
        All samples of the chunk.
    n_markers : int, optional
        Number of markers that the traits will be scanned against, if it is known.
    """
    basis, model = group.basis, group.model
    if options.joint:
        y, covariates = traits[np.ix_(group.rows, group.columns)], samples.covariates[group.rows]
        modifiers = covariates[:, list(samples.interacting)]
        return JointScan.of(basis, model, y, covariates, modifiers, options)
    effects = options.with_effects
    if not options.alternative:
        usual = NullScan.of(basis, model, effects=effects)
        few = is_few(options, basis.n, len(usual.h2), n_markers) and serves(basis, model)
        return FewScan(usual) if few else usual
    if options.grid is not None:
        grid = basis.in_use(np.array(options.grid))
        return AltGrid.of(basis, model, grid, reml=options.reml, effects=effects)
    above = options.refine_above
    # Where a few terms do not suffice, gains are interpolated instead.
    few = not basis.graded and basis.h2_max > 0.0 and basis.compression.suffices
    kind = AltExact if few else AltSearch
    return kind.of(basis, model, reml=options.reml, refine_above=above, effects=effects)
