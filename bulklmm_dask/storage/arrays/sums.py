"""Checksums of the files of an array: those that the crc32c codec writes at the end of a chunk.

The checksum tells whether the bytes of a chunk are those that were written. A copy of it that is
kept elsewhere, under the place of the chunk, tells also whether they are those of this chunk: two
files that changed places, or an older file, have other checksums.
"""

from __future__ import annotations

import operator
import os
from typing import Any

import google_crc32c
import numpy as np

from bulklmm_dask.storage.places.location import Location
from bulklmm_dask.typing import Sums

SUM = 4  # bytes of a checksum
ENTRY = 16  # bytes of an entry of the index of a shard: offset and length of a chunk
ABSENT = np.iinfo(np.uint64).max  # offset of a chunk that lies beyond the end of the array


def inner_chunks(array: Any) -> int:
    """Number of chunks in a file of a Zarr array; 0 if a file is a chunk."""
    if array.shards is None:
        return 0
    return int(np.prod([s // c for s, c in zip(array.shards, array.chunks, strict=True)]))


def sums_of(file: Location, inner: int) -> Sums | None:
    """Read the checksums in a file.

    Parameters
    ----------
    file : Location
        A chunk whose last codec is crc32c; or a shard of such chunks, with the index at its end.
    inner : int
        Number of chunks of the shard, 0 for a chunk.

    Returns
    -------
    array (1 + inner,) or None
        Checksum at the end of the file, which is that of the chunk or of the index of the shard,
        then those of the chunks of the shard; 0 for one beyond the end of the array. None if the
        file is missing or cannot be such a file.
    """
    if not file.is_file():
        return None
    sums = np.zeros(1 + inner, np.uint32)
    with file.open() as stream:
        length = stream.seek(0, os.SEEK_END)
        size = inner * ENTRY + SUM
        if length < size:
            return None
        stream.seek(length - size)
        tail = stream.read(size)
        sums[0] = _sum(tail[-SUM:])
        index = np.frombuffer(tail[:-SUM], "<u8").reshape(inner, 2)
        for at, (start, size) in enumerate(index.tolist(), 1):
            if start == ABSENT:
                continue
            if not SUM <= size <= length or start > length - size:
                return None
            stream.seek(start + size - SUM)
            sums[at] = _sum(stream.read(SUM))
    return sums


def ends(data: bytes) -> tuple[bytes, bytes]:
    """Checksum of the bytes of a file before the last four, and these: equal if they are sound.

    The checksum of all bytes would tell nothing: that of any text followed by its own checksum is
    the same number.
    """
    return google_crc32c.value(data[:-SUM]).to_bytes(SUM, "little"), data[-SUM:]


def sound(data: bytes, inner: int) -> bool:
    """Tell whether all bytes of a file agree with the checksums in it.

    Parameters
    ----------
    data : bytes
        A file for which `sums_of` finds checksums.
    inner : int
        Number of chunks of the shard, 0 for a chunk.
    """
    if not inner:
        return operator.eq(*ends(data))
    start = len(data) - inner * ENTRY - SUM
    if not operator.eq(*ends(data[start:])):
        return False
    index = np.frombuffer(data[start:-SUM], "<u8").reshape(inner, 2).tolist()
    return all(operator.eq(*ends(data[at : at + size])) for at, size in index if at != ABSENT)


def _sum(tail: bytes) -> int:
    return int.from_bytes(tail, "little")
