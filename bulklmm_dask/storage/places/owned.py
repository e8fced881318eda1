"""Stores that this process alone writes: it is making them, or holds their locks.

What it has written of them is not read again. Where it has the lock of a store, its worker
processes write other objects there: those are not kept, and a list is always asked for.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

from bulklmm_dask.storage.places.known import Direct
from bulklmm_dask.storage.places.objects import Bucket
from bulklmm_dask.storage.places.url import parsed

_owned: dict[str, Direct] = {}  # by the URL of the store


class Owned(Direct):
    """The objects of a store, of which some are known: small ones that this process has written."""

    def __init__(self, bucket: Bucket, written: Mapping[str, bytes]) -> None:
        super().__init__(bucket)
        self._written = dict(written)

    def size(self, key: str) -> int:
        """Bytes of an object."""
        content = self._written.get(key)
        return super().size(key) if content is None else len(content)

    def get(self, key: str) -> bytes:
        """Read an object."""
        return self.fetch(key)[1]

    def fetch(self, key: str, most: int | None = None) -> tuple[int, bytes]:
        """Size of an object, and its bytes, of a large one at least the first `most`."""
        content = self._written.get(key)
        return super().fetch(key, most) if content is None else (len(content), content)

    def part(self, key: str, start: int, stop: int) -> bytes:
        """Read a range of the bytes of an object."""
        content = self._written.get(key)
        return super().part(key, start, stop) if content is None else content[start:stop]

    def tail(self, key: str, most: int) -> bytes:
        """Read the last bytes of an object."""
        content = self._written.get(key)
        return super().tail(key, most) if content is None else content[-most:]

    def put(self, key: str, data: Any) -> None:
        """Write an object; one that is known stays so."""
        is_known = self._written.pop(key, None) is not None
        super().put(key, data)
        if is_known:
            self._written[key] = bytes(data)

    def delete(self, keys: Sequence[str]) -> None:
        """Remove objects, which need not be there."""
        for key in keys:
            self._written.pop(key, None)
        super().delete(keys)


def own(url: str, source: Direct) -> None:
    """Note what is asked for the objects of a store that this process alone writes."""
    _owned[url] = source


def disown(url: str) -> None:
    """Note that others may write a store."""
    _owned.pop(url, None)


@contextmanager
def writing(url: str, source: Direct) -> Iterator[None]:
    """Note what is asked for the objects of a folder while this process makes it."""
    own(url, source)
    try:
        yield
    finally:
        disown(url)


def forget(url: str) -> None:
    """Note that a store was changed otherwise than through what is asked for its objects."""
    if url in _owned:
        own(url, Owned(Bucket(parsed(url).root), {}))


def source_of(url: str) -> Direct:
    """What is asked for the objects at and below a URL."""
    for store, source in tuple(_owned.items()):
        if url == store or url.startswith(f"{store}/"):
            return source
    return Direct(Bucket(parsed(url).root))
