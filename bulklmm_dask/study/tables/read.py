"""Tables read row by row: only their numbers or codes stay in memory, never their text."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Sequence
from operator import itemgetter

import numpy as np

from bulklmm_dask.errors import InputError
from bulklmm_dask.study.tables.calls import Calls
from bulklmm_dask.study.tables.records import Records, fields_at
from bulklmm_dask.study.tables.table import Table
from bulklmm_dask.study.tables.tablefile import TableFile


def read_columns(file: TableFile) -> list[str]:
    """Read the header: the name of the column of row names, then the others."""
    return file.layout.columns


def read_names(file: TableFile) -> list[str]:
    """Read the names of the rows."""
    with file.below_header() as records:
        return [record[0].strip() for record in records]


def read_numbers(file: TableFile, text_columns: Sequence[str] = ()) -> Table:
    """Read a table of numbers as float64, missing cells as NaN; some columns may stay text."""
    held = bytearray()

    def keep(records: Records, row: str, columns: Sequence[str], cells: Sequence[str]) -> None:
        held.extend(np.array(records.row_of_numbers(row, columns, cells)).tobytes())

    return _named(_read(file, keep, lambda: np.frombuffer(held, np.float64), text_columns))


def read_across(file: TableFile, keep: Sequence[str], text: Collection[str]) -> Table:
    """Read a table of numbers whose rows are to be columns; `keep` are the columns to read.

    Rows in `text` stay text. The checks are those of `read_numbers`.
    """
    texts: dict[str, list[str]] = {}
    names: list[str] = []
    held = bytearray()
    with file.below_header() as records:
        take = fields_at([records.columns.index(name, 1) for name in keep])
        count = 0
        for record in records:
            count += 1
            row, cells = record[0].strip(), take(record)
            if not row:
                raise InputError(
                    f"{records.here}: the row has no name in its first column; name it, or remove "
                    "the row"
                )
            if row in text:
                texts[row] = file.dialect.texts(cells)
            else:
                names.append(row)
                held += np.array(records.row_of_numbers(row, keep, cells)).tobytes()
        records.check_size(count)
    values = np.frombuffer(held, np.float64).reshape(len(names), len(keep))
    return Table(file.label, "", list(keep), names, values.T, texts)


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
    held = bytearray()

    def keep(records: Records, row: str, columns: Sequence[str], cells: Sequence[str]) -> None:
        try:
            held.extend(map(calls.__getitem__, cells))
        except InputError as error:
            raise InputError(f"{records.label}: {error} (line {records.number})") from None

    return _named(_read(file, keep, lambda: np.frombuffer(held, np.uint8)))


def read_text(file: TableFile) -> Table:
    """Read a small table as text (dtype object), missing cells as empty text."""
    held: list[list[str]] = []

    def keep(records: Records, row: str, columns: Sequence[str], cells: Sequence[str]) -> None:
        held.append(file.dialect.texts(cells))

    return _read(file, keep, lambda: np.array(held, dtype=object))


def _read(
    file: TableFile,
    keep: Callable[[Records, str, Sequence[str], Sequence[str]], None],
    values: Callable[[], np.ndarray],
    text_columns: Sequence[str] = (),
) -> Table:
    """Read a table: `keep` takes name, columns and cells of each row, `values` gives all values.

    Both leave out the columns of text.
    """
    rows: list[str] = []
    lines: list[int] = []
    with file.below_header() as records:
        corner, *columns = records.columns
        texts: dict[str, list[str]] = {column: [] for column in text_columns}
        text_at = [columns.index(column) + 1 for column in text_columns]
        others = [i for i, name in enumerate(columns, start=1) if name not in text_columns]
        take = fields_at(others) if text_columns else itemgetter(slice(1, None))
        kept = take(records.columns)
        for record in records:
            rows.append(record[0].strip())
            lines.append(records.number)
            if texts:
                for cells, at in zip(texts.values(), text_at, strict=True):
                    cells.append(file.dialect.text(record[at]))
            keep(records, rows[-1], kept, take(record))
        records.check_size(len(rows))
    shape = len(rows), len(kept)
    return Table(file.label, corner, rows, list(kept), values().reshape(shape), texts, lines)


def _named(table: Table) -> Table:
    """Return the table, or raise InputError if a row has no name to be matched by."""
    if "" in table.rows:
        at = table.rows.index("")
        raise InputError(
            f"{table.label}: row {at + 1} below the header has no name in its first column"
            f"{table.in_line(at)}; name it, or remove the row"
        )
    return table
