"""Paths on a disk: what is there, and its parts."""

from __future__ import annotations

import errno
import os
import shutil
import stat
import time
import uuid
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO, Self, TypeVar

from bulklmm_dask.errors import InputError
from bulklmm_dask.storage.places.base import Base
from bulklmm_dask.storage.places.process import Process
from bulklmm_dask.storage.places.protocol import Location
from bulklmm_dask.storage.places.url import path_in, refuse_nul
from bulklmm_dask.text import named

# Hidden names beside a file or folder: what is being written, and what is being replaced.
PART, OLD = "part", "old"
_TRIES, _PAUSE = 50, 0.05  # how often something is tried, and seconds between
# A name that is too long, or of links in a circle, names nothing.
_NAMES_NOTHING = (errno.ENOENT, errno.ENOTDIR, errno.ENAMETOOLONG, errno.ELOOP)

T = TypeVar("T")
R = TypeVar("R")


class Place(Location):
    """The path of a file or folder on a disk."""

    @classmethod
    def typed_as(cls, text: str) -> Self:
        """Make the location of a path, with ~ expanded, or of a file:// URL."""
        path = path_in(text)
        return cls(_expanded(text), str(Path(text))) if path is None else cls(path)

    def __truediv__(self, name: str) -> Self:
        refuse_nul(name)
        return type(self)(_joined(self.path, name), _joined(self.typed or self.path, name))

    @property
    def local(self) -> Path:
        """The path, for code that works on local files only."""
        return Path(self.path)

    @property
    def fixed(self) -> Self:
        """The same place, also once the working folder is another."""
        return type(self)(str(self.local.absolute()), self.typed or self.path)

    @property
    def anew(self) -> Self:
        """Itself."""
        return self

    @property
    def name(self) -> str:
        """The last part of the path."""
        return self.local.name

    @property
    def stem(self) -> str:
        """The name without its ending."""
        return self.local.stem

    @property
    def suffix(self) -> str:
        """The ending of the name, such as .csv."""
        return self.local.suffix

    @property
    def parent(self) -> Self:
        """The folder that holds it, with its full path."""
        return type(self)(str(self.local.absolute().parent))

    @property
    def beside(self) -> Self:
        """The folder that holds it, as its path was given."""
        return type(self)(str(self.local.parent), str(Path(self.typed or self.path).parent))

    def _beside(self, what: str) -> Self:
        process = Process.this()
        whose = f"{process.machine}-{process.pid}-{uuid.uuid4().hex[:8]}"
        name = f".{self.local.stem}.{what}-{whose}{self.suffix}"
        return type(self)(str(self.local.with_name(name)))

    def _mode(self) -> int:
        """Kind and permissions of what is there; 0 if there is nothing."""
        try:
            return os.stat(self.path).st_mode
        except OSError as error:
            if error.errno in _NAMES_NOTHING:
                return 0
            raise InputError(f"{self} cannot be read: {error.strerror or error}") from error

    def exists(self) -> bool:
        """Tell whether there is a file or folder."""
        return self._mode() != 0

    def is_folder(self) -> bool:
        """Tell whether there is a folder."""
        return stat.S_ISDIR(self._mode())

    def is_file(self) -> bool:
        """Tell whether there is a file; a pipe or a device is none."""
        return stat.S_ISREG(self._mode())

    def is_special(self) -> bool:
        """Tell whether there is a pipe, a socket or a device."""
        mode = self._mode()
        return mode != 0 and not (stat.S_ISREG(mode) or stat.S_ISDIR(mode))

    def size(self) -> int:
        """Bytes of a file, or of all files of a folder; 0 where there is none."""
        try:
            if self.is_folder():
                return sum(file.stat().st_size for file in self.local.rglob("*") if file.is_file())
            return self.local.stat().st_size
        except OSError as error:
            if error.errno in _NAMES_NOTHING:
                return 0
            raise

    def count(self) -> int:
        """Number of the files of a folder and of all folders in it."""
        return sum(len(files) for _, _, files in os.walk(self.path))

    def sizes(self) -> dict[str, int]:
        """Bytes of all files of a folder, by their paths below it."""
        found, folders = dict[str, int](), [""]
        while folders:
            above = folders.pop()
            with suppress(FileNotFoundError), os.scandir(os.path.join(self.path, above)) as entries:
                for entry in entries:
                    if entry.is_dir(follow_symlinks=False):
                        folders.append(f"{above}{entry.name}/")
                    elif entry.is_file():
                        with suppress(FileNotFoundError):  # another process renames or removes it
                            found[f"{above}{entry.name}"] = entry.stat().st_size
        return found

    def ends(self, files: Sequence[tuple[str, int]], most: int) -> bytes:
        """Read the last bytes of files; a system call each, for there may be a hundred thousand."""
        return b"".join(_end(f"{self.path}/{path}", size, most) for path, size in files)

    def names(self) -> list[str]:
        """Names of the entries of a folder, sorted."""
        return sorted(os.listdir(self.path))

    def below(self, folder: Base) -> str:
        """The path from a folder that holds it, with / between the parts."""
        return Path(os.path.relpath(self.path, folder)).as_posix()

    def files(self) -> Iterator[str]:
        """Paths below a folder of all files in it, those of a folder together and sorted."""
        for at, _, names in os.walk(self.path):
            above = "" if at == self.path else f"{Path(os.path.relpath(at, self.path)).as_posix()}/"
            yield from (f"{above}{name}" for name in sorted(names))

    def lacks(self, names: Sequence[str]) -> list[Self]:
        """Which files are not there; where their number is right, none is looked for."""
        if self.count() - 1 == len(names):  # beside the metadata
            return []
        return [file for file in (self / name for name in names) if not file.is_file()]

    def metadata_files(self, names: Sequence[str]) -> Iterator[Self]:
        """Files of these names; folders of chunks, which are numbers or c, are left out."""
        for at, folders, files in os.walk(self.path):
            folders[:] = [name for name in folders if not name[:1].isdigit() and name != "c"]
            yield from (type(self)(os.path.join(at, name)) for name in names if name in files)

    def open(self) -> IO[bytes]:
        """Open a file to read its bytes; the caller explains errors."""
        return open(self.path, "rb")

    @contextmanager
    def at_hand(self) -> Iterator[Self]:
        """Give itself."""
        yield self

    def opened(self, *, to_write: bool = False) -> Self:
        """Give itself, recovered."""
        return self.recovered()

    def fetch(self, chosen: Callable[[str], bool]) -> None:
        """Do nothing."""

    def meanwhile(self, action: Callable[[], None]) -> None:
        """Do it now."""
        action()

    def ahead(self, paths: Iterable[str]) -> Self:
        """Give itself."""
        return self

    def own(self, alone: Sequence[str], written: Location | None = None) -> None:
        """Do nothing."""

    def disown(self) -> None:
        """Do nothing."""

    def each(
        self, function: Callable[[T], R], items: Iterable[T], *, large: bool = False
    ) -> Iterator[R]:
        """Call a function with one item after the other."""
        return map(function, items)

    def is_inside(self, folder: Base) -> bool:
        """Tell whether it lies in a folder, once links are followed."""
        return self.local.resolve().is_relative_to(folder.local.resolve())

    def zip_source(self) -> str:
        """The path."""
        return self.path

    def zarr_store(self, *, read_only: bool) -> str:
        """The path."""
        return self.path

    def make_folder(self) -> None:
        """Make a folder, unless it is there."""
        os.makedirs(self.path, exist_ok=True)

    def remove(self) -> None:
        """Remove a file, or a folder and all in it, if it is there."""
        if not self.is_folder():
            self.local.unlink(missing_ok=True)
            return
        for _ in tries():  # threads of a run that failed may go on writing to it for a while
            if not self.exists():
                return
            shutil.rmtree(self.local, ignore_errors=True)


def tries() -> Iterator[None]:
    """Yield as often as something is tried, with a pause after each time."""
    for _ in range(_TRIES):
        yield
        time.sleep(_PAUSE)


def _end(path: str, size: int, most: int) -> bytes:
    """Bytes of a file from `most` before its size on; zeros if the disk does not give them."""
    try:
        number = os.open(path, os.O_RDONLY)
        try:
            found = os.pread(number, most, size - most)
        finally:
            os.close(number)
    except OSError:
        return bytes(most)
    return found.ljust(most, b"\0")


def _joined(folder: str, name: str) -> str:
    """Path of an entry of a folder; pathlib says the same, and takes ten times as long."""
    return name if folder == os.curdir else os.path.join(folder, name)


def _expanded(path: str) -> str:
    try:
        return str(Path(path).expanduser())
    except RuntimeError:
        raise InputError(
            f"{named(path)}: there is no home of this user; write the path in full"
        ) from None
