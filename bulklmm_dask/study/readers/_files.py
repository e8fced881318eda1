"""Opening the files of a study: plain, gzipped, or members of a zip file."""

from __future__ import annotations

import csv
import gzip
import io
import posixpath
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, TextIO

from bulklmm_dask.errors import InputError
from bulklmm_dask.text import listing

_CUT_SHORT = (zipfile.BadZipFile, gzip.BadGzipFile, zlib.error, EOFError)


class Folder:
    """The files of one folder."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def label(self, name: str) -> str:
        """Name the file in messages."""
        return str(self.path / name)

    def names(self) -> list[str]:
        """List the names of the files."""
        return sorted(entry.name for entry in self.path.iterdir() if entry.is_file())

    @contextmanager
    def open(self, name: str) -> Iterator[TextIO]:
        """Open one file as text; errors while it is read become InputError."""
        path = self.path / name
        if not path.is_file():
            raise InputError(f"there is no file {path}; check the name")
        with reading(str(path)), path.open("rb") as raw, as_text(raw, path.name) as stream:
            yield stream


class Archive:
    """The members of a zip file that lie beside its control file."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.inside = ""
        with reading(str(path)):
            self._zip = zipfile.ZipFile(path)

    def label(self, name: str) -> str:
        """Name the member in messages."""
        return f"{name} in {self.path}"

    def names(self) -> list[str]:
        """List the members, without the clutter that macOS adds."""
        return sorted(
            name
            for name in self._zip.namelist()
            if not name.startswith("__MACOSX") and not posixpath.basename(name).startswith("._")
        )

    @contextmanager
    def open(self, name: str) -> Iterator[TextIO]:
        """Open one member as text; errors while it is read become InputError."""
        member = posixpath.normpath(posixpath.join(self.inside, name))
        if member not in self._zip.namelist():
            raise InputError(
                f"{self.path} has no file {member!r}, only {listing(self.names(), 12)}; "
                "add it to the zip file, or correct the control file"
            )
        with (
            reading(self.label(name)),
            self._zip.open(member) as raw,
            as_text(raw, member) as stream,
        ):
            yield stream


@contextmanager
def as_text(raw: IO[bytes], name: str) -> Iterator[TextIO]:
    """Decode bytes as UTF-8 text, unpacking them first if the name ends in .gz."""
    packed = gzip.GzipFile(fileobj=raw) if name.endswith(".gz") else raw
    with io.TextIOWrapper(packed, encoding="utf-8-sig", newline="") as stream:
        yield stream


@contextmanager
def reading(label: str) -> Iterator[None]:
    """Turn errors while a file is read into an InputError that names the file."""
    try:
        yield
    except _CUT_SHORT as error:
        raise InputError(
            f"{label} is damaged or cut short ({error}); fetch or make it again"
        ) from error
    except UnicodeDecodeError as error:
        raise InputError(f"{label} is not UTF-8 text ({error}); save it as UTF-8") from error
    except csv.Error as error:
        raise InputError(
            f"{label} cannot be read as a table ({error}); look for an unclosed quotation mark"
        ) from error
    except OSError as error:
        raise InputError(f"{label} cannot be read: {error.strerror or error}") from error
