"""Cells that LODs are counted in.

There are so many cells of equal width from one power of two to the next, so that the leading bits
of a binary float number its cell. All LODs below 2**-16 are one cell. A store keeps the counts of
LODs of at least 2 (p < 0.0025) by cell. Lower ones, of which there are many, would take several
times as long as all else in a summary: of these it keeps bounds in a few wide cells.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from bulklmm_dask.storage.summaries.slabs import Slabs
from bulklmm_dask.typing import Array, Index, Real

_CELLS, _FIRST = 1024, -16
_BITS = _CELLS.bit_length() - 1
# Pairs that are counted together: few enough to stay in the processor's cache.
_TOGETHER = 1 << 18
# Counts of a store: LODs from one power of two to another have a cell of their own. Higher ones,
# which no finite p-value belongs to, count in the last cell. Below are wide cells, from 0 and from
# each edge.
_LEAST, _MOST = 1, 24
FLOOR = 2.0**_LEAST
EDGES = (0.5, 1.0, 1.5)
WIDE = 1 + len(EDGES)
_ABOVE = (_LEAST - _FIRST) * _CELLS
N_STORED = WIDE + (_MOST - _LEAST) * _CELLS


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


def stored_counts(slabs: Slabs) -> npt.NDArray[np.uint32]:
    """Count LODs as a store keeps them: in few wide cells below `FLOOR`, by cell above.

    From the edge of a wide cell on, at least as many are counted as there are; in all cells
    together, as many as there are. NaN is passed over.
    """
    cell = np.minimum(_cell(slabs.reaching(FLOOR)) - _ABOVE, N_STORED - WIDE - 1)
    fine = np.bincount(cell, minlength=N_STORED - WIDE)
    wide = -np.diff([slabs.count, *map(slabs.at_most, EDGES), cell.size])
    return np.concatenate([wide, fine]).astype(np.uint32)


def cells_of_stored(counts: Index) -> tuple[Index, Index]:
    """Cells that are not empty, and their counts, of counts that a store has kept.

    LODs of a wide cell are counted in the highest cell that lies in it.
    """
    at = np.flatnonzero(counts)
    return _CELL_OF_STORED[at], counts[at]


def _cell(lod: Real) -> npt.NDArray[np.integer]:
    """Cells of LODs without NaN, in place where they can be; negative LODs count as 0."""
    exact: type[np.signedinteger] = np.int32 if lod.dtype == np.float32 else np.int64
    if exact is np.int64:
        lod = lod.astype(np.float64, copy=False)
    kind = np.finfo(lod.dtype)
    bits = lod.view(exact) >> (kind.nmant - _BITS)
    bits -= (kind.maxexp - 1 + _FIRST) * _CELLS
    return np.maximum(bits, 0, out=bits)


# Cell of each count of a store.
_CELL_OF_STORED = np.append(
    _cell(np.array([*EDGES, FLOOR])) - 1, np.arange(N_STORED - WIDE) + _ABOVE
)
