"""Lazy genotypes: ranges of variants are read from their file when they are used."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Protocol

import numpy as np
import xarray as xr

from bulklmm_dask.storage.labels.encoding import text
from bulklmm_dask.storage.proof.lazy import Deferred
from bulklmm_dask.typing import Single

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

    def read(self, start: int, stop: int) -> Single:
        """Read a range of variants; an InputError names the file and the position."""


def lazy(source: Source, variants: Sequence[str], samples: Sequence[str] | None) -> xr.DataArray:
    """Turn a source into a lazy array with names, chunked along the variants.

    A chunk is about 16 MiB, or up to eight times that where the file's own chunks are larger.
    """
    dims = _DIMS[: len(source.shape)]
    names = {"variants": text(variants)}
    if samples is not None:
        names["samples"] = text(samples)
    return xr.DataArray(_Ranges(source).chunked(dims, {"variants": _chunk(source)}), coords=names)


def _chunk(source: Source) -> int:
    """Variants per chunk: several whole chunks of the file, or a large part of one."""
    size = max(1, _CHUNK_BYTES // max(1, 4 * math.prod(source.shape[1:])))
    if size >= source.step:
        return size - size % source.step
    parts = -(-source.step // (_MOST * size))
    return -(-source.step // parts)


class _Ranges(Deferred):
    """The array of a source, of which only whole variants are read."""

    def __init__(self, source: Source) -> None:
        self.source = source
        self.shape = source.shape
        self.dtype = np.dtype(np.float32)

    def take(self, key: tuple[int | slice, ...]) -> Single:
        rows, *others = key
        if isinstance(rows, slice):
            start, stop, step = rows.indices(self.shape[0])
            found = self.source.read(start, max(start, stop))[::step]
            return found[(slice(None), *others)]
        return self.source.read(rows, rows + 1)[(0, *others)]
