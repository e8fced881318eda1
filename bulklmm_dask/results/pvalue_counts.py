"""A histogram of the p-values of all pairs of a scan, counted block by block."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd
import xarray as xr

from bulklmm_dask.engine.blockwise import Block, gathered
from bulklmm_dask.errors import InputError
from bulklmm_dask.lmm.statistics import neg_log10_p
from bulklmm_dask.results.checks import require_result
from bulklmm_dask.results.pairs import blocks, joined
from bulklmm_dask.results.summarised import counts_of, known_counts
from bulklmm_dask.storage.summaries.cells import lower_edge
from bulklmm_dask.storage.summaries.summarise import count_in_cells
from bulklmm_dask.study.schema import locate
from bulklmm_dask.typing import Array, Columns, Real

_WIDTH = 0.01  # of a bin, in units of -log10 p


def pvalue_counts(result: xr.Dataset, *, traits: Sequence[str] | None = None) -> pd.DataFrame:
    """Count the p-values of all pairs of a marker and a trait, for a QQ plot or a histogram.

    p is the probability that a chi-square with ``df`` degrees of freedom exceeds 2 ln(10) LOD, the
    likelihood ratio statistic. Every block of the result is computed once, counted and dropped; of
    what `open_result` gives, with one degree of freedom, only the summary of the store is read.

    Parameters
    ----------
    result : Dataset
        A result of ``scan`` or ``open_result``. Degrees of freedom are its ``df``, else 1, as in
        the statistic ``neg_log10_p``. Pairs without a LOD (NaN) are not tests; a marker without
        variation has LOD 0 and p = 1.
    traits : sequence of str, optional
        Count the pairs of these traits only.

    Returns
    -------
    DataFrame
        One row for each bin that is not empty: ``neg_log10_p``, its lower edge, ascending, and
        ``count``. Bins are 0.01 wide, or 0.1% of the LOD where that is more. The edges are exact
        where all pairs have the same degrees of freedom: ``count[i:].sum()`` pairs have a -log10 p
        of at least ``neg_log10_p[i]``. ``attrs["tests"]`` is the number of all pairs counted.

    Raises
    ------
    InputError
        If it is no result, or lacks one of the traits.

    Examples
    --------
    >>> counts = blmm.pvalue_counts(blmm.scan(ds))
    >>> counts.attrs["tests"]
    720
    >>> counts.tail(3).round(2)
         neg_log10_p  count
    137         6.79      1
    138         7.18      1
    139         7.19      1
    >>> ax = blmm.plot.qq(counts)
    """
    result = require_result(result, "pvalue_counts")
    if traits is not None:
        names = [traits] if isinstance(traits, str) else list(traits)
        if not names:
            raise InputError("traits is empty; name one or several traits, or leave it out")
        columns = locate(result["traits"].values, names, "no trait {} here")
        result = result.isel(traits=np.unique(columns))
    counts = known_counts(result)
    if counts is None:
        wanted = ["lod", "df"] if "df" in result else ["lod"]
        whole = blocks(result, wanted)[wanted]
        counts = added(gathered(whole, count_lods, _added, sift_with={}, gather_with={}))
    score = neg_log10_p(lower_edge(counts["cell"]), counts["df"])
    order = np.argsort(score, kind="stable")
    score, count = score[order], counts["count"][order]
    first = np.flatnonzero(np.diff(np.floor(score / _WIDTH), prepend=-1.0))
    table = pd.DataFrame(
        {
            "neg_log10_p": score[first],
            "count": np.add.reduceat(count, first) if first.size else count,
        }
    )
    table.attrs["tests"] = int(count.sum())
    return table


def count_lods(block: xr.Dataset | Block, least: Array | None = None) -> Columns:
    """Count the LODs of a block of pairs.

    Parameters
    ----------
    block : Dataset or dict
        With ``lod`` and, unless all tests have one degree of freedom, ``df``.
    least : array, optional
        For each number of degrees of freedom the LOD below which all pairs count as the first cell;
        this saves the time to find their own.

    Returns
    -------
    dict
        Arrays ``df``, ``cell`` and ``count``, one entry for each cell that is not empty;
        `lower_edge` gives the lowest LOD of a cell.
    """
    lod = block["lod"].values
    if least is None:
        least = np.full(1 + int(np.max(block["df"].values if "df" in block else 1)), -np.inf)
    if "df" not in block:
        return _counted(lod, 1, least[1])
    df = block["df"].values
    known = np.flatnonzero(np.bincount(df.ravel())).tolist()
    return joined([_counted(lod[df == k], k, least[k]) for k in known])


def added(parts: list[Columns]) -> Columns:
    """Add up the counts of several blocks."""
    every = joined(parts)
    key = np.stack([every["df"], every["cell"]])
    (df, cell), where = np.unique(key, axis=1, return_inverse=True)
    count = np.zeros(df.size, dtype=np.int64)
    np.add.at(count, where.ravel(), every["count"])
    return {"df": df, "cell": cell, "count": count}


def _added(parts: list[Columns], chunk: int) -> Columns:
    """Add up the counts of a chunk of traits, whose number does not matter."""
    return added(parts)


def _counted(lod: Real, df: int, least: float) -> Columns:
    """Count LODs of tests with the same degrees of freedom."""
    return counts_of(count_in_cells(lod, least), df)
