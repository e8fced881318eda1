"""Traits measured on the same samples share one basis: a chunk of traits as a set of such groups.

`fit_traits` finds the groups of a chunk of traits and fits their null models; `lod_block` scans
them against a chunk of markers. Together they are the whole null scan of one block, free of Dask.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from bulklmm_dask.lmm.basis import Basis, make_basis
from bulklmm_dask.lmm.kinship import impute
from bulklmm_dask.lmm.lod import NullScan, prepare_markers
from bulklmm_dask.lmm.null import ALL_MISSING, TOO_FEW, fit_null

Array = npt.NDArray[np.float64]
Index = npt.NDArray[np.int64]


@dataclass(frozen=True)
class NullOptions:
    """How the null model of every trait is fitted.

    Attributes
    ----------
    reml : bool
        Restricted instead of full maximum likelihood.
    grid : tuple of float or None
        Heritabilities to choose from; None searches the whole interval.
    """

    reml: bool = False
    grid: tuple[float, ...] | None = None


@dataclass(frozen=True)
class TraitGroup:
    """Traits (columns of a chunk) observed on the same samples, ready for any block of markers."""

    columns: Index
    samples: Index
    scanner: NullScan


@dataclass(frozen=True)
class FittedTraits:
    """A chunk of traits with its null models: one entry a trait, in the order of the chunk."""

    groups: tuple[TraitGroup, ...]
    h2: Array
    sigma2: Array
    n_samples: Index
    status: npt.NDArray[np.object_]


def group_by_samples(observed: npt.NDArray[np.bool_]) -> list[tuple[Index, Index]]:
    """Samples and columns of every distinct pattern of `observed` (samples, traits)."""
    members: dict[bytes, list[int]] = {}
    for column, key in enumerate(np.packbits(observed, axis=0).T):
        members.setdefault(key.tobytes(), []).append(column)
    return [
        (np.flatnonzero(observed[:, columns[0]]), np.array(columns)) for columns in members.values()
    ]


def fit_traits(
    traits: Array,
    kinship: Array | None,
    covariates: Array,
    options: NullOptions,
    complete: Basis | None = None,
) -> FittedTraits:
    """Fit the null models of a chunk of traits, each on the samples where it was measured.

    Parameters
    ----------
    traits : array (samples, traits)
        NaN where missing.
    kinship : array (samples, samples) or None
        None for ordinary regression.
    covariates : array (samples, c)
        With the intercept; a sample with a NaN here is left out of every trait.
    options : NullOptions
        How to fit.
    complete : Basis, optional
        The basis of all samples, if it was made before.
    """
    n, t = traits.shape
    complete_rows = ~np.isnan(covariates).any(axis=1, keepdims=True)
    observed = ~np.isnan(traits) & complete_rows
    h2, sigma2 = np.full(t, np.nan), np.full(t, np.nan)
    status = np.full(t, ALL_MISSING, dtype=object)
    grid = None if options.grid is None else np.array(options.grid)
    groups = []
    for samples, columns in group_by_samples(observed):
        if len(samples) < 2:
            status[columns] = TOO_FEW if len(samples) else ALL_MISSING
            continue
        if complete is not None and len(samples) == n:
            basis = complete
        else:
            within = None if kinship is None else kinship[np.ix_(samples, samples)]
            basis = make_basis(within, covariates[samples])
        model = fit_null(basis, traits[np.ix_(samples, columns)], reml=options.reml, grid=grid)
        h2[columns], sigma2[columns], status[columns] = model.h2, model.sigma2, model.status
        if model.fitted.any():
            kept = model.fitted
            groups.append(TraitGroup(columns[kept], samples, NullScan.of(basis, model)))
    return FittedTraits(tuple(groups), h2, sigma2, observed.sum(axis=0), status)


def lod_block(
    dosage: npt.ArrayLike, fitted: FittedTraits, *, single: bool
) -> npt.NDArray[np.float32]:
    """LOD scores (variants, traits) of a chunk of markers against a chunk of traits.

    Parameters
    ----------
    dosage : array (variants, samples)
        NaN where there is no call: such cells take the mean of their marker.
    fitted : FittedTraits
        The traits; those without a null model get NaN.
    single : bool
        Multiply in single precision.
    """
    x, where = distinct_markers(impute(dosage))
    lod = _scan_groups(x, fitted, single=single)
    return lod if where is None else lod[where]


def distinct_markers(x: Array) -> tuple[Array, Index | None]:
    """Markers without their exact copies, and where each marker is found among them.

    Neighbours that no recombination separates are copies: of the 7,321 markers of the 50 BXD
    strains two thirds are. None stands for too few copies to be worth the trouble.
    """
    rows = np.ascontiguousarray(x).view(np.dtype((np.void, x.itemsize * x.shape[1])))[:, 0]
    _, first, where = np.unique(rows, return_index=True, return_inverse=True)
    if len(first) > 0.8 * len(x):
        return x, None
    return x[first], where


def _scan_groups(x: Array, fitted: FittedTraits, *, single: bool) -> npt.NDArray[np.float32]:
    n_traits = len(fitted.h2)
    out: npt.NDArray[np.float32] | None = None
    for group in fitted.groups:
        mine = x if len(group.samples) == x.shape[1] else x[:, group.samples]
        markers = prepare_markers(group.scanner.basis, mine)
        lod = group.scanner.scan(markers, single=single)["lod"]
        if len(group.columns) == n_traits:
            return lod  # one group is the whole chunk: nothing to scatter
        if out is None:
            out = np.full((len(x), n_traits), np.nan, dtype=np.float32)
        out[:, group.columns] = lod
    return np.full((len(x), n_traits), np.nan, dtype=np.float32) if out is None else out
