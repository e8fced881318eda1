"""A table in memory: rows and columns by name."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np


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
