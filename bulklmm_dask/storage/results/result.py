"""The result store: a Zarr group of LOD scores with a manifest of finished blocks.

A block is written as a whole shard (or chunk), then its mark. A run may therefore stop at any time:
the store holds every marked block, and the next run computes the others.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any

import xarray as xr

from bulklmm_dask.storage.arrays.datasets import read_dataset
from bulklmm_dask.storage.labels.coordinates import COORDINATES, arranged
from bulklmm_dask.storage.labels.encoding import plain
from bulklmm_dask.storage.labels.layout import Layout
from bulklmm_dask.storage.labels.portable import portable
from bulklmm_dask.storage.labels.restored import restored
from bulklmm_dask.storage.places.location import Location
from bulklmm_dask.storage.proof.frequency import OF_PATTERNS, of_traits
from bulklmm_dask.storage.proof.lazy import lazily
from bulklmm_dask.storage.proof.manifest import BLOCKS, TRAITS, Opening
from bulklmm_dask.storage.proof.stamp import DIGEST, OF, PARTS, STAMP
from bulklmm_dask.storage.proof.unstamped import is_unstamped, open_unstamped
from bulklmm_dask.storage.results.soundness import (
    block_sizes,
    readable,
    require_map,
    require_parts,
    require_sealed,
    require_whole,
    result_attributes,
)

_N_REFINED = {"long_name": "pairs that were optimised by themselves", "units": "markers"}
# Attributes of the root group that describe the store, not the analysis.
OWN = (
    *STAMP,
    "block",
    "dims",
    "statistics",
    "of_traits",
    "fingerprints",
    "compression",
    OF,
    COORDINATES,
    PARTS,
    DIGEST,
)


def open_result(path: str | os.PathLike[str]) -> xr.Dataset:
    """Open a finished result store lazily.

    Parameters
    ----------
    path : path
        What ``scan(..., store=path)`` or ``permute(..., store=path)`` wrote; or what
        ``result.to_zarr(path)`` wrote, in Zarr format 3 or 2, which has no checksums.

    Returns
    -------
    Dataset
        What `scan` or `permute` returned. Arrays with one value per pair, such as ``lod``
        (variants, traits), are dask arrays with one chunk per block; all others, such as ``h2``
        (traits), are in memory.

    Raises
    ------
    StoreError
        If the store is not there, of another kind, of a newer format, unfinished or
        damaged; and when a part of it that is damaged is read.

    Examples
    --------
    A scan into a store, opened on another day; only what is asked for is read:

    >>> _ = blmm.scan(ds, store="scan.zarr")
    >>> result = blmm.open_result("scan.zarr")
    >>> result.attrs["method"], result.lod.shape
    ('null-exact', (60, 12))
    >>> round(float(result.lod.sel(traits="trait06").max()), 2)
    6.35
    """
    store = Location.of(path).opened()
    ds, written = _of_xarray(store), list[str]()
    if ds is None:
        attrs = result_attributes(store)
        with readable(store):
            require_sealed(store, attrs)
            require_whole(store, attrs)
            ds = _opened(store, attrs)
        written = [*attrs["statistics"], *attrs["of_traits"]]
    return _public(ds, written)


def open_part(path: str | os.PathLike[str], traits: slice) -> xr.Dataset:
    """Open a range of the traits of a result store, of which others may not be finished."""
    store = Location.of(path).opened()
    attrs = result_attributes(store)
    with readable(store):
        require_sealed(store, attrs)
        ds = _opened(store, attrs)
    written = [*attrs["statistics"], *attrs["of_traits"]]
    return _public(ds, written).isel(traits=traits)


def _public(ds: xr.Dataset, written: list[str]) -> xr.Dataset:
    """What is returned of a store: without its own attributes, with what follows from the rest."""
    attributes = {name: value for name, value in ds.attrs.items() if name not in OWN}
    ds.attrs = portable(attributes)  # version 0.1.0 wrote some
    return arranged(with_derived(ds), [*written, *sorted(map(str, ds.variables))])


def look_into(path: str | os.PathLike[str]) -> xr.Dataset:
    """Open a result store, finished or not: scores lazily, names, status and the like in memory."""
    store = Location.of(path).opened()
    attrs = result_attributes(store)
    with readable(store):
        require_sealed(store, attrs)
        return _opened(store, attrs)


def _opened(store: Location, attrs: Mapping[str, Any]) -> xr.Dataset:
    large = [*attrs["statistics"], OF_PATTERNS]
    ds = read_dataset(store, large, without=[BLOCKS, TRAITS])
    require_parts(store, attrs, ds)
    sizes = block_sizes(attrs)
    for name in set(large) & set(ds.variables):
        ds[name] = lazily(store, ds[name], sizes, opening=Opening.of(store, name, attrs))
    ds = plain(ds)
    require_map(store, ds)
    return ds


def _of_xarray(store: Location) -> xr.Dataset | None:
    """Open what ``to_zarr`` wrote of a result; None for any other store."""
    if not is_unstamped(store):
        return None
    ds = open_unstamped(store, lambda array: set(Layout.dims) <= set(array.dims))
    if not is_result(ds):
        return None
    with readable(store):
        ds = restored(ds)
        require_map(store, ds)
    return ds


def is_result(ds: Any) -> bool:
    """Whether this is a result of `scan` or `permute`, or a part of one, and no study."""
    scores = ("lod", "max_lod")
    return (
        isinstance(ds, xr.Dataset)
        and any(name in ds for name in scores)
        and "sample_trait" not in ds
    )


def with_derived(result: xr.Dataset) -> xr.Dataset:
    """Add what a result has but does not store.

    These are ``n_refined`` (traits), the number of refined pairs, if it has ``refined``; and
    ``variant_frequency`` (variants, traits) from the frequencies of every pattern.
    """
    if "refined" in result:
        number = result["refined"].sum("variants").assign_attrs(_N_REFINED)
        result = result.assign(n_refined=number)
    return of_traits(result)
