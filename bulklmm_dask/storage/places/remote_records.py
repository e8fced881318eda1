"""Small objects that many processes look at, such as locks, by conditional writes."""

from __future__ import annotations

import time
from typing import Any

from bulklmm_dask.errors import StoreError
from bulklmm_dask.storage.places.base import CLOCK
from bulklmm_dask.storage.places.objects import Entry
from bulklmm_dask.storage.places.remote import RemotePlace

# Records that this process has written, and what tells each apart: they need not be read again.
_records: dict[str, tuple[bytes, Any]] = {}


class RemoteRecord(RemotePlace):
    """A small object; of many processes that make, renew or empty it, each knows who succeeded."""

    def record(self) -> bytes | None:
        """Bytes of a small object; None if there is none, or it was emptied."""
        try:
            return self.source.get(self.key) or None
        except FileNotFoundError:
            return None

    def create(self, data: bytes) -> None:
        """Make a small object; one that was emptied counts as none."""
        try:
            tag = self.bucket.put(self.key, data, "create")
        except FileExistsError:
            found = self._fetch()
            if found is None:
                raise  # another process is quick: it looks again
            entry, content = found
            if content:
                raise
            tag = self.bucket.put(self.key, data, entry.tag)
        _records[self.path] = data, tag

    def renew(self, data: bytes) -> bool:
        """Write a small object again, if it holds these bytes; tell whether it does."""
        return self.exchange(data, data)

    def discard(self, data: bytes) -> bool:
        """Empty a small object, if it holds these bytes: to remove it, there is no condition."""
        return self.exchange(data, b"")

    def exchange(self, data: bytes, new: bytes) -> bool:
        """Write other bytes into a small object, if it holds these; tell whether it did."""
        own, tag = _records.pop(self.path, (b"", None))
        if own != data or not tag:
            found = self._fetch()
            if found is None or found[1] != data:
                return False
            tag = found[0].tag
        try:
            tag = self.bucket.put(self.key, new, tag)
        except (FileExistsError, FileNotFoundError):
            # Another process was faster; or the answer was lost, and obstore has asked again.
            found = self._fetch()
            return found is not None and found[1] == new
        if new:
            _records[self.path] = new, tag
        return True

    def age(self) -> float:
        """Seconds since an object was written or renewed, by the clock of the server."""
        clock = self.beside / CLOCK
        try:
            # All who ask write the same empty object, and none removes it while others may look.
            self.bucket.put(clock.key, b"")
            now = self.bucket.look(clock.key).written
        except (StoreError, FileNotFoundError):  # it may not be written here, or its folder went
            now = time.time()
        return now - self.renewed()

    def renewed(self) -> float:
        """Time when an object was written or renewed, by the clock of the server."""
        return self.bucket.look(self.key).written

    def _fetch(self) -> tuple[Entry, bytes] | None:
        try:
            return self.bucket.fetch(self.key)
        except FileNotFoundError:
            return None
