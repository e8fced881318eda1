"""Arrays of a store that are read when they are used, with errors that name store and array."""

from __future__ import annotations

import uuid
from collections.abc import Mapping
from typing import Any

import numpy as np
import xarray as xr
from xarray.backends import BackendArray
from xarray.core import indexing

from bulklmm_dask.errors import StoreError
from bulklmm_dask.storage.location import Location


def lazily(store: Location, variable: xr.DataArray, chunks: Mapping[str, int]) -> xr.DataArray:
    """Give an array of a dataset that was opened lazily as chunks that read the store.

    Parameters
    ----------
    store : Location
        The Zarr group.
    variable : DataArray
        Its array of the same name, not chunked.
    chunks : mapping of str to int
        Sizes of the chunks along its dimensions, perhaps along others too.
    """
    source = indexing.LazilyIndexedArray(_Stored(store, variable))
    own = {dim: size for dim, size in chunks.items() if dim in variable.dims}
    return variable.copy(data=xr.Variable(variable.dims, source).chunk(own).data)


class _Stored(BackendArray):
    """An array of a store, by name: cheap to send to any worker."""

    def __init__(self, store: Location, variable: xr.DataArray) -> None:
        self.store, self.name = store.fixed, str(variable.name)
        self.shape, self.dtype = variable.shape, variable.dtype
        self.opened = uuid.uuid4().hex  # tasks of a store that took the place of another differ

    def __getitem__(self, key: indexing.ExplicitIndexer) -> Any:
        support = indexing.IndexingSupport.BASIC
        return indexing.explicit_indexing_adapter(key, self.shape, support, self._take)

    def _take(self, key: tuple[Any, ...]) -> Any:
        try:
            return np.asarray(self.store.open_array(self.name)[key], self.dtype)
        except StoreError:
            raise
        except Exception as error:  # each codec fails in its own way
            raise StoreError(
                f"{self.store / self.name} is damaged ({error}); make the store again"
            ) from error
