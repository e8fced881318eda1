"""Forms of Zarr arrays: sizes, type and codecs, as their metadata tell them.

With its form, a file of an array can be written in one pass (`shard`), without Zarr. Only the codecs
that this package writes are known.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
from numcodecs import blosc
from numcodecs.vlen import VLenUTF8
from numcodecs.zstd import Zstd

from bulklmm_dask.errors import StoreError
from bulklmm_dask.storage.location import METADATA, Location
from bulklmm_dask.surface import repeat
from bulklmm_dask.text import listing

# From an array to bytes, or from bytes to fewer.
Encode: TypeAlias = Callable[[Any], Any]

_SHUFFLES = {"noshuffle": 0, "shuffle": 1, "bitshuffle": 2}
_CHECKSUM = {"name": "crc32c"}
_INDEX = [{"name": "bytes", "configuration": {"endian": "little"}}, _CHECKSUM]

# Blosc's own threads share a state: tasks that encode at once would wait for each other.
blosc.use_threads = False


@dataclass(frozen=True)
class Form:
    """What the files of an array hold.

    Attributes
    ----------
    shape : tuple of int
        Shape of the array.
    file : tuple of int
        Shape of the part of it in one file.
    chunk : tuple of int
        Shape of a chunk. A file is one, or a shard of several.
    dtype : dtype
        Type of the elements, with the order of their bytes; object for texts.
    fill : object
        Element of a chunk beyond the end of the array.
    encode : tuple of callable
        What turns a chunk into bytes, one after the other. Its checksum follows.
    sharded : bool
        Whether the files are shards.
    """

    shape: tuple[int, ...]
    file: tuple[int, ...]
    chunk: tuple[int, ...]
    dtype: np.dtype[Any]
    fill: Any
    encode: tuple[Encode, ...]
    sharded: bool

    @classmethod
    def of(cls, array: Location) -> Form:
        """Read the form of an array.

        Raises
        ------
        StoreError
            If its metadata are damaged, or name a codec that this package does not write.
        """
        file = array / METADATA
        try:
            return _form(json.loads(file.read_bytes()))
        except _UnknownError as error:
            raise StoreError(
                f"{file} names {error}, which this version of bulklmm_dask does not write; give "
                "another store"
            ) from None
        except (LookupError, TypeError, ValueError, RecursionError) as error:
            raise StoreError(f"{file} is damaged ({error}); {repeat()} with another store") from error

    @property
    def grid(self) -> tuple[int, ...]:
        """Number of chunks of a file along each dimension."""
        return tuple(part // one for part, one in zip(self.file, self.chunk, strict=True))

    def extent(self, index: tuple[int, ...]) -> tuple[int, ...]:
        """Shape of what the array has in the file of this index."""
        sizes = zip(index, self.shape, self.file, strict=True)
        return tuple(min(part, size - at * part) for at, size, part in sizes)

    def path(self, index: tuple[int, ...]) -> str:
        """Path of the file of this index, below the array."""
        return "/".join(map(str, ("c", *index)))


class _UnknownError(Exception):
    """Codecs that this package does not write."""


def _form(metadata: Mapping[str, Any]) -> Form:
    file = tuple(metadata["chunk_grid"]["configuration"]["chunk_shape"])
    codecs, chunk, sharded = metadata["codecs"], file, False
    if codecs[0]["name"] == "sharding_indexed":
        of_shard = codecs[0]["configuration"]
        if of_shard["index_codecs"] != _INDEX or of_shard["index_location"] != "end":
            raise _UnknownError("an index of shards")
        codecs, chunk, sharded = of_shard["codecs"], tuple(of_shard["chunk_shape"]), True
    names = [codec["name"] for codec in codecs]
    if names[-1] != "crc32c" or not set(names[:-1]) <= set(_ENCODERS):
        raise _UnknownError(f"the codecs {listing(names)}")
    configurations = [codec.get("configuration", {}) for codec in codecs]
    dtype = np.dtype(object if metadata["data_type"] == "string" else metadata["data_type"])
    return Form(
        shape=tuple(metadata["shape"]),
        file=file,
        chunk=chunk,
        dtype=dtype.newbyteorder(configurations[0].get("endian", "native")),
        fill=metadata["fill_value"] if dtype == object else dtype.type(metadata["fill_value"]),
        encode=tuple(
            _ENCODERS[name](**configuration)
            for name, configuration in zip(names[:-1], configurations, strict=False)
        ),
        sharded=sharded,
    )


def _bytes(endian: str = "") -> Encode:
    return lambda chunk: chunk.reshape(-1).view(np.uint8)  # its elements are in this order already


def _texts() -> Encode:
    return VLenUTF8().encode  # type: ignore[no-any-return]


def _blosc(shuffle: str, **configuration: Any) -> Encode:
    return blosc.Blosc(shuffle=_SHUFFLES[shuffle], **configuration).encode  # type: ignore


def _zstd(level: int, checksum: bool) -> Encode:
    return Zstd(level, checksum).encode  # type: ignore


_ENCODERS: Mapping[str, Callable[..., Encode]] = {
    "bytes": _bytes,
    "vlen-utf8": _texts,
    "blosc": _blosc,
    "zstd": _zstd,
}
