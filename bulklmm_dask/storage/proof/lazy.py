"""Arrays that are read when they are used: those of a store, and the base of all others."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Hashable, Mapping, Sequence
from typing import Any

import numpy as np
import xarray as xr
from xarray.backends import BackendArray
from xarray.core import indexing

from bulklmm_dask.errors import StoreError
from bulklmm_dask.storage.places.location import Location
from bulklmm_dask.storage.proof.manifest import Opening, read_checked
from bulklmm_dask.storage.proof.remedy import remedy


class Deferred(BackendArray):
    """An array that is read part by part; it holds no values, so it is cheap to send anywhere."""

    shape: tuple[int, ...]
    dtype: np.dtype[Any]

    @property
    def is_far(self) -> bool:
        """Whether a server is asked for it: others can compute meanwhile."""
        return False

    @abstractmethod
    def take(self, key: tuple[int | slice, ...]) -> Any:
        """Read a part: one integer or slice for each dimension."""

    def __getitem__(self, key: indexing.ExplicitIndexer) -> Any:
        support = indexing.IndexingSupport.BASIC
        return indexing.explicit_indexing_adapter(key, self.shape, support, self.take)

    def chunked(self, dims: Sequence[Hashable], chunks: Mapping[Any, Any]) -> xr.Variable:
        """Give the array in chunks; dimensions that `chunks` lacks are not cut."""
        return xr.Variable(dims, indexing.LazilyIndexedArray(self)).chunk(chunks)


def lazily(
    store: Location,
    variable: xr.DataArray,
    chunks: Mapping[str, int],
    *,
    opening: Opening,
) -> xr.DataArray:
    """Give an array of a dataset that was opened lazily as chunks that read the store.

    Parameters
    ----------
    store : Location
        The Zarr group.
    variable : DataArray
        Its array of the same name, not chunked.
    chunks : mapping of str to int
        Sizes of the chunks along its dimensions, perhaps along others too.
    opening : Opening
        Its opening; files that the manifest of the store lists are compared with it.
    """
    own = {dim: size for dim, size in chunks.items() if dim in variable.dims}
    data = Stored(store, variable, opening).chunked(variable.dims, own).data
    return variable.copy(deep=False, data=data)


def stored_behind(variable: xr.Variable) -> Stored | None:
    """Find the array of a store that a variable is, all of it and unchanged; None if it is none."""
    found = deferred_behind(variable)
    return found if isinstance(found, Stored) else None


def kept_digest(array: Any) -> str | None:
    """Digest of the values of an array (`fingerprint.of_rows`), kept by the study that it is of.

    None for an array in memory, for one that is computed, and for a part of one.
    """
    found = behind(array)
    return found.opening.values if isinstance(found, Stored) else None


def deferred_behind(variable: xr.Variable) -> Deferred | None:
    """Find the array that a variable reads, all of it and unchanged; None if it is none.

    Its chunks are the only layer of the graph above the array: whatever changes, selects or
    rearranges values adds another one, with another name.
    """
    return behind(variable.data)


def is_far(array: Any) -> bool:
    """Tell whether an array is read from a server, all of it and unchanged."""
    found = behind(array)
    return found is not None and found.is_far


def behind(array: Any) -> Deferred | None:
    """Find the array that a dask array reads, as `deferred_behind` does for a variable."""
    graph = getattr(array, "dask", None)
    base = f"original-{array.name}" if graph is not None else ""
    if graph is None or base not in getattr(graph, "layers", ()):
        return None
    return within(graph.layers[base].get(base))


def within(source: Any) -> Deferred | None:
    """Find the array that is wrapped in something, for xarray or dask; None if it is none."""
    while source is not None and not isinstance(source, Deferred):
        source = getattr(source, "array", None)
    return source


class Stored(Deferred):
    """An array of a store, by name; its errors name store and array."""

    def __init__(self, store: Location, variable: xr.DataArray, opening: Opening) -> None:
        self.store, self.name = store.fixed, str(variable.name)
        self.shape, self.dtype = variable.shape, variable.dtype
        self.opening = opening  # tasks of a store that took the place of another have other names

    @property
    def is_far(self) -> bool:
        """Whether a server has the store."""
        return self.store.is_far

    def take(self, key: tuple[int | slice, ...]) -> Any:
        """Read a part; StoreError if it is damaged."""
        try:
            if self.opening.identity is not None:
                found = read_checked(self.store, self.name, key, self.opening)
                return np.asarray(found, self.dtype)
            return np.asarray(self.store.open_array(self.name)[key], self.dtype)
        except StoreError:
            raise
        except Exception as error:  # each codec fails in its own way
            raise StoreError(
                f"{self.store / self.name} is damaged ({error}); {remedy(self.store)}"
            ) from error
