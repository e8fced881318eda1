"""Datasets in stores: arrays are written and read one by one, each in one pass.

xarray and Zarr take milliseconds for an array, however small, and a store has thirty. They do what
is not done here: arrays that are computed while they are written, dates, and types of other
programs.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any, cast

import numpy as np
import numpy.typing as npt
import xarray as xr

from bulklmm_dask.storage.arrays.form import Form, as_json, metadata_of
from bulklmm_dask.storage.arrays.pieces import Region, touched
from bulklmm_dask.storage.arrays.shard import chunk_of, write
from bulklmm_dask.storage.codecs.compression import small_codecs
from bulklmm_dask.storage.labels.coordinates import COORDINATES
from bulklmm_dask.storage.labels.encoding import storable
from bulklmm_dask.storage.places.location import METADATA, Location, ServerError

_KINDS = "biufO"  # what is stored as it is
# Attributes of xarray: of what it stores as something else, and of a number for missing values,
# which here is NaN.
_TYPE, _UNITS, _MISSING = "dtype", "units", "_FillValue"


def write_dataset(store: Location, ds: xr.Dataset) -> None:
    """Write a dataset as a new Zarr group; all that is in memory, and small, as one chunk each."""
    ds = storable(ds)
    others = [name for name, array in ds.variables.items() if not _is_simple(array)]
    if others:
        part = xr.Dataset({name: ds.variables[name] for name in others})
        encoding = {name: {"compressors": small_codecs()} for name in part.variables}
        store.write_dataset(part, write_empty_chunks=True, encoding=encoding)
    for name, array in ds.variables.items():
        if name not in others:
            dims = tuple(map(str, array.dims))
            make_array(store / str(name), array.values, dims=dims, attrs=array.attrs)
    make_group(store, ds.attrs)


def _is_simple(array: xr.Variable) -> bool:
    """Whether an array is stored as it is, from memory or once it is computed as a whole."""
    cuts = array.chunksizes.values()
    return array.dtype.kind in _KINDS and all(len(sizes) == 1 for sizes in cuts)


def make_group(group: Location, attrs: Mapping[Any, Any] | None = None) -> None:
    """Write the metadata of a group, which may be there, and hold arrays."""
    metadata = {"attributes": dict(attrs or {}), "zarr_format": 3, "node_type": "group"}
    with (group / METADATA).replacing() as stream:
        stream.write(as_json(metadata))


def make_array(
    array: Location,
    values: npt.NDArray[Any],
    file: tuple[int, ...] | None = None,
    codecs: tuple[Any, ...] | None = None,
    **others: Any,
) -> None:
    """Write a new array with all its files, which are one unless their shape is given.

    Parameters
    ----------
    array : Location
        Where there is nothing yet.
    values : array
        Numbers or texts.
    file : tuple of int, optional
        Shape of a file.
    codecs : tuple
        Codecs of Zarr, the checksum last; `small_codecs` by default.
    **others
        Further fields of its `Form`.
    """
    whole = tuple(max(size, 1) for size in values.shape)
    form = Form.new(values.shape, values.dtype, file or whole, codecs or small_codecs(), **others)
    make_form(array, form)
    for index in np.ndindex(form.files):
        write_file(array, form, index, values[form.region(index)])


def make_form(array: Location, form: Form) -> None:
    """Write the metadata of a new array, whose files are written later."""
    with (array / METADATA).replacing() as stream:
        stream.write(form.metadata())


def write_file(
    array: Location, form: Form, index: tuple[int, ...], values: npt.NDArray[Any]
) -> Location:
    """Write a file of an array, all of it; give its location. It is not yet synced."""
    file = array / form.path(index)
    with file.replacing() as stream:
        write(stream, form, values)
    return file


def read_array(array: Location, form: Form, region: Region | None = None) -> npt.NDArray[Any]:
    """Read an array whose files are chunks; a file that is not there holds the fill value.

    Parameters
    ----------
    array : Location
        The array.
    form : Form
        Its form.
    region : tuple of slice, optional
        Start and stop along the first dimensions; all by default.
    """
    given = region or ()
    whole = (*given, *(slice(0, size) for size in form.shape[len(given) :]))
    out = form.blank(whole)
    for index, of_file, of_region in touched(whole, form.file):
        data = (array / form.path(index)).record()
        if data is not None:
            out[of_region] = chunk_of(data, form)[of_file]
    return out


def is_read(array: Location, form: Form, region: Region | None = None) -> bool:
    """Tell whether chunks of an array are of its shape and type, as its own are."""
    try:
        read_array(array, form, region)
    except ServerError:
        raise
    except Exception:  # each codec fails in its own way
        return False
    return True


def read_dataset(
    store: Location, deferred: Collection[str] = (), without: Collection[str] = ()
) -> xr.Dataset:
    """Read a Zarr group into memory.

    Parameters
    ----------
    store : Location
        The group.
    deferred : collection of str
        Arrays that are not read: they have their shape, their type, their attributes, and their
        chunks, as xarray notes them, in their encoding.
    without : collection of str
        Arrays to leave out.

    Raises
    ------
    StoreError
        If metadata are damaged, or an array has a codec that is not harmless; damaged files raise
        whatever their codec does.
    """
    found, coordinates, others = dict[str, xr.Variable](), set[str](), []
    own = dict[str, Form]()
    for name, form in forms_of(store).items():
        if name in without:
            continue
        whole = form.inner is None or name in deferred
        if form.dims is None or not form.known or not whole or _is_coded(form):
            others.append(name)
        else:
            own[name] = form

    def read(name: str) -> npt.NDArray[Any]:
        return _blank(own[name]) if name in deferred else read_array(store / name, own[name])

    for (name, form), values in zip(own.items(), store.each(read, own), strict=True):
        attrs = dict(form.attrs)
        attrs.pop(_MISSING, None)
        coordinates.update(attrs.pop(COORDINATES, "").split())
        chunks = {"preferred_chunks": dict(zip(form.dims or (), form.chunk, strict=True))}
        dims = cast("tuple[str, ...]", form.dims)
        found[name] = xr.Variable(dims, values, attrs, chunks, fastpath=True)
    attrs = dict(metadata_of(store).get("attributes", {}))
    coordinates.update(attrs.pop(COORDINATES, "").split())
    ds = xr.Dataset(found, attrs=attrs)
    if others:
        rest = store.open_dataset(chunks=None, drop_variables=[*found, *without])
        coordinates.update(map(str, rest.coords))
        ds = ds.assign(rest.reset_coords().drop_encoding().variables)
        for name in set(others) - set(deferred):
            ds[name].load()
    return ds.set_coords(coordinates & set(ds.variables))


def forms_of(store: Location) -> dict[str, Form]:
    """Forms of the arrays of a Zarr group by their names, sorted."""
    places = {name: store / name for name in store.names()}
    nodes = [name for name, place in places.items() if place.is_store()]
    found = store.each(metadata_of, map(places.__getitem__, nodes))
    return {
        name: Form.read(metadata, places[name])
        for name, metadata in zip(nodes, found, strict=True)
        if metadata.get("node_type") == "array"
    }


def _is_coded(form: Form) -> bool:
    """Whether xarray has stored something else as these numbers, such as dates or flags."""
    return _TYPE in form.attrs or " since " in str(form.attrs.get(_UNITS))


def _blank(form: Form) -> npt.NDArray[Any]:
    """An array of the shape and type of a form, without room and without values."""
    return np.broadcast_to(np.zeros((), form.dtype.newbyteorder("=")), form.shape)
