"""The parser of delimited text, for all formats; a `Dialect` says how a table is written.

Tables are read row by row; of large ones only numbers or codes stay in memory, never their text.
Every error gives the file, the line and the column.
"""

from __future__ import annotations

import csv
import os
import re
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from functools import cached_property
from itertools import chain, islice
from operator import itemgetter
from typing import Any

import numpy as np
import pandas as pd

from bulklmm_dask.errors import InputError
from bulklmm_dask.storage.location import Location
from bulklmm_dask.study.readers._files import Archive, Folder
from bulklmm_dask.study.readers._layout import (
    is_corner,
    is_marked_header,
    looks_like_data,
    rows_to_compare,
    separator,
    used_fields,
)
from bulklmm_dask.study.schema import require_unique
from bulklmm_dask.study.warn import say
from bulklmm_dask.text import MISSING, counted, listing
from bulklmm_dask.typing import Array

# Fields between blanks, of which one may be in quotation marks; fields between blanks or commas.
_WORDS = re.compile(r'"([^"]*)"|(\S+)')
_BETWEEN = re.compile(r"\s*,\s*|\s+")
_EMPTY_FIELD = re.compile(r",\s*(,|$)|^\s*,")

_BATCH = 4096  # records converted together
_MOST_CALLS = 100  # more different genotype calls than this are no genotype calls


@dataclass(frozen=True)
class Dialect:
    """How a table is written.

    Attributes
    ----------
    sep : str or None
        The character between fields; None for blanks and tabs, any number of them.
    missing : set of str
        Words for a missing cell; an empty cell is missing in any dialect.
    comment : str
        Sign at the start of lines that are left out; empty if there is none.
    comments_below : bool
        Whether the sign starts a comment below the header too, where names may start with it.
    quotes : bool
        Whether fields may stand in quotation marks.
    commas : bool
        Whether a comma stands between fields as blanks do, where `sep` is None.
    """

    sep: str | None = ","
    missing: frozenset[str] = frozenset({"NA"})
    comment: str = "#"
    comments_below: bool = True
    quotes: bool = True
    commas: bool = False

    def text(self, cell: str) -> str:
        """Give a cell without blanks around it, empty if it is missing."""
        cell = cell.strip()
        return "" if cell in self.missing else cell

    def split(self, lines: Iterable[str]) -> Iterator[list[str]]:
        """Split lines into records: lists of fields, those of empty lines empty."""
        if self.sep is None:
            return map(self._between_blanks, lines)
        if self.quotes:
            return csv.reader(lines, delimiter=self.sep)
        return csv.reader(lines, delimiter=self.sep, quoting=csv.QUOTE_NONE)

    def _between_blanks(self, line: str) -> list[str]:
        if self.commas:
            if _EMPTY_FIELD.search(line):
                return _BETWEEN.split(line.strip())
            return line.replace(",", " ").split()
        if self.quotes and '"' in line:
            return [quoted or plain for quoted, plain in _WORDS.findall(line)]
        return line.split()


def blanks(missing: frozenset[str], *, commas: bool = False) -> Dialect:
    """Fields between blanks, as PLINK and BIMBAM write them: no quotation marks, no comments."""
    return Dialect(None, missing, comment="", quotes=False, commas=commas)


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
    dialect: Dialect = Dialect()

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
    def records(self) -> Iterator[Records]:
        """Open the file; all its records are rows."""
        with self.files.open(self.name) as stream:
            yield Records(self.label, self.dialect, stream)

    @contextmanager
    def below_header(self) -> Iterator[Records]:
        """Open the file; the header is read, and the records are the rows below it."""
        layout = self.layout
        with self.files.open(self.name) as stream:
            records = Records(self.label, self.dialect, stream, layout.line)
            records.read_header()
            records.columns, records.surplus = layout.columns, layout.surplus
            yield records

    @contextmanager
    def _first_lines(self) -> Iterator[Records]:
        """Open the file; the next record is its header, if it has one."""
        with self.files.open(self.name) as stream:
            line = _marked_header(stream, self.dialect)
        with self.files.open(self.name) as stream:
            yield Records(self.label, self.dialect, stream, line)

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
        with self.files.open(self.name) as stream:
            records = Records(self.label, self.dialect, stream, found.line)
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


def open_table(path: str | os.PathLike[str]) -> TableFile:
    """Find a table; its separator is told from its first lines.

    Lines that start with # above the header are comments; a header may start with it, as in #IID.
    """
    file = TableFile.at(path, Dialect(missing=MISSING, comments_below=False))
    with file.files.open(file.name) as stream:
        sep = separator(_top(stream, file.dialect.comment)[1:])
    return replace(file, dialect=replace(file.dialect, sep=sep))


class Records:
    """The records of an open table, one after the other: lists of fields, none empty.

    Attributes
    ----------
    label : str
        The file, for messages.
    number : int
        The line that was read last.
    columns : list of str
        The header, once it is known; every record must then have as many fields.
    surplus : int
        Empty fields at the end of every record, which are left out.
    comments : list of str
        Lines left out so far, without the sign.
    """

    def __init__(
        self, label: str, dialect: Dialect, stream: Iterable[str], header: int = 0
    ) -> None:
        """`header` is the line of the header, where that starts with the sign of comments."""
        self.label, self.dialect = label, dialect
        self.number, self.surplus = 0, 0
        self.columns: list[str] = []
        self.comments: list[str] = []
        self._found = filter(None, dialect.split(self._lines(stream, header)))

    def _lines(self, stream: Iterable[str], header: int) -> Iterator[str]:
        comment = self.dialect.comment
        for line in stream:
            self.number += 1
            if not comment or not line.startswith(comment):
                yield line
                if not self.dialect.comments_below:
                    comment = ""
            elif self.number == header:
                yield line.removeprefix(comment)
                comment = ""
            else:
                self.comments.append(line.removeprefix(comment))

    @property
    def here(self) -> str:
        """The file and the line read last, for messages."""
        return f"{self.label}, line {self.number}"

    def __iter__(self) -> Iterator[list[str]]:
        if self.dialect.commas:
            yield from self._between_commas()
        else:
            yield from map(self.checked, self._found)

    def _between_commas(self) -> Iterator[list[str]]:
        """Yield records without an empty field at their end; refuse any other empty field."""
        ends = 0
        for record in self._found:
            if not record[-1]:
                del record[-1]
                ends += 1
            if "" in record:
                raise InputError(
                    f"{self.here}: field {record.index('') + 1} is empty (two commas with nothing "
                    "between); write NA where a value is missing"
                )
            yield record
        if ends:
            say(
                f"{self.label}: {counted(ends, 'line')} end in a comma, taken for the end of the "
                "line; write NA behind it if a value is missing there"
            )

    def filled(self) -> Iterator[list[str]]:
        """Yield records that are not empty, their fields stripped; the length is not checked."""
        for record in self._found:
            fields = list(map(str.strip, record))
            if any(fields):
                yield fields

    def checked(self, record: list[str]) -> list[str]:
        """Return a record, or raise InputError if it has more or fewer fields than the header."""
        if not self.columns:
            return record
        if self.surplus and len(record) == len(self.columns) + self.surplus:
            last = record[-self.surplus :]
            del record[-self.surplus :]
            if not any(map(str.strip, last)):
                return record
            record += last
        if self.surplus or len(record) != len(self.columns):
            rows = f" and the first row ends in {counted(self.surplus, 'empty field')}"
            raise InputError(
                f"{self.here}: {counted(len(record), 'field')}, but the header has "
                f"{len(self.columns)}{rows if self.surplus else ''}; the file may be cut short, or "
                "a field may hold the separator"
            )
        return record

    def read_header(self) -> list[str]:
        """Take the first record as the names of the columns."""
        header = next(self._found, None)
        if header is None:
            raise InputError(f"{self.label} is empty; it should start with a row of column names")
        return [column.strip() for column in header]

    def expect(self, fields: Sequence[str], count: int, what: str) -> None:
        """Raise InputError unless a record has `count` fields."""
        if len(fields) != count:
            raise InputError(
                f"{self.here}: {counted(len(fields), 'field')} instead of {count} ({what}); the "
                "file may be cut short: fetch or make it again"
            )

    def numbers(
        self, fields: Sequence[str], what: str = "field", missing: frozenset[str] | None = None
    ) -> Array:
        """Turn fields without a header into numbers, missing ones into NaN.

        `what` names a field in errors, which count them from 1; `missing` replaces the dialect's
        words.
        """
        try:
            return np.array(
                floats(fields, self.dialect.missing if missing is None else missing),
                dtype=np.float64,
            )
        except CellError as error:
            raise InputError(
                f"{self.here}: {what} {error.at + 1} is {error.cell!r}, which is not a number; "
                "correct it, or mark it as missing (NA)"
            ) from None

    def row_of_numbers(self, row: str, columns: Sequence[str], cells: Sequence[str]) -> list[float]:
        """Turn cells under a header into numbers, missing and empty ones into NaN."""
        try:
            return floats(cells, self.dialect.missing | {""})
        except CellError as error:
            raise InputError(
                f"{self.here} ({row!r}), column {columns[error.at]!r}: {error.cell!r} is not a "
                "number; correct it, or mark it as missing"
            ) from None

    def check_size(self, rows: int) -> None:
        """Compare the size with comments such as `# nrow 198` that R/qtl2 puts above a table."""
        for word, found in (("nrow", rows), ("ncol", len(self.columns))):
            for comment in self.comments:
                stated = re.fullmatch(rf"\s*{word}\s+(\d+)\s*", comment)
                if stated and int(stated[1]) != found:
                    raise InputError(
                        f"{self.label} says {word} {stated[1]} in its comments but has {found}; "
                        "it may be cut short: fetch or make it again"
                    )


@dataclass
class Table:
    """A table that was read: its first row names the columns, its first column the rows.

    Attributes
    ----------
    label : str
        The file, for messages.
    corner : str
        Name of the column of row names.
    rows, columns : list of str
    values : array (rows, columns)
        Numbers, codes or text, without the columns in `text`.
    text : dict of str to list of str
        Columns that were left as text.
    lines : list of int
        Line of each row in the file; empty where that is not known.
    """

    label: str
    corner: str
    rows: list[str]
    columns: list[str]
    values: np.ndarray
    text: dict[str, list[str]] = field(default_factory=dict)
    lines: list[int] = field(default_factory=list)

    @property
    def T(self) -> Table:  # noqa: N802
        """The table with rows and columns exchanged."""
        return Table(self.label, self.corner, self.columns, self.rows, self.values.T)

    def in_line(self, row: int) -> str:
        """Line of a row in the file, for messages; empty if that is not known."""
        return f" in line {self.lines[row]}" if self.lines else ""

    def by_column(self, *, names: bool = False) -> dict[str, list[str]]:
        """Cells of a table of text by column name; with `names` also the column of row names."""
        cells = zip(self.columns, self.values.T, strict=True)
        return ({self.corner: self.rows} if names else {}) | {
            name: list(own) for name, own in cells
        }


def text_table(label: str, rows: Sequence[str], columns: Mapping[str, Sequence[str]]) -> Table:
    """Make a table of text from its columns."""
    values = np.array(list(columns.values()), dtype=object).reshape(len(columns), len(rows)).T
    return Table(label, "", list(rows), list(columns), values)


def find_column(columns: Collection[str], names: Sequence[str]) -> str | None:
    """Find the first of `names` among the columns; case and punctuation are ignored."""
    plain = {re.sub(r"[^a-z]", "", column.lower()): column for column in columns}
    return next((plain[name] for name in names if name in plain), None)


class Calls(dict[str, int]):
    """Codes of genotype calls, numbered in the order in which calls occur."""

    def __missing__(self, call: str) -> int:
        """Give a new call the next code."""
        if len(self) >= _MOST_CALLS:
            raise InputError(
                f"the genotypes hold more than {_MOST_CALLS} different calls, such as "
                f"{listing(self)}; is this the genotype table, and is the separator right?"
            )
        return self.setdefault(call, len(self))


def read_columns(file: TableFile) -> list[str]:
    """Read the header: the name of the column of row names, then the others."""
    return file.layout.columns


def read_names(file: TableFile) -> list[str]:
    """Read the names of the rows."""
    with file.below_header() as records:
        return [record[0].strip() for record in records]


def read_across(file: TableFile, keep: Sequence[str], text: Collection[str]) -> Table:
    """Read a table of numbers whose rows are to be columns; `keep` are the columns to read.

    Rows in `text` stay text. The checks are those of `read_numbers`.
    """
    texts: dict[str, list[str]] = {}
    names: list[str] = []
    held = bytearray()
    with file.below_header() as records:
        at = [records.columns.index(name, 1) for name in keep]
        count = 0
        for record in records:
            count += 1
            row, cells = record[0].strip(), [record[i] for i in at]
            if not row:
                raise InputError(
                    f"{records.here}: the row has no name in its first column; name it, or remove "
                    "the row"
                )
            if row in text:
                texts[row] = list(map(file.dialect.text, cells))
            else:
                names.append(row)
                held += np.array(records.row_of_numbers(row, keep, cells)).tobytes()
        records.check_size(count)
    values = np.frombuffer(held, np.float64).reshape(len(names), len(at))
    return Table(file.label, "", list(keep), names, values.T, texts)


def read_numbers(file: TableFile, text_columns: Sequence[str] = ()) -> Table:
    """Read a table of numbers as float64, missing cells as NaN; some columns may stay text."""

    def convert(records: Records, row: str, columns: Sequence[str], cells: Sequence[str]) -> bytes:
        return np.array(records.row_of_numbers(row, columns, cells)).tobytes()

    return _named(_read(file, convert, np.float64, text_columns))


def number_rows(file: TableFile) -> Iterator[tuple[str, str, list[float]]]:
    """Yield file and line, name and numbers of each row of a table of numbers.

    The checks are those of `read_numbers`; memory holds one row.
    """
    with file.below_header() as records:
        columns, count = records.columns[1:], 0
        for row, *cells in records:
            count += 1
            name = row.strip()
            yield records.here, name, records.row_of_numbers(name, columns, cells)
        records.check_size(count)


def read_calls(file: TableFile, calls: Calls) -> Table:
    """Read a table of genotype calls as uint8 codes, which `calls` explains."""

    def convert(records: Records, row: str, columns: Sequence[str], cells: Sequence[str]) -> bytes:
        try:
            return bytes(map(calls.__getitem__, cells))
        except InputError as error:
            raise InputError(f"{records.label}: {error} (line {records.number})") from None

    return _named(_read(file, convert, np.uint8, ()))


def read_text(file: TableFile) -> Table:
    """Read a small table as text (dtype object), missing cells as empty text."""
    kept: list[list[str]] = []

    def convert(records: Records, row: str, columns: Sequence[str], cells: Sequence[str]) -> bytes:
        kept.append([file.dialect.text(cell) for cell in cells])
        return b""

    table = _read(file, convert, np.uint8, ())
    table.values = np.array(kept, dtype=object).reshape(len(table.rows), len(table.columns))
    return table


def read_frame(file: TableFile, text: Collection[str], numbers: Collection[str]) -> pd.DataFrame:
    """Read a table without row names; `text` and `numbers` are columns of known type.

    Other columns become numbers if all of their cells are numbers, and text otherwise.
    """
    missing = file.dialect.missing | {""}
    with file.below_header() as records:
        columns = records.columns
        require_unique(columns, f"the columns of {file.label}", "rename one")
        held: dict[str, list[Any]] = {name: [] for name in columns}
        known: dict[str, str] = {}  # a text is kept once, however many rows have it
        for batch in _batches(records):
            lines, rows = zip(*batch, strict=True)
            for name, cells in zip(columns, zip(*rows, strict=True), strict=True):
                if name in text:
                    held[name].extend(known.setdefault(cell, cell) for cell in cells)
                    continue
                try:
                    held[name].append(np.array(floats(cells, missing)))
                except CellError as error:
                    if name not in numbers:
                        return read_frame(file, {*text, name}, numbers)
                    raise InputError(
                        f"{file.label}, line {lines[error.at]}, column {name!r}: {error.cell!r} is "
                        "not a number; correct it, or leave it empty"
                    ) from None
    empty = np.empty(0)
    whole = {
        name: pd.Series(parts, dtype="str") if name in text else np.concatenate([empty, *parts])
        for name, parts in held.items()
    }
    return pd.DataFrame(whole, columns=columns)


def _batches(records: Records) -> Iterator[list[tuple[int, list[str]]]]:
    """Yield lists of (line number, record), some thousands at a time."""
    numbered = ((records.number, record) for record in records)
    while batch := list(islice(numbered, _BATCH)):
        yield batch


def bind(tables: Sequence[Table], fill: object) -> Table:
    """Join tables side by side, rows matched by name, with `fill` where a table lacks a row."""
    if len(tables) == 1:
        return tables[0]
    rows = list(dict.fromkeys(name for table in tables for name in table.rows))
    columns = [name for table in tables for name in table.columns]
    values = np.full((len(rows), len(columns)), fill, dtype=tables[0].values.dtype)
    where = {name: i for i, name in enumerate(rows)}
    start = 0
    for table in tables:
        stop = start + len(table.columns)
        values[[where[name] for name in table.rows], start:stop] = table.values
        start = stop
    return Table(tables[0].label, tables[0].corner, rows, columns, values)


def _read(
    file: TableFile,
    convert: Callable[[Records, str, Sequence[str], Sequence[str]], bytes],
    dtype: type[np.generic],
    text_columns: Sequence[str],
) -> Table:
    """Read a table; `convert` turns name, columns and cells of a row, without text, into bytes."""
    rows: list[str] = []
    lines: list[int] = []
    held = bytearray()
    with file.below_header() as records:
        corner, *columns = records.columns
        texts: dict[str, list[str]] = {column: [] for column in text_columns}
        text_at = [columns.index(column) + 1 for column in text_columns]
        take = _other_columns(columns, text_columns)
        kept = take(records.columns)
        for record in records:
            rows.append(record[0].strip())
            lines.append(records.number)
            for cells, at in zip(texts.values(), text_at, strict=True):
                cells.append(file.dialect.text(record[at]))
            held += convert(records, rows[-1], kept, take(record))
        records.check_size(len(rows))
    values = np.frombuffer(held, dtype)
    if values.size == len(rows) * len(kept):  # all but tables of text
        values = values.reshape(len(rows), len(kept))
    return Table(file.label, corner, rows, list(kept), values, texts, lines)


def _other_columns(
    columns: list[str], text_columns: Sequence[str]
) -> Callable[[list[str]], Sequence[str]]:
    """Make the function that picks the cells of a record except row name and text columns."""
    if not text_columns:
        return lambda record: record[1:]
    keep = [i + 1 for i, column in enumerate(columns) if column not in text_columns]
    if len(keep) > 1:
        return itemgetter(*keep)
    return lambda record: [record[i] for i in keep]


def _named(table: Table) -> Table:
    """Return the table, or raise InputError if a row has no name to be matched by."""
    if "" in table.rows:
        at = table.rows.index("")
        raise InputError(
            f"{table.label}: row {at + 1} below the header has no name in its first column"
            f"{table.in_line(at)}; name it, or remove the row"
        )
    return table


class CellError(Exception):
    """A cell that is no number, and its index in the row."""

    def __init__(self, at: int, cell: str) -> None:
        self.at, self.cell = at, cell


def floats(cells: Sequence[str], missing: frozenset[str]) -> list[float]:
    """Turn cells into numbers, missing ones into NaN; CellError at the first that is none."""
    nan = float("nan")
    try:
        # Python reads 1_0 as ten, which no table means.
        if "_" not in "".join(cells):
            return [nan if cell in missing else float(cell) for cell in cells]
    except ValueError:
        pass
    return [_float(at, cell.strip(), missing) for at, cell in enumerate(cells)]


def _float(at: int, cell: str, missing: frozenset[str]) -> float:
    try:
        if cell in missing:
            return float("nan")
        if "_" not in cell:
            return float(cell)
    except ValueError:
        pass
    raise CellError(at, cell)
