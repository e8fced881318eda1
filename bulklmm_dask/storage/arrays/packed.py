"""Chunks with copies of rows: Blosc finds them by a search, but whoever computed them knows them.

A loop in C (`compiled/packed.h`) writes such a chunk as one of Blosc, where it was built, in the
time of a copy; zarr, and whatever reads Blosc, decodes it.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from types import ModuleType
from typing import Any, Self

import numpy as np
import numpy.typing as npt

from bulklmm_dask._compiled import NUMPY, built, wanted
from bulklmm_dask.storage.arrays.form import CHECKSUM, Form
from bulklmm_dask.typing import Index

_COMPRESSOR = {"cname": "lz4", "shuffle": "noshuffle"}
# Bytes of a row and of a chunk that the loop takes: Blosc decodes no block above 683 MiB.
_LEAST, _MOST = 16, 2**29


@dataclass(frozen=True)
class Packer:
    """Writes chunks of one file whose rows are copies of few.

    Attributes
    ----------
    form : Form
        Form of the array.
    source : array (rows, bytes) of uint8
        The different rows, wherever they are among the chunks.
    end : int
        Size of a row in values, along its first dimension.
    loop : module
        The compiled loop.
    room : array of uint8
        Memory for a chunk.
    """

    form: Form
    source: npt.NDArray[np.uint8]
    end: int
    loop: ModuleType
    room: npt.NDArray[np.uint8]

    @classmethod
    def of(cls, form: Form, values: npt.NDArray[Any]) -> Self | None:
        """Packer of different rows; None if their chunks are compressed in another way."""
        loop = None if wanted() == NUMPY else built("storage.compiled._blocks")
        size = math.prod(form.chunk) * form.dtype.itemsize
        width = size // max(1, form.chunk[0])
        takes = _searches(form) and values.dtype == form.dtype and len(values) > 0
        if loop is None or not takes or width < _LEAST or size > _MOST:
            return None
        source = np.ascontiguousarray(values).reshape(len(values), -1).view(np.uint8)
        return cls(form, source, values.shape[1], loop, np.empty(size, np.uint8))

    def pack(self, columns: slice, where: Index) -> npt.NDArray[np.uint8] | None:
        """Write the chunk of some columns and the rows `where`; None if it is no shorter so."""
        one = self.source.shape[1] // self.end
        source = self.source[:, columns.start * one : columns.stop * one]
        width, height = self.room.size // self.form.chunk[0], self.form.chunk[0]
        if source.shape[1] < width or len(where) < height:  # beyond the end are fill values
            fill = np.full(width // self.form.dtype.itemsize, self.form.fill, self.form.dtype)
            padded = np.empty((len(source) + 1, width), np.uint8)
            padded[:] = fill.view(np.uint8)
            padded[:-1, : source.shape[1]] = source
            where = np.append(where, np.full(height - len(where), len(source)))
            source = padded
        rows = where.astype(np.int64, copy=False)
        length = self.loop.pack(source, rows, self.form.dtype.itemsize, self.room)
        return self.room[:length] if length else None


def _searches(form: Form) -> bool:
    """Whether chunks are real numbers that Blosc searches for copies, without a shuffle."""
    names = [codec["name"] for codec in form.codecs]
    if form.dtype.kind != "f" or names != ["bytes", "blosc", CHECKSUM] or len(form.shape) < 2:
        return False
    how = form.codecs[1]["configuration"]
    return all(how[name] == value for name, value in _COMPRESSOR.items())
