"""What the summary of a store tells of a result, so that its LODs need not be read, or few."""

from __future__ import annotations

import numpy as np
import xarray as xr

from bulklmm_dask.storage.labels.coordinates import FREQUENCY, PAIR
from bulklmm_dask.storage.proof.chosen import Choice
from bulklmm_dask.storage.summaries.stored import Maxima, StoredSummary
from bulklmm_dask.typing import Columns, Flags, Index

# Share of the chunks of a result from which on it is read as a whole.
_MOST = 0.75


def summary_behind(result: xr.Dataset, *, by_contig: bool = False) -> StoredSummary | None:
    """Find the summary of a result that was opened and whose LODs are all there, unchanged.

    Parameters
    ----------
    result : Dataset
        With ``lod``; its names and places may be others than those of the store.
    by_contig : bool
        Whether the summary must tell the contigs of the result apart.

    Returns
    -------
    StoredSummary or None
        None for any other result, whose LODs are to be looked at.
    """
    summary = StoredSummary.behind(result["lod"])
    if summary is None or not by_contig:
        return summary
    contig = result["variant_contig"].values
    same = summary.segments.by_contig and np.array_equal(summary.segments.group, contig)
    return summary if same else None


def known_counts(result: xr.Dataset) -> Columns | None:
    """Counts of all LODs as `count_lods` would give them; None if no summary has them."""
    if "df" in result:
        return None
    summary = summary_behind(result)
    total = None if summary is None else summary.counts()
    return None if total is None else counts_of(total, 1)


def counts_of(total: Index, df: int) -> Columns:
    """Counts of tests with the same degrees of freedom: the cells that are not empty."""
    cell = np.flatnonzero(total)
    return {"df": np.full(cell.size, df), "cell": cell, "count": total[cell]}


def chosen(
    result: xr.Dataset, lowest: xr.Variable, *, whole_contigs: bool = False
) -> Choice | None:
    """Choose what has to be read of a result to find LODs of at least a threshold.

    Parameters
    ----------
    result : Dataset
        The result.
    lowest : Variable
        From `lowest_lod`.
    whole_contigs : bool
        Whether the LODs of a trait on all of a contig are wanted where one reaches the threshold.

    Returns
    -------
    Choice or None
        None if there is no summary, or if nearly all has to be read.
    """
    if bool(np.isneginf(lowest.values).all()):
        return None
    by_contig = whole_contigs or "contigs" in lowest.dims
    summary = summary_behind(result, by_contig=by_contig)
    if summary is None:
        return None
    block, n_traits, width = summary.block, result.sizes["traits"], summary.lod.chunk[1]
    starts, contig = summary.segments.starts[:-1], summary.segments.contig
    read = np.zeros((starts.size, -(-n_traits // width)), dtype=bool)
    for found in summary.maxima():
        high = np.logical_or.reduceat(
            _reaching(found, lowest, contig), np.arange(0, found.highest.shape[1], width), axis=1
        )
        if whole_contigs:
            for one in np.unique(contig):
                high[contig == one] = high[contig == one].any(axis=0)
        first = found.traits.start // width
        read[:, first : first + high.shape[1]] = np.logical_or.reduceat(high, starts, axis=0)
    return Choice(read, n_traits, block, width) if read.mean() <= _MOST else None


def _reaching(found: Maxima, lowest: xr.Variable, contig: np.ndarray) -> Flags:
    """Which maxima (segments, traits) are at least the threshold."""
    level = lowest.isel(traits=found.traits) if "traits" in lowest.dims else lowest
    values = level.values
    if "contigs" in level.dims:
        values = values[contig]
        values = values if values.ndim == 2 else values[:, None]
    with np.errstate(over="ignore"):  # above the numbers of float32 is infinity: no LOD is as high
        reaching: Flags = found.highest >= values.astype(found.highest.dtype)
    return reaching


def narrowed(whole: xr.Dataset, result: xr.Dataset, choice: Choice) -> xr.Dataset:
    """Leave out traits of which nothing is read, and read the chosen chunks of the others.

    Parameters
    ----------
    whole : Dataset
        Variables of `blocks`, or some of them.
    result : Dataset
        The result that they are of.
    choice : Choice
        From `chosen`.
    """
    read = {}
    for name, variable in whole.variables.items():
        source = result.get(FREQUENCY if name == "frequency" else name)
        if set(PAIR) <= set(variable.dims) and source is not None:
            read[name] = choice.of(source.variable)
    swapped = {name: variable for name, variable in read.items() if variable is not None}
    rest = whole.drop_vars(swapped).isel(traits=choice.traits, missing_dims="ignore")
    lazy = {name: rest[name].chunk(traits=choice.sizes) for name in set(read) - set(swapped)}
    return rest.assign({**lazy, **swapped})[list(whole.variables)]
