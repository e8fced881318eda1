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
    """The objects of a store, of which some are known: small ones that this process has written.

    In some folders, `alone`, no other process writes anything but records: it is known what is
    there.
    """

    def __init__(
        self,
        bucket: Bucket,
        written: Mapping[str, bytes],
        alone: Sequence[str] = (),
        sizes: Mapping[str, int] | None = None,
    ) -> None:
        super().__init__(bucket)
        self._written = dict(written)
        self._alone = tuple(f"{folder}/" for folder in alone)
        self._sizes = {key: size for key, size in (sizes or {}).items() if self._is_mine(key)}

    @property
    def is_known(self) -> bool:
        """Whether it is known what is there, but for what other processes write."""
        return bool(self._alone)

    def _is_mine(self, key: str) -> bool:
        return f"{key}/".startswith(self._alone)

    def size(self, key: str) -> int:
        """Bytes of an object."""
        content = self._written.get(key)
        if content is not None:
            return len(content)
        if not self._is_mine(key):
            return super().size(key)
        try:
            return self._sizes[key]
        except KeyError:
            raise FileNotFoundError(key) from None

    def is_folder(self, key: str) -> bool:
        """Tell whether there are objects below a folder."""
        return bool(self.below(key)) if self._is_mine(key) else super().is_folder(key)

    def below(self, folder: str) -> dict[str, int]:
        """Sizes of all objects below a folder."""
        others = {} if self._is_mine(folder) else super().below(folder)
        mine = dict(self._sizes)
        return others | {key: size for key, size in mine.items() if key.startswith(f"{folder}/")}

    def top(self, folder: str) -> list[str]:
        """Names right below a folder."""
        if not self._is_mine(folder):
            return super().top(folder)
        return sorted({key[len(folder) + 1 :].partition("/")[0] for key in self.below(folder)})

    def get(self, key: str) -> bytes:
        """Read an object."""
        return self.fetch(key)[1]

    def fetch(self, key: str, most: int | None = None) -> tuple[int, bytes]:
        """Size of an object, and its bytes, of a large one at least the first `most`."""
        content = self._written.get(key)
        if content is not None:
            return len(content), content
        if self._is_mine(key) and key not in self._sizes:
            raise FileNotFoundError(key)
        return super().fetch(key, most)

    def part(self, key: str, start: int, stop: int) -> bytes:
        """Read a range of the bytes of an object."""
        content = self._written.get(key)
        return super().part(key, start, stop) if content is None else content[start:stop]

    def tail(self, key: str, most: int) -> tuple[int, bytes]:
        """Size of an object, and at least its last bytes."""
        content = self._written.get(key)
        return super().tail(key, most) if content is None else (len(content), content)

    def put(self, key: str, data: Any) -> None:
        """Write an object; one that is known stays so."""
        is_known = self._written.pop(key, None) is not None
        super().put(key, data)
        if is_known:
            self._written[key] = bytes(data)
        if self._is_mine(key):
            self._sizes[key] = memoryview(data).nbytes

    def delete(self, keys: Sequence[str]) -> None:
        """Remove objects, which need not be there."""
        for key in keys:
            self._written.pop(key, None)
            self._sizes.pop(key, None)
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
