"""How often every p-value occurs among all pairs of a scan, which are counted and never held."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import pandas as pd
import xarray as xr

from bulklmm_dask.engine.blockwise import Block, gathered
from bulklmm_dask.errors import InputError
from bulklmm_dask.lmm.statistics import neg_log10_p
from bulklmm_dask.results.streams import blocks, joined, require_result
from bulklmm_dask.storage.encoding import text
from bulklmm_dask.text import listing
from bulklmm_dask.typing import Columns

# LODs are counted in cells of equal width, so many from one power of two to the next: a binary
# float has the number of its cell in its first bits. All below 2 to the first power are one cell.
_CELLS, _FIRST = 1024, -16
_BITS = _CELLS.bit_length() - 1
# Pairs that are counted together: few enough to stay in the processor's cache.
_TOGETHER = 1 << 18
_WIDTH = 0.01


def pvalue_counts(result: xr.Dataset, *, traits: Sequence[str] | None = None) -> pd.DataFrame:
    """Count the p-values of all pairs of a marker and a trait, for a QQ plot or a histogram.

    Every block of the result is computed once, counted and given up.

    Parameters
    ----------
    result : Dataset
        A result of ``scan`` or ``open_result``. A p-value is that of the statistic
        ``neg_log10_p``: of the LOD and its degrees of freedom, ``df`` where the result has it, else
        1. Pairs without a LOD (NaN) are no tests; a marker without variation has LOD 0 and p = 1.
    traits : sequence of str, optional
        Count the pairs of these traits only.

    Returns
    -------
    DataFrame
        One row a bin that is not empty: ``neg_log10_p``, its lower edge, ascending, and ``count``.
        Bins are 0.01 wide, or 0.1% of the LOD where that is more. The edges are exact where all
        pairs have the same degrees of freedom: ``count[i:].sum()`` pairs have a -log10 p of at
        least ``neg_log10_p[i]``. ``attrs["tests"]`` is the number of all pairs counted.

    Raises
    ------
    InputError
        If it is no result, or lacks one of the traits.
    """
    result = require_result(result, "pvalue_counts")
    if traits is not None:
        names = text([traits] if isinstance(traits, str) else traits)
        known = pd.Index(text(result["traits"].values))
        unknown = [name for name in names if name not in known]
        if unknown or not names.size:
            raise InputError(
                f"the result has no traits {listing(unknown)}; give some of its traits"
            )
        result = result.isel(traits=np.unique(known.get_indexer(pd.Index(names))))
    wanted = ["lod", "df"] if "df" in result else ["lod"]
    whole = blocks(result, wanted)[wanted]
    cells = added(gathered(whole, count_lods, _added, sift_with={}, gather_with={}))
    score = neg_log10_p(lower_edge(cells["cell"]), cells["df"])
    order = np.argsort(score, kind="stable")
    score, count = score[order], cells["count"][order]
    first = np.flatnonzero(np.diff(np.floor(score / _WIDTH), prepend=-1.0))
    table = pd.DataFrame(
        {
            "neg_log10_p": score[first],
            "count": np.add.reduceat(count, first) if first.size else count,
        }
    )
    table.attrs["tests"] = int(count.sum())
    return table


def count_lods(block: xr.Dataset | Block, least: npt.NDArray[np.float64] | None = None) -> Columns:
    """Count the LODs of a block of pairs.

    Parameters
    ----------
    block : Dataset or dict
        With ``lod`` and, unless all have one degree of freedom, ``df``.
    least : array, optional
        For each number of degrees of freedom the LOD below which all pairs are of the first cell:
        only those above are counted one by one.

    Returns
    -------
    dict
        ``df``, ``cell`` and ``count``, of every cell that is not empty; `lower_edge` gives the LOD
        that a cell begins with.
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
    """Counts of several blocks as those of all of them."""
    every = joined(parts)
    key = np.stack([every["df"], every["cell"]])
    (df, cell), where = np.unique(key, axis=1, return_inverse=True)
    count = np.zeros(df.size, dtype=np.int64)
    np.add.at(count, where.ravel(), every["count"])
    return {"df": df, "cell": cell, "count": count}


def _added(parts: list[Columns], chunk: int) -> Columns:
    return added(parts)


def lower_edge(cell: npt.NDArray[np.int64]) -> npt.NDArray[np.float64]:
    """Smallest LOD of each cell."""
    power, step = np.divmod(cell, _CELLS)
    return np.where(cell == 0, 0.0, np.ldexp(1.0 + step / _CELLS, power + _FIRST))


def _counted(lod: npt.NDArray[np.floating], df: int, least: float) -> Columns:
    flat = lod.reshape(-1)
    total = np.zeros(1, dtype=np.int64)
    for start in range(0, flat.size, _TOGETHER):
        piece = flat[start : start + _TOGETHER]
        if np.isnan(piece.max()):
            piece = piece[~np.isnan(piece)]
        high = piece if least == -np.inf else piece[piece >= lod.dtype.type(least)]
        count = np.bincount(_cell(high), minlength=total.size)
        count[: total.size] += total
        count[0] += piece.size - high.size
        total = count
    cell = np.flatnonzero(total)
    return {"df": np.full(cell.size, df), "cell": cell, "count": total[cell]}


def _cell(lod: npt.NDArray[np.floating]) -> npt.NDArray[np.integer]:
    """Cells of LODs, none of them NaN; those below 0 count as 0."""
    exact: type[np.signedinteger] = np.int32 if lod.dtype == np.float32 else np.int64
    if exact is np.int64:
        lod = lod.astype(np.float64, copy=False)
    kind = np.finfo(lod.dtype)
    bits = lod.view(exact) >> (kind.nmant - _BITS)
    bits -= (kind.maxexp - 1 + _FIRST) * _CELLS
    return np.maximum(bits, 0, out=bits)
