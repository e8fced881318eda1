"""Tables whose separator is seen from their first line and whose columns are found by name."""

from __future__ import annotations

import re
from collections.abc import Collection, Sequence
from pathlib import Path

from bulklmm_dask.study.readers._files import Folder
from bulklmm_dask.study.readers._tables import Format, Table

MISSING = frozenset({"NA", "NaN", "nan", "N/A", "n/a", "NULL", "null", "-", "."})


def open_table(path: str | Path) -> tuple[Folder, str, Format]:
    """Find the separator of a table from its first line that is no comment."""
    path = Path(path).expanduser()
    files, line = Folder(path.parent), ""
    with files.open(path.name) as stream:
        line = next((line for line in stream if not line.startswith("#")), "")
    counts = {sep: line.count(sep) for sep in (",", "\t", ";")}
    return files, path.name, Format(max(counts, key=counts.__getitem__), MISSING)


def all_columns(table: Table) -> dict[str, list[str]]:
    """Give the columns of a table of text, that of the row names among them."""
    others = zip(table.columns, table.values.T, strict=True)
    return {table.corner: table.rows} | {column: list(cells) for column, cells in others}


def find_column(columns: Collection[str], names: Sequence[str]) -> str | None:
    """Find the column that is called by the first of `names`, whatever its case and signs."""
    plain = {re.sub(r"[^a-z]", "", column.lower()): column for column in columns}
    return next((plain[name] for name in names if name in plain), None)
