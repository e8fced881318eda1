"""The records of a delimited table, one after the other; errors give the file and the line."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from operator import itemgetter

import numpy as np

from bulklmm_dask.errors import InputError
from bulklmm_dask.study.tables.dialects import Dialect
from bulklmm_dask.study.tables.numbers import CellError, floats, pointed
from bulklmm_dask.study.warn import say
from bulklmm_dask.text import counted
from bulklmm_dask.typing import Array


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
        found = filter(None, dialect.split(self._lines(stream, header)))
        self._found = found if dialect.decimal == "." else map(self._pointed, found)

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

    def _pointed(self, record: list[str]) -> list[str]:
        try:
            return pointed(record)
        except ValueError as error:
            raise InputError(
                f"{self.here}: {str(error)!r} has a point, but other numbers have decimal commas; "
                "write all numbers in one way"
            ) from None

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
        if not self.columns or (len(record) == len(self.columns) and not self.surplus):
            return record
        if self.surplus and len(record) == len(self.columns) + self.surplus:
            last = record[-self.surplus :]
            del record[-self.surplus :]
            if not any(map(str.strip, last)):
                return record
            record += last
        rows = f" and the first row ends in {counted(self.surplus, 'empty field')}"
        raise InputError(
            f"{self.here}: {counted(len(record), 'field')}, but the header has "
            f"{len(self.columns)}{rows if self.surplus else ''}; the file may be cut short, or "
            "a field may hold the separator"
        )

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


def fields_at(columns: Sequence[int]) -> Callable[[list[str]], Sequence[str]]:
    """Make the function that takes the fields of some columns from a record."""
    if len(columns) > 1:
        return itemgetter(*columns)
    return lambda record: [record[i] for i in columns]
