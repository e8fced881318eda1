"""Places in object stores: what is there."""

from __future__ import annotations

import io
import os
import uuid
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import IO, Any, Self, TypeVar, cast

from bulklmm_dask.errors import InputError, StoreError
from bulklmm_dask.storage.places import owned
from bulklmm_dask.storage.places.base import RECORDS, Base
from bulklmm_dask.storage.places.drafts import Draft
from bulklmm_dask.storage.places.known import Direct, Once, Seen, joined
from bulklmm_dask.storage.places.objects import Bucket
from bulklmm_dask.storage.places.owned import Owned
from bulklmm_dask.storage.places.protocol import Location
from bulklmm_dask.storage.places.together import TOGETHER, at_once
from bulklmm_dask.storage.places.url import as_typed, parsed, refuse_nul

# Bytes: of a file that is read at once, and of each read of a larger one.
_WHOLE, _AHEAD = 2**26, 2**23
_LONGEST = 1000  # bytes of a key: S3 allows 1024, and names of chunks are added

_FEW = 4  # large objects that are read together

T = TypeVar("T")
R = TypeVar("R")


@dataclass(frozen=True)
class RemotePlace(Location):
    """The URL of an object, or of the folder that keys with a common beginning make.

    Attributes
    ----------
    known : Direct or None
        What is known of the objects, for one opening or writing of a store; it is not sent to
        workers.
    """

    known: Direct | None = field(default=None, compare=False, repr=False)

    @classmethod
    def typed_as(cls, text: str) -> Self:
        """Make the location of a URL; InputError if it is of an unknown kind or has secrets."""
        return cls(as_typed(text).text)

    def __reduce__(self) -> Any:
        return type(self), (self.path, self.typed)

    @property
    def key(self) -> str:
        """What comes after the bucket."""
        return parsed(self.path).key

    @property
    def bucket(self) -> Bucket:
        """The bucket."""
        return Bucket(parsed(self.path).root)

    @property
    def source(self) -> Direct:
        """What is asked for the objects."""
        if self.name in RECORDS:
            return Direct(self.bucket)
        return owned.source_of(self.path) if self.known is None else self.known

    def __truediv__(self, name: str) -> Self:
        refuse_nul(name)
        return type(self)(f"{self.path}/{name}", known=self.known)

    @property
    def local(self) -> Path:
        """Raise InputError."""
        raise InputError(
            f"{self} is a URL, and here only local files are read; copy it to this machine, or "
            "mount it, and give the local path"
        )

    @property
    def fixed(self) -> Self:
        """The same place, of which nothing is known."""
        return type(self)(self.path)

    @property
    def anew(self) -> Self:
        """The same place, of which nothing is known."""
        return replace(self, known=None)

    @property
    def name(self) -> str:
        """The last part of the key."""
        return self.key.rpartition("/")[2]

    @property
    def parent(self) -> Self:
        """The folder that holds it; the bucket holds itself."""
        url = parsed(self.path)
        return type(self)(f"{url.root}/{url.key.rpartition('/')[0]}".rstrip("/"))

    @property
    def beside(self) -> Self:
        """The folder that holds it."""
        return self.parent

    @property
    def is_far(self) -> bool:
        """Yes."""
        return True

    def sibling(self, what: str) -> Self:
        """A place with a hidden name beside this one."""
        name = f".{self.stem}.{what}-{uuid.uuid4().hex}{self.suffix}"
        return type(self)(f"{self.parent.path}/{name}")

    def below(self, folder: Base) -> str:
        """The path from a folder that holds it."""
        return self.path.removeprefix(f"{folder.path}/")

    def exists(self) -> bool:
        """Tell whether there is an object, or a folder of objects."""
        if isinstance(self.known, Seen):
            return self.is_folder() or self.is_file()
        return any(self.each(lambda look: look(), (self.is_folder, self.is_file)))

    def is_folder(self) -> bool:
        """Tell whether there are objects below it."""
        return self.source.is_folder(self.key)

    def is_file(self) -> bool:
        """Tell whether there is an object."""
        return bool(self.key) and self.source.is_object(self.key)

    def is_special(self) -> bool:
        """Tell that it is no pipe or device."""
        return False

    def size(self) -> int:
        """Bytes of an object, or of all objects below it; 0 where there is none."""
        below = self.source.below(self.key) if isinstance(self.known, Seen) else {}
        if below:  # it is known to be a folder
            return sum(below.values())
        with suppress(FileNotFoundError):
            if self.is_file():
                return self.source.size(self.key)
        return sum(self.source.below(self.key).values())

    def count(self) -> int:
        """Number of the objects below it."""
        return len(self.source.below(self.key))

    def sizes(self) -> dict[str, int]:
        """Bytes of all objects below it, by their paths."""
        length = len(self.key) + 1 if self.key else 0
        return {key[length:]: size for key, size in self.source.below(self.key).items()}

    def ends(self, files: Sequence[tuple[str, int]], most: int) -> bytes:
        """Read them by one request each."""
        return b"".join(self.each(lambda file: (self / file[0]).tail(most), files))

    def names(self) -> list[str]:
        """Names right below it, sorted."""
        return self.source.top(self.key)

    def files(self) -> Iterator[str]:
        """Paths of all objects below it, sorted."""
        length = len(self.key) + 1 if self.key else 0
        return iter(sorted(key[length:] for key in self.source.below(self.key)))

    def lacks(self, names: Sequence[str]) -> list[Self]:
        """Which objects are not there; on the web none, for it is noticed where they are read."""
        if self.bucket.is_web:
            return []
        there = self.source.below(self.key)
        return [self / name for name in names if joined(self.key, name) not in there]

    def metadata_files(self, names: Sequence[str]) -> Iterator[Self]:
        """Files of these names; on the web, those that the metadata tell of."""
        if self.bucket.is_web:
            parts = ["", *(f"{name}/" for name in self.source.told(self.key))]
            yield from (self / f"{part}{name}" for part in parts for name in names)
            return
        for path in self.files():
            if path.rpartition("/")[2] in names:
                yield self / path

    def first(self, most: int) -> bytes:
        """Read the first bytes of an object."""
        return self.source.first(self.key, most)[1]

    def tail(self, most: int) -> bytes:
        """Read the last bytes of an object."""
        return self.source.tail(self.key, most)[1][-most:]

    def part(self, start: int, stop: int) -> bytes:
        """Read a range of the bytes of an object."""
        return self.source.part(self.key, start, stop)

    def read_bytes(self) -> bytes:
        """Read all bytes of an object."""
        return self.source.get(self.key)

    def open(self) -> IO[bytes]:
        """Open an object; a large one is read some megabytes at a time."""
        size, data = self.source.first(self.key, _WHOLE)
        if size == len(data):
            return io.BytesIO(data)
        return io.BufferedReader(_Parts(self.source, self.key, size), _AHEAD)

    def open_parts(self, last: int) -> IO[bytes]:
        """Open an object; each part of it is read by a request, the last bytes by the first one."""
        if self.bucket.is_web:  # many servers there give whole files only
            return self.open()
        size, data = self.source.tail(self.key, last)
        return cast("IO[bytes]", _Parts(self.source, self.key, size, data))

    def remove(self) -> None:
        """Remove an object, and all below it."""
        keys = list(self.source.below(self.key)) if self.is_folder() else []
        self.source.delete([*keys, *([self.key] if self.key else [])])

    def fetch(self, chosen: Callable[[str], bool]) -> None:
        """Read small objects together, if what is read is kept."""
        known = self.known
        if isinstance(known, Seen):
            paths = [path for path in self.files() if chosen(path)]
            keys = [(self / path).key for path in paths if path.rpartition("/")[2] not in RECORDS]

            def look(key: str) -> None:
                with suppress(FileNotFoundError):  # it is listed, and went since
                    known.get(key)

            for _ in self.each(look, filter(known.is_small, keys)):
                pass

    def ahead(self, paths: Iterable[str]) -> Self:
        """The same place, of which these small objects were read together, if they are there."""
        if self.known is not None:
            return self
        known = Once(self.source)

        def look(path: str) -> None:
            with suppress(FileNotFoundError):
                known.get(joined(self.key, path))

        for _ in self.each(look, paths):
            pass
        return replace(self, known=known)

    @property
    def is_own(self) -> bool:
        """Whether this process has made it, and has its lock."""
        source = self.source
        return isinstance(source, Owned) and source.is_known

    def own(self, alone: Sequence[str], written: Location | None = None) -> None:
        """Note that this process alone writes below here, and what it has written."""
        known = written.known if isinstance(written, RemotePlace) else None
        source = Owned(self.bucket, {})
        if isinstance(known, Draft):
            folders = [(self / name).key for name in alone]
            source = Owned(self.bucket, known.written, folders, known.sizes)
        owned.own(self.path, source)

    def disown(self) -> None:
        """Note that others may write here."""
        owned.disown(self.path)

    def each(
        self, function: Callable[[T], R], items: Iterable[T], *, large: bool = False
    ) -> Iterator[R]:
        """Call a function with many items at once."""
        return at_once(function, items, _FEW if large else TOGETHER)

    def is_inside(self, folder: Base) -> bool:
        """Tell whether its URL begins with that of a folder; there are no links."""
        return parsed(self.path).text.startswith(f"{folder.path}/")

    def zip_source(self) -> Any:
        """A stream."""
        return self.open()

    def zarr_store(self, *, read_only: bool) -> Any:
        """A store for Zarr."""
        from bulklmm_dask.storage.places.zarr_objects import ZarrObjects

        return ZarrObjects(self.source, self.key, read_only=read_only)

    def write_dataset(self, ds: Any, **options: Any) -> None:
        """Write a dataset as a Zarr group; processes that write it are not seen here."""
        super().write_dataset(ds, **options)
        if isinstance(self.known, Draft) and ds.chunks:
            self.known.changed_by_others()

    @contextmanager
    def at_hand(self) -> Iterator[Location]:
        """Give a copy on a disk."""
        with TemporaryDirectory(prefix="bulklmm_dask-") as folder:
            copy = Location(os.path.join(folder, self.name))
            if self.is_file():
                copy.local.write_bytes(self.read_bytes())
            else:
                for path in self.files():
                    file = (copy / path).local
                    file.parent.mkdir(parents=True, exist_ok=True)
                    file.write_bytes((self / path).read_bytes())
            yield copy

    @contextmanager
    def replacing(self) -> Iterator[IO[bytes]]:
        """Give a stream in memory, which becomes an object by one request."""
        stream = io.BytesIO()  # it is not closed: obstore may hold its bytes for a moment
        yield stream
        self.source.put(self.key, stream.getbuffer())

    def make_folder(self) -> None:
        """Do nothing: a folder is there once there is an object in it."""

    def remove_partial_chunks(self) -> None:
        """Do nothing: there are none."""

    def meanwhile(self, action: Callable[[], None]) -> None:
        """Do it in the background, if the folder is new."""
        if isinstance(self.known, Draft):
            self.known.meanwhile(action)
        else:
            action()

    def begin_sync(self) -> None:
        """Do nothing: what is written is kept."""

    def sync(self, parts: Iterable[Location]) -> None:
        """Wait for what is written in the background."""
        self.source.flush()

    def clear(self) -> None:
        """Do nothing: what a killed process has left is removed by the next one that writes."""

    def require_parent(self) -> None:
        """Raise StoreError unless an object can be written beside this one."""
        self.require_writable()
        # Of one name: where a process is killed between, the next one removes it.
        probe = type(self)(f"{self.parent.path}/.{self.stem}.probe{self.suffix}")
        probe.source.put(probe.key, b"")
        probe.source.delete([probe.key])

    def require_writable(self, needed: int = 0) -> None:
        """Raise StoreError if objects of this name cannot be written; there is room always."""
        if self.bucket.is_web:
            raise StoreError(
                f"{self} cannot be written: the web is only read; give a local path, or a URL of "
                "S3, GCS or Azure"
            )
        if not self.key:
            raise StoreError(f"{self} is a whole bucket; give the URL of a folder in it")
        if len(self.key.encode()) > _LONGEST:
            raise StoreError(f"{self} cannot be made: the name is too long; give a shorter one")


class _Parts(io.RawIOBase):
    """A large object as a file, read part by part; its last bytes may be at hand."""

    def __init__(self, source: Direct, key: str, size: int, last: bytes = b"") -> None:
        self._source, self._key, self._size, self._at = source, key, size, 0
        self._last, self._known = last, size - len(last)

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def tell(self) -> int:
        return self._at

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        self._at = offset + {os.SEEK_SET: 0, os.SEEK_CUR: self._at, os.SEEK_END: self._size}[whence]
        return self._at

    def readinto(self, buffer: Any) -> int:
        stop = min(self._at + len(buffer), self._size)
        if stop <= self._at:
            return 0
        if self._at >= self._known:
            found = self._last[self._at - self._known : stop - self._known]
        else:
            found = self._source.part(self._key, self._at, stop)
        buffer[: len(found)] = found
        self._at += len(found)
        return len(found)
