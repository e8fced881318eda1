"""Hits of one block: which pairs are kept, as records in the order of a table of hits.

Where they are many, some traits are taken at a time, so that a block all of whose pairs are hits
takes little more memory than its LODs.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from bulklmm_dask.engine.blockwise import Block
from bulklmm_dask.results.fdr import least_lod
from bulklmm_dask.results.pvalue_counts import count_lods
from bulklmm_dask.results.runs import Records, Run, Spill
from bulklmm_dask.storage.summaries.highest import highest_of_runs
from bulklmm_dask.typing import Array, Columns, Index, Real

# Rows of a block that are first reduced to their maximum.
_SLAB = 16
# Pairs that are compared together: few enough to stay in the processor's cache.
_TOGETHER = 1 << 18
# Hits of a block that are made into records together.
_MOST = 1 << 17


def sift(
    block: Block,
    *,
    names: dict[str, list[str]],
    top: int | None,
    spill: Spill | None,
    lowest: float | None = None,
    score: float | None = None,
    rate: float | None = None,
) -> tuple[Run, Columns | None]:
    """Hits of one block; and the counts of its LODs.

    Hits have a LOD of at least `lowest`, or at least the threshold in the block, or -log10 p of at
    least `score`. LODs are counted only for a false discovery rate; all those with p above the rate
    are counted as one cell, for they cannot be found at it.

    Parameters
    ----------
    block : dict
        ``lod`` and other statistics of its pairs.
    names : dict
        Columns of a table for each statistic besides the LOD.
    top : int or None
        Most hits of a trait.
    spill : Spill or None
        Where hits go that are too many for memory.
    lowest, score : float or None
        What hits reach.
    rate : float or None
        False discovery rate, for which LODs are counted.

    Returns
    -------
    hits : Run
        By trait, falling LOD and marker: ``row`` and ``column`` in the block, and the statistics.
    counts : dict or None
        From `count_lods`.
    """
    lod = block["lod"].values
    df = block["df"].values if "df" in block else np.array(1)
    level: Real
    if score is not None:
        level = least_lod(score, df)
    else:
        level = _threshold(block) if lowest is None else np.asarray(lowest)
    with np.errstate(over="ignore"):  # above the numbers of float32 is infinity: no LOD is as high
        level = level.astype(lod.dtype, copy=False)
    if top is not None and top < len(lod) and np.isneginf(level).all():
        level = _bound(lod, top)
    fields = [("row", np.int32), ("column", np.int32), ("lod", lod.dtype)]
    fields += [(one, block[name].dtype) for name, columns in names.items() for one in columns]
    dtype = np.dtype(fields)
    run = Run.of(
        _records(block, np.broadcast_to(level, lod.shape), top, names, dtype), dtype, spill
    )
    if rate is None:
        return run, None
    return run, count_lods(block, least_lod(-np.log10(rate), np.arange(1 + df.max())))


def _threshold(block: Block) -> Array:
    """Threshold of the pairs of a block, to be broadcast against them."""
    values: Array = block["threshold"].values
    if "contigs" not in block["threshold"].dims:
        return values
    of_variant = values[block["contig"].values]
    return of_variant if of_variant.ndim == 2 else of_variant[:, None]


def _records(
    block: Block,
    lowest: Real,
    top: int | None,
    names: dict[str, list[str]],
    dtype: np.dtype[np.void],
) -> Iterator[Records]:
    """Records of the hits of a block, those of some traits at a time."""
    lod = block["lod"].values
    for i, j in _reaching(lod, lowest):
        order = _highest(lod[i, j], j, top)
        i, j = i[order], j[order]
        records = np.empty(i.size, dtype)
        records["row"], records["column"], records["lod"] = i, j, lod[i, j]
        for name, columns in names.items():
            values = block[name].values[i, j].reshape(i.size, len(columns))
            for at, column in enumerate(columns):
                records[column] = values[:, at]
        yield records


def _reaching(lod: Real, lowest: Real, first: int = 0) -> Iterator[tuple[Index, Index]]:
    """Rows and columns of all pairs with a LOD of at least `lowest`, those of some columns at once.

    Columns are numbered from `first`. Where they have more than `_MOST` pairs, each half of them is
    taken by itself.
    """
    width = lod.shape[1]
    found = _places(lod, lowest, _MOST if width > 1 else lod.size)
    if found is not None:
        yield found[0], found[1] + first
        return
    for half in (slice(0, width // 2), slice(width // 2, width)):
        yield from _reaching(lod[:, half], lowest[:, half], first + half.start)


def _places(lod: Real, lowest: Real, most: int) -> tuple[Index, Index] | None:
    """Rows and columns of all pairs with a LOD of at least `lowest`, row by row; None if too many.

    Some rows at a time, because the mask of a whole block would not stay in the cache.
    """
    width = lod.shape[1]
    height = max(1, _TOGETHER // width)
    mask = np.empty((min(height, len(lod)), width), dtype=bool)
    found, total = [], 0
    for start in range(0, len(lod), height):
        rows = slice(start, start + height)
        some = mask[: len(lod) - start]
        np.greater_equal(lod[rows], lowest[rows], out=some)
        found.append(np.flatnonzero(some) + start * width)
        total += found[-1].size
        if total > most:
            return None
    i, j = np.divmod(np.concatenate(found), width)
    return i, j


def _bound(lod: Real, top: int) -> Real:
    """LOD of each trait that at least `top` of its variants reach, and not many more.

    It is the `top` highest among the maxima of slabs of variants, which are cheaper to find than
    every column is to sort.
    """
    width = max(1, min(_SLAB, len(lod) // (2 * top)))
    maxima = highest_of_runs(lod, np.arange(0, len(lod), width))
    maxima[np.isnan(maxima)] = -np.inf
    bound: Real = np.partition(maxima, len(maxima) - top, axis=0)[len(maxima) - top]
    return bound


def _highest(lod: Real, column: Index, top: int | None) -> Index:
    """Order by column and falling LOD, no more than `top` a column; equal LODs stay in order."""
    order = np.lexsort((-lod, column))
    return order if top is None else order[ranks(column[order]) < top]


def ranks(columns: Index) -> Index:
    """Number of each record among those of its column before it; columns ascend."""
    found: Index = np.arange(columns.size) - np.searchsorted(columns, columns)
    return found
