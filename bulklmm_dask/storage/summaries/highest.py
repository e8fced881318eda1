"""Highest LODs of runs and of groups of rows, and the rows where they are."""

from __future__ import annotations

import numpy as np

from bulklmm_dask.typing import Index, Real

# Rows of a group that are first reduced to their maximum.
_SLAB = 8
# Columns that are compared first, rows that are compared together, and the least share of equal
# neighbours that is worth finding all.
_COLUMNS, _TOGETHER, _LEAST = 32, 64, 0.25


def highest_of_runs(lod: Real, starts: Index) -> Real:
    """Highest value of every column in each run of rows; NaN where a run has none.

    It equals ``np.fmax.reduceat(lod, starts, axis=0)``, which takes 25 times as long: NumPy reduces
    consecutive rows with vector instructions in ``reduce`` only.

    Parameters
    ----------
    lod : array (rows, columns)
        Values; NaN is passed over.
    starts : array (runs,)
        First row of each run, rising. A run ends where the next one starts.
    """
    highest = np.empty((starts.size, lod.shape[1]), lod.dtype)
    ends = np.append(starts[1:], len(lod))
    for row, start, end in zip(highest, starts.tolist(), ends.tolist(), strict=True):
        np.fmax.reduce(lod[start:end], axis=0, out=row)
    return highest


def highest_of_groups(lod: Real, group: Index) -> tuple[Index, Real, Index]:
    """Highest value of every column in each group of rows, and the first row that has it.

    Parameters
    ----------
    lod : array (rows, columns)
        Values; NaN is passed over.
    group : array (rows,)
        Number of the group of each row.

    Returns
    -------
    groups : array (groups,)
        Their numbers, ascending.
    highest : array (groups, columns)
        NaN where a group has no value.
    row : array (groups, columns)
        The first row of the group where it has none.
    """
    order = np.argsort(group, kind="stable")
    in_order = bool((order == np.arange(order.size)).all())
    starts = np.flatnonzero(np.diff(group[order], prepend=group[order[:1]] - 1))
    highest = np.empty((starts.size, lod.shape[1]), lod.dtype)
    row = np.empty(highest.shape, dtype=np.int64)
    for k, (start, end) in enumerate(zip(starts, [*starts[1:], order.size], strict=True)):
        rows = slice(start, end) if in_order else order[start:end]
        highest[k], at = _highest(lod[rows])
        row[k] = at + start if in_order else order[start + at]
    return group[order][starts], highest, row


def distinct_rows(lod: Real, group: Index) -> Index:
    """First row of each run of rows that are equal, bit by bit, and of one group.

    Markers without a recombination between them have equal LODs. Where few neighbours are equal,
    every row is given.
    """
    bits = lod.view(f"u{lod.itemsize}")  # NaN equals itself
    same = (bits[1:, :_COLUMNS] == bits[:-1, :_COLUMNS]).all(axis=1) & (group[1:] == group[:-1])
    if same.sum() < _LEAST * len(lod):
        return np.arange(len(lod))
    for start in range(0, same.size, _TOGETHER):
        rows = slice(start, start + _TOGETHER)
        same[rows] &= (bits[1:][rows] == bits[:-1][rows]).all(axis=1)
    return np.flatnonzero(np.append(True, ~same))


def _highest(lod: Real) -> tuple[Real, Index]:
    """Highest value of every column, NaN where there is none, and its first row, 0 without any.

    Rows are reduced slab by slab with vector instructions; only the slab of the maximum is searched
    for its row, which is several times as fast as ``argmax`` along the first axis.
    """
    maxima = highest_of_runs(lod, np.arange(0, len(lod), _SLAB))
    best = np.fmax.reduce(maxima, axis=0)
    slab = np.zeros(best.size, dtype=np.int64)
    for number in range(len(maxima) - 1, -1, -1):
        np.copyto(slab, number, where=maxima[number] == best)
    flat, column = lod.reshape(-1), np.arange(best.size)
    rows = np.minimum(slab * _SLAB + np.arange(_SLAB)[:, None], len(lod) - 1)
    # `take` looks up such numbers several times as fast as an index does.
    row = slab * _SLAB + (flat.take(rows * best.size + column) == best).argmax(axis=0)
    return flat.take(row * best.size + column), row
