"""Codecs of Zarr arrays: only known ones are run, and they are checked before Zarr makes any.

Some codecs, such as numcodecs' pickle, run code that the file holds. An array names its codecs in
its metadata, so these are read as plain JSON first.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator
from typing import Any, Protocol, TypeAlias

from bulklmm_dask.errors import StoreError
from bulklmm_dask.text import listing

_LONGEST = 10**7  # bytes of a metadata file; names of chunks and samples do not stand there
FILES = ("zarr.json", ".zarray", ".zmetadata")  # of Zarr formats 3 and 2
# Keys under which metadata of arrays name codecs, lists or single ones.
_KEYS = ("codecs", "index_codecs", "filters", "compressor", "compressors")

HARMLESS = frozenset(
    {
        # numbers and texts to bytes
        *("bytes", "endian", "vlen-utf8", "vlen-bytes", "transpose", "sharding_indexed"),
        *("astype", "bitround", "delta", "fixedscaleoffset", "packbits", "quantize", "shuffle"),
        # bytes to fewer bytes
        *("blosc", "bz2", "gzip", "lz4", "lzma", "zlib", "zstd"),
        # checksums
        *("adler32", "crc32", "crc32c", "fletcher32", "jenkins_lookup3"),
    }
)


Each: TypeAlias = "Callable[[Callable[[MetadataFile], Any], list[MetadataFile]], Iterable[Any]]"


class MetadataFile(Protocol):
    """A file that may hold metadata of an array or a group; its text names it in messages."""

    def first(self, most: int) -> bytes:
        """Read the first bytes of the file, no more than `most`."""


def require_harmless(files: Iterable[MetadataFile], each: Each = map) -> None:
    """Raise StoreError if an array names another codec.

    Metadata that cannot be read are left to Zarr, which refuses them.

    Parameters
    ----------
    files : iterable of MetadataFile
        Those of an array, or of a group and the arrays in it; some need not exist.
    each : callable
        Calls a function with each file, as `map` does.
    """
    there = list(files)
    for file, metadata in zip(there, each(_parsed, there), strict=True):
        unknown = [name for name in _codecs(metadata) if name not in HARMLESS]
        if unknown:
            raise StoreError(
                f"{file} names the codec {listing(unknown)}, which this package does not "
                "use and which may run code that the store holds; write the array with another "
                "codec, such as zstd"
            )


def _parsed(file: MetadataFile) -> Any:
    try:
        content = file.first(_LONGEST + 1)
        if len(content) > _LONGEST:
            raise StoreError(f"{file} is larger than metadata can be: it is damaged")
        return json.loads(content)
    except (ValueError, RecursionError, OSError):  # Zarr reads it too, and refuses it
        return None


def _codecs(metadata: Any) -> Iterator[str]:
    """Names of all codecs in metadata, also of those inside other codecs; not in attributes."""
    waiting = [metadata]
    while waiting:
        one = waiting.pop()
        if isinstance(one, list):
            waiting += one
        elif isinstance(one, dict):
            for key, value in one.items():
                if key in _KEYS:
                    yield from map(_name, value if isinstance(value, list) else [value])
                if key != "attributes" and not key.endswith(".zattrs"):
                    waiting.append(value)


def _name(codec: Any) -> str:
    """Name of a codec, as either Zarr format writes it; that of no codec is harmless."""
    if isinstance(codec, dict):
        codec = codec.get("id", codec.get("name"))
    return "bytes" if codec is None else str(codec).removeprefix("numcodecs.")
