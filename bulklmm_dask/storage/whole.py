"""Files of chunks and shards: is all of one there? Only its length and its header are looked at."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np

_HEADER = 16  # bytes that Blosc puts before a chunk; the last four are the length of all of it
_CHECKSUM = 4  # bytes after the index of a shard
_NOT_WRITTEN = np.iinfo(np.uint64).max


def is_whole(file: Path, array: Any) -> bool:
    """Tell whether a file of `array` (zarr.Array, compressed by Blosc) is there in full length."""
    if not file.is_file():
        return False
    if array.shards is None:
        return _chunk_is_whole(file)
    inner = math.prod(s // c for s, c in zip(array.shards, array.chunks, strict=True))
    return _shard_is_whole(file, inner)


def _chunk_is_whole(file: Path) -> bool:
    with file.open("rb") as stream:
        header = stream.read(_HEADER)
    size = file.stat().st_size
    return len(header) == _HEADER and int.from_bytes(header[12:], "little") == size


def _shard_is_whole(file: Path, inner: int) -> bool:
    """Compare the end of the last inner chunk, by the index at the end, with where that begins."""
    index_bytes = inner * 16 + _CHECKSUM
    data_bytes = file.stat().st_size - index_bytes
    if data_bytes < 0:
        return False
    with file.open("rb") as stream:
        stream.seek(data_bytes)
        index = np.frombuffer(stream.read(index_bytes - _CHECKSUM), "<u8").reshape(inner, 2)
    written = index[index[:, 0] != _NOT_WRITTEN]
    return int(written.sum(axis=1).max(initial=0)) == data_bytes
