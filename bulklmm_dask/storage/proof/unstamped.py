"""Stores that ``Dataset.to_zarr`` wrote of a study or a result: no stamp, no marks, no checksums.

They are in Zarr format 3 or 2, with consolidated metadata or not, in any chunks. xarray decodes
them; an array that is read when it is used ends in a StoreError if it is damaged.
"""

from __future__ import annotations

import json
import uuid
from collections.abc import Callable
from typing import Any

import numpy as np
import xarray as xr
from xarray.backends import BackendArray
from xarray.core import indexing

from bulklmm_dask.errors import StoreError
from bulklmm_dask.storage.codecs.harmless import FILES, require_harmless
from bulklmm_dask.storage.labels.encoding import plain
from bulklmm_dask.storage.places.location import METADATA, Location
from bulklmm_dask.storage.proof.stamp import KIND

_GROUP = ".zgroup"  # metadata of a group in Zarr format 2
# Dimensions that a chunk holds all of: values of a marker or a trait are used together.
_WHOLE = ("samples", "genotypes")


def is_unstamped(store: Location) -> bool:
    """Tell whether there is a Zarr group that another program than this one has written."""
    if not store.is_store():
        return (store / _GROUP).is_file()
    try:
        metadata = json.loads((store / METADATA).read_bytes())
        return metadata["node_type"] == "group" and KIND not in metadata["attributes"]
    except Exception:  # damaged metadata, which whoever opens the store complains of
        return False


def open_unstamped(store: Location, is_large: Callable[[xr.DataArray], bool]) -> xr.Dataset:
    """Open a Zarr group: large arrays as dask arrays, all else in memory.

    Parameters
    ----------
    store : Location
        For which `is_unstamped` is true.
    is_large : callable
        Tells whether an array stays on disk.

    Raises
    ------
    StoreError
        If an array has an unknown codec, or the store is damaged.
    """
    require_harmless(store.metadata_files(FILES), store.each)
    version = 3 if store.is_store() else 2
    try:
        source = store.zarr_store(read_only=True)
        ds = xr.open_zarr(source, consolidated=False, zarr_format=version, chunks=None)
        for name in list(ds.variables):
            if is_large(ds[name]):
                ds[name] = _lazily(store, ds[name])
            else:
                ds[name].load()
    except Exception as error:  # every codec fails in its own way
        raise _damaged(store, error) from error
    return plain(ds)


def _lazily(store: Location, array: xr.DataArray) -> xr.DataArray:
    """Cut an array of a store into its chunks, each of which is read when it is used."""
    chunks = dict(array.encoding["preferred_chunks"]) | {d: -1 for d in _WHOLE if d in array.dims}
    source = indexing.LazilyIndexedArray(_Decoded(store, array.variable))
    return array.copy(data=xr.Variable(array.dims, source).chunk(chunks).data)


def _damaged(store: Location, error: Exception) -> StoreError:
    return StoreError(f"{store} is damaged ({error}); write it again")


class _Decoded(BackendArray):
    """An array as xarray decodes it, with errors that name the store."""

    def __init__(self, store: Location, variable: xr.Variable) -> None:
        self.store, self.variable = store.fixed, variable
        self.shape, self.dtype = variable.shape, variable.dtype
        self.opened = uuid.uuid4().hex  # tasks of a store that took the place of another differ

    def __getitem__(self, key: indexing.ExplicitIndexer) -> Any:
        support = indexing.IndexingSupport.BASIC
        return indexing.explicit_indexing_adapter(key, self.shape, support, self._take)

    def _take(self, key: tuple[Any, ...]) -> Any:
        try:
            return np.asarray(self.variable[key].values, self.dtype)
        except Exception as error:  # each codec fails in its own way
            raise _damaged(self.store, error) from error
