"""Codecs of Zarr arrays: only known ones are run, and they are checked before Zarr makes any.

Some codecs, such as numcodecs' pickle, run code that the file holds. An array names its codecs in
its metadata, so these are read as plain JSON first.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from bulklmm_dask.errors import StoreError
from bulklmm_dask.text import listing, named

_LONGEST = 10**7  # bytes of a metadata file; names of chunks and samples do not stand there
_FILES = ("zarr.json", ".zarray", ".zmetadata")  # of Zarr formats 3 and 2
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


def require_harmless(folder: Path, *, within: bool = True) -> None:
    """Raise StoreError if an array names another codec.

    Metadata that cannot be read are left to Zarr, which refuses them.

    Parameters
    ----------
    folder : path
        An array or a group.
    within : bool
        Whether to look also at the arrays in it.
    """
    for file in _metadata(folder, within):
        unknown = [name for name in _codecs(_parsed(file)) if name not in HARMLESS]
        if unknown:
            raise StoreError(
                f"{named(file)} names the codec {listing(unknown)}, which this package does not "
                "use and which may run code that the store holds; write the array with another "
                "codec, such as zstd"
            )


def _metadata(folder: Path, within: bool) -> Iterator[Path]:
    """Metadata files of a store; folders of chunks, which are numbers or c, are left out."""
    if not within:
        yield from (folder / name for name in _FILES)
        return
    for at, folders, files in os.walk(folder):
        folders[:] = [name for name in folders if not name[:1].isdigit() and name != "c"]
        yield from (Path(at) / name for name in _FILES if name in files)


def _parsed(file: Path) -> Any:
    try:
        if file.stat().st_size > _LONGEST:
            raise StoreError(f"{named(file)} is larger than metadata can be: it is damaged")
        return json.loads(file.read_bytes())
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
