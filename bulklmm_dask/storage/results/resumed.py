"""A result store that a run writes into: a new one, or one left by an earlier run."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from functools import cache
from typing import Any

import numpy as np

from bulklmm_dask.errors import StoreError
from bulklmm_dask.storage.arrays.datasets import read_dataset
from bulklmm_dask.storage.arrays.form import Form
from bulklmm_dask.storage.codecs.compression import Compression, codec_of
from bulklmm_dask.storage.labels.layout import Field, Layout
from bulklmm_dask.storage.places.location import Location, ServerError, explained
from bulklmm_dask.storage.places.lock import Writer
from bulklmm_dask.storage.places.lock import writing as _writing
from bulklmm_dask.storage.places.share import Share
from bulklmm_dask.storage.places.shared import SharedWriter, opened_once_made, writing_share
from bulklmm_dask.storage.proof.manifest import BLOCKS, TRAITS, entered
from bulklmm_dask.storage.proof.remedy import remedy
from bulklmm_dask.storage.proof.stamp import FIRST, format_of, refuse_first_format
from bulklmm_dask.storage.results.blocks import ResultStore
from bulklmm_dask.storage.results.ledger import KEPT, Ledger, fold
from bulklmm_dask.storage.results.skeleton import Skeleton
from bulklmm_dask.storage.results.soundness import (
    block_sizes,
    damaged_files,
    finished,
    is_entered,
    readable,
    require_sealed,
    result_attributes,
)
from bulklmm_dask.storage.summaries.stored import StoredSummary
from bulklmm_dask.surface import either, option
from bulklmm_dask.text import counted


def looked_up(path: str | os.PathLike[str], share: Share | None = None) -> str | os.PathLike[str]:
    """The result store of a run, or the right to write it, for all that is asked before it runs.

    What is at a URL is looked up here, once. Where the run has a `share`, another one may be making
    the store, which is waited for.
    """
    if isinstance(path, Writer):
        return path
    place = Location.of(path)
    return place.opened(to_write=True) if share is None else opened_once_made(place)


@contextmanager
def writing(path: str | os.PathLike[str], share: Share | None = None) -> Iterator[Writer]:
    """Hold the right to write into a result store, which need not exist yet, or a share of it.

    Whoever holds it already may give it instead of the path.

    Raises
    ------
    StoreError
        If another run writes into it, or what is there is no result store.

    Warns
    -----
    StudyWarning
        If a run that wrote into it is dead, and its lock is taken over.
    """
    if isinstance(path, Writer):
        path.is_lent = True
        yield path
        return
    store = Location.of(path).opened(to_write=True)
    if store.exists():
        result_attributes(store)
    locked = _writing(store, *KEPT) if share is None else writing_share(store, *KEPT, share=share)
    with locked as writer:
        yield writer


def open_or_create(writer: Writer, skeleton: Callable[[], Skeleton]) -> ResultStore:
    """Make a result store, or open an existing one of the same inputs to resume or repair it.

    Parameters
    ----------
    writer : Writer
        The right to write into a folder that does not exist, or into a result store (`writing`).
    skeleton : callable
        Gives the `Skeleton` that an existing store must agree with; without a codec, a store keeps
        its own. It is called once a new folder is claimed.

    Raises
    ------
    StoreError
        If the folder cannot be written or is too small, the store has other inputs or is
        compressed in another way, or another run has made it meanwhile and writes into it.
    """
    store, wanted = writer.store, cache(skeleton)
    if writer.repair is not None:
        with store.scratch() as fresh:
            wanted().write(fresh)
            writer.repair(fresh)
    elif writer.makes_new:
        store.require_writable()
        try:
            with store.appearing(locked=True) as partial:
                store.require_writable(wanted().nbytes)
                wanted().write(partial)
                writer.put_into(partial)
            writer.keep()
        except StoreError:
            if not writer.has_come():
                raise
            writer.take()  # of the run that has made it meanwhile, if that has ended
        else:
            return _begun(writer, wanted().layout, wanted().compression)
    return _begun(writer, wanted().layout, _resume(writer, wanted()))


def _begun(writer: Writer, layout: Layout, compression: Compression) -> ResultStore:
    """The store of a writer, which from now on writes blocks."""
    share = None
    if isinstance(writer, SharedWriter):
        writer.begin()
        share = writer.share
    return ResultStore(writer.store.path, layout, compression, writer.held, share)


def end_share(writer: SharedWriter) -> None:
    """Put what the shares of a store have noted into its arrays, and give back the share.

    The journal stays where other shares are being written. Whatever cuts this off, the next share
    that ends, or any later run, does it.
    """
    with writer.ending():
        fold(writer.store, writer.held, alone=writer.is_alone)
        if writer.is_alone:
            writer.store.remove_partial_chunks()


def _in_words(before: Mapping[str, Any], now: Mapping[str, Any]) -> str:
    """Options that a store and a call have both, with their different values; empty for none."""
    common = [name for name in now if name in before and name != "version"]
    words = [
        f"{name} is {before[name]!r} there and {now[name]!r} here"
        for name in common
        if isinstance(now[name], str | int) and before[name] != now[name]
    ]
    return f" ({', '.join(words)})" if words else ""


def _resume(writer: Writer, skeleton: Skeleton) -> Compression:
    """Raise StoreError unless a store is of the same inputs; forget blocks that are damaged.

    Gives the compression of the store.
    """
    store = writer.store.opened()
    attrs = result_attributes(store)
    if format_of(store, attrs) == FIRST:
        done, total = finished(store)
        whole = either("open it with open_result, or ", "") if done == total else ""
        refuse_first_format(store, attrs, f"{whole}give another store, or remove this one")
    found, layout = attrs.get("fingerprints", {}), skeleton.layout
    other = [name for name, digest in skeleton.fingerprints.items() if found.get(name) != digest]
    if other == ["options"]:
        _require_digits(store, attrs.get("digits"), skeleton.compression.digits)
    if other:
        raise StoreError(
            f"{store} was made from other inputs: {', '.join(other)} differ"
            f"{_in_words(attrs, skeleton.template.attrs) if 'options' in other else ''}; give "
            "another store, or remove this one"
        )
    if list(layout.block) != attrs["block"]:
        raise StoreError(
            f"{store} has blocks of {attrs['block'][0]} {layout.dims[0]} x {attrs['block'][1]} "
            f"traits, not {layout.block[0]} x {layout.block[1]}; leave {option('chunks')} out to "
            "go on with its own"
        )
    store.require_writable()
    with readable(store):
        require_sealed(store, attrs)
        _require_fields(store, layout, skeleton.fields)
        own = _codec(store, attrs["statistics"], skeleton.compression)
        scores = [*attrs["statistics"], *attrs["of_traits"], BLOCKS, TRAITS]
        read_dataset(store, without=scores)  # raises if names or places are damaged
        fold(store, writer.held, alone=writer.is_alone)
        damaged = list(damaged_files(store, attrs, read=not is_entered(store)))
    with explained(store):
        ledger = Ledger(store, writer.held)
        for mark, _ in damaged:
            ledger.forget(mark)
        _summarise_again(store, layout, ledger, {mark for mark, _ in damaged})
        ledger.write()
        for _, file in damaged:
            file.remove()
        if writer.is_alone:
            store.remove_partial_chunks()
    return own


def _require_digits(store: Location, found: int | None, wanted: int | None) -> None:
    """Raise StoreError if a store keeps more or fewer digits of a number than are wanted."""
    if found == wanted:
        return
    kept, others = (
        "all digits" if digits is None else counted(digits, "significant digit")
        for digits in (found, wanted)
    )
    raise StoreError(
        f"{store} keeps {kept} of its numbers, not {others}; leave {option('digits')} out to go on "
        "with it, or give another store"
    )


def _codec(store: Location, names: Sequence[str], compression: Compression) -> Compression:
    """The compression with the codec of a store; StoreError if it is not the one that is given."""
    found = codec_of(Form.of(store / names[0]).codecs) if names else None
    if found is None:
        return compression
    if compression.name not in (None, found):
        raise StoreError(
            f"{store} is compressed by {found}, not {compression.name}; leave "
            f"{option('compression')} out to go on with it, or give another store"
        )
    return replace(compression, name=found)


def _summarise_again(
    store: Location, layout: Layout, ledger: Ledger, forgotten: set[tuple[int, ...]]
) -> None:
    """Make the summaries anew that are not those of their blocks, of the LODs in these.

    A block whose LODs cannot be read is forgotten.
    """
    summary = StoredSummary.of(store)
    if summary is None:
        return
    chosen = entered(store, BLOCKS)
    for mark in forgotten:
        if len(mark) == 2:
            chosen[mark] = False
    files, blocks = summary.doubtful(chosen)
    for i, j in np.argwhere(summary.wrong(blocks)).tolist():
        try:
            made, sums = summary.made_anew(i, j, layout.region(i, j))
        except ServerError:
            raise
        except StoreError:
            ledger.forget((i, j))
        else:
            ledger.note_summary((i, j), made, sums)
    ledger.vouch(files)


def _require_fields(store: Location, layout: Layout, fields: Mapping[str, Field]) -> None:
    """Raise StoreError unless the arrays of a store are those that a run writes to."""
    for name, blocks in ((BLOCKS, layout.blocks), (TRAITS, layout.blocks[1:])):
        if (found := Form.of(store / name).shape) != blocks:
            raise StoreError(
                f"{store / name} is damaged: it is of {found} blocks instead of {blocks}; "
                f"{remedy(store)}"
            )
    for name, field in fields.items():
        form = Form.of(store / name)
        if (form.shape, form.dtype, form.dims) != (field.shape, field.dtype, field.dims):
            raise StoreError(
                f"{store / name} is damaged: it is of shape {form.shape} and type {form.dtype} "
                f"instead of {field.shape} and {field.dtype}; {remedy(store)}"
            )
        if field.dims[:2] == layout.dims and form.file[:2] != layout.block:
            raise StoreError(
                f"{store / name} is damaged: its files hold {form.file[:2]} instead of "
                f"{layout.block}; {remedy(store)}"
            )


def block_of(path: str | os.PathLike[str], dims: tuple[str, str]) -> dict[str, int] | None:
    """Block sizes of an existing result store with these dimensions, None if there is no store."""
    store = Location.of(path).opened(to_write=True)
    if not store.exists():
        return None
    sizes = block_sizes(result_attributes(store))
    if tuple(sizes) != dims:
        raise StoreError(
            f"{store} is a result over {' and '.join(sizes)}, not {' and '.join(dims)}; give "
            "another store"
        )
    return sizes


def chunks_of(
    path: str | os.PathLike[str], dims: tuple[str, str], chunks: str | Mapping[str, int]
) -> str | Mapping[str, int]:
    """Chunks as asked for; sizes that are left out are those of a result store, if it exists."""
    given = chunks if isinstance(chunks, Mapping) else {}
    if set(dims) <= set(given) or not (given is chunks or chunks == "auto"):
        return chunks
    return {**(block_of(path, dims) or {}), **given} or "auto"


def digits_of(path: str | os.PathLike[str]) -> int | None:
    """Digits that an existing result store keeps; None for all, and if there is no store.

    Whoever holds the right to write knows them.
    """
    if isinstance(path, Writer):
        return None
    store = Location.of(path).opened(to_write=True)
    return result_attributes(store).get("digits") if store.exists() else None
