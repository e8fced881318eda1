"""Files of Zarr arrays, written in one pass: a shard of chunks and its index, or one chunk.

Zarr goes over a shard several times, and does not tell the checksums that it writes. Here a chunk is
gathered, compressed and written while it is in the cache of the processor. The bytes are those that
Zarr writes, where chunks lie along one dimension; in other shards their order is another one.
"""

from __future__ import annotations

from typing import IO, Any

import google_crc32c
import numpy as np
import numpy.typing as npt

from bulklmm_dask.storage.form import Form
from bulklmm_dask.storage.sums import ABSENT, SUM
from bulklmm_dask.typing import Sums


def write(stream: IO[bytes], form: Form, values: npt.NDArray[Any]) -> Sums:
    """Write a file of an array.

    Parameters
    ----------
    stream : file
        The file, empty.
    form : Form
        Form of the array.
    values : array
        What the array has there, of the shape that `Form.extent` gives.

    Returns
    -------
    array of uint32
        The checksums in the file, as `sums_of` reads them.
    """
    chunk = np.empty(form.chunk, form.dtype)
    if not form.sharded:
        return np.array([_write_chunk(stream, form, values, chunk)[1]], np.uint32)
    index = np.full((*form.grid, 2), ABSENT, "<u8")
    sums = np.zeros(form.grid, np.uint32)
    start = 0
    for place in np.ndindex(form.grid):
        edges = zip(place, form.chunk, strict=True)
        part = values[tuple(slice(at * size, (at + 1) * size) for at, size in edges)]
        if part.size:
            length, sums[place] = _write_chunk(stream, form, part, chunk)
            index[place] = start, length
            start += length
    return np.array([_write_checked(stream, index.tobytes()), *sums.ravel()], np.uint32)


def _write_chunk(
    stream: IO[bytes], form: Form, part: npt.NDArray[Any], chunk: npt.NDArray[Any]
) -> tuple[int, int]:
    """Write a chunk, by way of an array of its shape; give its length and its checksum."""
    if part.shape != chunk.shape:
        chunk[...] = form.fill
    data: Any = part
    if part.shape != chunk.shape or part.dtype != form.dtype or not part.flags.c_contiguous:
        np.copyto(chunk[tuple(map(slice, part.shape))], part, casting="same_kind")
        data = chunk
    for encode in form.encode:
        data = encode(data)
    return len(data) + SUM, _write_checked(stream, data)


def _write_checked(stream: IO[bytes], data: bytes) -> int:
    """Write bytes and their checksum, which is returned."""
    checksum: int = google_crc32c.value(data)
    stream.write(data)
    stream.write(checksum.to_bytes(SUM, "little"))
    return checksum
