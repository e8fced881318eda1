"""Mutations of Python objects: tables, arrays and Datasets as other programs make them."""

from __future__ import annotations

import pickle
from collections.abc import Callable
from datetime import date
from decimal import Decimal
from fractions import Fraction
from pathlib import Path
from random import Random
from typing import Any

import numpy as np
import pandas as pd
import xarray as xr

from fuzzing.mutations import CELLS, VALUES

GIVEN = "given.pickle"

OBJECTS: tuple[Any, ...] = (
    *(b"x", 1j, np.nan, np.inf, -np.inf, np.float32(2), np.int8(-3), np.bool_(True), 10**400),
    *(pd.NA, pd.NaT, pd.Timestamp("2020-01-01"), pd.Timedelta(1, "D"), date(2020, 1, 1)),
    *(Decimal("1.5"), Decimal("NaN"), Fraction(1, 2), ("x", 1), (), frozenset(("x",)), range(3)),
    *(np.array(3), np.zeros(0), np.zeros((0, 0)), np.arange(3.0), np.array(["x", None], object)),
    *(pd.DataFrame(), pd.Series(dtype=float), pd.Series([1.0, 2]), pd.DataFrame({"x": [1]})),
    *(xr.Dataset(), xr.DataArray(1.0), xr.DataArray([1.0, 2], dims="x"), Path("x.csv"), Ellipsis),
    *(pd.Index(["x"]), pd.MultiIndex.from_tuples([("x", 1)]), pd.Interval(0, 1), int, len),
)
_DTYPES: tuple[Any, ...] = (
    *(str, object, "category", "string", "Int64", "Float64", "boolean", "int8", "uint8", "float16"),
    *("float32", "int64", "complex128", "bool", "datetime64[ns]", "timedelta64[s]", "S3", "U2"),
    *("longdouble", ">f8", "Sparse[float64]", "int64[pyarrow]", "string[pyarrow]", "period[D]"),
)
_LOOKALIKES = str.maketrans(
    {"a": "\u0430", "o": "\u043e", "e": "\u0435", "i": "\uff49", "_": "\u2010"}
)


def any_value(rng: Random) -> Any:
    """One odd value: of JSON, a text, or an object of Python."""
    return rng.choice(rng.choice((VALUES, CELLS, OBJECTS)))


def _name(rng: Random, name: Any) -> Any:
    """Another name: look-alikes, blanks, other case, other kinds."""
    text = str(name)
    made = (
        *(text.upper(), text + " ", " " + text, text.translate(_LOOKALIKES), "\ufeff" + text),
        *(text + "_x", text[:-1], "", (text, "x"), text.encode(), any_value(rng)),
    )
    found = rng.choice(made)
    return found if _hashable(found) else text + "?"


def _hashable(value: Any) -> bool:
    try:
        hash(value)
    except TypeError:
        return False
    return not isinstance(value, xr.DataArray | xr.Dataset)


def _filled(rng: Random, size: int) -> np.ndarray:
    """A column of objects: one value throughout, or some."""
    out = np.empty(size, dtype=object)
    value = any_value(rng)
    for i in range(size):
        out[i] = value if rng.random() < 0.7 else any_value(rng)
    return out


def _cast(rng: Random, column: pd.Series) -> pd.Series:
    try:
        return column.astype(rng.choice(_DTYPES))
    except Exception:  # text is no number, and pyarrow may not be there
        return column.astype(object)


# Of tables.


def column_of_kind(rng: Random, table: pd.DataFrame) -> pd.DataFrame:
    """Give a column another dtype."""
    return _with(rng, table, lambda column: _cast(rng, column))


def odd_column(rng: Random, table: pd.DataFrame) -> pd.DataFrame:
    """Fill a column with odd values."""
    return _with(rng, table, lambda column: pd.Series(_filled(rng, len(column)), column.index))


def odd_cell(rng: Random, table: pd.DataFrame) -> pd.DataFrame:
    """Write one odd value, in a column of objects."""

    def change(column: pd.Series) -> pd.Series:
        values = np.empty(len(column), dtype=object)
        values[:] = list(column)
        if len(values):
            values[rng.randrange(len(values))] = any_value(rng)
        return pd.Series(values, column.index)

    return _with(rng, table, change)


def _with(
    rng: Random, table: pd.DataFrame, change: Callable[[pd.Series], pd.Series]
) -> pd.DataFrame:
    if not table.shape[1]:
        return table
    at = rng.randrange(table.shape[1])
    columns = [table.iloc[:, j] for j in range(table.shape[1])]
    columns[at] = change(columns[at])
    out = pd.DataFrame(dict(enumerate(columns)), index=table.index)
    out.columns, out.attrs = table.columns, table.attrs
    return out


def columns_chosen(rng: Random, table: pd.DataFrame) -> pd.DataFrame:
    """Lose, double or reorder columns."""
    at = list(range(table.shape[1]))
    for _ in range(rng.randint(1, 2)):
        what = rng.random()
        if at and what < 0.5:
            del at[rng.randrange(len(at))]
        elif at and what < 0.8:
            at.insert(rng.randint(0, len(at)), rng.choice(at))
        else:
            rng.shuffle(at)
    return table.iloc[:, at]


def column_named(rng: Random, table: pd.DataFrame) -> pd.DataFrame:
    """Rename a column."""
    names = list(table.columns)
    if names:
        names[rng.randrange(len(names))] = _name(rng, rng.choice(names))
    return table.set_axis(pd.Index(names, dtype=object, tupleize_cols=False), axis=1)


def columns_indexed(rng: Random, table: pd.DataFrame) -> pd.DataFrame:
    """Give the columns another index: two levels, numbers, categories."""
    names = table.columns
    made: tuple[Callable[[], Any], ...] = (
        lambda: pd.MultiIndex.from_arrays([names, names]),
        lambda: pd.MultiIndex.from_product([["x"], list(names)]),
        lambda: range(len(names)),
        lambda: pd.CategoricalIndex(names),
        lambda: names.astype("string"),
        lambda: names.rename(rng.choice(("trait", 3, None))),
    )
    return table.set_axis(rng.choice(made)(), axis=1)


def rows_chosen(rng: Random, table: pd.DataFrame) -> pd.DataFrame:
    """Lose, repeat, reverse or shuffle rows, or lose all."""
    rows = list(range(len(table)))
    made = (
        *(rows[::-1], rows * 2, rows[:1], [], rows[1:], rows[: len(rows) // 2]),
        *(rng.sample(rows, len(rows)), rows[:1] * len(rows)),
    )
    return table.iloc[rng.choice(made)]


def rows_indexed(rng: Random, table: pd.DataFrame) -> pd.DataFrame:
    """Give the rows another index: a column, one name for all, two levels, times, missing."""
    size = len(table)
    made: tuple[Callable[[], Any], ...] = (
        lambda: ["x"] * size,
        lambda: pd.MultiIndex.from_arrays([range(size), range(size)]),
        lambda: pd.date_range("2020-01-01", periods=size),
        lambda: pd.Index([None] * size),
        lambda: pd.CategoricalIndex([str(name) for name in table.index]),
        lambda: pd.Index(range(size), name=rng.choice(("trait", "lod", "contig", "position"))),
        lambda: pd.Index(list(_filled(rng, size)), dtype=object, tupleize_cols=False),
        lambda: pd.Index(range(5, 5 + size)),
    )
    if rng.random() < 0.3 and table.shape[1] and table.columns.is_unique:
        return table.set_index(table.columns[rng.randrange(table.shape[1])])
    try:
        return table.set_axis(rng.choice(made)(), axis=0)
    except TypeError:  # lists are in no index
        return table.set_axis(["x"] * size, axis=0)


def turned(rng: Random, table: pd.DataFrame) -> pd.DataFrame:
    """Exchange rows and columns."""
    return table.T


def of_attributes(rng: Random, table: pd.DataFrame) -> pd.DataFrame:
    """Give the table an attribute."""
    out = table.copy()
    out.attrs["source"] = rng.choice(VALUES + CELLS)
    return out


TABLES = (
    *(column_of_kind, column_of_kind, odd_column, odd_cell, odd_cell, columns_chosen, column_named),
    *(columns_indexed, rows_chosen, rows_indexed, turned, of_attributes),
)

# Of Datasets.


def _some(rng: Random, ds: xr.Dataset) -> Any:
    return rng.choice(sorted(ds.variables, key=str))


def _put(ds: xr.Dataset, name: Any, dims: Any, values: Any, attrs: Any = None) -> xr.Dataset:
    """The Dataset with another variable; without the others of dimensions that it changes."""
    variable = xr.Variable(dims, values, attrs)
    sizes = dict(zip(variable.dims, variable.shape, strict=True))
    clashing = [dim for dim, size in sizes.items() if dim in ds.sizes and ds.sizes[dim] != size]
    was_coordinate = name in ds.coords
    rest = ds.drop_vars(name).drop_dims(clashing)
    out = rest.assign({name: variable})
    return out.set_coords(name) if was_coordinate else out


def variable_lost(rng: Random, ds: xr.Dataset) -> xr.Dataset:
    """Lose a variable, or all coordinates."""
    if rng.random() < 0.15:
        return ds.drop_vars(list(ds.coords))
    return ds.drop_vars(_some(rng, ds))


def variable_named(rng: Random, ds: xr.Dataset) -> xr.Dataset:
    """Rename a variable, or give it the values of another."""
    one, other = _some(rng, ds), _some(rng, ds)
    if rng.random() < 0.5:
        return ds.rename_vars({one: str(_name(rng, one)) + "_"})
    return _put(ds, one, ds[other].dims, ds[other].values, ds[other].attrs)


def variable_of_kind(rng: Random, ds: xr.Dataset) -> xr.Dataset:
    """Give a variable another dtype."""
    name = _some(rng, ds)
    cast = _cast(rng, pd.Series(ds[name].values.ravel()))
    values: Any = np.asarray(cast).reshape(ds[name].shape)
    if rng.random() < 0.3 and ds[name].ndim == 1:
        values = cast.array
    return _put(ds, name, ds[name].dims, values, ds[name].attrs)


def variable_of_values(rng: Random, ds: xr.Dataset) -> xr.Dataset:
    """Change one value of a variable, or all of them, within its dtype if that is possible."""
    name = _some(rng, ds)
    values = np.array(ds[name].values)
    flat = values.reshape(-1)
    if not flat.size:
        return ds
    at: Any = slice(None) if rng.random() < 0.3 else rng.randrange(flat.size)
    numbers = (np.nan, np.inf, -np.inf, -1, 0, 1, 3, 1e308, 1e-320, 2**31, -(2**40), 0.5)
    try:
        flat[at] = rng.choice(numbers) if values.dtype.kind in "fiu" else rng.choice(CELLS)
    except (ValueError, OverflowError):
        flat[at] = 0
    if rng.random() < 0.2:
        mixed = np.empty(flat.size, dtype=object)
        mixed[:] = list(flat)
        mixed[rng.randrange(flat.size)] = any_value(rng)
        values = mixed.reshape(values.shape)
    return _put(ds, name, ds[name].dims, values, ds[name].attrs)


def variable_of_dimensions(rng: Random, ds: xr.Dataset) -> xr.Dataset:
    """Give a variable other dimensions."""
    name = _some(rng, ds)
    found = ds[name]
    dims, values = list(found.dims), found.values
    what = rng.random()
    if what < 0.25:
        return _put(ds, name, dims[::-1], values.T, found.attrs)
    if what < 0.5 and dims:
        dims[rng.randrange(len(dims))] = rng.choice(("x", "traits", "samples", "contigs"))
        if len(set(dims)) == len(dims):
            return _put(ds, name, dims, values, found.attrs)
    if what < 0.75 and dims and values.size:
        axis = rng.randrange(len(dims))
        return _put(ds, name, dims[:axis] + dims[axis + 1 :], values.take(0, axis), found.attrs)
    return _put(ds, name, ["x", *(dim for dim in dims if dim != "x")], values[None], found.attrs)


def dimension_chosen(rng: Random, ds: xr.Dataset) -> xr.Dataset:
    """Select along a dimension: one, none, some, twice, backwards."""
    if not ds.sizes:
        return ds
    dim = rng.choice(sorted(ds.sizes, key=str))
    at = list(range(ds.sizes[dim]))
    made: tuple[Any, ...] = (at[::-1], at * 2, at[:1], [], at[1:], rng.sample(at, len(at)), 0)
    return ds.isel({dim: rng.choice(made if at else ([],))})


def dimension_named(rng: Random, ds: xr.Dataset) -> xr.Dataset:
    """Rename a dimension, give all another dimension, or give one another index."""
    if not ds.sizes:
        return ds
    dim = rng.choice(sorted(ds.sizes, key=str))
    size = ds.sizes[dim]
    what = rng.random()
    if what < 0.3:
        return ds.rename_dims({dim: f"{dim}x"})
    if what < 0.45:
        return ds.expand_dims("x")
    if what < 0.6:
        index = pd.MultiIndex.from_arrays([range(size), range(size)], names=("one", "two"))
        coords = xr.Coordinates.from_pandas_multiindex(index, dim)
        return ds.drop_vars(dim, errors="ignore").assign_coords(coords)
    made = (
        *(range(size), ["x"] * size, pd.date_range("2020-01-01", periods=size)),
        *(pd.CategoricalIndex(["x"] * size), np.arange(size) / 3, [np.nan] * size),
    )
    return ds.drop_vars(dim, errors="ignore").assign_coords({dim: (dim, rng.choice(made))})


def attribute(rng: Random, ds: xr.Dataset) -> xr.Dataset:
    """Lose, rename or change an attribute of the Dataset or of a variable."""
    out = ds.copy()
    for name in out.variables:
        out[name].attrs = dict(out[name].attrs)
    holders = [out.attrs, *(out[name].attrs for name in out.variables)]
    holder = rng.choice([one for one in holders if one] or holders)
    if not holder:
        holder["x"] = any_value(rng)
        return out
    key = rng.choice(sorted(holder, key=str))
    what = rng.random()
    if what < 0.25:
        del holder[key]
    elif what < 0.35:
        holder[f"{key}x"] = holder.pop(key)
    else:
        holder[key] = any_value(rng)
    return out


def chunked(rng: Random, ds: xr.Dataset) -> xr.Dataset:
    """Make it lazy, in chunks of one along a dimension."""
    return ds.chunk({dim: rng.choice((1, -1, 2)) for dim in ds.sizes})


DATASETS = (
    *(variable_lost, variable_named, variable_of_kind, variable_of_values, variable_of_values),
    *(variable_of_dimensions, dimension_chosen, dimension_named, attribute, attribute, attribute),
    chunked,
)


def change(rng: Random, given: Any) -> tuple[Any, str]:
    """Mutate an object by its kind; the object and what was done."""
    if rng.random() < 0.06:
        return any_value(rng), "any_value"
    if isinstance(given, pd.DataFrame):
        mutation: Any = rng.choice(TABLES)
        return mutation(rng, given), mutation.__name__
    if isinstance(given, xr.Dataset):
        mutation = rng.choice(DATASETS)
        return mutation(rng, given), mutation.__name__
    if isinstance(given, pd.Series):
        mutation = rng.choice(TABLES)
        found = mutation(rng, given.to_frame("x"))
        return (found.iloc[:, 0] if found.shape[1] == 1 else found), mutation.__name__
    if isinstance(given, xr.DataArray):
        mutation = rng.choice(DATASETS)
        found = mutation(rng, given.to_dataset(name="x"))
        return found.get("x", found), mutation.__name__
    if isinstance(given, np.ndarray) and given.ndim == 2:
        mutation = rng.choice(TABLES)
        return mutation(rng, pd.DataFrame(given)).to_numpy(), mutation.__name__
    if isinstance(given, dict) and given:
        key = rng.choice(sorted(given, key=str))
        return {**given, key: any_value(rng)}, "any_value of a key"
    if isinstance(given, list) and given:
        mixed = list(given)
        mixed[rng.randrange(len(mixed))] = any_value(rng)
        return mixed, "any_value in a list"
    return any_value(rng), "any_value"


def mutate_objects(rng: Random, folder: Path) -> list[str]:
    """Mutate one of the objects that a subject has kept; what was done, for a report."""
    file = folder / GIVEN
    given = pickle.loads(file.read_bytes())
    name = rng.choice(sorted(given))
    done: list[str] = []
    for _ in range(rng.choice((1, 1, 1, 2))):
        try:
            given[name], what = change(rng, given[name])
        except Exception:  # xarray and pandas refuse some of them
            what = "nothing"
        done.append(f"{what} of {name}")
    file.write_bytes(pickle.dumps(given))
    return done
