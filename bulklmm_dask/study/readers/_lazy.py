"""Genotypes that stay in their files: ranges of variants are read when they are asked for."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt
import xarray as xr
from xarray.backends import BackendArray
from xarray.core import indexing

from bulklmm_dask.storage.encoding import text

_CHUNK_BYTES = 2**24
_MOST = 8  # times as large rather than read a chunk of the file more than once
_DIMS = ("variants", "samples", "genotypes")


class Source(Protocol):
    """An array of float32 in a file; knows paths only, so that other processes can read it too."""

    @property
    def shape(self) -> tuple[int, ...]:
        """The shape: variants, samples and perhaps genotypes."""

    @property
    def step(self) -> int:
        """How many variants the file keeps together; 1 where any range is read alike."""

    def read(self, start: int, stop: int) -> npt.NDArray[np.float32]:
        """Read a range of variants; InputError with file and position where that fails."""


def lazy(source: Source, variants: Sequence[str], samples: Sequence[str] | None) -> xr.DataArray:
    """Give a source as a lazy array with names, cut along the variants.

    A chunk is about 16 MiB, or up to eight times that where the file's own chunks are larger.
    """
    dims = _DIMS[: len(source.shape)]
    variable = xr.Variable(dims, indexing.LazilyIndexedArray(_Backend(source)))
    names = {"variants": text(variants)}
    if samples is not None:
        names["samples"] = text(samples)
    return xr.DataArray(variable.chunk({"variants": _chunk(source)}), coords=names)


def _chunk(source: Source) -> int:
    """Variants in a chunk: whole chunks of the file, or as few parts of one as memory allows."""
    size = max(1, _CHUNK_BYTES // max(1, 4 * math.prod(source.shape[1:])))
    if size >= source.step:
        return size - size % source.step
    parts = -(-source.step // (_MOST * size))
    return -(-source.step // parts)


class _Backend(BackendArray):
    """What xarray asks of an array that is not in memory."""

    def __init__(self, source: Source) -> None:
        self.source = source
        self.shape = source.shape
        self.dtype = np.dtype(np.float32)

    def __getitem__(self, key: indexing.ExplicitIndexer) -> Any:
        support = indexing.IndexingSupport.BASIC
        return indexing.explicit_indexing_adapter(key, self.shape, support, self._take)

    def _take(self, key: tuple[Any, ...]) -> Any:
        rows, *others = key
        if isinstance(rows, slice):
            start, stop, step = rows.indices(self.shape[0])
            found = self.source.read(start, max(start, stop))[::step]
            return found[(slice(None), *others)]
        return self.source.read(int(rows), int(rows) + 1)[(0, *others)]
