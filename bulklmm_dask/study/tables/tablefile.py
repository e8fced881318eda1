"""A table to be read: its file, its dialect and its header."""

from __future__ import annotations

import os
from collections.abc import Collection, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import chain, islice

from bulklmm_dask.errors import InputError
from bulklmm_dask.storage.places.location import Location
from bulklmm_dask.study.files import Archive, Folder
from bulklmm_dask.study.tables.dialects import Dialect, separator
from bulklmm_dask.study.tables.headers import (
    is_corner,
    is_marked_header,
    looks_like_data,
    rows_to_compare,
    used_fields,
)
from bulklmm_dask.study.tables.numbers import decimal_sign
from bulklmm_dask.study.tables.records import Records
from bulklmm_dask.study.warn import say
from bulklmm_dask.text import MISSING, counted, listing


@dataclass(frozen=True)
class Layout:
    """Where the columns of a table are.

    Attributes
    ----------
    columns : list of str
        The header, the name of the column of row names first.
    line : int
        Line of the header in the file.
    surplus : int
        Empty fields at the end of every row, which are left out.
    """

    columns: list[str]
    line: int
    surplus: int = 0


@dataclass(frozen=True)
class TableFile:
    """A table to be read: its file and its dialect."""

    files: Folder | Archive
    name: str
    dialect: Dialect

    @classmethod
    def at(cls, path: str | os.PathLike[str], dialect: Dialect) -> TableFile:
        """A table at a path, plain or packed."""
        place = Location.of(path)
        return cls(Folder(place.beside), place.name, dialect)

    @property
    def label(self) -> str:
        """The file, for messages."""
        return self.files.label(self.name)

    @contextmanager
    def records(self, header: int = 0) -> Iterator[Records]:
        """Open the file; all its records are rows.

        `header` is the line of its header, where that starts with the sign of comments.
        """
        with self.files.open(self.name) as stream:
            yield Records(self.label, self.dialect, stream, header)

    @contextmanager
    def below_header(self) -> Iterator[Records]:
        """Open the file; the header is read, and the records are the rows below it."""
        layout = self.layout
        with self.records(layout.line) as records:
            records.read_header()
            records.columns, records.surplus = layout.columns, layout.surplus
            yield records

    @contextmanager
    def _first_lines(self) -> Iterator[Records]:
        """Open the file; the next record is its header, if it has one."""
        with self.files.open(self.name) as stream:
            line = _marked_header(stream, self.dialect)
        with self.records(line) as records:
            yield records

    def top(self) -> list[list[str]]:
        """The first two records, whatever they are."""
        with self._first_lines() as records:
            return [records.read_header(), *islice(records, 1)]

    @cached_property
    def layout(self) -> Layout:
        """The header, read once: what had to be guessed is said here."""
        with self._first_lines() as records:
            header = records.read_header()
            found = Layout(header, records.number)
            rows = list(islice(records, 1))
            if rows and (len(rows[0]) != len(header) or not header[-1]):
                found = self._fitted(found, rows[0], chain(rows, records))
        if "" in found.columns[1:]:
            raise InputError(
                f"{self.label}, line {found.line}: column {found.columns.index('', 1) + 1} has no "
                "name in the header; name it, or remove the column"
            )
        self._refuse_data(found)
        return found

    def _fitted(self, found: Layout, first: list[str], rows: Iterable[list[str]]) -> Layout:
        """Fit a header to rows of another width, or one that ends in empty names."""
        header, line, width = found.columns, found.line, len(first)
        count = used_fields(header)
        if width < count or not count:
            return found  # the row is cut short: an error where it is read
        named, used = header[:count], count
        for row in rows:
            used = max(used, used_fields(row))
            if used >= max(width, len(header)):
                break
        if used == count:
            ends = counted(abs(width - count) or len(header) - count, "empty field")
            which = "every row" if width > count else "the header"
            say(
                f"{self.label}: {which} ends in {ends} without a name, taken for separators at the "
                "end of lines and left out; if it is a column, name it in the header"
            )
            return Layout(named, line, width - count)
        numbered = first[0].strip() == "1"  # R's own row names
        if used == count + 1 and width > len(header) and (numbered or not is_corner(header[0])):
            return Layout(["", *named], line, width - used)  # as R writes a table with row names
        return found

    def _refuse_data(self, found: Layout) -> None:
        """Raise InputError if the first line looks like data: its row would be lost."""
        if is_corner(found.columns[0]):
            return
        with self.records(found.line) as records:
            records.read_header()
            rows = list(islice(records, rows_to_compare(len(found.columns))))
        missing = self.dialect.missing | MISSING
        if cells := looks_like_data(found.columns, rows, missing):
            raise self._no_header(found, f"{listing(cells)} might be cells of the columns below")

    def refuse_row_of(self, names: Collection[str]) -> None:
        """Raise InputError if the first line begins with one of `names`, as the rows below do."""
        corner = self.layout.columns[0]
        if corner in names and not is_corner(corner):
            raise self._no_header(self.layout, f"it begins with {corner!r}, the name of a sample")

    def _no_header(self, found: Layout, why: str) -> InputError:
        return InputError(
            f"{self.label}, line {found.line}: this first line looks like data, not like names of "
            f"columns: {why}. Put a line of names above it, such as id and a name for each column; "
            "if it is a line of names, begin it with id"
        )


def open_table(path: str | os.PathLike[str]) -> TableFile:
    """Find a table; its separator and the decimal sign are told from its first lines.

    Lines that start with # above the header are comments; a header may start with it, as in #IID.
    Decimal commas are said.
    """
    file = TableFile.at(path, Dialect(missing=MISSING, comments_below=False))
    with file.files.open(file.name) as stream:
        sep = separator(_top(stream, file.dialect.comment)[1:])
    file = replace(file, dialect=replace(file.dialect, sep=sep))
    if sep not in (";", "\t"):
        return file
    with file.records() as records:
        first = next(records.filled(), [])
        rows = islice(records.filled(), rows_to_compare(len(first)))
        decimal = decimal_sign(chain.from_iterable(rows))
    if decimal == ",":
        say(
            f"{file.label}: the commas in its numbers are taken for decimal signs; if they stand "
            "between thousands, leave them out"
        )
    return replace(file, dialect=replace(file.dialect, decimal=decimal))


def _marked_header(stream: Iterable[str], dialect: Dialect) -> int:
    """Line of a header that starts with the sign of comments, such as #IID; 0 if there is none."""
    if not dialect.comment or dialect.comments_below:
        return 0
    marked, below = _top(stream, dialect.comment)[:2]
    if marked is None or not below:
        return 0
    number, line = marked
    names = next(dialect.split([line.removeprefix(dialect.comment)]), [])
    cells = next(dialect.split([below]), [])
    return number if is_marked_header(names, cells) else 0


def _top(stream: Iterable[str], comment: str) -> tuple[tuple[int, str] | None, str, str]:
    """The last comment above a table, with its line number, and the first two lines below it."""
    marked, first = None, ""
    for number, line in enumerate(stream, start=1):
        if not line.strip():
            continue
        if first:
            return marked, first, line
        if line.startswith(comment):
            marked = number, line
        else:
            first = line
    return marked, first, ""
