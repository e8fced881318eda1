"""A table in R/qtl's format: phenotypes and markers side by side, with rows of places above."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

from bulklmm_dask.errors import InputError
from bulklmm_dask.storage.places.location import Location
from bulklmm_dask.study.tables.headers import used_fields
from bulklmm_dask.study.tables.tablefile import open_table
from bulklmm_dask.text import MISSING, counted

_MISSING = MISSING | {""}
_HEAD = 3  # lines of names and places, of which an empty one would be missed


@dataclass(frozen=True)
class Sheet:
    """The cells of a table, individuals in rows, whichever way round the file has them."""

    label: str
    cells: list[list[str]]
    lines: list[int]
    rotated: bool

    def where(self, row: int, column: int) -> str:
        """File, line and field of a cell, for messages."""
        line, field = (column, row) if self.rotated else (row, column)
        return f"{self.label}, line {self.lines[line]}, field {field + 1}"

    def column(self, at: int, start: int = 1) -> list[str]:
        """Cells of a column from a row on, empty where missing."""
        return ["" if row[at] in _MISSING else row[at] for row in self.cells[start:]]

    def turned(self) -> Sheet:
        """The same table with rows and columns exchanged."""
        cells = list(map(list, zip(*self.cells, strict=True)))
        return replace(self, cells=cells, rotated=not self.rotated)


def read_sheet(path: str | Path | Location) -> Sheet:
    """Read a table; empty fields at the end of every line are left out."""
    file = open_table(path)
    file = replace(file, dialect=replace(file.dialect, comment="", missing=frozenset()))
    cells: list[list[str]] = []
    lines: list[int] = []
    with file.records() as records:
        for record in records:
            fields = list(map(str.strip, record))
            if any(fields) or len(cells) < _HEAD:
                cells.append(fields)
                lines.append(records.number)
    width = max((used_fields(row) for row in cells), default=0)
    for line, row in zip(lines, cells, strict=True):
        if len(row) < width:
            raise InputError(
                f"{file.label}, line {line}: {counted(len(row), 'field')}, but other lines have "
                f"{width}; the file may be cut short, or a field may hold the separator"
            )
        del row[width:]
    if len(cells) < 2 or width < 2:
        raise InputError(
            f"{file.label} has {counted(len(cells), 'line')} of {counted(width, 'field')}; R/qtl's "
            "format has a line of names, a line of chromosomes and a line for each individual"
        )
    return Sheet(file.label, cells, lines, rotated=False)


def holds(path: str | Path | Location, name: str) -> bool:
    """Tell whether a table has a column or a row of this name."""
    with open_table(path).records() as records:
        rows = records.filled()
        return name in next(rows, []) or any(fields[0] == name for fields in rows)
