"""Opening the files of a study: plain, packed, or members of a zip file."""

from __future__ import annotations

import csv
import io
import posixpath
import zipfile
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, TextIO

from bulklmm_dask.errors import InputError, StoreError
from bulklmm_dask.storage.places.location import Location
from bulklmm_dask.storage.places.packed import Budget, damaged, refuse_spreadsheet, text_bytes
from bulklmm_dask.text import listing, named


class Folder:
    """The files of one folder.

    Parameters
    ----------
    path : path
        The folder.
    confined : bool
        Whether only files that lie in it may be read: their names come from a file, such as a
        control file that somebody else has written, not from the user.
    """

    def __init__(self, path: str | Path | Location, *, confined: bool = False) -> None:
        self.place = Location.of(path)
        self.confined = confined

    def label(self, name: str) -> str:
        """Name the file in messages."""
        return str(self.place / name)

    def names(self) -> list[str]:
        """List the names of the files."""
        with reading(str(self.place)):
            return [name for name in self.place.names() if (self.place / name).is_file()]

    @contextmanager
    def open(self, name: str) -> Iterator[TextIO]:
        """Open one file as text; errors while it is read become InputError."""
        file, label = self.place / name, self.label(name)
        if self.confined:
            self._require_inside(name)
        file.require_file()
        budget = Budget(file.size())
        with (
            reading(label),
            file.open() as raw,
            _as_text(raw, label, budget, packed=False) as stream,
        ):
            yield stream

    def _require_inside(self, name: str) -> None:
        with reading(self.label(name)):
            inside = (self.place / name).is_inside(self.place)
        if not inside:
            raise InputError(
                f"{name!r}, which the control file in {self.place} names, lies outside that "
                "folder; put it there, and name it without its path"
            )


class Archive:
    """The members of a zip file that lie beside its control file."""

    def __init__(self, path: str | Path | Location) -> None:
        self.place = Location.of(path)
        self.place.require_file()
        self.inside = ""
        self._unpacked: dict[str, int] = {}  # bytes of members, however often they are read
        try:
            self._zip = zipfile.ZipFile(self.place.zip_source())
        except StoreError:  # the server does not give it
            raise
        except Exception as error:  # a damaged directory of members fails in many ways
            damaged(str(self.place), error)
        refuse_spreadsheet(self._zip, str(self.place))
        self._members = frozenset(self._zip.namelist())
        self._refuse_twice()

    def _refuse_twice(self) -> None:
        """Raise InputError if two members have one name: one of them would not be read."""
        times = Counter(self._zip.namelist())
        if twice := [name for name, count in times.items() if count > 1 and name[-1:] != "/"]:
            self._zip.close()
            raise InputError(
                f"{self.place} holds more than one file of the name {listing(twice)}; keep one of "
                "each"
            )

    def label(self, name: str) -> str:
        """Name the member in messages."""
        return f"{named(name)} in {self.place}"

    def names(self) -> list[str]:
        """List the members, without the clutter that macOS adds."""
        return sorted(
            name
            for name in self._members
            if not name.startswith("__MACOSX") and not posixpath.basename(name).startswith("._")
        )

    @contextmanager
    def open(self, name: str) -> Iterator[TextIO]:
        """Open one member as text; errors while it is read become InputError."""
        member, label = posixpath.normpath(posixpath.join(self.inside, name)), self.label(name)
        if member not in self._members:
            raise InputError(
                f"{self.place} has no file {member!r}, only {listing(self.names(), 12)}; "
                "add it to the zip file, or correct the control file"
            )
        try:
            raw = self._zip.open(member)
        except Exception as error:  # encrypted, of an odd method, or damaged
            self._zip.close()
            damaged(label, error)
        others = sum(count for one, count in self._unpacked.items() if one != member)
        budget = Budget(self.place.size(), others)
        try:
            with reading(label), raw, _as_text(raw, label, budget, packed=True) as stream:
                yield stream
        finally:
            count = budget.taken - others
            self._unpacked[member] = max(count, self._unpacked.get(member, 0))


def is_zip(path: Location) -> bool:
    """Tell whether a file is a zip file, by its content."""
    if not path.is_file():
        return False
    with reading(str(path)):
        return zipfile.is_zipfile(path.zip_source())


@contextmanager
def _as_text(raw: IO[bytes], label: str, budget: Budget, *, packed: bool) -> Iterator[TextIO]:
    """Decode bytes as UTF-8 text, unpacked if they are packed."""
    found = text_bytes(raw, label, budget, packed=packed)
    with io.TextIOWrapper(found, encoding="utf-8-sig", newline="") as stream:
        yield stream


@contextmanager
def reading(label: str) -> Iterator[None]:
    """Turn errors while a file is read into an InputError that names the file."""
    try:
        yield
    except csv.Error as error:
        raise InputError(
            f"{label} cannot be read as a table ({error}); look for an unclosed quotation mark"
        ) from error
    except OSError as error:
        damaged(label, error)
