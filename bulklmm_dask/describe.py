"""Stores and files described in words, for ``bulklmm info``."""

from __future__ import annotations

import os
from collections import Counter
from typing import Any

import xarray as xr

from bulklmm_dask.errors import StoreError
from bulklmm_dask.storage.labels.summary import kind_of, shape_of
from bulklmm_dask.storage.labels.variables import LOCO
from bulklmm_dask.storage.places.location import Location
from bulklmm_dask.storage.proof.attributes import attributes_of
from bulklmm_dask.storage.proof.manifest import BLOCKS, TRAITS, marks
from bulklmm_dask.storage.proof.stamp import KIND, RESULT, format_of
from bulklmm_dask.storage.proof.unstamped import is_unstamped
from bulklmm_dask.storage.results.result import OWN, look_into, open_result
from bulklmm_dask.storage.results.soundness import being_written, finished, is_entered
from bulklmm_dask.study.io import open_dataset
from bulklmm_dask.study.kinship_store import is_kinship_store, open_kinship
from bulklmm_dask.study.metadata import by_name, metadata_names
from bulklmm_dask.study.readers.guess import guess_format
from bulklmm_dask.study.readers.registry import READERS, read_alone
from bulklmm_dask.text import counted, storage

_INTERNAL = {*OWN, "manifest"}
# Options that are on or off, which attributes hold as 1 or 0.
_SWITCHES = ("reml", "loco")


def describe(path: str | os.PathLike[str]) -> str:
    """Describe a Zarr study, a result (finished or not), a kinship or files of a known format.

    Parameters
    ----------
    path : path
        What to look at. Arrays on disk are not read, apart from small ones.

    Returns
    -------
    str
        Several lines: the kind, how far it is finished, sizes, variables, options, versions. For
        files that make a study only together with others, such as genotypes without traits: their
        format and the command that imports them.

    Raises
    ------
    InputError, StoreError
        If the path is none of these, or damaged.
    """
    store = Location.of(path).opened()
    if is_unstamped(store) and guess_format(store) != "vcf-zarr":
        return _of_xarray(store)
    if not store.is_store():
        return _files(store)
    attrs = attributes_of(store)
    if KIND not in attrs and guess_format(store) == "vcf-zarr":
        return _files(store)
    size = storage(store.size())
    if KIND in attrs:
        format_of(store, attrs)
    if attrs.get(KIND) == RESULT:
        return _result(store, attrs, size)
    if is_kinship_store(store):
        return _kinship(
            open_kinship(store), f"{store}: kinship with its eigenvectors, {size} on disk"
        )
    return _study(open_dataset(store), f"{store}: study, {size} on disk")


def facts_of(path: str | os.PathLike[str]) -> dict[str, Any]:
    """The same as `describe` says, as values of JSON.

    Parameters
    ----------
    path : path
        What to look at.

    Returns
    -------
    dict
        ``store``; ``title``, the first line of `describe`; ``kind``, "study", "result", "kinship"
        or "files"; ``bytes`` on disk; of a result ``blocks``, those that are ``finished`` and all;
        ``sizes`` by dimension, ``attributes`` and ``variables`` (dimensions and type).

    Raises
    ------
    InputError, StoreError
        As of `describe`.
    """
    title = describe(path).splitlines()[0]
    store = Location.of(path).opened()
    attrs = attributes_of(store) if store.is_store() else {}
    kind = str(attrs.get(KIND, "files"))
    facts: dict[str, Any] = {"store": str(store), "title": title, "kind": kind}
    facts["bytes"] = store.size()
    if kind == RESULT:
        done, total = finished(store)
        facts |= {"blocks": {"finished": done, "all": total}}
        ds = look_into(store)
    elif is_unstamped(store) and guess_format(store) != "vcf-zarr":
        try:
            ds = open_dataset(store)
        except StoreError:
            ds = open_result(store)
    elif is_kinship_store(store):
        matrix = open_kinship(store)
        own = {name: one for name, one in matrix.attrs.items() if name in ("method", "n_variants")}
        ds = matrix.to_dataset(name="kinship").assign_attrs(own)
    elif kind != "files":
        ds = open_dataset(store)
    else:
        name = guess_format(store)
        reader = None if name is None else READERS[name]
        if reader is not None and reader.needed is not None:
            return facts | {"format": name, "needs": reader.needed}
        ds = read_alone(store, name)
        facts["format"] = name
    return facts | {
        "sizes": {str(name): size for name, size in ds.sizes.items()},
        "attributes": {name: one for name, one in ds.attrs.items() if name not in _INTERNAL},
        "variables": {
            str(name): {"dims": list(map(str, one.dims)), "dtype": str(one.dtype)}
            for name, one in ds.variables.items()
            if name not in ds.dims
        },
    }


def _of_xarray(store: Location) -> str:
    """Describe what ``to_zarr`` wrote of a study or a result."""
    title = f"{store}: {{}}, written by xarray, without checksums, {storage(store.size())} on disk"
    try:
        ds = open_dataset(store)
    except StoreError as error:
        try:
            ds = open_result(store)
        except StoreError:
            raise error from None
        what, size_of = kind_of(ds)
        return "\n".join([title.format(what), size_of, *_options(ds.attrs), "", *_variables(ds)])
    return _study(ds, title.format("study"))


def _files(path: Location) -> str:
    """Describe files that are no store of this package, by their format."""
    name = guess_format(path)
    reader = None if name is None else READERS[name]
    if reader is not None and reader.needed is not None:
        return (
            f"{path}: {reader.title} (format {name})\n"
            f"a study only with {reader.needed}; make one with: bulklmm import {name} {path} STUDY "
            f"{reader.needed} FILE"
        )
    ds = read_alone(path, name)
    return _study(ds, f"{path}: {READERS[str(name)].title}")


def _study(ds: xr.Dataset, title: str) -> str:
    kinships = [
        f"{words}: {ds[name].attrs.get('method', 'of unknown method')}"
        for name, words in (("kinship", "kinship"), (LOCO, "kinship by chromosome"))
        if name in ds
    ] or ["kinship: none yet; make one with: bulklmm kinship"]
    metadata = metadata_names(ds)
    known = [f"samples have: {by_name(metadata)}"] if metadata else []
    lines = [title, shape_of(ds), *kinships, *known, *_options(ds.attrs), "", *_variables(ds)]
    return "\n".join(lines)


def _kinship(matrix: xr.DataArray, title: str) -> str:
    by = f", {counted(len(matrix), 'chromosome')} left out in turn" if matrix.ndim == 3 else ""
    method = matrix.attrs.get("method", "of unknown method")
    lines = [title, f"{counted(matrix.sizes['samples_0'], 'sample')}{by}", f"kinship: {method}"]
    if "n_variants" in matrix.attrs:
        lines.append(f"markers: {matrix.attrs['n_variants']:,}")
    return "\n".join([*lines, "", *_variables(matrix.to_dataset(name="kinship"))])


def _result(path: Location, attrs: dict[str, Any], size: str) -> str:
    done, total = finished(path)
    whole = done == total and is_entered(path)
    share = "all blocks" if done == total else f"{min(done / total, 0.99):.0%}"
    state = "finished" if whole else f"{share} finished: {_rest(path)}"
    if by := being_written(path):
        state = f"{share} finished, {by}"
    ds = look_into(path)
    known = whole and "trait_status" in ds
    status = Counter(ds["trait_status"].values.tolist() if known else [])
    what, size_of = kind_of(ds)
    block = " x ".join(f"{length:,}" for length in attrs["block"])
    lines = [
        f"{path}: {what}, {state}, {size} on disk",
        size_of,
        f"{done:,} of {counted(total, 'block')} of {block} finished",
        *_options(attrs),
    ]
    if status:
        lines.append("traits: " + ", ".join(f"{n:,} {name}" for name, n in status.most_common()))
    return "\n".join([*lines, "", *_variables(ds)])


def _rest(path: Location) -> str:
    """What the next run of an unfinished result does."""
    if not marks(path, BLOCKS).all():
        return "run it again to go on"
    if not marks(path, TRAITS).all():
        return "run it again for the statistics of the traits"
    return "run it again, which only puts its journal into the manifest"


def _options(attrs: dict[str, Any]) -> list[str]:
    lists = {name: ", ".join(map(str, v)) for name, v in attrs.items() if isinstance(v, list)}
    switches = {name: "yes" if attrs[name] else "no" for name in _SWITCHES if name in attrs}
    every = attrs | lists | switches
    shown = {name: value for name, value in every.items() if name not in _INTERNAL}
    return [f"{name}: {'none' if value == '' else value}" for name, value in shown.items()]


def _variables(ds: xr.Dataset) -> list[str]:
    """One line a variable, the largest first: name, dimensions, type, bytes in memory."""
    rows = [
        (
            str(name),
            " x ".join(f"{dim} {size:,}" for dim, size in variable.sizes.items()),
            "text" if variable.dtype.kind in "OUT" else str(variable.dtype),
            "" if variable.dtype.kind in "OUT" else storage(variable.nbytes),
        )
        for name, variable in sorted(ds.variables.items(), key=lambda item: -item[1].nbytes)
        if name not in ds.dims
    ]
    widths = [max((len(row[column]) for row in rows), default=0) for column in range(3)]
    return [
        "  ".join(cell.ljust(width) for cell, width in zip(row, [*widths, 0], strict=True)).rstrip()
        for row in rows
    ]
