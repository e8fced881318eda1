"""Whether a result store is one, is whole, and has the arrays that its attributes name."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from itertools import chain
from typing import Any

import numpy as np
import numpy.typing as npt
import xarray as xr

from bulklmm_dask.errors import StoreError
from bulklmm_dask.storage.arrays.chunks import missing_files
from bulklmm_dask.storage.arrays.form import Form
from bulklmm_dask.storage.arrays.sums import SUM
from bulklmm_dask.storage.labels.layout import Layout
from bulklmm_dask.storage.places.location import METADATA, Location
from bulklmm_dask.storage.places.lock import written_by
from bulklmm_dask.storage.proof.attributes import attributes_of, require_attributes
from bulklmm_dask.storage.proof.entry import JOURNAL
from bulklmm_dask.storage.proof.first_format import cut_short
from bulklmm_dask.storage.proof.frequency import OF_PATTERNS
from bulklmm_dask.storage.proof.manifest import (
    BLOCKS,
    TRAITS,
    entered,
    entries,
    marks,
    place,
    sums_name,
    wrong_files,
)
from bulklmm_dask.storage.proof.remedy import remedy
from bulklmm_dask.storage.proof.seal import has_lost_root, require_seal
from bulklmm_dask.storage.proof.stamp import (
    DIGEST,
    FIRST,
    KIND,
    PARTS,
    RESULT,
    format_of,
    refuse_first_format,
)
from bulklmm_dask.storage.summaries.of_blocks import SUMMARY
from bulklmm_dask.surface import either, repeat
from bulklmm_dask.text import counted

_COMMANDS = "'bulklmm scan' or 'bulklmm permute'"
# Variables that are an index, into what, and from what number on: -1 stands for none.
_INDICES = (
    ("variant_contig", "contigs", 0),
    ("trait_contig", "contigs", -1),
    ("trait_pattern", "patterns", -1),
)


def result_attributes(store: Location) -> dict[str, Any]:
    """Attributes of a result store; StoreError if it is none."""
    if not store.exists():
        raise StoreError(
            f"there is no result store {store}; "
            + either("scan(..., store=path) or permute(..., store=path)", _COMMANDS)
            + " makes one"
        )
    if has_lost_root(store):
        raise StoreError(f"{store} is damaged: its zarr.json is lost; {remedy(store)}")
    if not store.is_store():
        raise StoreError(f"{store} is no result store: it has no zarr.json; give another path")
    attrs = attributes_of(store)
    if attrs.get(KIND) != RESULT:
        raise StoreError(
            f"{store} is a {attrs.get(KIND, 'Zarr group of another origin')}, not a result store; "
            f"give the path of what {either('scan or permute', _COMMANDS)} has stored"
        )
    sealed = () if format_of(store, attrs) == FIRST else (PARTS, DIGEST)
    require_attributes(store, attrs, ("block", "statistics", "of_traits", *sealed))
    of_pairs = (f"{name}/c/" for name in (*attrs["statistics"], OF_PATTERNS))
    large = (*of_pairs, f"{SUMMARY}/", f"{JOURNAL}/")
    store.fetch(lambda path: path.endswith(METADATA) or not path.startswith(large))
    return attrs


def block_sizes(attrs: Mapping[str, Any]) -> dict[str, int]:
    """Block sizes by dimension; older stores do not name them."""
    return dict(zip(attrs.get("dims", Layout.dims), attrs["block"], strict=True))


@contextmanager
def readable(store: Location) -> Iterator[None]:
    """Turn any error of damaged metadata or chunks into a StoreError; each codec raises its own."""
    try:
        yield
    except StoreError:
        raise
    except Exception as error:
        raise StoreError(f"{store} is damaged ({error}); {remedy(store)}") from error


def require_sealed(store: Location, attrs: Mapping[str, Any]) -> None:
    """Raise StoreError unless a result is as it was sealed; those of format 1 have no seal."""
    if format_of(store, attrs) > FIRST:
        require_seal(store, attrs)


def finished(path: str | os.PathLike[str]) -> tuple[int, int]:
    """Number of finished blocks of a result store, and number of all its blocks."""
    store = Location.of(path).opened()
    with readable(store):
        done = marks(store, BLOCKS)
    return int(done.sum()), done.size


def is_entered(store: Location) -> bool:
    """Tell whether all is finished, and nothing of it stands in the journal of a run only."""
    return all(entered(store, name).all() for name in (BLOCKS, TRAITS))


def being_written(store: Location) -> str:
    """Say that a result is being written, and by whom; empty if it is not."""
    who = written_by(store, BLOCKS)
    return who and f"is being written by {who}"


def require_whole(store: Location, attrs: Mapping[str, Any]) -> None:
    """Raise StoreError unless every block is finished and its files are there."""
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
    if not is_entered(store):
        by = being_written(store)
        raise StoreError(
            f"{store} is unfinished: all blocks are there, but its journal is not yet put into the "
            + (
                f"manifest; it {by}; open it once that ends"
                if by
                else f"manifest: {repeat()} with the same store, which does that"
            )
        )
    if format_of(store, attrs) == FIRST:
        damaged = [file for _, file in damaged_files(store, attrs)]
    else:
        lost = [missing_files(store, name) for name in attrs["statistics"]]
        wrong = [wrong_files(store, name) for name in attrs["of_traits"]]
        damaged = [*chain(*lost), *(file for _, file in chain(*wrong))]
    if damaged:
        raise StoreError(
            f"{store} is damaged: {counted(len(damaged), 'file')} of finished blocks lost or not "
            f"as written, the first {damaged[0]}; {remedy(store)}"
        )


def damaged_files(
    store: Location, attrs: Mapping[str, Any], *, read: bool = False
) -> Iterator[tuple[tuple[int, ...], Location]]:
    """Yield mark and file of each file of a finished block that is lost or not as it was written.

    Files of blocks are known by their lengths, which one listing tells, and on a disk by the
    checksums at their ends: to read all of them would take long. Those of chunks of traits are few:
    their checksums are compared, and with `read` all their bytes. The marks of older stores tell no
    lengths: there all checksums are compared.
    """
    for name, arrays in ((BLOCKS, attrs["statistics"]), (TRAITS, attrs["of_traits"])):
        if format_of(store, attrs) == FIRST:
            yield from cut_short(store, name, arrays)
            continue
        found = entries(store, name)
        if name == BLOCKS and found.dtype != np.uint8:
            yield from _of_other_length(store, arrays, found)
            continue
        for array in arrays:
            dimensions = len(Form.of(store / array).shape)
            finished = map(tuple, np.argwhere(found > 0).tolist())
            mark_of = {place(mark, dimensions): mark for mark in finished}
            for index, file in wrong_files(store, array, list(mark_of), read=read):
                yield mark_of[index], file


def _of_other_length(
    store: Location, arrays: Sequence[str], found: npt.NDArray[Any]
) -> Iterator[tuple[tuple[int, ...], Location]]:
    """Yield mark and files of each block whose files have not the bytes that its mark tells.

    On a disk also those of which a file ends with another checksum.
    """
    done, wrong = found > 0, np.zeros(found.shape, bool)
    total = np.ones(found.shape, np.int64)
    paths = {name: list(Form.of(store / name).paths()) for name in arrays}
    for name in arrays:
        array, sizes = store / name, (store / name).sizes()
        lengths = np.fromiter((sizes.get(path, -1) for path in paths[name]), np.int64, found.size)
        lengths = lengths.reshape(found.shape)
        wrong |= lengths < SUM
        total += lengths
        if not store.is_far:
            at = np.flatnonzero(done & ~wrong)
            files = [(paths[name][k], int(lengths.flat[k])) for k in at.tolist()]
            ends = array.ends(files, SUM)
            recorded = entries(store, sums_name(name)).reshape(found.size, -1)[at, 0]
            wrong.flat[at] |= np.frombuffer(ends, "<u4") != recorded
    bad = done & (wrong | (total != found.astype(np.int64)))
    for mark, number in zip(np.argwhere(bad).tolist(), np.flatnonzero(bad).tolist(), strict=True):
        yield from ((tuple(mark), store / name / paths[name][number]) for name in arrays)


def require_parts(store: Location, attrs: Mapping[str, Any], ds: xr.Dataset) -> None:
    """Raise StoreError unless the scores lie along the dimensions that the attributes name."""
    dims = tuple(block_sizes(attrs))
    for names, along in ((attrs["statistics"], dims), (attrs["of_traits"], dims[1:])):
        for name in names:
            found = ds[name].dims if name in ds.variables else None
            part = found if found is None else found[: len(along)] if len(along) > 1 else found[-1:]
            if part != along or (len(along) > 1 and ds[name].dtype.kind not in "fiub"):
                raise StoreError(
                    f"{store / name} is damaged or lost: it should hold numbers along "
                    f"{' and '.join(along)}, not {found}; {remedy(store)}"
                )
    for name, variable in ds.variables.items():
        if name in dims and (variable.dtype.kind not in "OUT" or not ds.indexes[name].is_unique):
            raise StoreError(
                f"{store / str(name)} is damaged: it should hold a name for each of the {name}, "
                f"none twice; {remedy(store)}"
            )


def require_map(store: Location, ds: xr.Dataset) -> None:
    """Raise StoreError unless each marker lies on a contig that has a name, and the like."""
    kinds = {"variant_contig": "iu", "variant_position": "fiu", "contig_id": "OUT"}
    for name, dtypes in kinds.items():
        if name in ds and (
            ds[name].dtype.kind not in dtypes
            or ds[name].dims != ("contigs" if name == "contig_id" else "variants",)
        ):
            raise StoreError(
                f"{store / name} is damaged: it has dimensions {ds[name].dims} and type "
                f"{ds[name].dtype}; {remedy(store)}"
            )
    if "variant_contig" in ds and "contig_id" not in ds:
        raise StoreError(
            f"{store / 'contig_id'} is lost, which variant_contig is an index into; {remedy(store)}"
        )
    for name, dim, least in _INDICES:
        index, count = ds[name].values if name in ds else np.zeros(0), ds.sizes.get(dim, 0)
        if index.size and not least <= index.min() <= index.max() < count:
            raise StoreError(
                f"{store / name} is damaged: it holds {index.min()} to {index.max()}, but there "
                f"are {counted(count, dim.removesuffix('s'))}; {remedy(store)}"
            )
