"""Decoding of texts in Zarr arrays, bounded by the bytes that are there.

A chunk of texts begins with their number, and the decoders of numcodecs and Zarr make room for so
many before they look further: a damaged byte of it makes them fill the memory.
"""

from __future__ import annotations

import math
from functools import cache
from typing import Any

import numcodecs
from numcodecs.vlen import VLenBytes, VLenUTF8
from zarr import codecs, config
from zarr.registry import register_codec

from bulklmm_dask.storage.codecs.room import require_room


class _UTF8(VLenUTF8):  # type: ignore[misc]
    """Texts of Zarr format 2."""

    def decode(self, buf: Any, out: Any = None) -> Any:
        require_room(buf)
        return super().decode(buf, out)


class _Bytes(VLenBytes):  # type: ignore[misc]
    """Byte strings of Zarr format 2."""

    def decode(self, buf: Any, out: Any = None) -> Any:
        require_room(buf)
        return super().decode(buf, out)


class VLenUTF8Codec(codecs.VLenUTF8Codec):
    """Texts of Zarr format 3, which knows the codec of texts by the name of this class."""

    async def _decode_single(self, chunk_bytes: Any, chunk_spec: Any) -> Any:
        require_room(chunk_bytes.as_numpy_array(), math.prod(chunk_spec.shape))
        return await super()._decode_single(chunk_bytes, chunk_spec)


class VLenBytesCodec(codecs.VLenBytesCodec):
    """Byte strings of Zarr format 3."""

    async def _decode_single(self, chunk_bytes: Any, chunk_spec: Any) -> Any:
        require_room(chunk_bytes.as_numpy_array(), math.prod(chunk_spec.shape))
        return await super()._decode_single(chunk_bytes, chunk_spec)


@cache
def bound_texts() -> None:
    """Let Zarr decode texts by these classes, in the whole process; the texts are the same."""
    for old in (_UTF8, _Bytes):
        numcodecs.register_codec(old)
    for name, new in (("vlen-utf8", VLenUTF8Codec), ("vlen-bytes", VLenBytesCodec)):
        register_codec(name, new)
        config.set({f"codecs.{name}": f"{new.__module__}.{new.__qualname__}"})
