"""The result store: a Zarr group of LOD scores with a manifest of finished blocks.

A block is written as a whole shard (or chunk), then its mark. A store that was left at any moment
therefore holds every block that is marked, and a run goes on with those that are not. Concurrent
writers of one shard would corrupt it without a word, so regions that are not whole blocks are
refused.
"""

from __future__ import annotations

import math
import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import xarray as xr
import zarr
from zarr.codecs import BloscCodec

from bulklmm_dask.errors import StoreError
from bulklmm_dask.storage.encoding import plain
from bulklmm_dask.storage.location import appearing, explained, require_room
from bulklmm_dask.storage.whole import is_whole
from bulklmm_dask.text import counted

KIND = "bulklmm_store"
RESULT = "result"

# Blocks of nothing but the fill value are files like any other: absent means lost.
_WRITE_ALL: Any = {"write_empty_chunks": True}
_KEPT = "finished blocks are kept: "

_BLOCKS, _TRAITS = "manifest_blocks", "manifest_traits"
# What the group says of the store, apart from what a result says of its scan.
_OWN = (KIND, "block", "dims", "statistics", "of_traits", "fingerprints")
# Scores are noise in their last bits: a higher level costs time and saves a percent or two.
_COMPRESSOR = BloscCodec(cname="zstd", clevel=1, shuffle="bitshuffle")


@dataclass(frozen=True)
class Layout:
    """Sizes of a result: all of it, one block of it, one inner chunk of a block; what it is over.

    The second dimension is that of the traits.
    """

    shape: tuple[int, int]
    block: tuple[int, int]
    inner: tuple[int, int]
    dims: tuple[str, str] = ("variants", "traits")

    def region(self, i: int, j: int) -> tuple[slice, slice]:
        """Variants and traits of block (i, j)."""
        return self._slice(0, i), self._slice(1, j)

    def _slice(self, axis: int, index: int) -> slice:
        start = index * self.block[axis]
        return slice(start, min(start + self.block[axis], self.shape[axis]))

    @property
    def blocks(self) -> tuple[int, int]:
        """Number of blocks along variants and traits."""
        return -(-self.shape[0] // self.block[0]), -(-self.shape[1] // self.block[1])


@dataclass(frozen=True)
class Field:
    """An array of a result: of every pair, (variants, traits, ...), or trait, (..., traits)."""

    dims: tuple[str, ...]
    shape: tuple[int, ...]
    dtype: np.dtype[Any]

    @property
    def nbytes(self) -> int:
        """Size without compression."""
        return self.dtype.itemsize * math.prod(self.shape)


@dataclass(frozen=True)
class ResultStore:
    """A result on disk; cheap to hand to any worker, for it is only a path and a layout."""

    path: str
    layout: Layout

    def pending_blocks(self) -> list[tuple[int, int]]:
        """Blocks (i, j) that are not finished, trait chunk by trait chunk."""
        done = np.asarray(self._array(_BLOCKS)[:])
        return [(int(i), int(j)) for j, i in np.argwhere(done.T == 0)]

    def pending_traits(self) -> npt.NDArray[np.int64]:
        """Trait chunks whose heritabilities are not written."""
        return np.flatnonzero(np.asarray(self._array(_TRAITS)[:]) == 0)

    def write_block(self, i: int, j: int, values: Mapping[str, npt.NDArray[Any]]) -> None:
        """Write block (i, j) of every statistic, then its mark."""
        region = self.layout.region(i, j)
        shape = tuple(part.stop - part.start for part in region)
        with explained(self.path, _KEPT):
            for name, block in values.items():
                if block.shape[:2] != shape:
                    raise StoreError(
                        f"{self.path}: block ({i}, {j}) of {name} has shape {block.shape}, not "
                        f"{shape}; a write that does not cover whole blocks corrupts its neighbours"
                    )
                self._array(name)[region] = block
            self._array(_BLOCKS)[i, j] = 1

    def write_traits(self, j: int, values: Mapping[str, npt.NDArray[Any]]) -> None:
        """Write what is known of every trait of chunk j, then its mark."""
        where = self.layout.region(0, j)[1]
        with explained(self.path, _KEPT):
            for name, column in values.items():
                self._array(name)[..., where] = column
            self._array(_TRAITS)[j] = 1

    def _array(self, name: str) -> Any:
        with explained(self.path, _KEPT):
            array = zarr.open_array(self.path, path=name, mode="r+", zarr_format=3)
        return array.with_config(_WRITE_ALL)


def open_or_create(
    path: str | os.PathLike[str],
    template: xr.Dataset,
    layout: Layout,
    of_pairs: Mapping[str, Field],
    of_traits: Mapping[str, Field],
    fingerprints: Mapping[str, str],
) -> ResultStore:
    """Make a result store, or open one that was made from the same inputs to go on with it.

    Parameters
    ----------
    path : path
        A folder that does not exist, or a result store.
    template : Dataset
        Names, positions and attributes to keep beside the scores.
    layout : Layout
        Sizes; those of an existing store must agree.
    of_pairs, of_traits : mapping of str to Field
        The arrays of every pair and of every trait.
    fingerprints : mapping of str to str
        Digest of each input and of the options, under a name fit for a message.

    Raises
    ------
    StoreError
        If the folder cannot be written or is too small, or the store has other inputs.
    """
    target = Path(path)
    if target.exists():
        return _resume(target, layout, fingerprints)
    require_room(target, sum(field.nbytes for field in of_pairs.values()))
    with appearing(target) as partial:
        _create(partial, template, layout, of_pairs, of_traits, fingerprints)
    return ResultStore(str(target), layout)


def _create(
    path: Path,
    template: xr.Dataset,
    layout: Layout,
    of_pairs: Mapping[str, Field],
    of_traits: Mapping[str, Field],
    fingerprints: Mapping[str, str],
) -> None:
    template.to_zarr(path, mode="w", zarr_format=3, consolidated=False)
    group = zarr.open_group(path, mode="r+")
    group.attrs[KIND] = RESULT
    group.attrs["block"] = list(layout.block)
    group.attrs["dims"] = list(layout.dims)
    group.attrs["statistics"] = list(of_pairs)
    group.attrs["of_traits"] = list(of_traits)
    group.attrs["fingerprints"] = dict(fingerprints)
    sharded = layout.inner != layout.block
    for name, field in of_pairs.items():
        rest = field.shape[2:]
        shards = (*layout.block, *rest) if sharded else None
        _create_array(group, name, field, (*layout.inner, *rest), shards)
    for name, field in of_traits.items():
        _create_array(group, name, field, (*field.shape[:-1], layout.block[1]))
    grid = tuple(f"{dim.removesuffix('s')}_blocks" for dim in layout.dims)
    for name, shape, dims in (
        (_BLOCKS, layout.blocks, grid),
        (_TRAITS, layout.blocks[1:], grid[1:]),
    ):
        group.create_array(
            name,
            shape=shape,
            dtype="uint8",
            chunks=(1,) * len(shape),
            compressors=None,
            dimension_names=dims,
        )


def _create_array(
    group: zarr.Group,
    name: str,
    field: Field,
    chunks: tuple[int, ...],
    shards: tuple[int, ...] | None = None,
) -> None:
    dtype: Any = str if field.dtype == object else field.dtype
    group.create_array(
        name,
        shape=field.shape,
        dtype=dtype,
        chunks=chunks,
        shards=shards,
        compressors=_COMPRESSOR,
        fill_value=_fill_value(dtype),
        dimension_names=field.dims,
    )


def _fill_value(kind: Any) -> float | None:
    """NaN for floats, which nobody takes for a result; the default of Zarr for others."""
    return np.nan if np.dtype(kind).kind == "f" else None


def _resume(path: Path, layout: Layout, fingerprints: Mapping[str, str]) -> ResultStore:
    attrs = _attributes(path)
    found = attrs.get("fingerprints", {})
    other = [name for name, digest in fingerprints.items() if found.get(name) != digest]
    if other:
        raise StoreError(
            f"{path} was made from other inputs: {', '.join(other)} differ; give another store, "
            "or remove this one"
        )
    if list(layout.block) != attrs["block"]:
        raise StoreError(
            f"{path} has blocks of {attrs['block'][0]} {layout.dims[0]} x {attrs['block'][1]} "
            f"traits, not {layout.block[0]} x {layout.block[1]}; leave chunks out to go on with "
            "its own"
        )
    if not os.access(path, os.W_OK):
        raise StoreError(f"{path} cannot be written: no permission; give another store")
    store = ResultStore(str(path), layout)
    with explained(path):
        for file, manifest, mark in list(_damaged(path, attrs)):
            store._array(manifest)[mark] = 0
            file.unlink(missing_ok=True)
    return store


def block_of(path: str | os.PathLike[str], dims: tuple[str, str]) -> dict[str, int] | None:
    """Block sizes of an existing result store over these, or None where there is nothing yet."""
    if not Path(path).exists():
        return None
    sizes = _sizes(_attributes(Path(path)))
    if tuple(sizes) != dims:
        raise StoreError(
            f"{path} is a result over {' and '.join(sizes)}, not {' and '.join(dims)}; give "
            "another store"
        )
    return sizes


def _sizes(attrs: Mapping[str, Any]) -> dict[str, int]:
    """Block sizes by dimension; older stores do not name them."""
    return dict(zip(attrs.get("dims", Layout.dims), attrs["block"], strict=True))


def finished(path: str | os.PathLike[str]) -> tuple[int, int]:
    """Number of finished blocks of a result store, and of all its blocks."""
    with explained(str(path)):
        marks = _marks(path, _BLOCKS)
    return int(marks.sum()), marks.size


def open_result(path: str | os.PathLike[str]) -> xr.Dataset:
    """Open a finished result store lazily.

    Parameters
    ----------
    path : path
        What ``scan(..., store=path)`` or ``permute(..., store=path)`` wrote.

    Returns
    -------
    Dataset
        ``lod`` (variants, traits), or what else it was made for, as a dask array of one chunk a
        block; ``h2``, ``sigma2``, ``n_samples`` and ``trait_status`` (traits) in memory.

    Raises
    ------
    StoreError
        If the store is not there, of another kind, unfinished or truncated.
    """
    target = Path(path)
    attrs = _attributes(target)
    _require_whole(target, attrs)
    with explained(target):
        ds = xr.open_zarr(
            target, consolidated=False, chunks=None, drop_variables=[_BLOCKS, _TRAITS]
        )
        for name in ds.variables:
            if name in attrs["statistics"]:
                ds[name] = ds[name].chunk(_sizes(attrs))
            else:
                ds[name].load()
    ds = plain(ds)
    ds.attrs = {name: value for name, value in ds.attrs.items() if name not in _OWN}
    return with_counts(ds)


def _require_whole(path: Path, attrs: Mapping[str, Any]) -> None:
    done, total = finished(path)
    with explained(path):
        known = _marks(path, _TRAITS)
    if done < total or not known.all():
        raise StoreError(
            f"{path} is unfinished: {done} of {total} blocks and {known.sum()} of {known.size} "
            "trait chunks are there; make the same call with the same store again, and it goes on "
            "where it stopped"
        )
    with explained(path):
        damaged = [file for file, _, _ in _damaged(path, attrs)]
    if damaged:
        raise StoreError(
            f"{path} is truncated: {counted(len(damaged), 'file')} of finished blocks missing or "
            f"cut short, the first {damaged[0]}; make the same call with the same store again to "
            "compute them anew"
        )


def with_counts(result: xr.Dataset) -> xr.Dataset:
    """Add how many pairs of each trait were refined, where the scan kept which."""
    if "refined" not in result:
        return result
    return result.assign(n_refined=result["refined"].sum("variants"))


def _damaged(path: Path, attrs: Mapping[str, Any]) -> Iterator[tuple[Path, str, tuple[int, ...]]]:
    """Files that are missing or cut short though marked as finished; manifest and mark of each."""
    for manifest, names in ((_BLOCKS, attrs["statistics"]), (_TRAITS, attrs["of_traits"])):
        finished_marks = np.argwhere(_marks(path, manifest)).tolist()
        for name in names:
            array = zarr.open_array(path, path=name, mode="r")
            # Other dimensions are one chunk: after those of pairs, before that of traits.
            others = ["0"] * (array.ndim - (2 if manifest == _BLOCKS else 1))
            for mark in finished_marks:
                place = [str(index) for index in mark]
                parts = [*place, *others] if manifest == _BLOCKS else [*others, *place]
                file = Path(path, name, "c", *parts)
                if not is_whole(file, array):
                    yield file, manifest, tuple(mark)


def _marks(path: str | os.PathLike[str], manifest: str) -> npt.NDArray[np.uint8]:
    return np.asarray(zarr.open_array(str(path), path=manifest, mode="r")[:])


def _attributes(path: Path) -> dict[str, Any]:
    if not path.exists():
        raise StoreError(
            f"there is no result store {path}; scan(..., store=path) or permute(..., store=path) "
            "makes one"
        )
    try:
        attrs = dict(zarr.open_group(path, mode="r", zarr_format=3).attrs)
    except Exception as error:
        raise StoreError(
            f"{path} is no result store, or its zarr.json is damaged ({error}); give another "
            "path, or remove it and make it again"
        ) from error
    if attrs.get(KIND) != RESULT:
        raise StoreError(
            f"{path} is a {attrs.get(KIND, 'Zarr group of another origin')}, not a result store; "
            "give the path of what scan or permute has stored"
        )
    return attrs
