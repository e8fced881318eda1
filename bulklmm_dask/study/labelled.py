"""Arrays, DataFrames and DataArrays of `create_dataset`, brought to one form with their names."""

from __future__ import annotations

import os
from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
import pandas as pd
import xarray as xr

from bulklmm_dask.errors import InputError
from bulklmm_dask.study.schema import require_unique
from bulklmm_dask.text import counted

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
    """

    what: str
    data: xr.DataArray
    names: list[str] | None
    labels: list[str]


def as_argument(source: Any, what: str, dims: tuple[str, ...], ids: NamesLike | None) -> Argument:
    """Turn `source` into floats with dimensions `dims`, and check its names.

    `what` is the name of the argument in errors; `ids` replace the names of `source` along the
    second dimension.
    """
    data, index, columns = _unpack(source, what, dims)
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
    return Argument(what, data, index, labels)


def _unpack(
    source: Any, what: str, dims: tuple[str, ...]
) -> tuple[xr.DataArray, list[str] | None, list[str] | None]:
    """Give the data the dimensions `dims`, and the names of its rows and columns or None."""
    if isinstance(source, pd.Series):
        source = source.to_frame()
    if isinstance(source, pd.DataFrame):
        data = xr.DataArray(_frame_values(source), dims=dims[:2])
        return data, _index_names(source.index, what), _index_names(source.columns, what)
    if not isinstance(source, xr.DataArray):
        values = source if hasattr(source, "shape") else _array(source, what)
        if values.ndim == 1 and what == "covariates":
            values = values[:, None]
        if values.ndim not in range(2, len(dims) + 1):
            raise InputError(
                f"{what} has shape {tuple(values.shape)}; it should be ({', '.join(dims)})"
            )
        return xr.DataArray(values, dims=dims[: values.ndim]), None, None
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


def _index_names(index: pd.Index, what: str) -> list[str] | None:
    """Names of an index; None for the numbers that pandas gives to unnamed rows."""
    if isinstance(index, pd.RangeIndex) and index.start == 0 and index.step == 1:
        return None
    return _as_names(index, what)


def _coordinate_names(data: xr.DataArray, dim: Hashable, what: str) -> list[str] | None:
    return _as_names(data[dim].values, what) if dim in data.coords else None


def _as_names(names: NamesLike, what: str) -> list[str]:
    """Names as text; a missing one is refused, since it would become a sample called nan."""
    gaps = np.flatnonzero(pd.Series(list(names), dtype=object).isna())
    if gaps.size:
        raise InputError(
            f"{what} lacks {counted(gaps.size, 'name')} of {len(names)}, the first at number "
            f"{gaps[0] + 1}; name every one, or drop it"
        )
    return [str(name) for name in names]


def _numbers(
    values: np.ndarray, what: str, rows: list[str] | None, columns: list[str] | None
) -> np.ndarray:
    """Text or objects as float64; InputError quotes the first cell that is no number."""
    try:
        return values.astype(np.float64)
    except (TypeError, ValueError):
        for at, cell in np.ndenumerate(values):
            try:
                float(cell)
            except (TypeError, ValueError):
                row = rows[at[0]] if rows else at[0]
                column = columns[at[1]] if columns else at[1]
                raise InputError(
                    f"{what} holds {cell!r} in row {row!r}, column {column!r}, which is not a "
                    "number; correct the cell, drop the column, or make it the index if it names "
                    "the samples"
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
