"""Files of Zarr arrays, written and read in one pass: a shard of chunks and its index, or a chunk.

Zarr goes over a shard several times, and does not tell the checksums that it writes. Here a chunk
is gathered, compressed and written while it is in the cache of the processor. The bytes are those
that Zarr writes, where the chunks of a shard lie along one dimension; else their order is another.
But chunks that Zarr would not shuffle are shuffled where that compresses better.
"""

from __future__ import annotations

import math
import operator
import os
from collections.abc import Callable, Mapping
from typing import IO, Any

import google_crc32c
import numpy as np
import numpy.typing as npt
from numcodecs import blosc
from numcodecs.vlen import VLenUTF8
from numcodecs.zstd import Zstd

from bulklmm_dask.storage.arrays.form import CHECKSUM, Codec, Form
from bulklmm_dask.storage.arrays.packed import Packer
from bulklmm_dask.storage.arrays.pieces import Region, touched
from bulklmm_dask.storage.arrays.sums import ABSENT, ENTRY, SUM, ends
from bulklmm_dask.storage.codecs.room import require_room
from bulklmm_dask.typing import Index, Sums

_SHUFFLES = {"noshuffle": 0, "shuffle": 1, "bitshuffle": 2}

# What is not to be shuffled is shuffled nevertheless, unless its first bytes, so large a part of a
# chunk and at least so many, have so many repetitions that they are compressed to this share.
_PROBE, _LEAST, _REPEATED = 8, 2**14, 0.8

# Blosc's own threads share a state: tasks that encode at once would wait for each other.
blosc.use_threads = False


def write(
    stream: IO[bytes], form: Form, values: npt.NDArray[Any], where: Index | None = None
) -> Sums:
    """Write a file of an array.

    Parameters
    ----------
    stream : file
        The file, empty.
    form : Form
        Form of the array; its last codec is the checksum.
    values : array
        What the array has there: `Form.region`.
    where : array of int, optional
        The row of `values` that each row of the file is, if some of them are copies.

    Returns
    -------
    array of uint32
        The checksums in the file, as `sums_of` reads them.
    """
    encoders = [_encoder(codec) for codec in form.codecs[:-1]]
    chunk = np.empty(form.chunk, form.dtype)
    packer = None if where is None else Packer.of(form, values)

    def encoded(region: Region) -> Any:
        """Encode what lies in a region of the file."""
        part = values[region] if where is None else values[(slice(None), *region[1:])]
        if where is not None:
            rows = where[region[0]]
            packed = packer and packer.pack(region[1], rows)
            if packed is not None:
                return packed
            part = part[rows]
        data: Any = part
        if part.shape != chunk.shape or part.dtype != chunk.dtype or not part.flags.c_contiguous:
            if part.shape != chunk.shape:
                chunk[...] = form.fill
            np.copyto(chunk[tuple(map(slice, part.shape))], part, casting="same_kind")
            data = chunk
        for encode in encoders:
            data = encode(data)
        return data

    shape = values.shape if where is None else (*where.shape, *values.shape[1:])
    whole = tuple(slice(0, size) for size in shape)
    if form.inner is None:
        return np.array([_write_checked(stream, encoded(whole))], np.uint32)
    index = np.full((*form.grid, 2), ABSENT, "<u8")
    sums = np.zeros(form.grid, np.uint32)
    start = 0
    for place, _, region in touched(whole, form.inner):
        data = encoded(region)
        sums[place] = _write_checked(stream, data)
        index[place] = start, len(data) + SUM
        start += len(data) + SUM
    return np.array([_write_checked(stream, index.tobytes()), *sums.ravel()], np.uint32)


def _write_checked(stream: IO[bytes], data: Any) -> int:
    """Write bytes and their checksum, which is returned."""
    checksum: int = google_crc32c.value(data)
    stream.write(data)
    stream.write(checksum.to_bytes(SUM, "little"))
    return checksum


def read(
    stream: IO[bytes], form: Form, part: Region, recorded: Sums | None = None
) -> npt.NDArray[Any]:
    """Read a part of a file of an array; of a shard no other chunks are read.

    Parameters
    ----------
    stream : file
        The file.
    form : Form
        Form of the array.
    part : tuple of slice
        The part, counted from the start of the file.
    recorded : array of uint32, optional
        Checksums that the file had when it was written (`write`).

    Returns
    -------
    array
        Of the order of bytes of this machine.

    Raises
    ------
    ValueError, RuntimeError
        If the file is damaged, or is not the one with these checksums.
    """
    if form.inner is None:
        data = stream.read()
        _require(data, recorded, 0)
        return chunk_of(data, form)[part]
    out = form.blank(part)
    length = stream.seek(0, os.SEEK_END)
    stream.seek(max(length - form.chunks_of_shard * ENTRY - SUM, 0))
    index = stream.read()
    _require(index, recorded, 0)
    entries = np.frombuffer(_checked(index), "<u8").reshape(*form.grid, 2)
    for place, of_chunk, of_part in touched(part, form.inner):
        start, size = entries[place].tolist()
        if start == ABSENT:
            continue
        if size > length or start > length - size:
            raise ValueError("the index of a shard names bytes beyond its end")
        stream.seek(start)
        data = stream.read(size)
        _require(data, recorded, 1 + int(np.ravel_multi_index(place, form.grid)))
        out[of_part] = chunk_of(data, form)[of_chunk]
    return out


def _require(data: bytes, recorded: Sums | None, at: int) -> None:
    """Raise ValueError unless bytes end with the checksum that is recorded at this place."""
    if recorded is not None and data[-SUM:] != int(recorded[at]).to_bytes(SUM, "little"):
        raise ValueError("the bytes are not those that were written")


def chunk_of(data: bytes, form: Form) -> npt.NDArray[Any]:
    """Decode a chunk.

    Raises
    ------
    ValueError, RuntimeError
        If it is damaged.
    """
    for codec in reversed(form.codecs[1:]):
        data = _DECODERS[codec["name"]](data)
    if form.dtype.kind != "O":
        return np.frombuffer(data, form.dtype).reshape(form.chunk)
    require_room(data, math.prod(form.chunk))
    return np.asarray(VLenUTF8().decode(data)).reshape(form.chunk)


def _encoder(codec: Codec) -> Callable[[Any], Any]:
    return _ENCODERS[codec["name"]](**codec.get("configuration", {}))


def _bytes(endian: str = "") -> Callable[[Any], Any]:
    return lambda chunk: chunk.reshape(-1).view(np.uint8)  # its elements have this order already


def _blosc(shuffle: str, **configuration: Any) -> Callable[[Any], Any]:
    encode: Callable[[Any], Any] = blosc.Blosc(shuffle=_SHUFFLES[shuffle], **configuration).encode
    if shuffle != "noshuffle":
        return encode
    shuffled = _blosc("shuffle", **configuration)

    def encode_best(data: npt.NDArray[np.uint8]) -> Any:
        """Encode as the start of a chunk compresses; each chunk tells whether it is shuffled."""
        start = data[: max(data.size // _PROBE, _LEAST)]
        is_repeated = len(encode(start)) < _REPEATED * start.size
        return encode(data) if is_repeated else shuffled(data)

    return encode_best


def _checked(data: bytes) -> bytes:
    if not operator.eq(*ends(data)):
        raise ValueError("the bytes of a chunk do not agree with its checksum")
    return data[:-SUM]


_ENCODERS: Mapping[str, Callable[..., Callable[[Any], Any]]] = {
    "bytes": _bytes,
    "vlen-utf8": lambda: VLenUTF8().encode,
    "blosc": _blosc,
    "zstd": lambda level, checksum: Zstd(level, checksum).encode,
}
_DECODERS: Mapping[str, Callable[[bytes], bytes]] = {
    "blosc": blosc.decompress,
    "zstd": Zstd().decode,
    CHECKSUM: _checked,
}
