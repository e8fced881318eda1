"""Slabs: runs of a few rows, and their highest LODs, by which a block is summarised in one pass.

A block is read once for them, and counted while its rows are in the cache. What lies where is then
looked up in few of its slabs.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from typing import Self

import numpy as np

from bulklmm_dask.storage.summaries.cells import TOGETHER, Counts
from bulklmm_dask.storage.summaries.highest import highest_of_runs
from bulklmm_dask.typing import Index, Real

# Rows of a slab.
_SLAB = 8


@dataclass(frozen=True)
class Slabs:
    """Rows of LODs in slabs, each of rows of one group.

    Attributes
    ----------
    lod : array (rows, columns)
        LODs, sorted by group.
    order : array (rows,)
        Which rows these were.
    start : array (slabs + 1,)
        First row of each slab, and number of rows.
    first : array (groups + 1,)
        First slab of each group, and number of slabs.
    maxima : array (slabs, columns)
        Highest LODs; NaN where there is none.
    """

    lod: Real
    order: Index
    start: Index
    first: Index
    maxima: Real

    @classmethod
    def of(cls, lod: Real, group: Index, counts: Counts | None = None) -> Self:
        """Cut rows into slabs, by the number of the group of each; count their LODs too."""
        order = np.argsort(group, kind="stable")
        if (group[1:] < group[:-1]).any():
            lod, group = lod[order], group[order]
        edges = np.flatnonzero(np.diff(group, prepend=group[:1] - 1, append=group[-1:] + 1))
        cut = [np.arange(start, stop, _SLAB) for start, stop in pairwise(edges.tolist())]
        start = np.concatenate([*cut, [len(lod)]])
        out = cls(
            lod,
            order,
            start,
            np.cumsum([0, *map(len, cut)]),
            np.empty((start.size - 1, lod.shape[1]), lod.dtype),
        )
        together = max(1, TOGETHER // (_SLAB * lod.shape[1]))
        for at in range(0, len(out.maxima), together):
            out._look_at(at, at + together, counts)
        return out

    def _look_at(self, begin: int, end: int, counts: Counts | None) -> None:
        """Find the maxima of the slabs of a range, and count their LODs."""
        start, maxima = self.start[begin : end + 1], self.maxima[begin:end]
        lod, start = self.lod[start[0] : start[-1]], start - start[0]
        for highest, edges in zip(maxima, pairwise(start.tolist()), strict=True):
            np.maximum.reduce(lod[slice(*edges)], axis=0, out=highest)
        gaps = np.flatnonzero(np.isnan(np.maximum.reduce(maxima, axis=0)))
        if gaps.size:  # the maximum of numbers and NaN is NaN so far
            some = lod[:, gaps]
            maxima[:, gaps] = highest_of_runs(some, start[:-1])
        if counts is None:
            return
        if gaps.size:
            unknown = np.isnan(some)
            lod = lod.copy()
            lod[:, gaps] = np.where(unknown, 0, some)
            counts.add_first(-int(unknown.sum()))
        counts.add(lod)

    def highest(self) -> tuple[Real, Index]:
        """Highest LOD of every column in each group, and the first row that has it.

        Without any LOD: NaN, and the first row of the group.
        """
        pairs = [self._highest(slice(*edges)) for edges in pairwise(self.first.tolist())]
        return np.stack([best for best, _ in pairs]), np.stack([row for _, row in pairs])

    def _highest(self, mine: slice) -> tuple[Real, Index]:
        maxima = self.maxima[mine]
        best = np.fmax.reduce(maxima, axis=0)
        slab = np.zeros(best.size, dtype=np.int64)
        for number in range(len(maxima) - 1, -1, -1):
            np.copyto(slab, number, where=maxima[number] == best)
        row, offset = self.start[mine][slab], np.zeros(best.size, dtype=np.int64)
        flat, first = self.lod.reshape(-1), row * best.size + np.arange(best.size)
        for step in range(_SLAB - 1, -1, -1):
            # `take` looks up such numbers several times as fast as an index does. What it finds
            # beyond the slab does not matter: the maximum is in a row before, which comes later.
            found = flat.take(first + step * best.size, mode="wrap")
            np.copyto(offset, step, where=found == best)
        return best, self.order[row + offset]
