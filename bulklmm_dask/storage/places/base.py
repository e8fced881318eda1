"""A place: its path or URL, and what is there."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any, Self, TypeVar

from bulklmm_dask.errors import InputError, StoreError
from bulklmm_dask.text import named

METADATA = "zarr.json"
# Small files that processes agree by: who writes a store, who takes that over, and, hidden and no
# part of a folder, who makes or replaces the folder; on a server also what time it is there. They
# are always looked at anew.
LOCK, GUARD, CLAIM = "lock.json", "lock-taken-over.json", ".bulklmm-writing.json"
CLOCK = ".bulklmm-clock.json"
RECORDS = (LOCK, GUARD, CLAIM, CLOCK)

T = TypeVar("T")
R = TypeVar("R")


class ServerError(StoreError):
    """A server does not answer, or refuses: what it holds is not known, but not damaged either."""


@dataclass(frozen=True)
class Base(os.PathLike[str]):
    """A file or folder, which need not exist; cheap to send to any worker.

    Its text is for messages: as the user typed it, in quotation marks if it holds blanks.

    Attributes
    ----------
    path : str
        The path, with ~ expanded, or the URL.
    typed : str
        The same as it was given.
    """

    path: str
    typed: str = field(default="", compare=False)

    def __fspath__(self) -> str:
        return self.path

    def __str__(self) -> str:
        return named(self.typed or self.path)

    def __truediv__(self, name: str) -> Self:
        raise NotImplementedError

    @property
    def local(self) -> Path:
        """The path, for libraries that read local files only; InputError for a URL."""
        raise NotImplementedError

    @property
    def fixed(self) -> Self:
        """The same place, also once the working folder is another."""
        raise NotImplementedError

    @property
    def anew(self) -> Self:
        """The same place, of which nothing is known: on a server, all is asked for again."""
        raise NotImplementedError

    @property
    def name(self) -> str:
        """The last part of the path."""
        raise NotImplementedError

    @property
    def stem(self) -> str:
        """The name without its ending."""
        return os.path.splitext(self.name)[0]

    @property
    def suffix(self) -> str:
        """The ending of the name, such as .csv."""
        return os.path.splitext(self.name)[1]

    @property
    def parent(self) -> Self:
        """The folder that holds it, with its full path."""
        raise NotImplementedError

    @property
    def beside(self) -> Self:
        """The folder that holds it, as its path was given."""
        raise NotImplementedError

    @property
    def is_far(self) -> bool:
        """Whether it is on a server: a request takes time in which others can compute."""
        return False

    @property
    def is_own(self) -> bool:
        """Whether this process makes what is there and has its lock, so that it need not look."""
        return False

    def below(self, folder: Base) -> str:
        """The path from a folder that holds it, with / between the parts."""
        raise NotImplementedError

    def exists(self) -> bool:
        """Tell whether there is a file or folder."""
        raise NotImplementedError

    def is_folder(self) -> bool:
        """Tell whether there is a folder."""
        raise NotImplementedError

    def is_file(self) -> bool:
        """Tell whether there is a file; a pipe or a device is none."""
        raise NotImplementedError

    def is_special(self) -> bool:
        """Tell whether there is a pipe, a socket or a device."""
        raise NotImplementedError

    def is_store(self) -> bool:
        """Tell whether there is a Zarr store of format 3."""
        return (self / METADATA).is_file()

    def require_file(self) -> None:
        """Raise InputError unless there is a file that can be read more than once."""
        if self.is_folder():
            raise InputError(f"{self} is a folder; give the path of a file")
        if self.is_special():
            raise InputError(
                f"{self} is a pipe or a device, and is not read; write what it gives to a file, "
                "and give that"
            )
        if not self.exists():
            raise InputError(f"there is no file {self}; check the name")

    def size(self) -> int:
        """Bytes of a file, or of all files of a folder; 0 where there is none."""
        raise NotImplementedError

    def count(self) -> int:
        """Number of the files of a folder and of all folders in it."""
        raise NotImplementedError

    def sizes(self) -> dict[str, int]:
        """Bytes of all files of a folder, by their paths below it; one listing tells them."""
        raise NotImplementedError

    def ends(self, files: Sequence[tuple[str, int]], most: int) -> bytes:
        """Read so many last bytes of each of many files of a folder, one after the other.

        Parameters
        ----------
        files : sequence of (str, int)
            Their paths below it, and their sizes; what cannot be read there is zeros.
        most : int
            Number of bytes.
        """
        raise NotImplementedError

    def names(self) -> list[str]:
        """Names of the entries of a folder, sorted."""
        raise NotImplementedError

    def files(self) -> Iterator[str]:
        """Paths below a folder of all files in it, those that hold a lock or the like too."""
        raise NotImplementedError

    def lacks(self, names: Sequence[str]) -> list[Self]:
        """Which files are not there, of those that a folder should hold besides its metadata.

        Parameters
        ----------
        names : sequence of str
            Their paths below the folder.
        """
        raise NotImplementedError

    def metadata_files(self, names: Sequence[str]) -> Iterator[Self]:
        """Files of these names in a Zarr group and in the groups and arrays in it."""
        raise NotImplementedError

    def read_bytes(self) -> bytes:
        """Read all bytes of a file; the caller explains errors."""
        with self.open() as stream:
            return stream.read()

    def first(self, most: int) -> bytes:
        """Read the first bytes of a file, no more than `most`."""
        with self.open() as stream:
            return stream.read(most)

    def tail(self, most: int) -> bytes:
        """Read the last bytes of a file, no more than `most`."""
        with self.open() as stream:
            length = stream.seek(0, os.SEEK_END)
            stream.seek(max(0, length - most))
            return stream.read(most)

    def part(self, start: int, stop: int) -> bytes:
        """Read a range of the bytes of a file."""
        with self.open() as stream:
            stream.seek(start)
            return stream.read(stop - start)

    def open(self) -> IO[bytes]:
        """Open a file to read its bytes; the caller explains errors."""
        raise NotImplementedError

    def open_parts(self, last: int) -> IO[bytes]:
        """Open a file of which little is read, so many of the last bytes among it.

        A server is asked for what is read, not for more; where it is a disk there is no difference.
        """
        return self.open()

    def record(self) -> bytes | None:
        """Bytes of a small file; None if there is none.

        It is not called read: libraries take what has a method of that name for an open file.
        """
        raise NotImplementedError

    def remove(self) -> None:
        """Remove a file, or a folder and all in it, if it is there."""
        raise NotImplementedError

    def opened(self, *, to_write: bool = False) -> Self:
        """The same place for one opening of a store; on a server all is looked up once.

        What a writer was cut off from is put right first (`recovered`). A place that is `to_write`
        may be a file, or nothing yet.
        """
        raise NotImplementedError

    def fetch(self, chosen: Callable[[str], bool]) -> None:
        """Read small files together, for whoever reads them next; a disk is quick without.

        Parameters
        ----------
        chosen : callable
            Tells from its path below this place whether a file is wanted.
        """
        raise NotImplementedError

    def ahead(self, paths: Iterable[str]) -> Self:
        """The same place, for whoever reads these small files next; a server is asked together.

        Files need not be there, nor is anything looked up that is known already.
        """
        raise NotImplementedError

    def each(
        self, function: Callable[[T], R], items: Iterable[T], *, large: bool = False
    ) -> Iterator[R]:
        """Call a function that reads or writes here with each item; give its results in order.

        Requests to a server go out together, fewer of them if what each reads is `large`.
        """
        raise NotImplementedError

    def is_inside(self, folder: Base) -> bool:
        """Tell whether it lies in a folder, also if there are links on the way."""
        raise NotImplementedError

    def zip_source(self) -> Any:
        """What zipfile is given: a path, or a stream."""
        raise NotImplementedError

    def zarr_store(self, *, read_only: bool) -> Any:
        """What Zarr is given: a path, or a store whose root is the place."""
        raise NotImplementedError
