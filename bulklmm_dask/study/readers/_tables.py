"""Delimited tables, read row by row: only numbers or codes are kept, never the text of a file.

The first row names the columns and the first column names the rows. Every error gives the file,
the line and the column.
"""

from __future__ import annotations

import csv
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import chain
from operator import itemgetter
from typing import TextIO

import numpy as np

from bulklmm_dask.errors import InputError
from bulklmm_dask.study.readers._files import Archive, Folder
from bulklmm_dask.text import listing

_MOST_CALLS = 100  # more different genotype calls than this are no genotype calls


@dataclass(frozen=True)
class Format:
    """How the tables of a study are written."""

    sep: str = ","
    missing: frozenset[str] = frozenset({"NA"})
    comment: str = "#"

    def text(self, cell: str) -> str:
        """Give a cell without blanks around it, empty if it is missing."""
        cell = cell.strip()
        return "" if cell in self.missing else cell


@dataclass
class Table:
    """A table with named rows and columns; `text` holds the columns that were left as text."""

    label: str
    corner: str
    rows: list[str]
    columns: list[str]
    values: np.ndarray
    text: dict[str, list[str]] = field(default_factory=dict)

    @property
    def T(self) -> Table:  # noqa: N802
        """The table with rows and columns exchanged."""
        return Table(self.label, self.corner, self.columns, self.rows, self.values.T)


class Calls(dict[str, int]):
    """A code for every different genotype call, given as they are met."""

    def __missing__(self, call: str) -> int:
        """Give a new call the next code."""
        if len(self) >= _MOST_CALLS:
            raise InputError(
                f"the genotypes hold more than {_MOST_CALLS} different calls, such as "
                f"{listing(self)}; is this the genotype table, and is the separator right?"
            )
        return self.setdefault(call, len(self))


def read_columns(files: Folder | Archive, name: str, form: Format) -> list[str]:
    """Read the names of the columns, that of the row names first."""
    with files.open(name) as stream:
        header, _ = _records(_Lines(stream, form.comment), form.sep, files.label(name))
    return [column.strip() for column in header]


def read_numbers(
    files: Folder | Archive, name: str, form: Format, text_columns: Sequence[str] = ()
) -> Table:
    """Read a table of numbers as float64, missing cells as NaN; some columns may stay text."""
    missing = form.missing | {""}

    def convert(cells: Sequence[str]) -> bytes:
        return np.array(floats(cells, missing)).tobytes()

    return _named(_read(files, name, form, convert, np.float64, text_columns))


def number_rows(
    files: Folder | Archive, name: str, form: Format
) -> Iterator[tuple[str, str, list[float]]]:
    """Read a table of numbers row by row: where it stands (file and line), its name, its numbers.

    What `read_numbers` checks is checked here too, but nothing is kept.
    """
    label, missing = files.label(name), form.missing | {""}
    with files.open(name) as stream:
        lines = _Lines(stream, form.comment)
        header, records = _records(lines, form.sep, label)
        count = 0
        for row, *cells in records:
            count += 1
            try:
                numbers = floats(cells, missing)
            except CellError as error:
                raise _no_number(label, lines.number, row.strip(), header[1:], error) from None
            yield f"{label}, line {lines.number}", row.strip(), numbers
    _check_shape(label, lines.comments, count, len(header))


def read_calls(files: Folder | Archive, name: str, form: Format, calls: Calls) -> Table:
    """Read a table of genotype calls as uint8 codes, which `calls` explains."""

    def convert(cells: Sequence[str]) -> bytes:
        try:
            return bytes(map(calls.__getitem__, cells))
        except InputError as error:
            raise InputError(f"{files.label(name)}: {error}") from None

    return _named(_read(files, name, form, convert, np.uint8, ()))


def read_text(files: Folder | Archive, name: str, form: Format) -> Table:
    """Read a small table as text (dtype object), missing cells as empty text."""
    kept: list[list[str]] = []

    def convert(cells: Sequence[str]) -> bytes:
        kept.append([form.text(cell) for cell in cells])
        return b""

    table = _read(files, name, form, convert, np.uint8, ())
    table.values = np.array(kept, dtype=object).reshape(len(table.rows), len(table.columns))
    return table


def bind(tables: Sequence[Table], fill: object) -> Table:
    """Set tables side by side, matching their rows by name; `fill` where a row is absent."""
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
    files: Folder | Archive,
    name: str,
    form: Format,
    convert: Callable[[Sequence[str]], bytes],
    dtype: type[np.generic],
    text_columns: Sequence[str],
) -> Table:
    label = files.label(name)
    rows: list[str] = []
    held = bytearray()
    with files.open(name) as stream:
        lines = _Lines(stream, form.comment)
        header, records = _records(lines, form.sep, label)
        columns = [column.strip() for column in header[1:]]
        texts: dict[str, list[str]] = {column: [] for column in text_columns}
        text_at = [columns.index(column) + 1 for column in text_columns]
        take = _numeric_part(columns, text_columns)
        for record in records:
            rows.append(record[0].strip())
            for kept, at in zip(texts.values(), text_at, strict=True):
                kept.append(form.text(record[at]))
            try:
                held += convert(take(record))
            except CellError as error:
                raise _no_number(label, lines.number, rows[-1], take(header), error) from None
    _check_shape(label, lines.comments, len(rows), len(header))
    columns = [column for column in columns if column not in texts]
    values = np.frombuffer(held, dtype)
    if values.size == len(rows) * len(columns):  # all but tables of text
        values = values.reshape(len(rows), len(columns))
    return Table(label, header[0].strip(), rows, columns, values, texts)


def _named(table: Table) -> Table:
    """Refuse a row without a name: nothing could be matched to it."""
    if "" in table.rows:
        raise InputError(
            f"{table.label}: row {table.rows.index('') + 1} below the header has no name in its "
            "first column; name it, or remove the row"
        )
    return table


def _numeric_part(
    columns: list[str], text_columns: Sequence[str]
) -> Callable[[list[str]], Sequence[str]]:
    """Make the function that picks the cells to convert from a record."""
    if not text_columns:
        return lambda record: record[1:]
    keep = [i + 1 for i, column in enumerate(columns) if column not in text_columns]
    if len(keep) > 1:
        return itemgetter(*keep)
    return lambda record: [record[i] for i in keep]


class _Lines:
    """The lines of a file without its comments, counting all of them."""

    def __init__(self, stream: TextIO, comment: str) -> None:
        self._stream, self._comment = stream, comment
        self.number = 0
        self.comments: list[str] = []

    def __iter__(self) -> Iterator[str]:
        for line in self._stream:
            self.number += 1
            if not (self._comment and line.startswith(self._comment)):
                yield line
            else:
                self.comments.append(line.removeprefix(self._comment))


def _records(lines: _Lines, sep: str, label: str) -> tuple[list[str], Iterator[list[str]]]:
    """Split lines into the header and an iterator over records of the header's length."""
    reader = csv.reader(lines, delimiter=sep)
    found = (record for record in reader if record)
    header, first = next(found, None), next(found, None)
    if header is None:
        raise InputError(f"{label} is empty; it should start with a row of column names")
    if first is not None and len(first) == len(header) + 1:
        header = ["", *header]  # as R writes a table with row names

    def checked() -> Iterator[list[str]]:
        for record in found if first is None else chain([first], found):
            if len(record) != len(header):
                raise InputError(
                    f"{label}, line {lines.number}: {len(record)} fields, but the header has "
                    f"{len(header)}; the file may be cut short, or a field may hold the separator"
                )
            yield record

    return header, checked()


class CellError(Exception):
    """A cell that is no number, and where it stands in its row."""

    def __init__(self, at: int, cell: str) -> None:
        self.at, self.cell = at, cell


def _no_number(
    label: str, line: int, row: str, columns: Sequence[str], error: CellError
) -> InputError:
    return InputError(
        f"{label}, line {line} ({row!r}), column {columns[error.at]!r}: {error.cell!r} is not a "
        "number; correct it, or mark it as missing"
    )


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


def _check_shape(label: str, comments: list[str], rows: int, columns: int) -> None:
    """Compare the size with comments such as `# nrow 198` that R/qtl2 puts above a table."""
    for word, found in (("nrow", rows), ("ncol", columns)):
        stated = [re.fullmatch(rf"\s*{word}\s+(\d+)\s*", comment) for comment in comments]
        for match in filter(None, stated):
            if int(match[1]) != found:
                raise InputError(
                    f"{label} says {word} {match[1]} in its comments but has {found}; "
                    "it may be cut short: fetch or make it again"
                )
