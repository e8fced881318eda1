"""What is known of the objects of a store: nothing beforehand, small contents, or a list too.

`Direct` asks the server each time. `Once` reads small objects once, and `Seen` lists them once too:
for one opening of a store.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from contextlib import suppress
from threading import RLock
from typing import Any

from bulklmm_dask.storage.places.base import CLAIM, CLOCK, METADATA
from bulklmm_dask.storage.places.objects import Bucket

# Bytes: of contents that are kept for the next who reads them, and of all of them together.
SMALL, _KEPT = 2**21, 2**28
_UNREAD: Any = object()  # in place of the content of an object of which nothing is known


class Direct:
    """The objects of a bucket, as they are now."""

    def __init__(self, bucket: Bucket) -> None:
        self.bucket = bucket

    def size(self, key: str) -> int:
        """Bytes of an object; FileNotFoundError if it is not there."""
        return self.bucket.look(key).size

    def is_object(self, key: str) -> bool:
        """Tell whether there is an object."""
        try:
            self.size(key)
        except FileNotFoundError:
            return False
        return True

    def is_folder(self, key: str) -> bool:
        """Tell whether there are objects below a folder; on the web, whether it is a store."""
        if self.bucket.is_web:
            return self.is_object(f"{key}/{METADATA}")
        return self.bucket.has_any(key, _no_part_of(key))

    def below(self, folder: str) -> dict[str, int]:
        """Sizes of all objects below a folder; on the web, where nothing is listed, none."""
        if self.bucket.is_web:
            return {}
        hidden = _no_part_of(folder)
        return {one.key: one.size for one in self.bucket.all(folder) if one.key not in hidden}

    def top(self, folder: str) -> list[str]:
        """Names right below a folder; on the web, those that its metadata tell."""
        if self.bucket.is_web:
            return sorted({name.partition("/")[0] for name in self.told(folder)})
        return [name for name in self.bucket.top(folder) if name not in (CLAIM, CLOCK)]

    def told(self, folder: str) -> list[str]:
        """Names of the arrays and groups of a store, as its metadata list them."""
        try:
            metadata = json.loads(self.get(joined(folder, METADATA)))
            parts = metadata["attributes"].get("parts")
            return list(parts or metadata["consolidated_metadata"]["metadata"])
        except (FileNotFoundError, ValueError, LookupError, TypeError, AttributeError):
            return []

    def get(self, key: str) -> bytes:
        """Read an object; FileNotFoundError if it is not there."""
        return self.bucket.get(key)

    def first(self, key: str, most: int) -> tuple[int, bytes]:
        """Size of an object, and no more than its first bytes."""
        size, data = self.fetch(key, most)
        return size, data[:most]

    def fetch(self, key: str, most: int | None = None) -> tuple[int, bytes]:
        """Size of an object, and its bytes, of a large one at least the first `most`."""
        entry, data = self.bucket.fetch(key, most)
        return entry.size, data

    def part(self, key: str, start: int, stop: int) -> bytes:
        """Read a range of the bytes of an object."""
        return self.bucket.part(key, start, stop)

    def tail(self, key: str, most: int) -> tuple[int, bytes]:
        """Size of an object, and at least its last bytes."""
        return self.bucket.tail(key, most)

    def put(self, key: str, data: Any) -> None:
        """Write an object."""
        self.bucket.put(key, data)

    def put_for_now(self, key: str, data: Any) -> None:
        """Write an object that may soon be written again."""
        self.put(key, data)

    def delete(self, keys: Sequence[str]) -> None:
        """Remove objects, which need not be there."""
        self.bucket.delete(keys)

    def flush(self) -> None:
        """Wait for what is being written."""


class Once(Direct):
    """Objects of which small ones are read once; what is below (`under`) is asked for the rest."""

    def __init__(self, under: Direct) -> None:
        super().__init__(under.bucket)
        self._under = under
        self._lock = RLock()
        self._contents: dict[str, bytes | None] = {}  # None for what is not there
        self._kept = 0

    def size(self, key: str) -> int:
        """Bytes of an object."""
        content = self._contents.get(key, _UNREAD)
        if content is not _UNREAD:
            return len(there(key, content))
        if self.bucket.is_web:  # small ones are read anyway
            return self._read(key, SMALL)[0]
        try:
            return self._under.size(key)
        except FileNotFoundError:
            self._contents[key] = None
            raise

    def get(self, key: str) -> bytes:
        """Read an object; a small one once."""
        content = self._contents.get(key, _UNREAD)
        return self._read(key)[1] if content is _UNREAD else there(key, content)

    def first(self, key: str, most: int) -> tuple[int, bytes]:
        """Size of an object, and no more than its first bytes."""
        content = self._contents.get(key, _UNREAD)
        if content is not _UNREAD:
            data = there(key, content)
            return len(data), data[:most]
        size, data = self._read(key, max(most, SMALL))
        return size, data[:most]

    def part(self, key: str, start: int, stop: int) -> bytes:
        """Read a range of the bytes of an object."""
        content = self._contents.get(key)
        return self._under.part(key, start, stop) if content is None else content[start:stop]

    def tail(self, key: str, most: int) -> tuple[int, bytes]:
        """Size of an object, and at least its last bytes."""
        content = self._contents.get(key, _UNREAD)
        if content is _UNREAD:
            return self._under.tail(key, most)
        return len(there(key, content)), there(key, content)

    def put(self, key: str, data: Any) -> None:
        """Write an object."""
        self._under.put(key, data)
        self._note(key, data)

    def delete(self, keys: Sequence[str]) -> None:
        """Remove objects, which need not be there."""
        self._under.delete(keys)
        self._forget(keys)

    def _read(self, key: str, most: int | None = None) -> tuple[int, bytes]:
        try:
            size, data = self._under.fetch(key, most)
        except FileNotFoundError:
            self._contents[key] = None
            raise
        if len(data) == size:
            self._keep(key, data)
        return size, data

    def _keep(self, key: str, data: bytes) -> None:
        with self._lock:
            if len(data) <= SMALL and self._kept + len(data) <= _KEPT:
                self._drop(key)
                self._contents[key] = data
                self._kept += len(data)

    def _drop(self, key: str) -> None:
        """Know nothing of the content of an object."""
        with self._lock:
            self._kept -= len(self._contents.pop(key, None) or b"")

    def _note(self, key: str, data: Any) -> None:
        """Note what was written."""
        self._drop(key)
        if memoryview(data).nbytes <= SMALL:
            self._keep(key, bytes(data))

    def _forget(self, keys: Sequence[str]) -> None:
        """Note what was removed."""
        with self._lock:
            for key in keys:
                self._drop(key)
                self._contents[key] = None


class Seen(Once):
    """The objects below a folder: listed once, and small ones read once."""

    def __init__(self, under: Direct, folder: str) -> None:
        super().__init__(under)
        self.folder = folder
        self._root = joined(folder, METADATA)
        self._sizes: dict[str, int] | None = None
        self._own: dict[str, int] = {}  # sizes of what was written since

    @property
    def sizes(self) -> dict[str, int]:
        """Sizes of all objects below the folder."""
        with self._lock:
            if self._sizes is None:
                self._sizes = self._under.below(self.folder) | self._own
            return self._sizes

    def read_root(self) -> None:
        """Read what makes a store of the folder, if it is there; it needs no list."""
        with suppress(FileNotFoundError):
            self._read(self._root)

    @property
    def is_torn(self) -> bool:
        """Whether list and root, which were asked for at once, are from before and after a change.

        Whoever makes a store writes its root last.
        """
        return (self._contents.get(self._root) is not None) != (self._root in self.sizes)

    def size(self, key: str) -> int:
        """Bytes of an object, from the list."""
        content = self._contents.get(key)
        if content is not None or not self._is_listed(key):
            return super().size(key)
        try:
            return self.sizes[key]
        except KeyError:
            raise FileNotFoundError(key) from None

    def is_folder(self, key: str) -> bool:
        """Tell whether there are objects below a folder, from the list."""
        if self.bucket.is_web or not (key == self.folder or self._is_below(key)):
            return super().is_folder(key)
        return any(one.startswith(f"{key}/") or not key for one in self.sizes)

    def below(self, folder: str) -> dict[str, int]:
        """Sizes of all objects below a folder, from the list."""
        if not (folder == self.folder or self._is_below(folder)):
            return super().below(folder)
        return {
            key: size
            for key, size in self.sizes.items()
            if key.startswith(f"{folder}/") or not folder
        }

    def top(self, folder: str) -> list[str]:
        """Names right below a folder, from the list."""
        if self.bucket.is_web or not (folder == self.folder or self._is_below(folder)):
            return super().top(folder)
        length = len(folder) + 1 if folder else 0
        return sorted({key[length:].partition("/")[0] for key in self.below(folder)})

    def get(self, key: str) -> bytes:
        """Read an object; a small one once."""
        if key not in self._contents and self._is_listed(key):
            self.size(key)
        return super().get(key)

    def first(self, key: str, most: int) -> tuple[int, bytes]:
        """Size of an object, and no more than its first bytes."""
        if key in self._contents or not self._is_listed(key):
            return super().first(key, most)
        if self.size(key) > max(most, SMALL):
            return self._under.first(key, most)
        data = self.get(key)
        return len(data), data[:most]

    def tail(self, key: str, most: int) -> tuple[int, bytes]:
        """Size of an object, and at least its last bytes; all of a small one."""
        if self._is_listed(key) and self.size(key) <= SMALL:
            return self.size(key), self.get(key)
        return super().tail(key, most)

    def is_small(self, key: str) -> bool:
        """Tell whether an object that is listed is kept once it is read."""
        return self.size(key) <= SMALL

    def _note(self, key: str, data: Any) -> None:
        """Note what was written."""
        super()._note(key, data)
        with self._lock:
            self._own[key] = memoryview(data).nbytes
            if self._sizes is not None:
                self._sizes[key] = self._own[key]

    def _forget(self, keys: Sequence[str]) -> None:
        """Note what was removed."""
        super()._forget(keys)
        with self._lock:
            for key in keys:
                for sizes in (self._own, self._sizes or {}):
                    sizes.pop(key, None)

    def _is_listed(self, key: str) -> bool:
        """Whether the list has an object, if there is one."""
        return self._is_below(key) and not self.bucket.is_web

    def _is_below(self, key: str) -> bool:
        return not self.folder or key.startswith(f"{self.folder}/")


def joined(folder: str, name: str) -> str:
    """Key of an object below a folder."""
    return f"{folder}/{name}" if folder else name


def _no_part_of(folder: str) -> tuple[str, str]:
    """Keys below a folder that belong to those who make it, and are no part of it."""
    return joined(folder, CLAIM), joined(folder, CLOCK)


def there(key: str, content: bytes | None) -> bytes:
    """The content of an object; FileNotFoundError if it is known not to be there."""
    if content is None:
        raise FileNotFoundError(key)
    return content
