"""Tables without row names, such as the package's own tables of findings, as data frames."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from itertools import islice
from typing import Any

import numpy as np
import pandas as pd

from bulklmm_dask.errors import InputError
from bulklmm_dask.study.schema import require_unique
from bulklmm_dask.study.tables.numbers import CellError, floats
from bulklmm_dask.study.tables.records import Records
from bulklmm_dask.study.tables.tablefile import TableFile

# Text whose gaps are NaN: the dtype str of pandas 3. That of pandas 2 would hold the text "nan".
TEXT = pd.StringDtype(na_value=np.nan)
_BATCH = 4096  # records converted together


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
        name: pd.Series(parts, dtype=TEXT) if name in text else np.concatenate([empty, *parts])
        for name, parts in held.items()
    }
    return pd.DataFrame(whole, columns=columns)


def _batches(records: Records) -> Iterator[list[tuple[int, list[str]]]]:
    """Yield lists of (line number, record), some thousands at a time."""
    numbered = ((records.number, record) for record in records)
    while batch := list(islice(numbered, _BATCH)):
        yield batch
