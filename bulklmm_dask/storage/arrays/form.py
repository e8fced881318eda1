"""Forms of Zarr arrays: sizes, type, codecs and attributes, as their metadata tell them.

With its form, the files of an array are written and read in one pass (`shard`), without the
machinery of Zarr, which takes milliseconds for each array. Only what this package writes is known.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import product
from typing import Any

import numpy as np
import numpy.typing as npt

from bulklmm_dask.errors import StoreError
from bulklmm_dask.storage.places.location import METADATA, Location
from bulklmm_dask.surface import repeat
from bulklmm_dask.text import listing

# A codec as metadata name it: its name, and perhaps its configuration.
Codec = Mapping[str, Any]

CHECKSUM = "crc32c"
# From elements to bytes, then from these to fewer.
_FIRST, _THEN = ("bytes", "vlen-utf8"), ("blosc", "zstd", CHECKSUM)
_LITTLE = {"name": "bytes", "configuration": {"endian": "little"}}
_CHECKED = {"name": CHECKSUM}
_SHARDS, _INDEX = "sharding_indexed", [_LITTLE, _CHECKED]
_KEYS = {"name": "default", "configuration": {"separator": "/"}}
# By their names: C has two types of one size, of which NumPy means one.
_NUMBERS = {name: np.dtype(name) for name in (np.dtype(kind).name for kind in "?bhilqBHILQefd")}
_TEXT, _UNKNOWN = "string", np.dtype(np.void)


@dataclass(frozen=True)
class Form:
    """What an array is, and what its files hold.

    Attributes
    ----------
    shape : tuple of int
        Shape of the array.
    file : tuple of int
        Shape of the part of it in one file.
    dtype : dtype
        Type of the elements, with the order of their bytes; object for texts, void for others.
    codecs : tuple of mapping
        Codecs of a chunk; the first turns elements into bytes.
    fill : object
        Element of a chunk that lies beyond the end of the array, or in a file that is not there.
    inner : tuple of int or None
        Shape of a chunk, if a file is a shard of several.
    dims : tuple of str or None
        Names of the dimensions.
    attrs : mapping
        Attributes.
    """

    shape: tuple[int, ...]
    file: tuple[int, ...]
    dtype: np.dtype[Any]
    codecs: tuple[Codec, ...]
    fill: Any
    inner: tuple[int, ...] | None = None
    dims: tuple[str, ...] | None = None
    attrs: Mapping[str, Any] = field(default_factory=dict)

    @classmethod
    def new(
        cls,
        shape: tuple[int, ...],
        dtype: np.dtype[Any],
        file: tuple[int, ...],
        compressors: Iterable[Any],
        **others: Any,
    ) -> Form:
        """Form of a new array; `compressors` are codecs of Zarr, the checksum last."""
        codecs = [dict(codec.to_dict()) for codec in compressors]
        for codec in codecs:
            if codec["name"] == "blosc":
                codec["configuration"] |= {"typesize": dtype.itemsize}
        first: Codec = {"name": "bytes"} if dtype.itemsize == 1 else _LITTLE
        if dtype.kind == "O":
            return cls(shape, file, dtype, ({"name": "vlen-utf8"}, *codecs), "", **others)
        fill = dtype.type(np.nan if dtype.kind == "f" else 0)
        return cls(shape, file, dtype.newbyteorder("<"), (first, *codecs), fill, **others)

    @classmethod
    def of(cls, array: Location) -> Form:
        """Form of an array.

        Raises
        ------
        StoreError
            If its metadata are damaged, or name what this package does not write.
        """
        form = cls.at(array)
        if not form.known or form.codecs[-1] != _CHECKED:
            names = listing(str(codec["name"]) for codec in form.codecs)
            raise StoreError(
                f"{array / METADATA} names a type or codecs ({names}) that this version of "
                "bulklmm_dask does not write; give another store"
            )
        return form

    @classmethod
    def at(cls, array: Location) -> Form:
        """Form of an array, also of one that this package does not write."""
        return cls.read(metadata_of(array), array)

    @classmethod
    def read(cls, metadata: Mapping[str, Any], array: Location) -> Form:
        """Form that the metadata of an array tell; StoreError if they are damaged."""
        try:
            return _form(metadata)
        except (LookupError, TypeError, ValueError) as error:
            raise _damaged(array, error) from error

    @property
    def known(self) -> bool:
        """Whether this package writes arrays of this type with these codecs."""
        first, *others = (codec["name"] for codec in self.codecs)
        return self.dtype != _UNKNOWN and first in _FIRST and set(others) <= set(_THEN)

    @property
    def chunk(self) -> tuple[int, ...]:
        """Shape of a chunk."""
        return self.inner or self.file

    @property
    def grid(self) -> tuple[int, ...]:
        """Number of chunks of a file along each dimension."""
        return tuple(part // one for part, one in zip(self.file, self.chunk, strict=True))

    @property
    def chunks_of_shard(self) -> int:
        """Number of chunks of a file that is a shard, 0 if a file is a chunk."""
        return 0 if self.inner is None else math.prod(self.grid)

    @property
    def files(self) -> tuple[int, ...]:
        """Number of files along each dimension."""
        return tuple(-(-size // part) for size, part in zip(self.shape, self.file, strict=True))

    def region(self, index: tuple[int, ...]) -> tuple[slice, ...]:
        """Part of the array that is in the file of this index."""
        sizes = zip(index, self.shape, self.file, strict=True)
        return tuple(slice(at * part, min((at + 1) * part, size)) for at, size, part in sizes)

    def blank(self, region: tuple[slice, ...]) -> npt.NDArray[Any]:
        """An array for a region, of fill values, in the order of bytes of this machine."""
        shape = [edge.stop - edge.start for edge in region]
        return np.full(shape, self.fill, self.dtype.newbyteorder("="))

    def path(self, index: tuple[int, ...]) -> str:
        """Path of the file of this index, below the array."""
        return "/".join(map(str, ("c", *index)))

    def paths(self) -> Iterator[str]:
        """Paths of all files, in C order of their indices."""
        return map("/".join, product("c", *(map(str, range(size)) for size in self.files)))

    def metadata(self) -> bytes:
        """The metadata, as they stand in a file."""
        codecs: list[Codec] = list(self.codecs)
        if self.inner is not None:
            how = {"chunk_shape": self.inner, "codecs": codecs, "index_codecs": _INDEX}
            codecs = [{"name": _SHARDS, "configuration": how | {"index_location": "end"}}]
        metadata = {
            "shape": self.shape,
            "data_type": _TEXT if self.dtype.kind == "O" else self.dtype.name,
            "chunk_grid": {"name": "regular", "configuration": {"chunk_shape": self.file}},
            "chunk_key_encoding": _KEYS,
            "fill_value": "NaN" if self.fill != self.fill else np.asarray(self.fill).item(),
            "codecs": codecs,
            "attributes": self.attrs,
            "dimension_names": self.dims,
            "zarr_format": 3,
            "node_type": "array",
            "storage_transformers": [],
        }
        return as_json(metadata)


def as_json(metadata: Mapping[str, Any]) -> bytes:
    """Metadata as Zarr writes them; numbers and arrays of NumPy among the attributes too."""
    return json.dumps(metadata, default=lambda value: value.tolist()).encode()


def metadata_of(node: Location) -> dict[str, Any]:
    """Metadata of an array or a group; StoreError if they are damaged."""
    try:
        return dict(json.loads((node / METADATA).read_bytes()))
    except (TypeError, ValueError, RecursionError) as error:
        raise _damaged(node, error) from error


def _damaged(node: Location, error: Exception) -> StoreError:
    return StoreError(f"{node / METADATA} is damaged ({error}); {repeat()} with another store")


def _form(metadata: Mapping[str, Any]) -> Form:
    """Form that metadata tell; other errors than StoreError if they are damaged."""
    file, inner = _sizes(metadata["chunk_grid"]["configuration"]["chunk_shape"]), None
    shape, codecs = _sizes(metadata["shape"]), metadata["codecs"]
    if codecs[0]["name"] == _SHARDS:
        how = codecs[0]["configuration"]
        if how["index_codecs"] == _INDEX and how["index_location"] == "end":
            codecs, inner = how["codecs"], _sizes(how["chunk_shape"])
    if 0 in file or len(file) != len(shape) or metadata["chunk_key_encoding"] != _KEYS:
        raise ValueError("its chunks have no size, or no place")
    dtype, names = _dtype(metadata["data_type"]), metadata.get("dimension_names")
    endian = codecs[0].get("configuration", {}).get("endian", "native")
    fill = metadata["fill_value"]
    return Form(
        shape=shape,
        file=file,
        dtype=dtype.newbyteorder(endian),
        codecs=tuple(codecs),
        fill=fill if dtype.kind in "OV" else dtype.type(fill),
        inner=inner,
        dims=names and tuple(names),
        attrs=metadata.get("attributes", {}),
    )


def _sizes(found: Sequence[Any]) -> tuple[int, ...]:
    return tuple(map(int, found))


def _dtype(name: object) -> np.dtype[Any]:
    if name == _TEXT:
        return np.dtype(object)
    return _NUMBERS.get(name, _UNKNOWN) if isinstance(name, str) else _UNKNOWN
