"""All bytes of a store read once, and compared with what was written."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from bulklmm_dask.errors import StoreError
from bulklmm_dask.storage.arrays.chunks import file_shape, files
from bulklmm_dask.storage.arrays.datasets import is_read
from bulklmm_dask.storage.arrays.form import Form
from bulklmm_dask.storage.arrays.sums import sound, sums_of
from bulklmm_dask.storage.health.contents import is_of_a_run
from bulklmm_dask.storage.places.location import METADATA, Location, ServerError
from bulklmm_dask.storage.proof.attributes import attributes_in
from bulklmm_dask.storage.proof.entry import damaged_entries
from bulklmm_dask.storage.proof.manifest import (
    BLOCKS,
    MANIFEST,
    TRAITS,
    entered,
    entries,
    recorded,
    sums_name,
)
from bulklmm_dask.storage.proof.seal import copy_of, is_metadata, is_sealed, same_content
from bulklmm_dask.storage.proof.stamp import PARTS, is_first
from bulklmm_dask.storage.summaries.files import unwritten
from bulklmm_dask.storage.summaries.of_blocks import SUMMARY
from bulklmm_dask.storage.summaries.stored import StoredSummary

LOST, SHORT, CHANGED, ANOTHER, UNREADABLE, SURPLUS = (
    "lost",
    "cut short",
    "changed",
    "another file",
    "unreadable",
    "surplus",
)


_LARGE = 2**21  # bytes of a file, decoded, of which few are read together


@dataclass(frozen=True)
class Finding:
    """A part of a store that is not as it was written.

    Attributes
    ----------
    array : str
        The array or group; empty for the root group.
    file : str
        The file, below the store.
    problem : str
        "lost"; "cut short"; "changed", other bytes; "another file", sound but not the one that was
        written there, such as an older or an exchanged one; "unreadable", for the disk does not
        give it; "surplus", not of the store.
    """

    array: str
    file: str
    problem: str


def examine(store: Location, read: Callable[[int], None]) -> Iterator[Finding]:
    """Compare all files of a store with its seal, its manifest and their checksums.

    Blocks that a run has not finished are not looked at. Stores of version 0.1.0 have no checksums:
    their chunks are decoded, which shows files that are lost or cut short, but few changed bytes.

    Parameters
    ----------
    store : Location
        A study or a result of this package.
    read : callable
        Called with the size of each file, in bytes, once it was read.

    Yields
    ------
    Finding
    """
    root = store / METADATA
    attrs = attributes_in(root)
    if attrs is not None and is_first(attrs):
        yield from _decoded(store, read)
        return
    read(root.size())
    if attrs is None or not is_sealed(attrs):
        yield Finding("", METADATA, CHANGED if root.is_file() else LOST)
        attrs = copy_of(store) or attrs or {}
        if PARTS not in attrs:  # what there should be is not known
            copy = store / MANIFEST / METADATA
            yield Finding(MANIFEST, f"{MANIFEST}/{METADATA}", CHANGED if copy.is_file() else LOST)
            return
    large = tuple(f"{name}/c/" for name in attrs[PARTS] if sums_name(name) in attrs[PARTS])
    store.fetch(lambda path: not path.startswith(large))
    expected, unknown, wrong = {METADATA, f"{MANIFEST}/{METADATA}"}, list[str](), set[str]()
    for name, part in attrs[PARTS].items():
        metadata = f"{name}/{METADATA}"
        expected.add(metadata)
        file = store / metadata
        read(file.size())
        problem = _problem_of_metadata(file, part)
        if problem is not None:
            wrong.add(name)
            unknown.append(f"{name}/")  # which files it should have
            yield Finding(name, metadata, problem)
        elif "shape" in part:
            form = Form.at(store / name)
            expected |= {f"{name}/{form.path(index)}" for index in np.ndindex(form.files)}
            for finding in _of_array(store, name, form, part, attrs, read):
                wrong.add(name)
                yield finding
    for file in damaged_entries(store):
        yield Finding(BLOCKS, file.below(store), CHANGED)
    if wrong <= set(attrs.get("statistics", ())):  # all that summaries are compared with is sound
        yield from _of_summary(store)
    for path in store.files():
        if path not in expected and not is_of_a_run(path) and not path.startswith(tuple(unknown)):
            yield Finding(path.split("/")[0], path, SURPLUS)


def _of_array(
    store: Location,
    name: str,
    form: Form,
    part: Mapping[str, Any],
    attrs: Mapping[str, Any],
    read: Callable[[int], None],
) -> Iterator[Finding]:
    """Findings in the files of an array."""
    recorded, inner = _recorded(store, name, form, attrs), form.chunks_of_shard
    wrong = False
    absent = unwritten(store, name) if name.startswith(f"{SUMMARY}/") else ()
    chosen = list(np.ndindex(form.files) if recorded is None else sorted(recorded))

    def look(index: tuple[int, ...]) -> tuple[Location, int, str | None]:
        file = store / name / form.path(index)
        if index in absent and not file.is_file():
            return file, 0, None
        problem = _problem(file, inner, None if recorded is None else recorded[index])
        return file, file.size(), problem

    large = math.prod(form.file) * form.dtype.itemsize > _LARGE
    for file, size, problem in store.each(look, chosen, large=large):
        read(size)
        if problem is not None:
            wrong = True
            yield Finding(name, file.below(store), problem)
    if wrong or recorded is not None:
        return
    if not (same_content(store, name, part) if "content" in part else is_read(store / name, form)):
        yield Finding(name, f"{name}/c", ANOTHER)


def _of_summary(store: Location) -> Iterator[Finding]:
    """A finding if summaries are sound by themselves, but not those of the finished blocks."""
    summary = StoredSummary.of(store)
    try:
        wrong = summary is not None and summary.wrong(entered(store, BLOCKS)).any()
    except ServerError:
        raise
    except StoreError:  # what it is compared with is damaged, which is a finding of its own
        return
    if wrong:
        yield Finding(SUMMARY, SUMMARY, ANOTHER)


def _recorded(
    store: Location, name: str, form: Form, attrs: Mapping[str, Any]
) -> dict[tuple[int, ...], Any] | None:
    """Checksums of the finished files of an array, by their index; None if it has no manifest."""
    if sums_name(name) not in attrs[PARTS]:
        return None
    try:
        if name in attrs.get("statistics", ()):
            found = recorded(store, name, BLOCKS)
        elif name in attrs.get("of_traits", ()):
            found = recorded(store, name, TRAITS)
        else:
            sums = entries(store, sums_name(name))
            found = {index: sums[index] for index in np.ndindex(sums.shape[:-1])}
        return found
    except ServerError:
        raise
    except Exception:  # a damaged manifest is a finding of its own
        return {}


def _problem_of_metadata(file: Location, part: Mapping[str, Any]) -> str | None:
    """What is wrong with the metadata of a part; None if nothing is."""
    if not file.is_file():
        return LOST
    try:
        return None if is_metadata(file, part) else CHANGED
    except OSError:
        return UNREADABLE


def _problem(file: Location, inner: int, recorded: Any) -> str | None:
    """What is wrong with a file; None if nothing is."""
    if not file.is_file():
        return LOST
    try:
        found = sums_of(file, inner)
        if found is None:
            return SHORT
        if not sound(file.read_bytes(), inner):
            return CHANGED
    except OSError:
        return UNREADABLE
    return None if recorded is None or np.array_equal(found, recorded) else ANOTHER


def _decoded(store: Location, read: Callable[[int], None]) -> Iterator[Finding]:
    """Findings in a store without checksums."""
    for name in store.names():
        if not (store / name / METADATA).is_file():
            continue
        try:
            array = store.open_array(name)
        except Exception:  # whatever damaged metadata lead to
            yield Finding(name, f"{name}/{METADATA}", CHANGED)
            continue
        for index, file in files(store, name, array):
            if not file.is_file():
                continue  # 0.1.0 did not write chunks of zeros, nor blocks that are not finished
            pieces = zip(index, file_shape(array), strict=True)
            try:
                array[tuple(slice(i * n, (i + 1) * n) for i, n in pieces)]
            except Exception:  # each codec fails in its own way
                yield Finding(name, file.below(store), CHANGED)
            read(file.size())
