"""Highest LOD score of permuted or simulated traits, each estimated and scored as in a scan."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from bulklmm_dask.lmm.basis import Basis
from bulklmm_dask.lmm.chunk import FittedTraits, fit_traits, scan_group
from bulklmm_dask.lmm.lod import lod_of_ratio
from bulklmm_dask.lmm.markers import prepare_markers
from bulklmm_dask.lmm.options import ModelOptions
from bulklmm_dask.lmm.permute.refit import Draw, Refit, drawn, runs
from bulklmm_dask.lmm.samples import Samples
from bulklmm_dask.typing import Array, Index

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
        refit = Refit.of(basis, reml=model.reml)

        def rows(numbers: Index) -> Array:
            vectors, trait = drawn(draw, numbers, count)
            return refit.turned(vectors) * np.sqrt(basis.variances(h2)).T[trait]

        parts = [prepare_markers(basis, x) for x in markers]
        found = refit.largest(rows, len(h2) * count, parts, single=single)
        return lods(found, basis.n, count)
    # The drawn traits are scanned in full; with `complete`, the kinship itself is not needed.
    known = Samples(samples.covariates, None, samples.weights, samples.interacting)

    def coloured(j: int, which: slice) -> Array:
        return _coloured(basis, h2[j], draw(j, which))

    def fit(traits: Array) -> FittedTraits:
        return fit_traits(traits, known, model, complete=basis)

    return scanned(markers, coloured, fit, (count, len(h2)), model, single=single)


def lods(r2: Array, n: int, count: int) -> Array:
    """LOD scores (count, traits, pools) of n samples from r2 (pools, traits * count)."""
    found = r2.reshape(len(r2), -1, count)
    return np.asarray(lod_of_ratio(1.0 - found, n) + 0.0).transpose(2, 1, 0)


def scanned(
    markers: Sequence[Array],
    coloured: Callable[[int, slice], Array],
    fit: Callable[[Array], FittedTraits],
    shape: tuple[int, int],
    model: ModelOptions,
    *,
    single: bool,
) -> Array:
    """Highest LOD of drawn traits that are scanned in full, (count, traits, pools).

    Parameters
    ----------
    markers : sequence of array (variants, n) or (variants, n, genotypes)
        Genotypes of each pool, none missing.
    coloured : callable
        ``coloured(j, which)`` gives drawn traits as measured, (len(which), n).
    fit : callable
        Fits null models of traits (n, k).
    shape : tuple of int
        Numbers of draws and of traits.
    model : ModelOptions
        How the drawn traits are estimated, and what is tested.
    single : bool
        Compute matrix products in single precision.
    """
    count, traits = shape
    out = np.zeros((count, traits, len(markers)))
    for j in range(traits):
        for which in runs(count, _TOGETHER):
            fitted = fit(coloured(j, which).T)
            for group in fitted.groups:  # a draw that the covariates explain is not fitted: LOD 0
                for pool, x in enumerate(markers):
                    lod = scan_group(group, x, model, single=single)["lod"]
                    best = np.fmax.reduce(lod, axis=0)  # NaN: as many columns as samples
                    own = np.where(np.isnan(best), NONE, best)
                    out[which.start + group.columns, j, pool] = own
    return out


def _coloured(basis: Basis, h2: float, whitened: Array) -> Array:
    """Traits V^(1/2) e as measured, (k, n), from whitened vectors e (k, n)."""
    root = np.sqrt(basis.variances([h2]))[:, 0]
    u = basis.vectors
    y = whitened * root if u is None else ((whitened @ u) * root) @ u.T
    return y if basis.weights is None else y / basis.weights
