"""Kinships added to a stored study, and kinships in CSV tables for other tools."""

from __future__ import annotations

import os

import numpy as np
import xarray as xr
import zarr

from bulklmm_dask.errors import InputError, StoreError
from bulklmm_dask.storage.location import Location
from bulklmm_dask.study.io import open_dataset
from bulklmm_dask.study.readers.tables import Dialect, TableFile, read_numbers
from bulklmm_dask.study.schema import LOCO

_NAME = "kinship"


def add_kinship(
    path: str | os.PathLike[str], matrix: xr.DataArray, *, overwrite: bool = False
) -> None:
    """Put a kinship into a stored study, where scans look for it.

    Parameters
    ----------
    path : path
        A study that `save` wrote.
    matrix : DataArray (samples_0, samples_1) or (contigs, samples_0, samples_1)
        The kinship of its samples, in their order. One that leaves contigs out (with the
        dimension contigs) has a variable of its own, beside the kinship of all markers.
    overwrite : bool
        Whether to replace a kinship that is there.

    Raises
    ------
    StoreError
        If the study has a kinship already, or the store cannot be written.
    InputError
        If the kinship has another size than the study.
    """
    store = Location.of(path)
    ds = open_dataset(store)
    if not overwrite:
        require_no_kinship(ds, store, loco=matrix.ndim == 3)
    size: tuple[int, ...] = (ds.sizes["samples"],) * 2
    if matrix.ndim == 3:
        size = (ds.sizes.get("contigs", 0), *size)
    if matrix.shape != size:
        raise InputError(f"the kinship has shape {matrix.shape}; the study needs {size}")
    values = np.asarray(matrix.values, dtype=np.float64)
    with (store / _name(matrix.ndim == 3)).appearing() as partial:
        zarr.create_array(
            partial.path,
            data=values,
            chunks=size,
            dimension_names=[str(dim) for dim in matrix.dims],
            attributes=dict(matrix.attrs),
        )


def _name(loco: bool) -> str:
    return LOCO if loco else _NAME


def require_no_kinship(ds: xr.Dataset, path: str | os.PathLike[str], *, loco: bool = False) -> None:
    """Raise StoreError if the study stored at `path` has a kinship, or with `loco` LOCO ones."""
    if _name(loco) in ds:
        method = ds[_name(loco)].attrs.get("method", "unknown")
        raise StoreError(
            f"{path} has a kinship already (method: {method}); "
            "overwrite=True (--overwrite) replaces it"
        )


def write_kinship(matrix: xr.DataArray, names: np.ndarray, path: str | os.PathLike[str]) -> None:
    """Write a kinship as a CSV table with the sample names in its first row and column."""
    frame = xr.DataArray(
        matrix.values, dims=("sample", "samples"), coords={"sample": names, "samples": names}
    ).to_pandas()
    with Location.of(path).appearing_file() as partial:
        frame.to_csv(partial)


def read_kinship(path: str | os.PathLike[str]) -> xr.DataArray:
    """Read a kinship from a CSV table with the sample names in its first row and column.

    Returns
    -------
    DataArray (samples_0, samples_1)
        With the sample names as coordinates; float64.

    Raises
    ------
    InputError
        If a cell is no number (file, line, column), or rows and columns name other samples.
    """
    table = read_numbers(TableFile.at(path, Dialect()))
    if table.rows != table.columns:
        other = sorted(set(table.rows) ^ set(table.columns))
        differ = f"{len(other)} are in one only, such as {other[0]!r}" if other else "other order"
        raise InputError(
            f"{table.label}: rows and columns should name the same samples in the same order, "
            f"but they differ ({differ})"
        )
    return xr.DataArray(
        table.values,
        dims=("samples_0", "samples_1"),
        coords={"samples_0": table.rows, "samples_1": table.columns},
        attrs={"source": str(path)},
    )
