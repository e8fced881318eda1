"""A study kept in Zarr: written whole or not at all, opened lazily."""

from __future__ import annotations

from importlib.metadata import version
from pathlib import Path
from typing import Any

import xarray as xr
import zarr
from zarr.codecs import BloscCodec

from bulklmm_dask.errors import InputError, StoreError
from bulklmm_dask.storage.encoding import plain
from bulklmm_dask.storage.location import appearing, require_room
from bulklmm_dask.storage.result import KIND, RESULT
from bulklmm_dask.storage.whole import is_whole
from bulklmm_dask.study.schema import validate
from bulklmm_dask.text import listing

_STUDY = "study"
_VERSION = "bulklmm_version"
_CHUNK_BYTES = 2**22
# What grows with the study, and the dimension along which it is cut; the samples stay together.
_LARGE = {
    "call_dosage": "variants",
    "call_genotype_probability": "variants",
    "sample_trait": "traits",
}


def save(ds: xr.Dataset, path: str | Path, *, overwrite: bool = False) -> None:
    """Write a study to a Zarr store (format 3), without loss.

    Lazy variables are streamed, so a study larger than memory can be saved. The store appears
    under its name when it is complete; whatever goes wrong before, nothing is left behind.

    Parameters
    ----------
    ds : Dataset
        A study, from `create_dataset` or a reader.
    path : path
        The folder to write, such as study.zarr.
    overwrite : bool
        Whether to replace a Zarr store of that name.

    Raises
    ------
    StoreError
        If something of that name exists, the folder cannot be written, or the disk is full.
    InputError
        If `ds` is no study.
    """
    validate(ds)
    target = Path(path).expanduser().absolute()
    _check_target(target, overwrite)
    require_room(target, ds.nbytes)
    ds = _aligned(plain(ds)).assign_attrs({KIND: _STUDY, _VERSION: version("bulklmm-dask")})
    with appearing(target) as partial:
        ds.to_zarr(
            partial,
            mode="w",
            zarr_format=3,
            consolidated=False,
            write_empty_chunks=True,
            encoding={name: _encoding(ds[name]) for name in _LARGE if name in ds},
        )


def open_dataset(path: str | Path) -> xr.Dataset:
    """Open a study that `save` wrote; genotypes and traits stay on disk until they are used.

    Parameters
    ----------
    path : path
        The folder of the store.

    Returns
    -------
    Dataset
        The study; genotypes and traits are dask arrays, all else is in memory.

    Raises
    ------
    StoreError
        If there is no such store, it is of another kind, or parts of it are missing or cut short.
    """
    folder = Path(path).expanduser()
    group = _open_group(folder)
    _check_chunks(folder, group)
    try:
        ds = xr.open_zarr(folder, consolidated=False, zarr_format=3, chunks={})
        small = [name for name in ds.variables if name not in _LARGE]
        ds = ds.assign({name: ds[name].load() for name in small if name in ds.data_vars})
    except Exception as error:  # every codec fails in its own way
        raise StoreError(f"{folder} is damaged ({error}); save the study again") from error
    ds = plain(ds)
    del ds.attrs[KIND]
    ds.attrs.pop(_VERSION, None)
    try:
        return validate(ds)
    except InputError as error:
        raise StoreError(f"{folder} holds no valid study: {error}") from error


def _aligned(ds: xr.Dataset) -> xr.Dataset:
    """Cut lazy variables as the store is cut: two tasks must never write to one chunk."""
    for name, variable in ds.data_vars.items():
        if variable.chunks is not None:
            pieces = _chunks(variable) if name in _LARGE else variable.shape
            ds[name] = variable.chunk(dict(zip(variable.dims, pieces, strict=True)))
    return ds


def _encoding(variable: xr.DataArray) -> dict[str, Any]:
    compressor = BloscCodec(cname="zstd", clevel=3, shuffle="bitshuffle")
    return {"chunks": _chunks(variable), "compressors": (compressor,)}


def _chunks(variable: xr.DataArray) -> tuple[int, ...]:
    """Cut along one dimension into pieces of about four MiB."""
    along = _LARGE[str(variable.name)]
    length = variable.sizes[along]
    piece = max(1, _CHUNK_BYTES * length // max(variable.nbytes, 1))
    return tuple(
        max(1, min(size, piece) if dim == along else size) for dim, size in variable.sizes.items()
    )


def _check_target(target: Path, overwrite: bool) -> None:
    if not target.parent.is_dir():
        raise StoreError(f"there is no folder {target.parent}; make it first")
    if not target.exists():
        return
    if not overwrite:
        raise StoreError(
            f"{target} exists; choose another name; overwrite=True (--overwrite) replaces it"
        )
    if not (target / "zarr.json").is_file():
        raise StoreError(f"{target} is no Zarr store, so it is not overwritten; remove it yourself")


def _open_group(folder: Path) -> zarr.Group:
    """Open the root of a study's store; say what is there instead if it is none."""
    if not folder.is_dir():
        raise StoreError(f"there is no store {folder}; check the path")
    if not (folder / "zarr.json").is_file():
        raise StoreError(f"{folder} is no Zarr store (it has no zarr.json); check the path")
    try:
        group = zarr.open_group(folder, mode="r", zarr_format=3)
    except Exception as error:  # whatever the damaged metadata lead to
        raise StoreError(
            f"{folder / 'zarr.json'} is damaged ({error}); save the study again"
        ) from error
    kind = group.attrs.get(KIND)
    if kind == RESULT:
        raise StoreError(f"{folder} holds a result, no study; open it with open_result")
    if kind != _STUDY:
        raise StoreError(
            f"{folder} was not written by save (its attribute {KIND} is {kind!r}); read it with "
            "xarray, and pass its arrays to create_dataset"
        )
    return group


def _check_chunks(folder: Path, group: zarr.Group) -> None:
    """Refuse a store in which a chunk is missing or cut short; looks at names and headers only."""
    try:
        arrays = dict(group.arrays())
        absent = [
            name for name, array in arrays.items() if array.nchunks_initialized < array.nchunks
        ]
    except Exception as error:  # whatever the damaged metadata lead to
        raise StoreError(f"{folder} is damaged ({error}); save the study again") from error
    if absent:
        raise StoreError(f"{folder} lacks chunks of {listing(absent)}; save the study again")
    for name, array in arrays.items():
        for chunk in (folder / name / "c").rglob("*") if name in _LARGE else ():
            if chunk.is_file() and not is_whole(chunk, array):
                raise StoreError(f"{chunk} is cut short; save the study again")
