"""Folders of objects that are being written, and what is known of them meanwhile.

`Draft` writes in the background, and last what makes a store of a folder. `Changes` keeps what is
written until all of it can be put in place.
"""

from __future__ import annotations

import uuid
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from typing import Any

from bulklmm_dask.errors import StoreError
from bulklmm_dask.storage.places.known import SMALL, Direct, Seen, there
from bulklmm_dask.storage.places.objects import Bucket
from bulklmm_dask.storage.places.together import give_up, kept_threads


class Draft(Seen):
    """A new folder that is being written: small objects in the background, its root metadata last.

    What is written for now is written once nothing else comes before it is needed.
    """

    def __init__(self, bucket: Bucket, folder: str) -> None:
        super().__init__(Direct(bucket), folder)
        self._sizes = {}  # there is nothing yet
        self._waiting: dict[str, Future[None]] = {}
        self._late: set[str] = set()  # what is written for now, and not yet being written
        self._closed = False

    @property
    def written(self) -> dict[str, bytes]:
        """Small objects that were written, and are kept."""
        with self._lock:
            return {key: data for key, data in self._contents.items() if data is not None}

    @property
    def sizes(self) -> dict[str, int]:
        """Sizes of all objects below the folder, with what is written last."""
        found = super().sizes
        with self._lock:
            last = self._contents.get(self._root)
            return found if last is None else found | {self._root: len(last)}

    def put(self, key: str, data: Any) -> None:
        """Begin to write an object, or keep what is written later."""
        if key == self._root:
            with self._lock:
                self._contents[key] = bytes(data)
            return
        self._require_open()
        if memoryview(data).nbytes > SMALL:
            super().put(key, data)
            return
        content = bytes(data)
        self._note(key, content)
        with self._lock:
            self._late.discard(key)
            self._begin(key, content)

    def put_for_now(self, key: str, data: Any) -> None:
        """Keep a small object until the next `flush`."""
        content = bytes(data)
        self._note(key, content)
        with self._lock:
            if key in self._contents and key != self._root:
                self._late.add(key)
                return
        self.put(key, data)

    def meanwhile(self, action: Callable[[], None]) -> None:
        """Do something in the background, which `flush` waits for."""
        with self._lock:
            self._require_open()
            self._waiting[uuid.uuid4().hex] = kept_threads().submit(action)

    def _require_open(self) -> None:
        """Raise StoreError once the folder is closed."""
        if self._closed:
            raise StoreError(f"{self.bucket.root}/{self.folder} is not written any more")

    def _begin(self, key: str, content: bytes) -> None:
        self._require_open()
        before = self._waiting.get(key)
        self._waiting[key] = kept_threads().submit(self._put_after, before, key, content)

    def _put_after(self, before: Future[None] | None, key: str, content: bytes) -> None:
        """Write an object, once what was to be written there before is."""
        if before is not None:
            before.result()
        self.bucket.put(key, content)

    def delete(self, keys: Sequence[str]) -> None:
        """Remove objects, once what is being written is there."""
        self.flush()
        super().delete(keys)

    def flush(self) -> None:
        """Wait for all that was written, but for the metadata of the root."""
        with self._lock:
            late, self._late = sorted(self._late), set()
            for key in late:
                self._begin(key, there(key, self._contents[key]))
        while waiting := list(self._waiting.values()):
            for one in waiting:
                one.result()
            with self._lock:
                done = [key for key, one in self._waiting.items() if one.done()]
                for key in done:
                    self._waiting.pop(key).result()

    def changed_by_others(self) -> None:
        """Forget the list: worker processes write arrays past this object."""
        self.flush()
        with self._lock:
            self._sizes = None
            self._contents = {key: data for key, data in self._contents.items() if data is not None}

    def finish(self) -> None:
        """Write what makes a store of the folder, once all else is there."""
        self.flush()
        last = self._contents.get(self._root)
        if last is not None:
            self.bucket.put(self._root, last)

    def close(self) -> None:
        """Give up what is not yet written; threads that are late write no more."""
        with self._lock:
            self._closed = True
            waiting = list(self._waiting.values())
        give_up(waiting)


class Changes(Seen):
    """A store with changes that are kept in memory; what is removed is noted."""

    def __init__(self, bucket: Bucket, folder: str) -> None:
        super().__init__(Direct(bucket), folder)
        self.written: dict[str, bytes] = {}
        self.removed: set[str] = set()

    def put(self, key: str, data: Any) -> None:
        """Keep an object."""
        content = bytes(data)
        with self._lock:
            self._drop(key)
            self._kept += len(content)
            self.sizes[key] = len(content)
            self.written[key] = self._contents[key] = content
            self.removed.discard(key)

    def delete(self, keys: Sequence[str]) -> None:
        """Note what is removed."""
        with self._lock:
            for key in keys:
                self.removed.add(key)
                self.written.pop(key, None)
        self._forget(keys)
