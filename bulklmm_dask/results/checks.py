"""What a result and a table must have to be searched: LODs, a marker map, columns of numbers."""

from __future__ import annotations

import re
from decimal import Decimal
from typing import Any

import numpy as np
import pandas as pd
import xarray as xr

from bulklmm_dask.errors import InputError
from bulklmm_dask.study.readers.tables import MISSING
from bulklmm_dask.text import listing
from bulklmm_dask.typing import Array

PAIR = ("variants", "traits")
MAP = ("variant_contig", "contig_id", "variant_position")
# 5,000,000: commas between groups of three digits.
_THOUSANDS = re.compile(r"[+-]?\d{1,3}(,\d{3})+(\.\d+)?")


def require_result(result: Any, caller: str) -> xr.Dataset:
    """Raise InputError unless this is a result with LODs of variants and traits."""
    if not isinstance(result, xr.Dataset) or "lod" not in result:
        raise InputError(f"{caller} needs the Dataset that scan or open_result gives, with its lod")
    for dim in PAIR:
        if dim not in result["lod"].dims:
            raise InputError(
                f"the result has lost its dimension {dim!r}, for one name was selected; select "
                f"with a list instead: result.sel({dim}=[name])"
            )
    if not result["lod"].size:
        raise InputError(f"the result has no LODs: its sizes are {dict(result['lod'].sizes)}")
    return result


def has_map(ds: xr.Dataset) -> bool:
    """Whether the variables of a marker map are there."""
    return all(name in ds for name in MAP)


def require_map(ds: xr.Dataset, caller: str) -> None:
    """Raise InputError where a study or result has no marker map, which `caller` needs."""
    for name in MAP:
        if name not in ds:
            raise InputError(
                f"there is no {name}, which {caller} needs; give the study a marker map"
            )


def require_table(
    table: Any,
    columns: tuple[str, ...],
    subject: str,
    remedy: str,
    *,
    numbers: tuple[str, ...] = (),
) -> pd.DataFrame:
    """Check a table that a user has given, and turn its columns of numbers into float64.

    Every table that a function of results or pictures takes goes through here.

    Parameters
    ----------
    table : DataFrame
    columns : tuple of str
        Columns that it must have.
    subject, remedy : str
        Beginning of a message, such as "the findings have", and its end.
    numbers : tuple of str
        Columns of numbers; those that are not in `columns` may be absent. Text is read as a number
        where it is one, also with commas between thousands; an empty cell is NaN.

    Returns
    -------
    DataFrame
        The table with these columns as float64; the given one is left as it is.

    Raises
    ------
    InputError
        If it is no table, a column is absent or there twice, or a cell is no finite number.
    """
    if not isinstance(table, pd.DataFrame):
        kind = type(table).__name__
        raise InputError(
            f"{subject} no columns: this is a {kind}, not a pandas DataFrame; {remedy}"
        )
    if absent := [name for name in columns if name not in table]:
        raise InputError(f"{subject} no column {listing(absent)}; {remedy}")
    for name in dict.fromkeys((*columns, *numbers)):
        if (number := int((table.columns == name).sum())) > 1:
            raise InputError(f"{subject} {number} columns {name!r}; keep one of them; {remedy}")
    given = {name: table[name] for name in numbers if name in table}
    return table.assign(
        **{
            name: as_numbers(column, f"{subject} in column {name!r}", remedy)
            for name, column in given.items()
        }
    )


def as_numbers(column: pd.Series, subject: str, remedy: str) -> Array:
    """Turn a column into float64, as `require_table` does; NaN for an empty cell."""
    if column.dtype.kind in "iuf" and not isinstance(
        column.dtype, pd.api.extensions.ExtensionDtype
    ):
        values = column.to_numpy(np.float64)
    else:
        values = np.array([_number(cell) for cell in column], dtype=np.float64)
    unfit = np.flatnonzero(np.isinf(values))
    if unfit.size:
        row, cell = column.index[unfit[0]], column.iloc[unfit[0]]
        raise InputError(f"{subject} {cell!r} (row {row!r}), which is no finite number; {remedy}")
    return values


def _number(cell: Any) -> float:
    """A cell as a number, NaN for none; infinite for what is no number."""
    if isinstance(cell, str):
        cell = cell.strip()
        if not cell or cell in MISSING:
            return np.nan
        if _THOUSANDS.fullmatch(cell):
            cell = cell.replace(",", "")
        if "_" in cell:  # Python reads 1_0 as ten, which no table means
            return np.inf
    elif cell is None or cell is pd.NA or cell is pd.NaT:
        return np.nan
    elif not isinstance(cell, int | float | np.integer | np.floating | Decimal):
        return np.inf
    try:
        return float(cell)
    except (ValueError, OverflowError):
        return np.inf
