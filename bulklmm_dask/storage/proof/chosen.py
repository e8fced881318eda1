"""Arrays of pairs of which only some chunks are read: those that can hold what is looked for."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import xarray as xr

from bulklmm_dask.storage.proof.lazy import Deferred, Stored, stored_behind
from bulklmm_dask.typing import Flags, Index


@dataclass(frozen=True)
class Choice:
    """Chunks of the arrays of pairs of a store.

    A block is read in chunks of all its markers x some traits. All traits of a chunk are there if
    it is read of at least one block, and the first chunk of each chunk of blocks always.

    Attributes
    ----------
    read : array (blocks along variants, chunks along traits) of bool
        Which chunks are read.
    n_traits : int
        Number of traits of the store.
    block : (int, int)
        Markers and traits of a block.
    width : int
        Traits of a chunk, which divides those of a block.
    """

    read: Flags
    n_traits: int
    block: tuple[int, int]
    width: int

    @cached_property
    def _kept(self) -> Index:
        first = np.arange(self.read.shape[1]) % (self.block[1] // self.width) == 0
        return np.flatnonzero(self.read.any(axis=0) | first)

    @cached_property
    def traits(self) -> Index:
        """Indices of the traits that are there, in order."""
        starts = self._kept[:, None] * self.width + np.arange(self.width)
        return starts[starts < self.n_traits]

    @cached_property
    def sizes(self) -> tuple[int, ...]:
        """How many of them there are of each chunk of blocks."""
        return tuple(np.unique(self.traits // self.block[1], return_counts=True)[1].tolist())

    def of(self, variable: xr.Variable) -> xr.Variable | None:
        """Give what was chosen of an array of pairs of the store; None for any other array."""
        stored = stored_behind(variable)
        if stored is None or stored.shape[1] != self.n_traits:
            return None
        chunks = {variable.dims[0]: self.block[0], variable.dims[1]: self.sizes}
        return _Chosen(stored, self).chunked(variable.dims, chunks)


class _Chosen(Deferred):
    """The chosen chunks of an array of pairs; those that are not read hold NaN, or 0."""

    def __init__(self, stored: Stored, choice: Choice) -> None:
        self.stored, self.choice = stored, choice
        self.shape = (stored.shape[0], choice.traits.size, *stored.shape[2:])
        self.dtype = stored.dtype

    @property
    def is_far(self) -> bool:
        """Whether a server has the store."""
        return self.stored.is_far

    def take(self, key: tuple[int | slice, ...]) -> Any:
        pair = [
            np.atleast_1d(np.arange(n)[one]) for n, one in zip(self.shape, key[:2], strict=False)
        ]
        rows, columns = pair[0], self.choice.traits[pair[1]]
        height, width = self.choice.block[0], self.choice.width
        missing = np.nan if self.dtype.kind == "f" else 0
        out = np.full((rows.size, columns.size, *self.shape[2:]), missing, self.dtype)
        rest = (slice(None),) * (len(self.shape) - 2)
        for i in np.unique(rows // height).tolist():
            mine = np.flatnonzero(rows // height == i)
            first, last = int(rows[mine].min()), int(rows[mine].max())
            for run in _runs(columns, self.choice.read[i, columns // width]):
                traits = slice(int(columns[run[0]]), int(columns[run[-1]]) + 1)
                found = self.stored.take((slice(first, last + 1), traits, *rest))
                out[mine[0] : mine[-1] + 1, run[0] : run[-1] + 1] = found[rows[mine] - first]
        return out[(*(slice(None) if isinstance(one, slice) else 0 for one in key[:2]), *key[2:])]


def _runs(columns: Index, wanted: Flags) -> list[Index]:
    """Places of wanted columns, those together that follow each other in the store."""
    at = np.flatnonzero(wanted)
    cuts = np.flatnonzero((np.diff(at) > 1) | (np.diff(columns[at]) > 1)) + 1
    return np.split(at, cuts) if at.size else []
