"""Cells that LODs are counted in.

There are so many cells of equal width from one power of two to the next, so that the leading bits
of a binary float number its cell. All LODs below 2**-16 are one cell. A store keeps the counts of
LODs of at least 0.5 (p < 0.13) by cell, and of all lower ones together: to count these by cell too
takes several times as long.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from bulklmm_dask.typing import Array, Index, Real

_CELLS, _FIRST = 1024, -16
_BITS = _CELLS.bit_length() - 1
# Pairs that are counted together: few enough to stay in the processor's cache.
_TOGETHER = 1 << 18
# Counts of a store: LODs from one power of two to another have a cell of their own. Higher ones,
# which no finite p-value belongs to, count in the last cell.
_LEAST, _MOST = -1, 24
FLOOR = 2.0**_LEAST
_ABOVE = (_LEAST - _FIRST) * _CELLS
N_STORED = 1 + (_MOST - _LEAST) * _CELLS


def lower_edge(cell: Index) -> Array:
    """Lowest LOD of each cell."""
    power, step = np.divmod(cell, _CELLS)
    return np.where(cell == 0, 0.0, np.ldexp(1.0 + step / _CELLS, power + _FIRST))


def count_in_cells(lod: Real, least: float = -np.inf) -> Index:
    """Count LODs in each cell; NaN is passed over.

    Parameters
    ----------
    lod : array
        Values of any shape; negative ones count as 0.
    least : float
        LODs below it count as the first cell, which saves the time to find their own.

    Returns
    -------
    array (cells,)
        Counts, to the highest cell that has one.
    """
    flat = lod.reshape(-1)
    total = np.zeros(1, dtype=np.int64)
    for start in range(0, flat.size, _TOGETHER):
        piece = flat[start : start + _TOGETHER]
        if np.isnan(piece.max()):
            piece = piece[~np.isnan(piece)]
        high = piece
        if least > -np.inf:  # a mask as the index takes five times as long
            high = piece[np.flatnonzero(piece >= lod.dtype.type(least))]
        count = np.bincount(_cell(high), minlength=total.size)
        count[: total.size] += total
        count[0] += piece.size - high.size
        total = count
    return total


def stored_counts(lod: Real, times: Index) -> npt.NDArray[np.uint32]:
    """Count LODs as a store keeps them: those below `FLOOR`, then those in each cell above.

    Parameters
    ----------
    lod : array (rows, columns)
        LODs; NaN is passed over.
    times : array (rows,)
        How often each row counts.
    """
    out = np.zeros(N_STORED, dtype=np.int64)
    for often in np.unique(times).tolist():
        mine = times == often
        total = often * count_in_cells(lod if mine.all() else lod[mine], FLOOR)
        high = total[_ABOVE : _ABOVE + N_STORED - 1]
        out[0] += total[0]
        out[1 : 1 + high.size] += high
        out[-1] += total[_ABOVE + N_STORED - 1 :].sum()
    return out.astype(np.uint32)


def cells_of_stored(counts: Index) -> tuple[Index, Index]:
    """Cells that are not empty, and their counts, of counts that a store has kept."""
    at = np.flatnonzero(counts)
    return np.where(at > 0, at - 1 + _ABOVE, 0), counts[at]


def _cell(lod: Real) -> npt.NDArray[np.integer]:
    """Cells of LODs without NaN, in place where they can be; negative LODs count as 0."""
    exact: type[np.signedinteger] = np.int32 if lod.dtype == np.float32 else np.int64
    if exact is np.int64:
        lod = lod.astype(np.float64, copy=False)
    kind = np.finfo(lod.dtype)
    bits = lod.view(exact) >> (kind.nmant - _BITS)
    bits -= (kind.maxexp - 1 + _FIRST) * _CELLS
    return np.maximum(bits, 0, out=bits)
