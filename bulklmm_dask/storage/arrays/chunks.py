"""Files of Zarr arrays: where a chunk or shard lies, and whether its file is whole.

Checksums tell whether a file of a store of this package is whole (`manifest`). Stores of version
0.1.0 have none; there the codecs tell it.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
from numcodecs.blosc import _cbuffer_sizes  # no public function gives the length

from bulklmm_dask.errors import StoreError
from bulklmm_dask.storage.arrays.form import Form
from bulklmm_dask.storage.places.location import Location
from bulklmm_dask.text import named

_BLOSC, _CHECKSUM = ("Blosc", "BloscCodec"), "Crc32cCodec"
_BLOSC_HEADER, _CHECKSUM_LENGTH = 16, 4  # bytes


def file_shape(array: Any) -> tuple[int, ...]:
    """Shape of the part of an array in one file: a shard, or a chunk if there are no shards."""
    shape: tuple[int, ...] = array.shards or array.chunks
    return shape


def grid(array: Any) -> tuple[int, ...]:
    """Number of files along each dimension."""
    pieces = file_shape(array)
    if 0 in pieces:
        place = named(str(array.store_path).removeprefix("file://"))
        raise StoreError(f"{place} is damaged: its chunks have the size {pieces}; make it again")
    return tuple(-(-size // piece) for size, piece in zip(array.shape, pieces, strict=True))


def file_of(store: Location, name: str, array: Any, index: tuple[int, ...]) -> Location:
    """Location of the file with this index in the grid of files of an array."""
    return store / name / array.metadata.encode_chunk_key(index)


def files(store: Location, name: str, array: Any) -> Iterator[tuple[tuple[int, ...], Location]]:
    """Index and location of every file that an array should have."""
    for index in np.ndindex(grid(array)):
        yield index, file_of(store, name, array, index)


def missing_files(store: Location, name: str) -> list[Location]:
    """Locations of the files of an array that are not there."""
    array = store / name
    return array.lacks(list(Form.at(array).paths()))


def is_whole(file: Location, array: Any, index: tuple[int, ...]) -> bool:
    """Tell whether a file of unrecorded size is there in full length.

    Blosc stores the length of a compressed chunk in its header, but decodes a chunk that was cut
    short without an error, to wrong numbers; all other codecs refuse it. The index at the end of a
    shard has a checksum, which Zarr compares when it reads any cell of the shard.
    """
    if not file.is_file():
        return False
    if array.shards is not None:
        start = [i * size for i, size in zip(index, array.shards, strict=True)]
        try:
            array[tuple(start)]
        except Exception:  # every codec fails in its own way
            return False
        return True
    codecs = [type(codec).__name__ for codec in array.compressors]
    checksums = _CHECKSUM_LENGTH * codecs.count(_CHECKSUM)
    outermost = [name for name in codecs if name != _CHECKSUM][-1:]
    if not set(outermost) & set(_BLOSC):
        return True
    with file.open() as stream:
        header = stream.read(_BLOSC_HEADER)
    return len(header) == _BLOSC_HEADER and _cbuffer_sizes(header)[1] + checksums == file.size()
