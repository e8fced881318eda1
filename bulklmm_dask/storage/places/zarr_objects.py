"""A Zarr store whose requests are those of a location in an object store."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterable
from typing import TYPE_CHECKING, Any

from zarr.abc.store import (
    ByteRequest,
    OffsetByteRequest,
    RangeByteRequest,
    Store,
    SuffixByteRequest,
)

from bulklmm_dask.storage.places.base import METADATA
from bulklmm_dask.storage.places.known import Direct, joined
from bulklmm_dask.storage.places.objects import Bucket

if TYPE_CHECKING:
    from zarr.core.buffer import Buffer, BufferPrototype


class ZarrObjects(Store):
    """A folder of a bucket for Zarr.

    A worker gets its URL alone: no credentials, and nothing of what this process knows.
    """

    supports_writes = True
    supports_deletes = True
    supports_listing = True

    def __init__(self, source: Direct, folder: str, *, read_only: bool) -> None:
        super().__init__(read_only=read_only)
        self._source, self._folder = source, folder

    def __reduce__(self) -> Any:
        return _made, (self._source.bucket.root, self._folder, self.read_only)

    def with_read_only(self, read_only: bool = False) -> ZarrObjects:
        """The same store, to be read only or to be written."""
        return ZarrObjects(self._source, self._folder, read_only=read_only)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, ZarrObjects) and self.__reduce__() == other.__reduce__()

    def __hash__(self) -> int:
        return hash(self.__reduce__()[1])

    def __str__(self) -> str:
        return joined(self._source.bucket.root, self._folder)

    async def get(
        self, key: str, prototype: BufferPrototype, byte_range: ByteRequest | None = None
    ) -> Buffer | None:
        """Read an object or a part of it; None if it is not there."""
        try:
            data = await asyncio.to_thread(self._read, joined(self._folder, key), byte_range)
        except FileNotFoundError:
            return None
        return prototype.buffer.from_bytes(data)

    async def get_partial_values(
        self,
        prototype: BufferPrototype,
        key_ranges: Iterable[tuple[str, ByteRequest | None]],
    ) -> list[Buffer | None]:
        """Read several parts together."""
        return await asyncio.gather(*(self.get(key, prototype, part) for key, part in key_ranges))

    def _read(self, key: str, part: ByteRequest | None) -> bytes:
        source = self._source
        if part is None:
            return source.get(key)
        if isinstance(part, RangeByteRequest):
            return source.part(key, part.start, part.end)
        size = source.size(key)
        if isinstance(part, OffsetByteRequest):
            return source.part(key, part.offset, size)
        assert isinstance(part, SuffixByteRequest)
        return source.part(key, max(0, size - part.suffix), size)

    async def exists(self, key: str) -> bool:
        """Tell whether there is an object."""
        return await asyncio.to_thread(self._source.is_object, joined(self._folder, key))

    async def set(self, key: str, value: Buffer) -> None:
        """Write an object."""
        self._check_writable()
        data = value.as_buffer_like()
        # Zarr writes metadata twice: for a new array, and with its attributes.
        of_metadata = key.rpartition("/")[2] == METADATA
        put = self._source.put_for_now if of_metadata else self._source.put
        await asyncio.to_thread(put, joined(self._folder, key), data)

    async def delete(self, key: str) -> None:
        """Remove an object, which need not be there."""
        self._check_writable()
        await asyncio.to_thread(self._source.delete, [joined(self._folder, key)])

    async def list(self) -> AsyncIterator[str]:
        """List all keys."""
        async for key in self.list_prefix(""):
            yield key

    async def list_prefix(self, prefix: str) -> AsyncIterator[str]:
        """List the keys that begin with a text."""
        length = len(self._folder) + 1 if self._folder else 0
        for key in await asyncio.to_thread(self._source.below, self._folder):
            if key[length:].startswith(prefix):
                yield key[length:]

    async def list_dir(self, prefix: str) -> AsyncIterator[str]:
        """List the names right below a folder."""
        folder = joined(self._folder, prefix.strip("/")).rstrip("/")
        for name in await asyncio.to_thread(self._source.top, folder):
            yield name


def _made(root: str, folder: str, read_only: bool) -> ZarrObjects:
    return ZarrObjects(Direct(Bucket(root)), folder, read_only=read_only)
