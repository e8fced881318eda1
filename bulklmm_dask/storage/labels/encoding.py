"""Datasets in the form that Zarr stores: text as objects, no encoding of an earlier store."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from numbers import Real
from typing import Any

import numpy as np
import xarray as xr

from bulklmm_dask.errors import InputError

# What a variable cannot be called: folders above, metadata, and the group of checksums.
_NO_NAMES = ("", ".", "..", "zarr.json", "manifest")


def text(values: Iterable[object]) -> np.ndarray:
    """Names as an object array of str, which Zarr stores as variable-length text."""
    if isinstance(values, np.ndarray) and (values.dtype.kind in "UT" or are_texts(values)):
        return values.astype(object)
    names = [str(value) for value in values]
    out = np.empty(len(names), dtype=object)
    out[:] = names
    return out


def are_texts(values: np.ndarray) -> bool:
    """Whether all objects of an array are Python's own texts."""
    return values.dtype == object and set(map(type, values.ravel())) <= {str}


def plain(ds: xr.Dataset) -> xr.Dataset:
    """Drop the encoding of an earlier store, and turn text into objects, which Zarr can store.

    Raises
    ------
    InputError
        If values are neither numbers nor text, or an attribute is nothing that JSON holds.
    """
    ds = ds.drop_encoding()
    _require_json(ds.attrs, "the dataset")
    held: dict[Any, xr.Variable] = {}
    for name, variable in ds.variables.items():
        _require_json(variable.attrs, str(name))
        if isinstance(variable.dtype, np.dtype) and variable.dtype.kind not in "OUT":
            continue
        values = np.asarray(variable.values, dtype=object)
        if not are_texts(values):
            absent = variable.isnull().values.ravel() if variable.dtype == object else None
            values = _plain_objects(values.ravel(), absent, str(name)).reshape(variable.shape)
        elif variable.dtype == object and variable.chunks is None:
            continue
        held[name] = xr.Variable(variable.dims, values, variable.attrs)
    coords = {name: variable for name, variable in held.items() if name in ds.coords}
    others = {name: variable for name, variable in held.items() if name not in coords}
    return ds.assign_coords(coords).assign(others) if held else ds


def storable(ds: xr.Dataset) -> xr.Dataset:
    """Make a dataset `plain`, to be written into a store.

    Raises
    ------
    InputError
        As `plain`; and for a name that is none of a folder: of a/b Zarr makes a folder in a folder,
        where no variable is looked for.
    """
    for name in map(str, ds.variables):
        if name in _NO_NAMES or set(name) & set("/\\"):
            raise InputError(
                f"a variable is called {name!r}, which is no name in a store: an array has a "
                f"folder of its name there; call it otherwise: ds.rename({{{name!r}: ...}})"
            )
    return plain(ds)


def _plain_objects(cells: np.ndarray, absent: np.ndarray | None, name: str) -> np.ndarray:
    """Objects as text, empty where missing, or as numbers, NaN where missing."""
    there = cells if absent is None else cells[~absent]
    if all(isinstance(cell, str) for cell in there):
        return text(cell if isinstance(cell, str) else "" for cell in cells)
    if all(isinstance(cell, Real) for cell in there):
        numbers = np.full(cells.size, np.nan)
        numbers[slice(None) if absent is None else ~absent] = there
        return numbers
    kinds = sorted({type(cell).__name__ for cell in there})
    raise InputError(
        f"{name} holds values of {', '.join(kinds)}, which a store cannot hold together; make all "
        "of them text, or all of them numbers"
    )


def _require_json(attributes: Mapping[Any, Any], owner: str) -> None:
    for key, value in attributes.items():
        plain_value = value.tolist() if isinstance(value, np.ndarray | np.generic) else value
        try:
            json.dumps({key: plain_value})  # as xarray and Zarr do
        except (TypeError, ValueError, RecursionError):
            raise InputError(
                f"the attribute {key!r} of {owner} is a {type(value).__name__}, which a store "
                "cannot hold; give text or numbers, or delete it"
            ) from None
