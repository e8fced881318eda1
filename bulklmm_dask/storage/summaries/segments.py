"""Segments: the parts of contigs that lie in one chunk of markers.

A block has a maximum for each of its segments. They are numbered chunk by chunk, and within a chunk
by contig, whatever the order of its markers. A result without a marker map, or with more contigs in
a chunk than are worth a maximum each, has one segment for each chunk.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Self

import numpy as np

from bulklmm_dask.typing import Index

# Contigs of a chunk of markers that have a segment each.
_MOST = 64


@dataclass(frozen=True)
class Segments:
    """Segments of all markers.

    Attributes
    ----------
    group : array (variants,)
        Contig of each marker; 0 for all where a chunk is one segment.
    size : int
        Markers of a chunk; the last one may be smaller.
    contig : array (segments,)
        Value of `group` for the markers of each segment.
    starts : array (chunks + 1,)
        The first segment of each chunk, and the number of segments.
    by_contig : bool
        Whether contigs have segments of their own.
    """

    group: Index
    size: int
    contig: Index
    starts: Index
    by_contig: bool

    @classmethod
    def of(cls, contig: Index | None, n_variants: int, size: int) -> Self:
        """Make the segments of markers from their contigs, None without a marker map."""
        none = np.zeros(n_variants, dtype=np.int64)
        group = none if contig is None else contig.astype(np.int64)
        parts = _distinct(group, size)
        by_contig = contig is not None and max(map(len, parts)) <= _MOST
        if not by_contig:
            group, parts = none, _distinct(none, size)
        starts = np.cumsum([0, *map(len, parts)])
        return cls(group, size, np.concatenate(parts), starts, by_contig)

    def of_chunk(self, i: int) -> slice:
        """Range of the segments of a chunk of markers."""
        return slice(int(self.starts[i]), int(self.starts[i + 1]))

    def groups_of_chunk(self, i: int) -> Index:
        """Contigs of the markers of a chunk, or 0 for all."""
        return self.group[i * self.size : (i + 1) * self.size]


def _distinct(group: Index, size: int) -> list[Index]:
    return [np.unique(group[start : start + size]) for start in range(0, group.size, size)]
