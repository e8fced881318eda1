"""The result store: a Zarr group of LOD scores with a manifest of finished blocks.

A block is written as a whole shard (or chunk), then its mark. A run may therefore stop at any time:
the store holds every marked block, and the next run computes the others. Concurrent writers of one
shard would corrupt it without an error, so a write that does not cover whole blocks is refused.
"""

from __future__ import annotations

import math
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import chain
from typing import Any

import numpy as np
import numpy.typing as npt
import xarray as xr
import zarr

from bulklmm_dask.errors import InputError, StoreError
from bulklmm_dask.storage.attributes import attributes_of, require_attributes
from bulklmm_dask.storage.chunks import file_of, file_shape, missing_files
from bulklmm_dask.storage.compression import FAST, SMALL, Compression
from bulklmm_dask.storage.coordinates import COORDINATES, arranged, listed
from bulklmm_dask.storage.encoding import plain
from bulklmm_dask.storage.first_format import cut_short
from bulklmm_dask.storage.frequency import OF_PATTERNS, of_traits
from bulklmm_dask.storage.journal import Journal, Written
from bulklmm_dask.storage.lazy import lazily
from bulklmm_dask.storage.location import Location, explained
from bulklmm_dask.storage.lock import Held, Writer, written_by
from bulklmm_dask.storage.lock import writing as _writing
from bulklmm_dask.storage.manifest import (
    BLOCKS,
    TRAITS,
    create_marks,
    create_sums,
    marks,
    place,
    record,
    sums_name,
    wrong_files,
)
from bulklmm_dask.storage.restored import require_contigs, restored
from bulklmm_dask.storage.seal import DIGEST, PARTS, require_seal, seal
from bulklmm_dask.storage.stamp import (
    FIRST,
    KIND,
    RESULT,
    STAMP,
    format_of,
    refuse_first_format,
    stamp,
)
from bulklmm_dask.storage.sums import inner_chunks, sums_of
from bulklmm_dask.storage.unstamped import is_unstamped, open_unstamped
from bulklmm_dask.surface import either, option, repeat
from bulklmm_dask.text import counted, listing

# Blocks that hold only the fill value are written too, so that an absent file is a lost one.
_WRITE_ALL: Any = {"write_empty_chunks": True}
_KEPT = "finished blocks are kept: "

# Dimensions of the maxima of permutations.
_PERMUTED = ("permutations", "traits")
# Size of a block of a saved result, if the result is not in even chunks.
_SAVED = 1024
_N_REFINED = {"long_name": "pairs that were optimised by themselves", "units": "markers"}
_REMEDY = "give another path, or remove it and make it again"
_COMMANDS = "'bulklmm scan' or 'bulklmm permute'"
# Variables that are an index, into what, and from what number on: -1 stands for none.
_INDICES = (
    ("variant_contig", "contigs", 0),
    ("trait_contig", "contigs", -1),
    ("trait_pattern", "patterns", -1),
)
# Attributes of the root group that describe the store, not the analysis.
OWN = (
    *STAMP,
    "block",
    "dims",
    "statistics",
    "of_traits",
    "fingerprints",
    COORDINATES,
    PARTS,
    DIGEST,
)


@dataclass(frozen=True)
class Layout:
    """Dimensions and sizes of a result.

    Attributes
    ----------
    shape : (int, int)
        Size of the whole result.
    block : (int, int)
        Size of a block, which is a shard, or a chunk if `inner` is the same.
    inner : (int, int)
        Size of a chunk.
    dims : (str, str)
        Names of both dimensions; the second is that of the traits.
    """

    shape: tuple[int, int]
    block: tuple[int, int]
    inner: tuple[int, int]
    dims: tuple[str, str] = ("variants", "traits")

    def region(self, i: int, j: int) -> tuple[slice, slice]:
        """Range of block (i, j) along each dimension."""
        return self._slice(0, i), self._slice(1, j)

    def _slice(self, axis: int, index: int) -> slice:
        start = index * self.block[axis]
        return slice(start, min(start + self.block[axis], self.shape[axis]))

    @property
    def blocks(self) -> tuple[int, int]:
        """Number of blocks along each dimension."""
        return -(-self.shape[0] // self.block[0]), -(-self.shape[1] // self.block[1])


@dataclass(frozen=True)
class Field:
    """An array with one value per pair, (variants, traits, ...), or per trait, (..., traits).

    `attrs` are its attributes, ``long_name`` and ``units``.
    """

    dims: tuple[str, ...]
    shape: tuple[int, ...]
    dtype: np.dtype[Any]
    attrs: Mapping[str, str] | None = None

    @property
    def nbytes(self) -> int:
        """Size in bytes without compression."""
        return self.dtype.itemsize * math.prod(self.shape)


@dataclass(frozen=True)
class ResultStore:
    """A result on disk; a path, a layout and a lock, so that it is cheap to send to any worker.

    A write raises StoreError once the lock of its run is lost. A store that is not yet under its
    name has none.
    """

    path: str
    layout: Layout
    compression: Compression = FAST
    held: Held | None = None

    @property
    def location(self) -> Location:
        """Location of the store."""
        return Location(self.path)

    def pending_blocks(self) -> list[tuple[int, int]]:
        """Blocks (i, j) that are not finished, trait chunk by trait chunk."""
        done = marks(self.location, BLOCKS)
        return [(int(i), int(j)) for j, i in np.argwhere(~done.T)]

    def pending_traits(self) -> npt.NDArray[np.int64]:
        """Trait chunks that are not finished: their values per trait are not written."""
        return np.flatnonzero(~marks(self.location, TRAITS))

    def write_block(self, i: int, j: int, values: Mapping[str, npt.NDArray[Any]]) -> Written:
        """Write block (i, j) of every statistic; the `Journal` notes what is returned."""
        region = self.layout.region(i, j)
        shape = tuple(part.stop - part.start for part in region)
        for name, block in values.items():
            if block.shape[:2] != shape:
                raise StoreError(
                    f"{self.path}: block ({i}, {j}) of {name} has shape {block.shape}, not "
                    f"{shape}; a write that does not cover whole blocks corrupts its neighbours"
                )
        rounded = {name: self.compression.rounded(block) for name, block in values.items()}
        return self._write((i, j), region, rounded)

    def write_traits(self, j: int, values: Mapping[str, npt.NDArray[Any]]) -> Written:
        """Write the values per trait of trait chunk j; the `Journal` notes what is returned."""
        return self._write((j,), (..., self.layout.region(0, j)[1]), values)

    def _write(
        self, mark: tuple[int, ...], region: Any, values: Mapping[str, npt.NDArray[Any]]
    ) -> Written:
        sums, written = {}, []
        if self.held is not None:
            self.held.require()
        with explained(self.path, _KEPT):
            for name, part in values.items():
                array = self.location.open_array(name, "r+").with_config(_WRITE_ALL)
                array[region] = part
                file = file_of(self.location, name, array, place(mark, array.ndim))
                found = sums_of(file, inner_chunks(array))
                if found is None:
                    raise StoreError(f"{file} is not what was written; {repeat()} with the store")
                sums[name] = found
                written.append(file)
                file.begin_sync()
        return Written(mark, sums, tuple(written))


@contextmanager
def writing(path: str | os.PathLike[str]) -> Iterator[Writer]:
    """Hold the right to write into a result store, which need not exist yet.

    Raises
    ------
    StoreError
        If another run writes into it, or what is there is no result store.

    Warns
    -----
    StudyWarning
        If a run that wrote into it is dead, and its lock is taken over.
    """
    store = Location.of(path).recovered()
    if store.exists():
        _attributes(store)
    with _writing(store, BLOCKS) as writer:
        yield writer


def open_or_create(
    writer: Writer,
    template: xr.Dataset,
    layout: Layout,
    of_pairs: Mapping[str, Field],
    of_traits: Mapping[str, Field],
    fingerprints: Mapping[str, str],
    compression: Compression = FAST,
) -> ResultStore:
    """Make a result store, or open an existing one of the same inputs to resume it.

    Parameters
    ----------
    writer : Writer
        The right to write into a folder that does not exist, or into a result store (`writing`).
    template : Dataset
        Names, positions and attributes to keep beside the scores.
    layout : Layout
        Sizes; those of an existing store must agree.
    of_pairs, of_traits : mapping of str to Field
        The arrays with one value per pair, and those with one per trait.
    fingerprints : mapping of str to str
        Digest of each input and of the options, under a name fit for a message.
    compression : Compression
        How the arrays with one value per pair are written. An existing store keeps its codec.

    Raises
    ------
    StoreError
        If the folder cannot be written or is too small, the store has other inputs, or another run
        has made it meanwhile and writes into it.
    """
    store = writer.store
    if writer.held is None:
        store.require_writable(sum(field.nbytes for field in of_pairs.values()))
        try:
            with store.appearing() as partial:
                _create(partial, template, layout, of_pairs, of_traits, fingerprints, compression)
                writer.put_into(partial)
            writer.keep()
        except StoreError:
            if not store.exists():
                raise
            writer.take()  # of the run that has made it meanwhile, if that has ended
        else:
            return ResultStore(store.path, layout, compression, writer.held)
    _resume(writer, layout, {**of_pairs, **of_traits}, fingerprints)
    return ResultStore(store.path, layout, compression, writer.held)


def _create(
    store: Location,
    template: xr.Dataset,
    layout: Layout,
    of_pairs: Mapping[str, Field],
    of_traits: Mapping[str, Field],
    fingerprints: Mapping[str, str],
    compression: Compression = FAST,
) -> None:
    encoding = {name: {"compressors": SMALL} for name in template.variables}
    store.write_dataset(plain(template), write_empty_chunks=True, encoding=encoding)
    group = store.open_group("r+")
    sharded = layout.inner != layout.block
    for name, field in of_pairs.items():
        rest = field.shape[2:]
        shards = (*layout.block, *rest) if sharded else None
        codecs = compression.codecs
        _create_array(group, name, field, (*layout.inner, *rest), codecs, shards)
    for name, field in of_traits.items():
        codecs = SMALL if field.dtype == object else FAST.codecs
        _create_array(group, name, field, (*field.shape[:-1], layout.block[1]), codecs)
    dims = tuple(f"{dim.removesuffix('s')}_blocks" for dim in layout.dims)
    create_marks(group, BLOCKS, layout.blocks, dims)
    create_marks(group, TRAITS, layout.blocks[1:], dims[1:])
    scores = [*of_pairs, *of_traits]
    create_sums(group, scores)
    streamed = [OF_PATTERNS] if OF_PATTERNS in template else []
    record(store, streamed)
    attrs = {
        **stamp(RESULT),
        "block": list(layout.block),
        "dims": list(layout.dims),
        "statistics": list(of_pairs),
        "of_traits": list(of_traits),
        "fingerprints": dict(fingerprints),
        COORDINATES: " ".join([*listed(template), *of_traits]),
    }
    seal(store, attrs, frozenset((*scores, *map(sums_name, scores), *streamed, BLOCKS, TRAITS)))


def _create_array(
    group: zarr.Group,
    name: str,
    field: Field,
    chunks: tuple[int, ...],
    codecs: tuple[Any, ...],
    shards: tuple[int, ...] | None = None,
) -> None:
    dtype: Any = str if field.dtype == object else field.dtype
    group.create_array(
        name,
        shape=field.shape,
        dtype=dtype,
        chunks=chunks,
        shards=shards,
        compressors=codecs,
        fill_value=_fill_value(dtype),
        dimension_names=field.dims,
        attributes=dict(field.attrs or {}),
    )


def _fill_value(kind: Any) -> float | None:
    """NaN for floats, which cannot be mistaken for a result; Zarr's default for others."""
    return np.nan if np.dtype(kind).kind == "f" else None


def is_result(ds: Any) -> bool:
    """Whether this is a result of `scan` or `permute`, or a part of one, and no study."""
    scores = ("lod", "max_lod")
    return (
        isinstance(ds, xr.Dataset)
        and any(name in ds for name in scores)
        and "sample_trait" not in ds
    )


def write_result(result: xr.Dataset, store: Location) -> None:
    """Write a result that is at hand, or a part of one, as a finished store.

    Arrays of every pair are computed and written block by block; all else is small.

    Raises
    ------
    InputError
        If a selection by one name has taken away a dimension of the scores, parts that were joined
        do not belong together, or a name is there twice.
    """
    score, dims = ("lod", Layout.dims) if "lod" in result else ("max_lod", _PERMUTED)
    shared = "nodes" in result[score].dims  # permutations of all traits together: small
    for dim in () if shared else dims:
        if dim not in result[score].dims:
            raise InputError(
                f"the result has lost its dimension {dim!r}, for one name was selected; select "
                f"with a list instead: result.sel({dim}=[name])"
            )
    if not result[score].size:
        raise InputError(f"the result holds nothing: its sizes are {dict(result.sizes)}")
    result = restored(result)
    require_contigs(result)
    for dim in set(dims) & set(result.indexes):
        if not result.indexes[dim].is_unique:
            twice = result.indexes[dim][result.indexes[dim].duplicated()].unique()
            raise InputError(
                f"the result has {counted(len(twice), 'name')} more than once along {dim!r}: "
                f"{listing(twice)}; keep one of each"
            )
    if "refined" in result:
        result = result.drop_vars("n_refined", errors="ignore")  # it is not stored
    result = plain(result)
    names = [name for name, array in result.data_vars.items() if set(dims) <= set(array.dims)]
    pairs = result[names].transpose(*dims, ..., missing_dims="ignore").reset_coords(drop=True)
    beside = result.drop_vars(names).compute()
    layout = Layout((1, 1), (1, 1), (1, 1), dims)
    if names:
        block = (_block_size(pairs[score], dims[0]), _block_size(pairs[score], dims[1]))
        layout = Layout((pairs.sizes[dims[0]], pairs.sizes[dims[1]]), block, block, dims)
    fields = {
        str(name): Field(tuple(map(str, array.dims)), array.shape, array.dtype, array.attrs)
        for name, array in pairs.data_vars.items()
    }
    _create(store, beside, layout, fields, {}, {"origin": "saved"})
    target = ResultStore(store.path, layout)
    with Journal(store) as journal:
        for i, j in target.pending_blocks():
            region = dict(zip(dims, layout.region(i, j), strict=True)) if names else {}
            some = pairs.isel(region).compute()
            journal.note(target.write_block(i, j, {str(name): some[name].values for name in names}))
        for j in range(layout.blocks[1]):
            journal.note(target.write_traits(j, {}))


def _block_size(array: xr.DataArray, dim: str) -> int:
    """Size of a block: that of the array's chunks where these are even."""
    sizes = array.variable.chunksizes.get(dim, ())
    if sizes and len(set(sizes[:-1])) <= 1 and sizes[-1] <= sizes[0]:
        return int(sizes[0])
    return min(_SAVED, array.sizes[dim])


def _resume(
    writer: Writer,
    layout: Layout,
    fields: Mapping[str, Field],
    fingerprints: Mapping[str, str],
) -> None:
    """Raise StoreError unless a store is of the same inputs; forget blocks that are damaged."""
    store = writer.store
    attrs = _attributes(store)
    if format_of(store, attrs) == FIRST:
        done, total = finished(store)
        whole = either("open it with open_result, or ", "") if done == total else ""
        refuse_first_format(store, attrs, f"{whole}give another store, or remove this one")
    found = attrs.get("fingerprints", {})
    other = [name for name, digest in fingerprints.items() if found.get(name) != digest]
    if other:
        raise StoreError(
            f"{store} was made from other inputs: {', '.join(other)} differ; give another store, "
            "or remove this one"
        )
    if list(layout.block) != attrs["block"]:
        raise StoreError(
            f"{store} has blocks of {attrs['block'][0]} {layout.dims[0]} x {attrs['block'][1]} "
            f"traits, not {layout.block[0]} x {layout.block[1]}; leave {option('chunks')} out to "
            "go on with its own"
        )
    store.require_writable()
    with _readable(store):
        _require_seal(store, attrs)
        _require_fields(store, layout, fields)
        _labels(store, attrs).load()
        damaged = list(_damaged(store, attrs))
    with explained(store), Journal(store, writer.held) as journal:
        for mark, file in damaged:
            journal.forget(mark)
            file.remove()
        store.remove_partial_chunks()


def _require_fields(store: Location, layout: Layout, fields: Mapping[str, Field]) -> None:
    """Raise StoreError unless the arrays of a store are those that a run writes to."""
    for name, blocks in ((BLOCKS, layout.blocks), (TRAITS, layout.blocks[1:])):
        if (found := store.open_array(name).shape) != blocks:
            raise StoreError(
                f"{store / name} is damaged: it is of {found} blocks instead of {blocks}; give "
                "another store"
            )
    for name, field in fields.items():
        array = store.open_array(name)
        kind = np.dtype(object) if array.dtype.kind in "OUT" else array.dtype
        found = array.shape, kind, array.metadata.dimension_names
        if found != (field.shape, field.dtype, field.dims):
            raise StoreError(
                f"{store / name} is damaged: it is of shape {array.shape} and type {array.dtype} "
                f"instead of {field.shape} and {field.dtype}; give another store"
            )
        if field.dims[:2] == layout.dims and file_shape(array)[:2] != layout.block:
            raise StoreError(
                f"{store / name} is damaged: its files hold {file_shape(array)[:2]} instead of "
                f"{layout.block}; give another store"
            )


def block_of(path: str | os.PathLike[str], dims: tuple[str, str]) -> dict[str, int] | None:
    """Block sizes of an existing result store with these dimensions, None if there is no store."""
    store = Location.of(path).recovered()
    if not store.exists():
        return None
    sizes = _sizes(_attributes(store))
    if tuple(sizes) != dims:
        raise StoreError(
            f"{store} is a result over {' and '.join(sizes)}, not {' and '.join(dims)}; give "
            "another store"
        )
    return sizes


def _sizes(attrs: Mapping[str, Any]) -> dict[str, int]:
    """Block sizes by dimension; older stores do not name them."""
    return dict(zip(attrs.get("dims", Layout.dims), attrs["block"], strict=True))


def finished(path: str | os.PathLike[str]) -> tuple[int, int]:
    """Number of finished blocks of a result store, and number of all its blocks."""
    store = Location.of(path).recovered()
    with _readable(store):
        done = marks(store, BLOCKS)
    return int(done.sum()), done.size


@contextmanager
def _readable(store: Location) -> Iterator[None]:
    """Turn any error of damaged metadata or chunks into a StoreError; each codec raises its own."""
    try:
        yield
    except StoreError:
        raise
    except Exception as error:
        raise StoreError(f"{store} is damaged ({error}); {repeat()} with another store") from error


def look_into(path: str | os.PathLike[str]) -> xr.Dataset:
    """Open a result store, finished or not: scores lazily, names, status and the like in memory."""
    store = Location.of(path).recovered()
    attrs = _attributes(store)
    with _readable(store):
        _require_seal(store, attrs)
        return _opened(store, attrs)


def _opened(store: Location, attrs: Mapping[str, Any]) -> xr.Dataset:
    ds = store.open_dataset(chunks=None, drop_variables=[BLOCKS, TRAITS])
    _require_parts(store, attrs, ds)
    sizes, checked = _sizes(attrs), format_of(store, attrs) > FIRST
    for name in ds.variables:
        if name in attrs["statistics"] or name == OF_PATTERNS:
            ds[name] = lazily(store, ds[name], sizes, checked=checked)
        else:
            ds[name].load()
    ds = plain(ds)
    _require_map(store, ds)
    return ds


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
    store = Location.of(path).recovered()
    ds, written = _of_xarray(store), list[str]()
    if ds is None:
        attrs = _attributes(store)
        with _readable(store):
            _require_seal(store, attrs)
            _require_whole(store, attrs)
            ds = _opened(store, attrs)
        written = [*attrs["statistics"], *attrs["of_traits"]]
    ds.attrs = {name: value for name, value in ds.attrs.items() if name not in OWN}
    return arranged(with_derived(ds), [*written, *sorted(map(str, ds.variables))])


def _of_xarray(store: Location) -> xr.Dataset | None:
    """Open what ``to_zarr`` wrote of a result; None for any other store."""
    if not is_unstamped(store):
        return None
    ds = open_unstamped(store, lambda array: set(Layout.dims) <= set(array.dims))
    if not is_result(ds):
        return None
    with _readable(store):
        ds = restored(ds)
        _require_map(store, ds)
    return ds


def _require_whole(store: Location, attrs: Mapping[str, Any]) -> None:
    done, total = finished(store)
    known = marks(store, TRAITS)
    if done < total or not known.all():
        there = f"{done} of {total} blocks and {known.sum()} of {known.size} trait chunks are there"
        if format_of(store, attrs) == FIRST:
            refuse_first_format(store, attrs, f"it is unfinished ({there}): make another store")
        if by := being_written(store):
            raise StoreError(f"{store} is unfinished: {there}; it {by}; open it once that ends")
        raise StoreError(
            f"{store} is unfinished: {there}; {repeat()} with the same store, and it goes on where "
            "it stopped"
        )
    if format_of(store, attrs) == FIRST:
        again = "in another store"
        damaged = [file for _, file in _damaged(store, attrs)]
    else:
        again = "with the same store"
        lost = [missing_files(store, name) for name in attrs["statistics"]]
        wrong = [wrong_files(store, name) for name in attrs["of_traits"]]
        damaged = [*chain(*lost), *(file for _, file in chain(*wrong))]
    if damaged:
        raise StoreError(
            f"{store} is damaged: {counted(len(damaged), 'file')} of finished blocks lost or not "
            f"as written, the first {damaged[0]}; {repeat()} {again} to compute them anew"
        )


def being_written(store: Location) -> str:
    """Say that a result is being written, and by whom; empty if it is not."""
    who = written_by(store, BLOCKS)
    return who and f"is being written by {who}"


def _labels(store: Location, attrs: Mapping[str, Any]) -> xr.Dataset:
    """Names and positions beside the scores."""
    scores = [*attrs["statistics"], *attrs["of_traits"]]
    return store.open_dataset(chunks=None, drop_variables=[*scores, BLOCKS, TRAITS])


def _require_parts(store: Location, attrs: Mapping[str, Any], ds: xr.Dataset) -> None:
    """Raise StoreError unless the scores lie along the dimensions that the attributes name."""
    dims = tuple(_sizes(attrs))
    for names, along in ((attrs["statistics"], dims), (attrs["of_traits"], dims[1:])):
        for name in names:
            found = ds[name].dims if name in ds.variables else None
            part = found if found is None else found[: len(along)] if len(along) > 1 else found[-1:]
            if part != along or (len(along) > 1 and ds[name].dtype.kind not in "fiub"):
                raise StoreError(
                    f"{store / name} is damaged or lost: it should hold numbers along "
                    f"{' and '.join(along)}, not {found}; {repeat()} with another store"
                )
    for name, variable in ds.variables.items():
        if name in dims and (variable.dtype.kind not in "OUT" or not ds.indexes[name].is_unique):
            raise StoreError(
                f"{store / str(name)} is damaged: it should hold a name for each of the {name}, "
                f"none twice; {repeat()} with another store"
            )


def _require_map(store: Location, ds: xr.Dataset) -> None:
    """Raise StoreError unless each marker lies on a contig that has a name, and the like."""
    kinds = {"variant_contig": "iu", "variant_position": "fiu", "contig_id": "OUT"}
    for name, dtypes in kinds.items():
        if name in ds and (
            ds[name].dtype.kind not in dtypes
            or ds[name].dims != ("contigs" if name == "contig_id" else "variants",)
        ):
            raise StoreError(
                f"{store / name} is damaged: it has dimensions {ds[name].dims} and type "
                f"{ds[name].dtype}; {repeat()} with another store"
            )
    if "variant_contig" in ds and "contig_id" not in ds:
        raise StoreError(
            f"{store / 'contig_id'} is lost, which variant_contig is an index into; {repeat()} "
            "with another store"
        )
    for name, dim, least in _INDICES:
        index, count = ds[name].values if name in ds else np.zeros(0), ds.sizes.get(dim, 0)
        if index.size and not least <= index.min() <= index.max() < count:
            raise StoreError(
                f"{store / name} is damaged: it holds {index.min()} to {index.max()}, but there "
                f"are {counted(count, dim.removesuffix('s'))}; {repeat()} with another store"
            )


def _require_seal(store: Location, attrs: Mapping[str, Any]) -> None:
    """Raise StoreError unless a result is as it was sealed; those of format 1 have no seal."""
    if format_of(store, attrs) > FIRST:
        require_seal(store, attrs, f"{repeat()} with another store")


def with_derived(result: xr.Dataset) -> xr.Dataset:
    """Add what a result has but does not store.

    These are ``n_refined`` (traits), the number of refined pairs, if it has ``refined``; and
    ``variant_frequency`` (variants, traits) from the frequencies of every pattern.
    """
    if "refined" in result:
        number = result["refined"].sum("variants").assign_attrs(_N_REFINED)
        result = result.assign(n_refined=number)
    return of_traits(result)


def _damaged(
    store: Location, attrs: Mapping[str, Any]
) -> Iterator[tuple[tuple[int, ...], Location]]:
    """Yield mark and file of each file of a finished block that is not the one that was written."""
    for name, arrays in ((BLOCKS, attrs["statistics"]), (TRAITS, attrs["of_traits"])):
        if format_of(store, attrs) == FIRST:
            yield from cut_short(store, name, arrays)
            continue
        finished = np.argwhere(marks(store, name)).tolist()
        for array in arrays:
            dimensions = store.open_array(array).ndim
            mark_of = {place(tuple(mark), dimensions): tuple(mark) for mark in finished}
            for index, file in wrong_files(store, array, list(mark_of)):
                yield mark_of[index], file


def _attributes(store: Location) -> dict[str, Any]:
    if not store.exists():
        raise StoreError(
            f"there is no result store {store}; "
            + either("scan(..., store=path) or permute(..., store=path)", _COMMANDS)
            + " makes one"
        )
    if not store.is_store():
        raise StoreError(f"{store} is no result store: it has no zarr.json; give another path")
    attrs = attributes_of(store, _REMEDY)
    if attrs.get(KIND) != RESULT:
        raise StoreError(
            f"{store} is a {attrs.get(KIND, 'Zarr group of another origin')}, not a result store; "
            f"give the path of what {either('scan or permute', _COMMANDS)} has stored"
        )
    sealed = () if format_of(store, attrs) == FIRST else (PARTS, DIGEST)
    require_attributes(store, attrs, ("block", "statistics", "of_traits", *sealed), _REMEDY)
    return attrs
