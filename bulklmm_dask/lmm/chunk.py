"""Scan of one block: a chunk of traits against a chunk of markers, without Dask.

`fit_traits` fits the null models of the traits, in groups measured on the same samples;
`scan_block` tests the fitted traits against the markers.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Generic, TypeAlias, TypeVar

import numpy as np
import numpy.typing as npt

from bulklmm_dask.lmm.basis import Basis
from bulklmm_dask.lmm.components.kernels import RotatedKernels
from bulklmm_dask.lmm.groups import NullEstimates, fit_groups
from bulklmm_dask.lmm.kept import distinct_of
from bulklmm_dask.lmm.markers import changes, without_repeats
from bulklmm_dask.lmm.options import ModelOptions
from bulklmm_dask.lmm.prior import Prior
from bulklmm_dask.lmm.samples import Samples
from bulklmm_dask.lmm.scanner import Scanner, make_scanner
from bulklmm_dask.lmm.statistics import Follows, Kind, pair_statistics, statistics
from bulklmm_dask.typing import Array, Columns, Index, Real

# Markers per step when other statistics are derived from LOD scores; bounds the temporary memory.
_PIECE = 64

AnyScanner = TypeVar("AnyScanner", bound=Scanner, covariant=True)


@dataclass(frozen=True)
class TraitGroup(Generic[AnyScanner]):
    """Fitted traits of a chunk that were measured on the same samples, with their scanner.

    Attributes
    ----------
    columns : array (traits,) of int
        Positions of the traits in the chunk.
    samples : array (n,) of int
        Positions of the samples with a value.
    basis : Basis or RotatedKernels
        Eigenbasis of these samples, or their kernels if there are several.
    scanner : Scanner
        Tests the traits against any block of markers.
    """

    columns: Index
    samples: Index
    basis: Basis | RotatedKernels
    scanner: AnyScanner


@dataclass(frozen=True)
class TraitFits(NullEstimates, Generic[AnyScanner]):
    """A chunk of traits with its null models.

    Attributes
    ----------
    groups : tuple of TraitGroup
        The traits that could be fitted.
    """

    groups: tuple[TraitGroup[AnyScanner], ...]


FittedTraits: TypeAlias = TraitFits[Scanner]


def fit_traits(
    traits: Array,
    samples: Samples,
    options: ModelOptions,
    *,
    complete: Basis | None = None,
    prior: Prior | None = None,
    extra: Array | None = None,
    n_markers: int | None = None,
) -> FittedTraits:
    """Fit the null models of a chunk of traits, each on the samples where it was measured.

    Parameters
    ----------
    traits : array (samples, traits)
        NaN where missing.
    samples : Samples
        Covariates, kinship and weights of the same samples.
    options : ModelOptions
        How to fit the null models, and which test the scanners prepare.
    complete : Basis, optional
        Eigenbasis of all samples, if already computed.
    prior : Prior, optional
        Prior on the residual variance of these traits.
    extra : array (samples, traits, k), optional
        Trait-specific covariates, in addition to those of `samples`.
    n_markers : int, optional
        Number of markers that the traits will be scanned against, if it is known: for few traits
        and many markers another scanner takes less time.
    """
    estimates = NullEstimates.unknown(traits, samples)
    groups = []
    for group in fit_groups(
        traits,
        samples,
        estimates,
        reml=options.reml,
        grid=None if options.grid is None else np.array(options.grid),
        complete=complete,
        prior=prior,
        extra=extra,
    ):
        scanner = make_scanner(group, options, traits, samples, n_markers)
        groups.append(TraitGroup(group.columns, group.rows, group.basis, scanner))
    known = estimates.h2, estimates.sigma2, estimates.n_samples, estimates.status
    return TraitFits(*known, tuple(groups))


def scan_block(
    genotypes: npt.ArrayLike, fitted: FittedTraits, options: ModelOptions, *, single: bool
) -> Columns:
    """Scan a chunk of markers against a chunk of traits.

    Parameters
    ----------
    genotypes : array (variants, samples) or (variants, samples, genotypes)
        Dosages, or genotype probabilities; NaN where missing: such cells are filled with the
        mean of their marker.
    fitted : FittedTraits
        The traits; a trait without a null model gets NaN.
    options : ModelOptions
        The options that the traits were fitted with.
    single : bool
        Compute matrix products in single precision.

    Returns
    -------
    dict
        Arrays (variants, traits, ...) by the names that `statistics` lists.
    """
    found, where = scan_distinct(genotypes, fitted, options, single=single)
    return each_marker(found, where)


def each_marker(found: Columns, where: Index | None) -> Columns:
    """Statistics of each marker, from those of the different ones (`scan_distinct`)."""
    return found if where is None else {name: values[where] for name, values in found.items()}


def scan_distinct(
    genotypes: npt.ArrayLike,
    fitted: FittedTraits,
    options: ModelOptions,
    *,
    single: bool,
    key: tuple[object, int] | None = None,
) -> tuple[Columns, Index | None]:
    """Scan the different markers of a chunk; parameters as for `scan_block`.

    `key` stands for these genotypes while a run keeps what it has prepared of them (`kept`).

    Returns
    -------
    dict
        Arrays (different markers, traits, ...) by the names that `statistics` lists.
    array (variants,) or None
        The row of these arrays that each marker has; None if each has its own.
    """
    x, where = distinct_of(np.asarray(genotypes), key)
    kinds = statistics(options, single=single)
    shape = (len(x), len(fitted.n_samples))
    out: Columns = {}
    changed = None
    for group in fitted.groups:
        mine, among = x, None
        if len(group.samples) < x.shape[1]:
            changed = changes(x) if changed is None else changed
            mine, among = without_repeats(x, changed, group.samples)
        found = scan_group(group, mine, options, single=single)
        if among is not None:
            found = {name: values[among] for name, values in found.items()}
        if len(group.columns) == shape[1]:
            out = found  # one group is the whole chunk: nothing to scatter
            break
        out = out or _unfitted(kinds, shape)
        for name, values in found.items():
            out[name][:, group.columns] = values
    return out or _unfitted(kinds, shape), where


def scan_group(
    group: TraitGroup[Scanner], x: Array, options: ModelOptions, *, single: bool
) -> Columns:
    """Statistics (variants, traits, ...) of one group; `x` (variants, n, ...) has its samples.

    Weights of very different size need the digits of double precision.
    """
    found = group.scanner.scan(x, single=single and not group.basis.graded)
    for row in pair_statistics(options):
        if row.follows is not None:
            found[row.name] = _following(row.follows, found, len(group.samples))
    kinds = statistics(options, single=single)
    return {name: found[name].astype(kind.dtype, copy=False) for name, kind in kinds.items()}


def _following(follows: Follows, found: Columns, n_samples: int) -> Real:
    """A statistic derived from the LOD, a few markers at a time to bound the memory used."""
    lod = found["lod"]
    df = np.broadcast_to(found.get("df", np.ones(1, np.int64)), lod.shape)
    out = np.empty_like(lod)  # a flag becomes 0 or 1
    for start in range(0, len(lod), _PIECE):
        some = slice(start, start + _PIECE)
        out[some] = follows(lod[some], df[some], n_samples)
    return out


def _unfitted(kinds: dict[str, Kind], shape: tuple[int, int]) -> Columns:
    """Statistics (variants, traits, ...) of traits without a null model: NaN, or 0 for integers."""
    return {
        name: np.full((*shape, *kind.shape), np.nan if kind.dtype.kind == "f" else 0, kind.dtype)
        for name, kind in kinds.items()
    }
