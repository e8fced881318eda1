"""Buckets: requests to an object store, each tried again for a while, with errors in one sentence.

obstore does the requests. Beside the libraries of fsspec it was chosen for what locks and stores
need: an object is written only if it is not there, or is still the one that was read, in S3, GCS
and Azure alike; and any thread sends requests, without an event loop. It needs no other library.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from itertools import chain
from typing import TYPE_CHECKING, Any, TypeVar, cast

from bulklmm_dask.errors import InputError
from bulklmm_dask.storage.places.answers import at_host, lacks_bucket, reason, status_of
from bulklmm_dask.storage.places.base import ServerError as ServerError
from bulklmm_dask.storage.places.clients import (
    client_of,
    library,
    note_away,
    note_there,
    require_own_threads,
)
from bulklmm_dask.storage.places.url import WEB
from bulklmm_dask.text import named

if TYPE_CHECKING:
    from obstore import ObjectMeta, PutMode
    from obstore.store import ObjectStore

T = TypeVar("T")

# Tries of a read whose bytes end early, beside those of its request.
_READS = 5
# Bytes that are written by one request; more go in parts of this size.
ONE_PUT = 2**26


@dataclass(frozen=True)
class Entry:
    """An object that is there: its key, its bytes, when it was written, and what tells it apart."""

    key: str
    size: int
    written: float
    tag: PutMode

    @classmethod
    def of(cls, meta: ObjectMeta) -> Entry:
        """From what obstore tells."""
        return cls(meta["path"], meta["size"], meta["last_modified"].timestamp(), _tag(meta))


@dataclass(frozen=True)
class Bucket:
    """A bucket, or a web server; its client is made once a process.

    Every method raises FileNotFoundError where there is no such object, and ServerError where the
    server does not answer or refuses.
    """

    root: str

    @property
    def scheme(self) -> str:
        """Kind of the URL."""
        return self.root.partition(":")[0]

    @property
    def is_web(self) -> bool:
        """Whether it is only read, and lists nothing."""
        return self.scheme in WEB

    @property
    def _client(self) -> ObjectStore:
        return client_of(self.root)

    def get(self, key: str) -> bytes:
        """Read an object."""
        return self.fetch(key)[1]

    def fetch(self, key: str, most: int | None = None) -> tuple[Entry, bytes]:
        """Read an object, or no more than the first `most` bytes of it; tell what it is."""
        obstore = library(self.root)

        def read() -> tuple[Entry, bytes]:
            found = obstore.get(self._client, key)
            entry = Entry.of(found.meta)
            if most is None or entry.size <= most:
                return entry, bytes(found.bytes())
            if not most:
                return entry, b""
            return entry, bytes(obstore.get_range(self._client, key, start=0, end=most))

        with self._said(key, "read"):
            return _again(read)

    def part(self, key: str, start: int, stop: int) -> bytes:
        """Read a range of the bytes of an object, which it has."""
        obstore = library(self.root)

        with self._said(key, "read"):
            return _again(
                lambda: bytes(obstore.get_range(self._client, key, start=start, end=stop))
            )

    def tail(self, key: str, most: int) -> tuple[int, bytes]:
        """Size of an object, and at least its last bytes."""
        obstore = library(self.root)
        from obstore.exceptions import NotSupportedError

        options: Any = {"range": {"suffix": most}}

        def read() -> tuple[int, bytes]:
            found = obstore.get(self._client, key, options=options)
            return found.meta["size"], bytes(found.bytes())

        with self._said(key, "read"):
            try:
                return _again(read)
            except NotSupportedError:  # Azure, and some servers of the web
                data = self.get(key)
                return len(data), data

    def look(self, key: str) -> Entry:
        """Tell what an object is, without its bytes."""
        obstore = library(self.root)

        with self._said(key, "read"):
            return Entry.of(obstore.head(self._client, key))

    def put(self, key: str, data: Any, mode: PutMode = "overwrite") -> PutMode:
        """Write an object, by one request unless it is large; give what tells it apart.

        With the mode "create", FileExistsError if it is there; with a tag of an `Entry`,
        FileExistsError if it is another one by now.
        """
        obstore = library(self.root)
        from obstore.exceptions import AlreadyExistsError, PreconditionError

        with self._said(key, "written"):
            large = memoryview(data).nbytes > ONE_PUT and mode == "overwrite"
            try:
                made = obstore.put(
                    self._client,
                    key,
                    data,
                    mode=mode,
                    use_multipart=large,
                    chunk_size=ONE_PUT,
                )
                return _tag(made)
            except (AlreadyExistsError, PreconditionError):
                raise FileExistsError(f"{self.root}/{key}") from None

    def delete(self, keys: Sequence[str]) -> None:
        """Remove objects, which need not be there."""
        obstore = library(self.root)

        for key in keys[:1]:
            with self._said(key, "removed"), suppress(FileNotFoundError):
                obstore.delete(self._client, list(keys))

    def copy(self, key: str, target: str) -> None:
        """Copy an object within the bucket, on the server."""
        obstore = library(self.root)

        with self._said(target, "written"):
            obstore.copy(self._client, key, target)

    def all(self, folder: str) -> list[Entry]:
        """All objects below a folder: a request for each thousand."""
        obstore = library(self.root)

        with self._said(folder, "listed"):
            found = list(obstore.list(self._client, folder or None, chunk_size=1000))
            return [Entry.of(meta) for meta in chain.from_iterable(found)]

    def top(self, folder: str) -> list[str]:
        """Names of the objects and of the folders right below a folder."""
        obstore = library(self.root)

        with self._said(folder, "listed"):
            found = obstore.list_with_delimiter(self._client, folder or None)
        keys = [*found["common_prefixes"], *(meta["path"] for meta in found["objects"])]
        return sorted({key.rstrip("/").rpartition("/")[2] for key in keys})

    def has_any(self, folder: str, but: Collection[str]) -> bool:
        """Tell whether there is any object below a folder, other than these."""
        obstore = library(self.root)

        with self._said(folder, "listed"):
            pages = obstore.list(self._client, folder or None, chunk_size=1)
            return any(meta["path"] not in but for meta in chain.from_iterable(pages))

    @contextmanager
    def _said(self, key: str, done: str) -> Iterator[None]:
        """Turn the errors of obstore into FileNotFoundError, or ServerError in one sentence."""
        from obstore.exceptions import BaseError

        require_own_threads()
        try:
            yield
            note_there(self.root)
        except (FileExistsError, InputError, ServerError):
            raise
        except (BaseError, OSError, ValueError) as error:
            if lacks_bucket(error):
                where = at_host(self.root)
                raise ServerError(
                    f"there is no bucket {self.root}{where}; make it first, or check the name"
                ) from None
            if isinstance(error, FileNotFoundError):
                raise FileNotFoundError(f"{self.root}/{key}") from None
            if not isinstance(error, ValueError) and (status_of(error) or 500) >= 500:
                note_away(self.root)
            name = named(f"{self.root}/{key}".removesuffix("/"))
            raise ServerError(f"{name} cannot be {done}: {reason(self.root, error)}") from None


def _tag(told: Mapping[str, Any]) -> PutMode:
    """What tells an object apart, from what obstore tells of it."""
    tag: Any = {name: told[name] for name in ("e_tag", "version") if told.get(name)}
    return cast("PutMode", tag)


def _again(read: Callable[[], T]) -> T:
    """Read, and once more if the bytes end early: obstore tries its requests again, not these."""
    from obstore.exceptions import GenericError

    for _ in range(_READS - 1):
        try:
            return read()
        except GenericError as error:
            if status_of(error) is not None or "after" in str(error):  # it has tried already
                raise
    return read()
