"""The highest LOD of drawn traits: each is estimated and scored as in a scan."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from bulklmm_dask.lmm.basis import Basis
from bulklmm_dask.lmm.chunk import fit_traits, scan_group
from bulklmm_dask.lmm.lod import lod_of_ratio
from bulklmm_dask.lmm.markers import prepare_markers
from bulklmm_dask.lmm.options import ModelOptions
from bulklmm_dask.lmm.permute.refit import Draw, Refit
from bulklmm_dask.lmm.samples import Samples
from bulklmm_dask.typing import Array

# A place without a tested marker, or a trait without a null model: below any LOD.
NONE = -1.0
# Traits that are drawn and scanned together, where a marker has several columns.
_TOGETHER = 512


def highest_lods(
    markers: Sequence[Array],
    basis: Basis,
    samples: Samples,
    h2: Array,
    draw: Draw,
    count: int,
    model: ModelOptions,
    *,
    single: bool,
) -> Array:
    """Highest LOD over the markers of each place, (count, traits, places); `NONE` for none.

    Parameters
    ----------
    markers : sequence of array (variants, n) or (variants, n, genotypes)
        Genotypes of each place, none missing.
    basis : Basis
        Of n samples.
    samples : Samples
        The same samples.
    h2 : array (traits,)
        Heritabilities of the traits: drawn vectors get the covariance V(h2).
    draw : callable
        Gives whitened vectors (`refit.Draw`).
    count : int
        Number of draws of each trait.
    model : ModelOptions
        How the drawn traits are estimated, and what is tested.
    single : bool
        Multiply in single precision.
    """
    if not model.joint:
        parts = [prepare_markers(basis, x) for x in markers]
        found = Refit.of(basis, reml=model.reml).largest(h2, parts, draw, count, single=single)
        return np.asarray(lod_of_ratio(1.0 - found, basis.n) + 0.0).transpose(1, 2, 0)
    # A full scan of them; its options need no kinship beside the basis.
    known = Samples(samples.covariates, None, samples.weights, samples.interacting)
    out = np.zeros((count, len(h2), len(markers)))
    for j in range(len(h2)):
        for start in range(0, count, _TOGETHER):
            which = slice(start, min(start + _TOGETHER, count))
            fitted = fit_traits(
                _coloured(basis, h2[j], draw(j, which)).T, known, model, complete=basis
            )
            for group in fitted.groups:  # a draw among the covariates has no model, and scores 0
                for place, x in enumerate(markers):
                    lod = scan_group(group, x, model, single=single)["lod"]
                    best = np.fmax.reduce(lod, axis=0)  # a saturated marker has no LOD
                    out[start + group.columns, j, place] = np.where(np.isnan(best), NONE, best)
    return out


def _coloured(basis: Basis, h2: float, whitened: Array) -> Array:
    """V^(1/2) e as measured, (k, n), from whitened vectors (k, n)."""
    root = np.sqrt(basis.variances([h2]))[:, 0]
    u = basis.vectors
    y = whitened * root if u is None else ((whitened @ u) * root) @ u.T
    return y if basis.weights is None else y / basis.weights
