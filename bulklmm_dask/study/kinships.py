"""Kinships added to a stored study, and kinships in tables."""

from __future__ import annotations

import os
from dataclasses import replace

import numpy as np
import xarray as xr
import zarr

from bulklmm_dask.errors import InputError, StoreError
from bulklmm_dask.storage.codecs.compression import small_codecs
from bulklmm_dask.storage.labels.variables import LOCO
from bulklmm_dask.storage.places.location import Location
from bulklmm_dask.study.io import open_dataset, seal_again
from bulklmm_dask.study.tables.headers import is_corner
from bulklmm_dask.study.tables.numbers import as_number
from bulklmm_dask.study.tables.read import read_numbers
from bulklmm_dask.study.tables.table import Table
from bulklmm_dask.study.tables.tablefile import TableFile, open_table
from bulklmm_dask.study.warn import say
from bulklmm_dask.surface import function, option
from bulklmm_dask.text import counted, listing
from bulklmm_dask.typing import Array

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
    if not store.is_store():
        again = function("save")
        raise StoreError(
            f"{store} is of Zarr format 2, to which nothing is added; save the study again with "
            f"{again}, and add the kinship to that"
        )
    values = np.asarray(matrix.values, dtype=np.float64)

    def put(study: Location) -> None:
        if not overwrite:
            require_no_kinship(open_dataset(study), store, loco=matrix.ndim == 3)
        place = study / _name(matrix.ndim == 3)
        place.remove()
        zarr.create_array(
            place.zarr_store(read_only=False),
            data=values,
            chunks=size,
            compressors=small_codecs(),
            dimension_names=[str(dim) for dim in matrix.dims],
            attributes=dict(matrix.attrs),
        )
        seal_again(study)

    store.change(put)


def _name(loco: bool) -> str:
    return LOCO if loco else _NAME


def require_no_kinship(ds: xr.Dataset, path: str | os.PathLike[str], *, loco: bool = False) -> None:
    """Raise StoreError if the study stored at `path` has a kinship, or with `loco` LOCO ones."""
    if _name(loco) in ds:
        method = ds[_name(loco)].attrs.get("method", "unknown")
        raise StoreError(
            f"{Location.of(path)} has a kinship already (method: {method}); "
            f"{option('overwrite', True)} replaces it"
        )


def read_kinship(path: str | os.PathLike[str], ds: xr.Dataset | None = None) -> xr.DataArray:
    r"""Read a kinship from a table.

    Comma, tab, semicolon or blanks stand between fields. The table has the names of the samples in
    its first row and column, as ``--out`` of ``bulklmm kinship`` writes it, or in its first row
    alone, or nowhere, as GEMMA's .cXX.txt and .sXX.txt.

    Parameters
    ----------
    path : path
        The table, plain or compressed.
    ds : Dataset, optional
        A study. A table without names is taken to have its samples, in their order, with a
        StudyWarning.

    Returns
    -------
    DataArray (samples_0, samples_1)
        With the sample names as coordinates, if they are known; float64.

    Raises
    ------
    InputError
        If a cell is no number (file, line, column), rows and columns name other samples, or a
        table without names is not of the size of the study.

    Warns
    -----
    StudyWarning
        For names taken from the study.

    Examples
    --------
    >>> from pathlib import Path
    >>> ds = ds.isel(samples=[0, 1])
    >>> _ = Path("mice.cXX.txt").write_text("0.52\t0.1\n0.1\t0.48\n")  # as GEMMA writes it
    >>> import warnings
    >>> with warnings.catch_warnings():
    ...     warnings.simplefilter("ignore", blmm.StudyWarning)  # it takes the study's names
    ...     matrix = blmm.read_kinship("mice.cXX.txt", ds)
    >>> matrix.values
    array([[0.52, 0.1 ],
           [0.1 , 0.48]])
    """
    file = open_table(path)
    names: list[str] | None = None
    if _is_bare(file):
        values = _bare_matrix(file)
    else:
        names, values = _named_matrix(read_numbers(file))
    samples = None if ds is None else [str(name) for name in ds["sample_id"].values]
    if samples is not None and (names is None or _are_numbers(names, samples)):
        names = _names_of_the_study(file.label, len(values), samples)
    bad = np.argwhere(~np.isfinite(values))
    if len(bad):
        i, j = (repr(names[at]) if names is not None else f"number {at + 1}" for at in bad[0])
        raise InputError(
            f"{file.label} holds {values[tuple(bad[0])]} for samples {i} and {j}; a kinship "
            "needs a number for every pair"
        )
    dims = ("samples_0", "samples_1")
    coords = {} if names is None else dict.fromkeys(dims, names)
    return xr.DataArray(
        values,
        dims=dims,
        coords={dim: (dim, own) for dim, own in coords.items()},
        attrs={"source": str(path)},
    )


def _is_bare(file: TableFile) -> bool:
    """Whether a table starts with numbers that are no names of columns."""
    first, *below = file.top()
    named = bool(below) and len(below[0]) == len(first) + 1  # as R writes it, with row names
    return (
        bool(first[0]) and not named and all(as_number(cell) is not None for cell in first if cell)
    )


def _bare_matrix(file: TableFile) -> Array:
    """Read a matrix without names: as many rows as fields."""
    dialect = replace(file.dialect, sep=None) if file.dialect.sep == "\t" else file.dialect
    rows: list[Array] = []
    with replace(file, dialect=dialect).records() as records:
        for record in records:
            while record and not record[-1].strip():
                del record[-1]
            if rows:
                records.expect(record, len(rows[0]), "as many as in line 1")
            rows.append(records.numbers(record))
    if len(rows) != len(rows[0]):
        raise InputError(
            f"{file.label} has {counted(len(rows), 'row')} of {counted(len(rows[0]), 'number')}; "
            "a kinship has as many rows as columns"
        )
    return np.stack(rows)


def _named_matrix(table: Table) -> tuple[list[str], Array]:
    """Names of the samples and values of a table with names at both sides, or in its first row."""
    rows, columns, values = table.rows, table.columns, table.values
    if rows == columns:
        return rows, values
    if len(rows) == len(columns) and _is_count(rows):
        return columns, values
    if len(rows) == len(columns) + 1 and not is_corner(table.corner):  # the first row names all
        first = [number for name in rows if (number := as_number(name)) is not None]
        if len(first) == len(rows):
            return [table.corner, *columns], np.column_stack([np.array(first), values])
    other = sorted(set(rows) ^ set(columns))
    differ = f"{len(other)} are in one only, such as {other[0]!r}" if other else "other order"
    raise InputError(
        f"{table.label}: rows and columns should name the same samples in the same order, "
        f"but they differ ({differ})"
    )


def _is_count(names: list[str]) -> bool:
    """Whether names only count: 0, 1, 2, ... or 1, 2, 3, ..., or R's V1, V2, ..."""
    counts = (
        [f"{before}{i + start}" for i in range(len(names))]
        for before, start in (("", 0), ("", 1), ("V", 1), ("X", 1))
    )
    return names in counts


def _are_numbers(names: list[str], samples: list[str]) -> bool:
    """Whether names of a table count its rows, and name no sample."""
    return _is_count(names) and set(names).isdisjoint(samples)


def _names_of_the_study(label: str, size: int, samples: list[str]) -> list[str]:
    if size != len(samples):
        raise InputError(
            f"{label} names no samples, and it is of {size}, but the study of {len(samples)}; give "
            "a kinship of these samples in their order, or with their names in the first row and "
            "column"
        )
    say(
        f"{label} names no samples: its rows are taken for those of the study, in their order "
        f"({listing(samples, 3)}); with names in its first row and column they are matched"
    )
    return samples
