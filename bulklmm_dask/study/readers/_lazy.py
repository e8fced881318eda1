"""Lazy genotypes: ranges of variants are read from their file when they are used."""

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

_CHUNK_BYTES = 2**24  # size of a chunk in memory
_MOST = 8  # chunks may be this many times larger, to read each chunk of the file only once
_DIMS = ("variants", "samples", "genotypes")


class Source(Protocol):
    """An array of float32 in a file; it holds only a path, so that any process can read it."""

    @property
    def shape(self) -> tuple[int, ...]:
        """Shape (variants, samples) or (variants, samples, genotypes)."""

    @property
    def step(self) -> int:
        """Variants per chunk of the file; 1 if any range costs the same to read."""

    def read(self, start: int, stop: int) -> npt.NDArray[np.float32]:
        """Read a range of variants; an InputError names the file and the position."""


def lazy(source: Source, variants: Sequence[str], samples: Sequence[str] | None) -> xr.DataArray:
    """Turn a source into a lazy array with names, chunked along the variants.

    A chunk is about 16 MiB, or up to eight times that where the file's own chunks are larger.
    """
    dims = _DIMS[: len(source.shape)]
    variable = xr.Variable(dims, indexing.LazilyIndexedArray(_Backend(source)))
    names = {"variants": text(variants)}
    if samples is not None:
        names["samples"] = text(samples)
    return xr.DataArray(variable.chunk({"variants": _chunk(source)}), coords=names)


def _chunk(source: Source) -> int:
    """Variants per chunk: several whole chunks of the file, or a large part of one."""
    size = max(1, _CHUNK_BYTES // max(1, 4 * math.prod(source.shape[1:])))
    if size >= source.step:
        return size - size % source.step
    parts = -(-source.step // (_MOST * size))
    return -(-source.step // parts)


class _Backend(BackendArray):
    """Adapter by which xarray reads a source lazily."""

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
