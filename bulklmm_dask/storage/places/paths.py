"""Paths: what a user typed, what is there, and its parts."""

from __future__ import annotations

import errno
import os
import re
import shutil
import stat
import time
import uuid
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Self
from urllib.parse import unquote

from bulklmm_dask.errors import InputError
from bulklmm_dask.storage.places.process import Process
from bulklmm_dask.text import named

METADATA = "zarr.json"
# Hidden names beside a file or folder: what is being written, and what is being replaced.
PART, OLD = "part", "old"
_TRIES, _PAUSE = 50, 0.05  # how often something is tried, and seconds between
# Two letters at least: C:/ is a drive. One slash: pathlib makes s3:/ of s3://.
_URL = re.compile(r"((?:[A-Za-z][A-Za-z0-9+.-]+::)*[A-Za-z][A-Za-z0-9+.-]+):/+")
_FILE_URL = re.compile(r"file:(?://(?:localhost)?)?(/(?!/).*)", re.IGNORECASE | re.DOTALL)
# A name that is too long, or of links in a circle, names nothing.
_NAMES_NOTHING = (errno.ENOENT, errno.ENOTDIR, errno.ENAMETOOLONG, errno.ELOOP)


@dataclass(frozen=True)
class Place(os.PathLike[str]):
    """The path of a file or folder, which need not exist; cheap to send to any worker.

    Its text is the path for messages: as the user typed it, in quotation marks if it holds blanks.

    Attributes
    ----------
    path : str
        The path, with ~ expanded.
    typed : str
        The path as it was given.
    """

    path: str
    typed: str = field(default="", compare=False)

    @classmethod
    def of(cls, path: str | os.PathLike[str]) -> Self:
        """Make the location of a path, a path that begins with ~, or a file:// URL.

        Raises
        ------
        InputError
            If `path` is another URL, or no path.
        """
        if isinstance(path, cls):
            return path
        typed = _text(path)
        local = _FILE_URL.fullmatch(typed)
        if local is not None:
            return cls(unquote(local[1]))
        if found := _URL.match(typed):
            url = f"{found[1]}://{typed[found.end() :]}"
            raise InputError(
                f"{named(url)} is a URL, and only local paths are supported, not {found[1]}; copy "
                "it to this machine, or mount it, and give the local path"
            )
        return cls(_expanded(typed), str(Path(typed)))

    def __fspath__(self) -> str:
        return self.path

    def __str__(self) -> str:
        return named(self.typed or self.path)

    def __truediv__(self, name: str) -> Self:
        _refuse_nul(name)
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
    def name(self) -> str:
        """The last part of the path."""
        return self.local.name

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

    def is_store(self) -> bool:
        """Tell whether there is a Zarr store of format 3."""
        return (self / METADATA).is_file()

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

    def names(self) -> list[str]:
        """Names of the entries of a folder, sorted."""
        return sorted(os.listdir(self.path))

    def read_bytes(self) -> bytes:
        """Read all bytes of a file; the caller explains errors."""
        with self.open() as stream:
            return stream.read()

    def open(self) -> IO[bytes]:
        """Open a file to read its bytes; the caller explains errors."""
        return open(self.path, "rb")

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


def _text(path: object) -> str:
    """Give a path as text, or raise InputError if it can be none."""
    try:
        text = os.fsdecode(path)  # type: ignore[arg-type]
    except TypeError:
        raise InputError(
            f"{path!r} is no path, but {type(path).__name__}; give the path of a file or a folder"
        ) from None
    _refuse_nul(text)
    if not text.strip():
        raise _nothing(text)
    return text


def _joined(folder: str, name: str) -> str:
    """Path of an entry of a folder; pathlib says the same, and takes ten times as long."""
    return name if folder == os.curdir else os.path.join(folder, name)


def _refuse_nul(text: str) -> None:
    if "\0" in text:  # no system allows it in a name
        raise _nothing(text)


def _nothing(text: str) -> InputError:
    return InputError(f"the path {text!r} names nothing; give the path of a file or a folder")


def _expanded(path: str) -> str:
    try:
        return str(Path(path).expanduser())
    except RuntimeError:
        raise InputError(
            f"{named(path)}: there is no home of this user; write the path in full"
        ) from None
