"""Dimensions and sizes of a result: how it is cut into blocks, and what arrays it has."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np


@dataclass(frozen=True)
class Layout:
    """Dimensions and sizes of a result.

    Attributes
    ----------
    shape : (int, int)
        Size of the whole result.
    block : (int, int)
        Size of a block, which is a shard, or a chunk if `inner` is the same.
    inner : (int, int)
        Size of a chunk.
    dims : (str, str)
        Names of both dimensions; the second is that of the traits.
    """

    shape: tuple[int, int]
    block: tuple[int, int]
    inner: tuple[int, int]
    dims: tuple[str, str] = ("variants", "traits")

    def region(self, i: int, j: int) -> tuple[slice, slice]:
        """Range of block (i, j) along each dimension."""
        return self._slice(0, i), self._slice(1, j)

    def _slice(self, axis: int, index: int) -> slice:
        start = index * self.block[axis]
        return slice(start, min(start + self.block[axis], self.shape[axis]))

    @property
    def blocks(self) -> tuple[int, int]:
        """Number of blocks along each dimension."""
        return -(-self.shape[0] // self.block[0]), -(-self.shape[1] // self.block[1])


@dataclass(frozen=True)
class Field:
    """An array with one value per pair, (variants, traits, ...), or per trait, (..., traits).

    `attrs` are its attributes, ``long_name`` and ``units``.
    """

    dims: tuple[str, ...]
    shape: tuple[int, ...]
    dtype: np.dtype[Any]
    attrs: Mapping[str, str] | None = None

    @property
    def nbytes(self) -> int:
        """Size in bytes without compression."""
        return self.dtype.itemsize * math.prod(self.shape)
