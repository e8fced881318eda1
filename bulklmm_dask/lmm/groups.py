"""Traits measured on the same samples share one basis: a chunk of traits as a set of such groups.

`fit_traits` finds the groups of a chunk of traits and fits their null models; `scan_block` scans
them against a chunk of markers. Together they are the whole scan of one block, free of Dask.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from bulklmm_dask.lmm.alternative import AltExact, AltGrid
from bulklmm_dask.lmm.basis import Basis, make_basis
from bulklmm_dask.lmm.kinship import impute
from bulklmm_dask.lmm.lod import Markers, NullScan, prepare_markers
from bulklmm_dask.lmm.null import ALL_MISSING, TOO_FEW, NullModel, fit_null

Array = npt.NDArray[np.float64]
Index = npt.NDArray[np.int64]


@dataclass(frozen=True)
class ModelOptions:
    """How heritabilities are estimated.

    Attributes
    ----------
    alternative : bool
        Again for every pair of a marker and a trait, not only once a trait.
    reml : bool
        By restricted instead of full maximum likelihood.
    grid : tuple of float or None
        Heritabilities to choose from; None searches the whole interval.
    refine_above : float
        LOD from which on a pair is optimised on its full likelihood (alternative, without grid).
    """

    alternative: bool = False
    reml: bool = False
    grid: tuple[float, ...] | None = None
    refine_above: float = 3.0


class Scanner(Protocol):
    """Traits of one group, ready for any block of markers in the basis of the group."""

    def scan(self, markers: Markers, *, single: bool) -> dict[str, npt.NDArray[Any]]:
        """Statistics of every pair, (variants, traits), under their names."""


@dataclass(frozen=True)
class TraitGroup:
    """Traits (columns of a chunk) observed on the same samples, ready for any block of markers."""

    columns: Index
    samples: Index
    basis: Basis
    scanner: Scanner


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
    options: ModelOptions,
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
    options : ModelOptions
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
            scanner = _scanner(basis, model, options)
            groups.append(TraitGroup(columns[kept], samples, basis, scanner))
    return FittedTraits(tuple(groups), h2, sigma2, observed.sum(axis=0), status)


def _scanner(basis: Basis, model: NullModel, options: ModelOptions) -> Scanner:
    if not options.alternative:
        return NullScan.of(basis, model)
    if options.grid is not None:
        return AltGrid.of(basis, model, np.array(options.grid), reml=options.reml)
    return AltExact.of(basis, model, reml=options.reml, refine_above=options.refine_above)


def statistics(options: ModelOptions, *, single: bool) -> dict[str, np.dtype[Any]]:
    """Names and dtypes of what `scan_block` gives of every pair.

    Scores of single pairs that are optimised exactly deserve more digits than float32 holds.
    """
    if not options.alternative:
        return {"lod": np.dtype(np.float32)}
    kinds = {"lod": np.dtype(np.float32 if single else np.float64), "h2_alt": np.dtype(np.float32)}
    return kinds if options.grid is not None else {**kinds, "refined": np.dtype(np.bool_)}


def scan_block(
    dosage: npt.ArrayLike, fitted: FittedTraits, options: ModelOptions, *, single: bool
) -> dict[str, npt.NDArray[Any]]:
    """Scan a chunk of markers against a chunk of traits.

    Parameters
    ----------
    dosage : array (variants, samples)
        NaN where there is no call: such cells take the mean of their marker.
    fitted : FittedTraits
        The traits; those without a null model get NaN.
    options : ModelOptions
        As the traits were fitted with.
    single : bool
        Multiply in single precision.

    Returns
    -------
    dict
        The arrays (variants, traits) that `statistics` lists.
    """
    x, where = distinct_markers(impute(dosage))
    kinds = statistics(options, single=single)
    shape = (len(x), len(fitted.h2))
    out: dict[str, npt.NDArray[Any]] = {}
    for group in fitted.groups:
        mine = x if len(group.samples) == x.shape[1] else x[:, group.samples]
        found = group.scanner.scan(prepare_markers(group.basis, mine), single=single)
        if len(group.columns) == shape[1]:
            out = found  # one group is the whole chunk: nothing to scatter
            break
        out = out or _unfitted(kinds, shape)
        for name, values in found.items():
            out[name][:, group.columns] = values
    out = out or _unfitted(kinds, shape)
    return out if where is None else {name: values[where] for name, values in out.items()}


def _unfitted(
    kinds: dict[str, np.dtype[Any]], shape: tuple[int, int]
) -> dict[str, npt.NDArray[Any]]:
    return {
        name: np.zeros(shape, kind) if kind == np.bool_ else np.full(shape, np.nan, kind)
        for name, kind in kinds.items()
    }


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
