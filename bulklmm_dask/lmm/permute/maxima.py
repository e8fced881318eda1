"""Highest LOD score of permuted or simulated traits, each estimated and scored as in a scan."""

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

# Means no maximum, for a pool without a tested marker or a trait without a null model; below any
# LOD.
NONE = -1.0
# Drawn traits that are scanned together if a marker has several columns.
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
    """Highest LOD of every draw and trait over the markers of each pool, (count, traits, pools).

    Parameters
    ----------
    markers : sequence of array (variants, n) or (variants, n, genotypes)
        Genotypes of each pool, none missing.
    basis : Basis
        Eigenbasis of n samples.
    samples : Samples
        The same samples.
    h2 : array (traits,)
        Heritabilities of the traits: drawn vectors are given the covariance V(h2).
    draw : callable
        Gives whitened vectors (`refit.Draw`).
    count : int
        Number of draws per trait.
    model : ModelOptions
        How the drawn traits are estimated, and what is tested.
    single : bool
        Compute matrix products in single precision.

    Returns
    -------
    array (count, traits, pools)
        LOD scores, `NONE` where there is no maximum.
    """
    single = single and not basis.graded
    if not model.joint:
        parts = [prepare_markers(basis, x) for x in markers]
        found = Refit.of(basis, reml=model.reml).largest(h2, parts, draw, count, single=single)
        return np.asarray(lod_of_ratio(1.0 - found, basis.n) + 0.0).transpose(1, 2, 0)
    # The drawn traits are scanned in full; with `complete`, the kinship itself is not needed.
    known = Samples(samples.covariates, None, samples.weights, samples.interacting)
    out = np.zeros((count, len(h2), len(markers)))
    for j in range(len(h2)):
        for start in range(0, count, _TOGETHER):
            which = slice(start, min(start + _TOGETHER, count))
            fitted = fit_traits(
                _coloured(basis, h2[j], draw(j, which)).T, known, model, complete=basis
            )
            for group in fitted.groups:  # a draw that the covariates explain is not fitted: LOD 0
                for pool, x in enumerate(markers):
                    lod = scan_group(group, x, model, single=single)["lod"]
                    best = np.fmax.reduce(lod, axis=0)  # NaN: as many columns as samples
                    out[start + group.columns, j, pool] = np.where(np.isnan(best), NONE, best)
    return out


def _coloured(basis: Basis, h2: float, whitened: Array) -> Array:
    """Traits V^(1/2) e as measured, (k, n), from whitened vectors e (k, n)."""
    root = np.sqrt(basis.variances([h2]))[:, 0]
    u = basis.vectors
    y = whitened * root if u is None else ((whitened @ u) * root) @ u.T
    return y if basis.weights is None else y / basis.weights
