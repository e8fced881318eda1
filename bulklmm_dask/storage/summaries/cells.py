"""Cells that LODs are counted in.

There are so many cells of equal width from one power of two to the next, so that the leading bits
of a binary float number its cell. All LODs below 2**-16 are in the first cell, and all of at least
2**24, which no p-value can tell apart, in the last.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Self

import numpy as np

from bulklmm_dask.typing import Array, Index, Real

_CELLS = 1024
# Powers of two: where the first cell ends, and where the last one does but for what is higher.
_FIRST, _LAST = -16, 24
N_CELLS = (_LAST - _FIRST) * _CELLS
# Pairs that are counted together: few enough to stay in the processor's cache.
TOGETHER = 1 << 17


def lower_edge(cell: Index) -> Array:
    """Lowest LOD of each cell."""
    power, step = np.divmod(cell, _CELLS)
    return np.where(cell == 0, 0.0, np.ldexp(1.0 + step / _CELLS, power + _FIRST))


def upper_edge(cell: Index) -> Array:
    """LOD that is just too high for each cell; infinite for the last."""
    return np.where(cell == N_CELLS - 1, np.inf, lower_edge(cell + 1))


@dataclass(frozen=True)
class Layout:
    """How the bits of a LOD tell its cell: ``(bits >> shift) - first``, from 0 to `N_CELLS` - 1.

    Attributes
    ----------
    exact : dtype
        Signed integers of the size of a LOD.
    shift, first : int
        As above.
    """

    exact: np.dtype[Any]
    shift: int
    first: int

    @classmethod
    def of(cls, dtype: np.dtype[Any]) -> Self:
        """That of LODs in single or double precision."""
        kind = np.finfo(dtype)
        return cls(
            np.dtype(np.int32 if kind.bits == 32 else np.int64),
            kind.nmant - (_CELLS.bit_length() - 1),
            (kind.maxexp - 1 + _FIRST) * _CELLS,
        )


class Counts:
    """Counts of LODs by cell, of one piece after the other, in arrays that are made once.

    Attributes
    ----------
    by_cell : array (cells,) of int
        Counts of all cells so far.
    """

    def __init__(self, dtype: np.dtype[Any]) -> None:
        """Begin with none, for LODs in single or double precision."""
        self._layout = Layout.of(dtype)
        ends = np.ldexp(np.ones(2, dtype), [_FIRST, _LAST]).view(self._layout.exact)
        self._least, self._most = ends[0], ends[1] - 1
        self.by_cell = np.zeros(N_CELLS, np.int64)
        self._make_room(0)

    @classmethod
    def of(cls, lod: Real, least: float) -> Index:
        """Counts of LODs of any shape, NaN left out; those below `least` are in the first cell."""
        flat, counts = lod.reshape(-1), cls(lod.dtype)
        for start in range(0, flat.size, TOGETHER):
            piece = flat[start : start + TOGETHER]
            if np.isnan(piece.max()):
                piece = piece[~np.isnan(piece)]
            # A mask as the index takes five times as long.
            high = piece[np.flatnonzero(piece >= lod.dtype.type(least))]
            counts.add(high)
            counts.add_first(piece.size - high.size)
        return counts.by_cell

    def _make_room(self, most: int) -> None:
        self._bits, self._cell = np.empty(most, self._layout.exact), np.empty(most, np.intp)

    def add(self, lod: Real) -> None:
        """Count LODs, none of which is NaN; negative ones count as 0."""
        n, layout = lod.size, self._layout
        if n > self._bits.size:
            self._make_room(n)
        bits = lod.reshape(-1).view(layout.exact)
        bits = np.clip(bits, self._least, self._most, out=self._bits[:n])
        np.right_shift(bits, layout.shift, out=bits)
        cell = np.subtract(bits, layout.first, out=self._cell[:n], dtype=layout.exact)
        count = np.bincount(cell)
        self.by_cell[: count.size] += count

    def add_first(self, count: int) -> None:
        """Count so many more, or fewer, LODs in the first cell."""
        self.by_cell[0] += count
