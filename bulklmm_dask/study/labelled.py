"""Arrays, DataFrames and DataArrays of `create_dataset`, brought to one form with their names."""

from __future__ import annotations

import os
from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
import pandas as pd
import xarray as xr

from bulklmm_dask.errors import InputError
from bulklmm_dask.study.checks import is_absent
from bulklmm_dask.study.schema import require_unique
from bulklmm_dask.study.warn import say
from bulklmm_dask.text import counted, listing

NamesLike: TypeAlias = "Sequence[Hashable] | np.ndarray | pd.Index"

_ONE_OF = {"samples": "sample", "variants": "variant", "traits": "trait", "covariates": "covariate"}


@dataclass
class Argument:
    """A table by sample that a caller passed to `create_dataset`.

    Attributes
    ----------
    what : str
        Name of the argument, for messages.
    data : DataArray (samples, ...)
    names : list of str or None
        Sample names; None if the caller gave none.
    labels : list of str
        Names along the second dimension.
    numbers : list of str or None
        Row numbers that pandas gave, in the order of the rows; None where rows have names of
        their own, or no labels at all. Sorting and filtering keep them, so they still tell rows
        of the same frame apart.
    """

    what: str
    data: xr.DataArray
    names: list[str] | None
    labels: list[str]
    numbers: list[str] | None = None


def as_argument(source: Any, what: str, dims: tuple[str, ...], ids: NamesLike | None) -> Argument:
    """Turn `source` into floats with dimensions `dims`, and check its names.

    `what` is the name of the argument in errors; `ids` replace the names of `source` along the
    second dimension.
    """
    data, index, columns = _unpack(source, what, dims)
    numbers = row_numbers(source)
    if data.dtype.kind in "cmM":
        raise InputError(
            f"{what} holds values of dtype {data.dtype}, which are not real numbers; turn them "
            "into such, or drop them"
        )
    if data.dtype.kind not in "fiub":
        data = data.copy(data=_numbers(data.values, what, index, columns))
    if data.dtype.kind != "f":
        data = data.astype(np.float32 if what == "genotypes" else np.float64)
    side = data.dims[1]
    size = data.sizes[side]
    labels = columns if ids is None else _as_names(ids, what)
    if labels is None:
        labels = [f"{_ONE_OF[str(side)]}{i + 1}" for i in range(size)]
    if len(labels) != size:
        raise InputError(
            f"{len(labels)} names were given for the {size} {side} of {what}; give one for each"
        )
    one = _ONE_OF[str(side)]
    require_unique(labels, f"the {one} names of {what}", f"rename or drop the double {side}")
    if index is not None:
        require_unique(index, f"the sample names of {what}", "rename or drop the double rows")
    return Argument(what, data, index, labels, numbers)


def _unpack(
    source: Any, what: str, dims: tuple[str, ...]
) -> tuple[xr.DataArray, list[str] | None, list[str] | None]:
    """Give the data the dimensions `dims`, and the names of its rows and columns or None."""
    if isinstance(source, pd.Series):
        source = source.to_frame()
    if isinstance(source, pd.DataFrame):
        data = xr.DataArray(_frame_values(source), dims=dims[:2])
        return data, index_names(source.index, what), index_names(source.columns, what)
    if not isinstance(source, xr.DataArray):
        values = source if hasattr(source, "shape") else _array(source, what)
        if values.ndim == 1 and what == "covariates":
            values = values[:, None]
        if values.ndim not in range(2, len(dims) + 1):
            raise InputError(
                f"{what} has shape {tuple(values.shape)}; it should be ({', '.join(dims)})"
            )
        try:
            data = xr.DataArray(values, dims=dims[: values.ndim])
        except OverflowError:  # pandas 3.0 looks for times among integers that no double holds
            data = xr.DataArray(_numbers(values, what, None, None), dims=dims[: values.ndim])
        return data, None, None
    if source.ndim not in range(2, len(dims) + 1):
        raise InputError(f"{what} has dimensions {source.dims}; they should be {dims}")
    ours = dims[: source.ndim]
    data = source.transpose(*ours) if set(source.dims) == set(ours) else source
    row, column = (_coordinate_names(data, dim, what) for dim in data.dims[:2])
    return xr.DataArray(data.data, dims=ours), row, column


def _frame_values(frame: pd.DataFrame) -> np.ndarray:
    if all(isinstance(kind, np.dtype) for kind in frame.dtypes):
        return frame.to_numpy()
    return frame.astype(object).where(frame.notna(), np.nan).to_numpy()


def _array(source: Any, what: str) -> np.ndarray:
    if isinstance(source, (str, os.PathLike)):
        raise InputError(
            f"{what} is {str(source)!r}, not numbers; read_csv and read_rqtl2 read files"
        )
    try:
        return np.asarray(source)
    except ValueError as error:
        raise InputError(
            f"{what} is no table of numbers ({error}); give rows of one length, NaN where missing"
        ) from error


def index_names(index: pd.Index, what: str) -> list[str] | None:
    """Names of an index; None for the numbers 0, 1, 2, ... that pandas gives to unnamed rows."""
    return None if _is_default(index) else _as_names(index, what)


def _is_default(index: pd.Index) -> bool:
    """Whether pandas made this index: 0, 1, 2, ... without a name."""
    made = isinstance(index, pd.RangeIndex) and (index.start, index.step) == (0, 1)
    return made and index.name is None


def row_numbers(source: Any) -> list[str] | None:
    """Give the whole numbers without a name that label the rows of a table of pandas."""
    if not isinstance(source, pd.DataFrame | pd.Series):
        return None
    index = source.index
    if index.name is not None or index.dtype.kind not in "iu":
        return None
    return list(map(str, index))


def _coordinate_names(data: xr.DataArray, dim: Hashable, what: str) -> list[str] | None:
    return _as_names(data[dim].values, what) if dim in data.coords else None


def _as_names(names: NamesLike, what: str) -> list[str]:
    """Names as text; a missing one is refused, since it would become a sample called nan."""
    found = entries(names, f"the names of {what}")
    gaps = [number for number, name in enumerate(found, 1) if is_absent(name)]
    if gaps:
        raise InputError(
            f"{what} lacks {counted(len(gaps), 'name')} of {len(found)}, the first at number "
            f"{gaps[0]}; name every one, or drop it"
        )
    return [str(name) for name in found]


def _numbers(
    values: np.ndarray, what: str, rows: list[str] | None, columns: list[str] | None
) -> np.ndarray:
    """Text or objects as float64; InputError quotes the first cell that is no number."""
    try:
        return values.astype(np.float64)
    except (TypeError, ValueError, OverflowError):
        for at, cell in np.ndenumerate(values):
            try:
                float(cell)
            except (TypeError, ValueError, OverflowError):
                row = rows[at[0]] if rows else at[0]
                column = columns[at[1]] if columns else at[1]
                raise InputError(
                    f"{what} holds {cell!r} in row {row!r}, column {column!r}, which is not a "
                    "number that a double holds; correct the cell, drop the column, or make it the "
                    "index if it names the samples"
                ) from None
        raise


def name_samples(sample_ids: NamesLike | None, tables: list[Argument]) -> None:
    """Give `sample_ids` to the tables without sample names."""
    if sample_ids is None:
        return
    names = _as_names(sample_ids, "sample_ids")
    require_unique(names, "sample_ids", "rename the samples")
    unnamed = [table for table in tables if table.names is None]
    if not unnamed and any(table.names != names for table in tables):
        raise InputError(
            "sample_ids was given, but every table carries its own sample names and they differ; "
            "leave sample_ids out"
        )
    for table in unnamed:
        size = table.data.sizes["samples"]
        if size != len(names):
            raise InputError(
                f"sample_ids has {len(names)} names, but {table.what} has {size} rows; "
                "give one name for each row"
            )
        table.names = names


def match_numbers(tables: list[Argument]) -> None:
    """Give tables without sample names the row numbers of pandas, where another has the same ones.

    A frame that was sorted or filtered keeps the numbers of its rows: they are matched, for the
    order of its rows is no longer that of the others.

    Raises
    ------
    InputError
        If one table has the numbers 0, 1, 2, ... and another has other ones.
    """
    unnamed = [table for table in tables if table.names is None and table.numbers is not None]
    for table in unnamed:
        for other in tables:
            if other.names is None:
                continue
            if set(other.names) == set(table.numbers or ()):
                table.names = table.numbers
            elif other.numbers is not None:
                raise InputError(
                    f"the rows of {table.what} and {other.what} carry only the numbers that pandas "
                    f"gave them, and these differ: 0 to {len(table.numbers or ()) - 1} in "
                    f"{table.what}, {listing(other.numbers, 3)} in {other.what}; make the sample "
                    "names the index of both, as in frame.set_index('sample'), or, where row i of "
                    "both is one sample, frame.reset_index(drop=True)"
                )


def say_by_order(table: Argument, other: Argument) -> None:
    """Warn that a table without sample names is matched by the order of its rows.

    Said where it is of pandas, or where the numbers that pandas gave to the rows of the other are
    in disorder, because that was sorted by something else.
    """
    if table.numbers is not None:
        say_counted(table.what, f"the {other.what}")
        return
    numbers = list(map(int, other.numbers or ()))
    if numbers != sorted(numbers):
        say(
            f"the rows of {other.what} carry only numbers ({listing(numbers, 3)}), and those "
            f"of {table.what} no labels: row i is taken for row i of the {table.what}; if the "
            "frame was sorted, name the samples of both, or sort it back with frame.sort_index()"
        )


def say_counted(what: str, other: str, one: str = "sample") -> None:
    """Warn that the rows of `what`, which pandas has numbered, are taken for those of `other`.

    `one` is what a row should be named by.
    """
    say(
        f"{what} carry no {one} names, only the numbers that pandas gives to rows: row i is taken "
        f"for row i of {other}; make the {one} names the index, as in frame.set_index({one!r}), to "
        "have them matched"
    )


def by_sample(values: Any, what: str, table: Argument) -> list[Any]:
    """Entries in the order of the rows of `table`, None for rows that a labelled one lacks.

    A mapping, Series or DataArray goes by its labels, anything else by order.
    """
    size = table.data.sizes["samples"]
    if isinstance(values, xr.DataArray):
        named = values.ndim == 1 and values.dims[0] in values.coords
        values = values.to_series() if named else values.values
    if isinstance(values, pd.Series):
        numbers, known = row_numbers(values), table.names or table.numbers
        if numbers is not None and set(numbers) != set(known or ()):
            if not _is_default(values.index) or table.names is not None:
                raise InputError(
                    f"{what} carry only the numbers that pandas gives to rows "
                    f"({listing(numbers, 3)}), which are not those of the {table.what} "
                    f"({listing(known or (), 3) or 'none'}); make the sample names the index of "
                    "both, as in series.set_axis(samples), or hand over series.to_numpy() if row i "
                    "of both is one sample"
                )
            values = values.to_numpy()
        else:
            names = _as_names(values.index, what)
            require_unique(names, f"the samples of {what}", "give each sample one")
            return _looked_up(dict(zip(names, values, strict=True)), what, table)
    if isinstance(values, Mapping):
        return _looked_up({str(name): value for name, value in values.items()}, what, table)
    found = entries(values, what)
    if len(found) != size:
        raise InputError(
            f"{what} has {len(found)} entries for {counted(size, 'sample')}; give one for each"
        )
    return found


def entries(values: Any, what: str) -> list[Any]:
    """List the entries of a sequence, or raise InputError for one value, a table or a mapping."""
    if isinstance(values, xr.DataArray):
        values = values.values
    if isinstance(values, pd.Index | pd.Series):  # pandas gives its own texts one by one slowly
        values = values.to_numpy(dtype=object)
    try:
        if isinstance(values, str | bytes | Mapping | pd.DataFrame):
            raise TypeError
        return list(values)
    except TypeError:
        raise InputError(
            f"{what} is a {type(values).__name__}; give a list or an array, with an entry for each"
        ) from None


def _looked_up(by_name: Mapping[str, Any], what: str, table: Argument) -> list[Any]:
    names = table.names or table.numbers
    if names is None:
        raise InputError(
            f"{what} are given by sample name, but the {table.what} carry no sample names; pass "
            f"sample_ids, or the {what} in the order of the {table.what}"
        )
    return [by_name.get(name) for name in names]


def by_variant(values: Any, what: str, variants: Sequence[str]) -> Any:
    """Entries in the order of the variants: those of pandas by name, if it has their names."""
    if not isinstance(values, pd.DataFrame | pd.Series):
        return values
    if row_numbers(values) is not None:
        return values.to_numpy()
    names = _as_names(values.index, what)
    known = set(names)
    lacking = [name for name in variants if name not in known]
    if len(lacking) == len(variants):
        return values.to_numpy()  # names of something else: by order
    require_unique(names, f"the variants of {what}", "give one entry for each")
    if lacking:
        raise InputError(
            f"{what} has names, but lacks {len(lacking)} of {len(variants)} variants: "
            f"{listing(lacking)}; give one entry for each variant"
        )
    return values.set_axis(names).loc[list(variants)].to_numpy()
