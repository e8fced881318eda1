"""What a result and a table must have to be searched: LODs, a marker map, columns of numbers."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import numpy as np
import pandas as pd
import xarray as xr

from bulklmm_dask.errors import InputError
from bulklmm_dask.results.form import require_scan_form
from bulklmm_dask.storage.labels.coordinates import PAIR
from bulklmm_dask.storage.labels.restored import require_contigs, require_dims, restored
from bulklmm_dask.storage.labels.variables import VARIABLES
from bulklmm_dask.study.checks import LARGEST, refuse_huge
from bulklmm_dask.study.schema import require_form
from bulklmm_dask.study.tables.numbers import as_number
from bulklmm_dask.surface import either
from bulklmm_dask.text import MISSING, listing, without_commas
from bulklmm_dask.typing import Array

MAP = ("variant_contig", "contig_id", "variant_position")


def require_result(result: Any, caller: str) -> xr.Dataset:
    """Give a result with LODs of variants and traits, or raise InputError.

    Whatever xarray has done to it, its descriptions of markers and traits are in place again.
    """
    if not isinstance(result, xr.Dataset) or "lod" not in result:
        raise InputError(
            either(
                f"{caller} needs the Dataset that scan or open_result gives, with its lod",
                "the store has no LODs of markers and traits; give a store of 'bulklmm scan'",
            )
        )
    require_dims(result, "lod", PAIR)
    if more := [str(dim) for dim in result["lod"].dims if dim not in PAIR]:
        raise InputError(
            f"the LODs lie along {listing(more)} too, not along variants and traits alone; select "
            f"one entry: result.isel({more[0]}=0)"
        )
    if not result["lod"].size:
        raise InputError(f"the result has no LODs: its sizes are {dict(result['lod'].sizes)}")
    result = restored(result)
    require_scan_form(result)
    return result


def has_map(ds: xr.Dataset) -> bool:
    """Whether the variables of a marker map are there."""
    return all(name in ds for name in MAP)


def require_map(ds: Any, caller: str) -> xr.Dataset:
    """Give a study or result with a marker map, which `caller` needs, or raise InputError."""
    if not isinstance(ds, xr.Dataset):
        raise InputError(
            f"{caller} needs a study or a result, for its marker map, not {type(ds).__name__}"
        )
    ds = restored(ds)
    for name in MAP:
        if name not in ds:
            raise InputError(
                f"there is no {name}, which {either(caller, 'this command')} needs; give the study "
                "a marker map"
            )
    require_form(ds, {name: VARIABLES[name] for name in MAP})
    positions = ds["variant_position"].values
    refuse_huge(positions, "the positions of markers (variant_position)", "correct the map")
    require_contigs(ds)
    return ds


def require_table(
    table: Any,
    columns: tuple[str, ...],
    subject: str,
    remedy: str,
    *,
    numbers: tuple[str, ...] = (),
    finite: bool = True,
) -> pd.DataFrame:
    """Check a table that a user has given, and turn its columns of numbers into float64.

    Every table that a function of results or pictures takes goes through here.

    Parameters
    ----------
    table : DataFrame
    columns : tuple of str
        Columns that it must have.
    subject, remedy : str
        Beginning of a message, such as "the findings have", and its end. A table that was read
        from a file (``attrs["source"]``) is named by it instead.
    numbers : tuple of str
        Columns of numbers; those that are not in `columns` may be absent. Text is read as a number
        where it is one, also with commas between thousands; an empty cell is NaN.
    finite : bool
        Whether infinite numbers, and those beyond `LARGEST`, are refused.

    Returns
    -------
    DataFrame
        The table with these columns as float64; the given one is left as it is.

    Raises
    ------
    InputError
        If it is no table, a column is absent or there twice, or a cell is no number.
    """
    if not isinstance(table, pd.DataFrame):
        kind = type(table).__name__
        raise InputError(
            f"{subject} no columns: this is a {kind}, not a pandas DataFrame; {remedy}"
        )
    if "source" in table.attrs:
        subject = f"{table.attrs['source']} has"
    if table.columns.nlevels > 1:
        raise InputError(
            f"{subject} columns of {table.columns.nlevels} levels; name each column by one text, "
            f"as in table.droplevel(1, axis=1); {remedy}"
        )
    if absent := [name for name in columns if name not in table]:
        raise InputError(f"{subject} no column {listing(absent)}; {remedy}")
    for name in dict.fromkeys((*columns, *numbers)):
        if (number := int((table.columns == name).sum())) > 1:
            raise InputError(f"{subject} {number} columns {name!r}; keep one of them; {remedy}")
    given = {name: table[name] for name in numbers if name in table}
    return table.assign(
        **{
            name: _as_numbers(column, f"{subject} in column {name!r}", remedy, finite=finite)
            for name, column in given.items()
        }
    )


def _as_numbers(column: pd.Series, subject: str, remedy: str, *, finite: bool) -> Array:
    """A column as float64, NaN for an empty cell; InputError with the first that is no number."""
    if isinstance(column.dtype, np.dtype) and column.dtype.kind in "iuf":
        found = column.to_numpy(np.float64)
        unfit = np.zeros(found.size, dtype=bool)
    else:
        cells = [_number(cell) for cell in column]
        found = np.array([np.nan if cell is None else cell for cell in cells], dtype=np.float64)
        unfit = np.array([cell is None for cell in cells], dtype=bool)
    if finite:
        unfit |= np.abs(found) > LARGEST
    if unfit.any():
        at = int(unfit.argmax())
        row, cell = column.index[at], column.iloc[at]
        shown = repr(cell) if isinstance(cell, str) else str(cell)
        kind = f"number within {-LARGEST:g} and {LARGEST:g}" if finite else "number"
        raise InputError(f"{subject} {shown} (row {row!r}), which is no {kind}; {remedy}")
    return found


def _number(cell: Any) -> float | None:
    """A cell as a number, NaN for an empty one; None for what is no number."""
    if isinstance(cell, str):
        cell = cell.strip()
        if not cell or cell in MISSING:
            return np.nan
        return as_number(without_commas(cell))
    if cell is None or cell is pd.NA or cell is pd.NaT:
        return np.nan
    if not isinstance(cell, int | float | np.integer | np.floating | Decimal):
        return None
    try:
        return float(cell)
    except (ValueError, OverflowError):
        return None
