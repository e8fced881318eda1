"""Traits measured on the same samples share one basis: a chunk of traits as a set of such groups.

`fit_traits` finds the groups of a chunk of traits and fits their null models; `scan_block` scans
them against a chunk of markers. Together they are the whole scan of one block, free of Dask.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from bulklmm_dask.lmm.alt.scan import AltExact, AltGrid
from bulklmm_dask.lmm.basis import Basis
from bulklmm_dask.lmm.joint.scanner import JointScan
from bulklmm_dask.lmm.kinship import impute
from bulklmm_dask.lmm.markers import Markers, distinct_markers, prepare_markers
from bulklmm_dask.lmm.null.fit import ALL_MISSING, TOO_FEW, NullModel, fit_null
from bulklmm_dask.lmm.null.scan import NullScan
from bulklmm_dask.lmm.options import Kind, ModelOptions, statistics
from bulklmm_dask.lmm.prior import Prior
from bulklmm_dask.lmm.samples import Samples, sample_groups
from bulklmm_dask.lmm.statistics import explained, neg_log10_p
from bulklmm_dask.typing import Array, Index

# Markers whose scores are turned into other statistics at a time.
_PIECE = 64


class Scanner(Protocol):
    """Traits of one group, ready for any block of markers in the basis of the group."""

    def scan(self, markers: Markers, *, single: bool) -> dict[str, npt.NDArray[Any]]:
        """Statistics of every pair, (variants, traits), under their names."""

    def effects(
        self, markers: Markers, found: Mapping[str, npt.NDArray[Any]]
    ) -> dict[str, npt.NDArray[Any]]:
        """Effects and standard errors of every pair, given what a scan found."""


@dataclass(frozen=True)
class TraitGroup:
    """Traits (columns of a chunk) observed on the same samples, ready for any block of markers."""

    columns: Index
    samples: Index
    basis: Basis
    scanner: Scanner | JointScan


@dataclass(frozen=True)
class FittedTraits:
    """A chunk of traits with its null models.

    Attributes
    ----------
    groups : tuple of TraitGroup
    h2, sigma2, n_samples, status : array (traits,)
        In the order of the chunk.
    """

    groups: tuple[TraitGroup, ...]
    h2: Array
    sigma2: Array
    n_samples: Index
    status: npt.NDArray[np.object_]


def fit_traits(
    traits: Array,
    samples: Samples,
    options: ModelOptions,
    *,
    complete: Basis | None = None,
    prior: Prior | None = None,
    conditions: Array | None = None,
) -> FittedTraits:
    """Fit the null models of a chunk of traits, each on the samples where it was measured.

    Parameters
    ----------
    traits : array (samples, traits)
        NaN where missing.
    samples : Samples
    options : ModelOptions
        How to fit.
    complete : Basis, optional
        The basis of all samples, if it was made before.
    prior : Prior, optional
        On the residual variance of these traits.
    conditions : array (samples, traits, k), optional
        More covariates, of every trait its own.
    """
    t = traits.shape[1]
    observed = ~np.isnan(traits) & samples.complete[:, None]
    h2, sigma2 = np.full(t, np.nan), np.full(t, np.nan)
    status = np.full(t, ALL_MISSING, dtype=object)
    grid = None if options.grid is None else np.array(options.grid)
    groups = []
    scanner: Scanner | JointScan
    for rows, columns, basis in sample_groups(traits, samples, complete):
        if basis is None:
            status[columns] = TOO_FEW if len(rows) else ALL_MISSING
            continue
        model = fit_null(
            basis,
            traits[np.ix_(rows, columns)],
            reml=options.reml,
            grid=grid,
            prior=None if prior is None else prior.take(columns),
            extra=None if conditions is None else conditions[np.ix_(rows, columns)],
        )
        h2[columns], sigma2[columns], status[columns] = model.h2, model.sigma2, model.status
        if model.fitted.any():
            kept = model.fitted
            if options.joint:
                values = traits[np.ix_(rows, columns[kept])]
                fixed = samples.covariates[rows]
                modifiers = fixed[:, list(samples.interacting)]
                scanner = JointScan.of(basis, model, values, fixed, modifiers, options)
            else:
                scanner = _scanner(basis, model, options)
            groups.append(TraitGroup(columns[kept], rows, basis, scanner))
    return FittedTraits(tuple(groups), h2, sigma2, observed.sum(axis=0), status)


def _scanner(basis: Basis, model: NullModel, options: ModelOptions) -> Scanner:
    if not options.alternative:
        return NullScan.of(basis, model)
    if options.grid is not None:
        return AltGrid.of(basis, model, np.array(options.grid), reml=options.reml)
    return AltExact.of(basis, model, reml=options.reml, refine_above=options.refine_above)


def scan_block(
    genotypes: npt.ArrayLike, fitted: FittedTraits, options: ModelOptions, *, single: bool
) -> dict[str, npt.NDArray[Any]]:
    """Scan a chunk of markers against a chunk of traits.

    Parameters
    ----------
    genotypes : array (variants, samples) or (variants, samples, genotypes)
        Dosages, or probabilities of genotypes; NaN where there is no call: such cells take the
        mean of their marker.
    fitted : FittedTraits
        The traits; those without a null model get NaN.
    options : ModelOptions
        As the traits were fitted with.
    single : bool
        Multiply in single precision.

    Returns
    -------
    dict
        The arrays (variants, traits, ...) that `statistics` lists.
    """
    x, where = distinct_markers(impute(genotypes))
    kinds = statistics(options, single=single)
    shape = (len(x), len(fitted.h2))
    out: dict[str, npt.NDArray[Any]] = {}
    for group in fitted.groups:
        everyone = len(group.samples) == x.shape[1]
        found = scan_group(
            group,
            x if everyone else x[:, group.samples],
            options,
            single=single,
        )
        if len(group.columns) == shape[1]:
            out = found  # one group is the whole chunk: nothing to scatter
            break
        out = out or _unfitted(kinds, shape)
        for name, values in found.items():
            out[name][:, group.columns] = values
    out = out or _unfitted(kinds, shape)
    return out if where is None else {name: values[where] for name, values in out.items()}


def scan_group(
    group: TraitGroup, x: Array, options: ModelOptions, *, single: bool
) -> dict[str, npt.NDArray[Any]]:
    """Statistics of the traits of one group, from the genotypes of its samples."""
    if isinstance(group.scanner, JointScan):
        found = group.scanner.scan(x, single=single)
    else:
        markers = prepare_markers(group.basis, x)
        found = group.scanner.scan(markers, single=single)
        if {"beta", "se"} & set(options.wanted):
            found |= group.scanner.effects(markers, found)
    lod = found["lod"]
    df = np.broadcast_to(found.get("df", 1), lod.shape)
    for name in {"neg_log10_p", "explained"} & set(options.wanted):
        found[name] = np.empty_like(lod)
        for start in range(0, len(lod), _PIECE):  # logarithms of all at once would take the memory
            some = slice(start, start + _PIECE)
            found[name][some] = (
                neg_log10_p(lod[some], df[some])
                if name == "neg_log10_p"
                else explained(lod[some], len(group.samples))
            )
    kinds = statistics(options, single=single)
    return {name: found[name].astype(kind.dtype, copy=False) for name, kind in kinds.items()}


def _unfitted(kinds: dict[str, Kind], shape: tuple[int, int]) -> dict[str, npt.NDArray[Any]]:
    return {
        name: np.full((*shape, *kind.shape), np.nan if kind.dtype.kind == "f" else 0, kind.dtype)
        for name, kind in kinds.items()
    }
