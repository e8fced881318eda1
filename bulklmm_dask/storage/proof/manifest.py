"""The manifest of a store: checksums of the files of large arrays, and marks of finished blocks.

The group ``manifest`` has an array for each large array of the store. Its first dimensions are the
grid of the files; along the last one are the checksums in a file (`sums`). A result also has the
marks ``manifest_blocks`` (a number for each block) and ``manifest_traits`` (one for each chunk of
traits): 0 before all arrays are written there, then 1 more than the bytes of their files. The sums
and marks of 16,384 files share a file: these are written once, at the end of a run. Until then its
journal has them (`entry`).
"""

from __future__ import annotations

import io
import math
import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import CancelledError, Future
from contextlib import suppress
from dataclasses import dataclass, field, replace
from functools import lru_cache, partial
from typing import IO, Any, Self

import numpy as np

from bulklmm_dask.errors import StoreError
from bulklmm_dask.storage.arrays.datasets import make_array, read_array
from bulklmm_dask.storage.arrays.form import Form
from bulklmm_dask.storage.arrays.pieces import Region, bounds, touched
from bulklmm_dask.storage.arrays.shard import read
from bulklmm_dask.storage.arrays.sums import ENTRY, SUM, sound, sums_of
from bulklmm_dask.storage.places.location import METADATA, Location
from bulklmm_dask.storage.proof.attributes import attributes_in
from bulklmm_dask.storage.proof.entry import BLOCKS as BLOCKS
from bulklmm_dask.storage.proof.entry import TRAITS as TRAITS
from bulklmm_dask.storage.proof.entry import entries_of, marked
from bulklmm_dask.storage.proof.remedy import remedy
from bulklmm_dask.storage.proof.stamp import DIGEST, PARTS, VALUES
from bulklmm_dask.text import counted
from bulklmm_dask.typing import Flags, Index, Sums

MANIFEST = "manifest"
# Bytes of files that are read ahead (`ahead`), by their URLs and the tokens of their openings.
early_files: dict[tuple[str, str], Future[bytes]] = {}
# Files whose sums, or blocks whose marks, share a file.
_TOGETHER = 2**14
# Files that an array may lack: version 0.1.0 wrote none for blocks that are not finished.
_MOST_ABSENT = 10_000
# Bytes of a shard, decoded, of which single chunks are read from a server by requests of their own:
# two that wait for each other, so that it is done for one chunk of so many.
_LARGE, _FEW = 2**23, 16


def sums_name(name: str) -> str:
    """Name of the array with the checksums of the files of an array."""
    return f"{MANIFEST}/{name}"


def create_sums(store: Location, names: Sequence[str]) -> None:
    """Create the manifest of arrays, all sums 0; the group of the manifest comes with the seal."""
    for name in names:
        _make_sums(store, name, Form.of(store / name), np.zeros((), np.uint32))


def _make_sums(store: Location, name: str, form: Form, sums: Sums) -> None:
    """Create the part of the manifest of an array; `sums` are broadcast to all its files."""
    shape = (*form.files, 1 + form.chunks_of_shard)
    values = np.broadcast_to(sums, shape)
    make_array(store / sums_name(name), values, (*together(shape[:-1]), shape[-1]))


def create_marks(store: Location, name: str, shape: tuple[int, ...], dims: Sequence[str]) -> None:
    """Create marks of blocks or of chunks of traits, all 0."""
    marks = np.zeros(shape, np.uint64)
    make_array(store / name, marks, together(shape), dims=tuple(dims))


def together(shape: Sequence[int], most: int = _TOGETHER) -> tuple[int, ...]:
    """Sizes of the part of a grid that shares a file: along the first dimensions first."""
    left, sizes = most, []
    for size in shape:
        sizes.append(max(1, min(size, left)))
        left = max(1, left // sizes[-1])
    return tuple(sizes)


def place(mark: tuple[int, ...], dimensions: int) -> tuple[int, ...]:
    """Index of the file of a block (i, j), or of a chunk of traits (j,), in the grid of an array.

    Blocks are cut along the first dimensions of an array, chunks of traits along the last one.
    """
    rest = (0,) * (dimensions - len(mark))
    return (*rest, *mark) if len(mark) == 1 else (*mark, *rest)


def places(marks: Index, dimensions: int) -> Index:
    """Do for marks (marks, 1 or 2) what `place` does for one."""
    count, size = marks.shape
    rest = np.zeros((count, dimensions - size), np.int64)
    return np.concatenate([rest, marks] if size == 1 else [marks, rest], axis=1)


def marks(store: Location, name: str) -> Flags:
    """Tell for every block, or for every chunk of traits, whether it is marked.

    Those that only the journal of a run tells of are marked too.
    """
    found = entered(store, name)
    if not found.all():
        for known in marked(store):
            _set(found, known.get(name, ()), True)
    return found


def entered(store: Location, name: str) -> Flags:
    """Tell the same without the journal, by the array alone."""
    return entries(store, name) > 0


def recorded(store: Location, name: str, kind: str) -> dict[tuple[int, ...], Any]:
    """Give what is recorded of the finished files of an array, by their index.

    Parameters
    ----------
    store : Location
        A result; what only the journal of a run tells counts too, as far as that is sound.
    name : str
        An array that is written with marks of this kind.
    kind : str
        `BLOCKS` or `TRAITS`.
    """
    sums = entries(store, sums_name(name))
    done = map(tuple, np.argwhere(entered(store, kind)).tolist())
    found = {index: sums[index] for index in (place(mark, sums.ndim - 1) for mark in done)}
    for entry in entries_of(store):
        if kind in entry:
            of_marks = (place(mark, sums.ndim - 1) for mark in entry[kind].marks)
            found |= dict(zip(of_marks, entry[kind].arrays[sums_name(name)], strict=True))
    return found


def _set(values: Any, places: Sequence[tuple[int, ...]], to: Any) -> None:
    """Set the elements, or the rows, at some places of an array."""
    if len(places):
        values[tuple(np.array(places).T)] = to


def mark_for(length: int) -> int:
    """Mark of a block, or of a chunk of traits, whose files have so many bytes together."""
    return 1 + length


def entries(store: Location, name: str) -> Any:
    """Read all of an array of the manifest.

    Damaged metadata may tell of any number of files; those that cannot be there are not looked for.
    """
    array = store / name
    form = Form.at(array)  # those of format 1 have no checksum
    told = math.prod(form.files)
    if told > _MOST_ABSENT and array.count() < told:
        raise StoreError(
            f"{array} is damaged: its metadata tell of {counted(told, 'file')}, which are not "
            f"there; {remedy(store)}"
        )
    try:
        return read_array(array, form)
    except (LookupError, ValueError, RuntimeError) as error:
        raise StoreError(f"{array} is damaged ({error}); {remedy(store)}") from error


def record(store: Location, names: Sequence[str]) -> None:
    """Write the checksums of all files of these arrays, once all are written."""
    for name in names:
        array = store / name
        form = Form.of(array)
        found = np.zeros((*form.files, 1 + form.chunks_of_shard), np.uint32)
        places = {index: array / form.path(index) for index in np.ndindex(form.files)}
        there = store.each(partial(sums_of, inner=form.chunks_of_shard), places.values())
        for (index, file), sums_there in zip(places.items(), there, strict=True):
            if sums_there is None:
                raise StoreError(f"{array} lacks its file {file.below(array)}; {remedy(store)}")
            found[index] = sums_there
        _make_sums(store, name, form, found)


def wrong_files(
    store: Location,
    name: str,
    chosen: Sequence[tuple[int, ...]] | None = None,
    *,
    read: bool = False,
) -> Iterator[tuple[tuple[int, ...], Location]]:
    """Yield index and location of the files of an array that are not those that were recorded.

    The bytes within the chunks are compared with their checksums only with `read`. `chosen` are the
    indices to look at, all by default.
    """
    form = Form.of(store / name)
    inner, sums = form.chunks_of_shard, entries(store, sums_name(name))
    indices = list(np.ndindex(form.files) if chosen is None else chosen)

    def is_same(index: tuple[int, ...]) -> bool:
        file = store / name / form.path(index)
        try:
            found = sums_of(file, inner)
            same = found is not None and np.array_equal(found, sums[index])
            return same and (not read or sound(file.read_bytes(), inner))
        except OSError:  # the disk does not give it
            return False

    for index, same in zip(
        indices, store.each(is_same, indices, large=read or inner > 0), strict=True
    ):
        if not same:
            yield index, store / name / form.path(index)


def identity(attrs: Mapping[str, Any], name: str) -> str | None:
    """What tells a large array from that of another store: a text in the attributes of its store.

    It is the digest of its checksums if these were written once, else that of all attributes. None
    for a store without a seal.
    """
    manifest = attrs.get(PARTS, {}).get(sums_name(name), {})
    found: str | None = manifest.get("content", attrs.get(DIGEST))
    return found


@dataclass(frozen=True)
class Opening:
    """A large array as it was when its store was opened.

    Attributes
    ----------
    identity : str or None
        Its `identity`; None if the manifest does not list its files.
    values : str or None
        Digest of its values, if it was kept when the store was saved.
    token : str
        A text that is another each time the store is opened.
    known : (Form, array) or None
        Its form and checksums, if they are known in this process; not sent to workers.
    """

    identity: str | None
    values: str | None = None
    token: str = field(default_factory=lambda: uuid.uuid4().hex)
    known: tuple[Form, Sums] | None = field(default=None, compare=False, repr=False)

    def __reduce__(self) -> Any:
        return type(self), (self.identity, self.values, self.token)

    @classmethod
    def of(cls, store: Location, name: str, attrs: Mapping[str, Any]) -> Self:
        """An array of a store that is being opened, with these attributes.

        What was read of a server is kept: it is not asked for again, and neither is whether the
        store is the same, unless a file is another one than its checksums say.
        """
        opening = cls(identity(attrs, name), attrs.get(VALUES, {}).get(name))
        if opening.identity is None or not store.is_far:
            return opening
        with suppress(StoreError):  # whoever reads the array is told
            return replace(opening, known=(Form.of(store / name), entries(store, sums_name(name))))
        return opening

    @classmethod
    def now(cls, store: Location, name: str) -> Self:
        """The array as it is now."""
        return cls(identity(attributes_in(store / METADATA) or {}, name))

    def require_same(self, store: Location, name: str) -> None:
        """Raise StoreError if the store was replaced meanwhile."""
        if Opening.now(store, name).identity != self.identity:
            raise StoreError(
                f"{store} is not the store that was opened: it was replaced, changed or removed "
                "since; open it again"
            )


def opened_once(store: Location, name: str, opening: Opening) -> tuple[Form, Sums]:
    """Form and checksums of an array, once for all blocks that a process reads.

    Raises
    ------
    StoreError
        If the store was replaced since that opening.
    """
    return opening.known or _looked_up(store, name, opening)


@lru_cache(maxsize=64)
def _looked_up(store: Location, name: str, opening: Opening) -> tuple[Form, Sums]:
    looks: tuple[Callable[[], Any], ...] = (
        lambda: Form.of(store / name),
        lambda: entries(store, sums_name(name)),
        lambda: opening.require_same(store, name),
    )
    form, sums, _ = store.each(lambda look: look(), looks)
    return form, sums


def _early(file: Location, opening: Opening) -> io.BytesIO | None:
    """The bytes of a file that was read ahead; None if it was not, or could not be."""
    early = early_files.get((file.path, opening.token))
    try:
        return None if early is None else io.BytesIO(early.result())
    except (OSError, StoreError, CancelledError):
        return None


def _opened(file: Location, form: Form, part: Region) -> IO[bytes]:
    """A file of an array; of a large shard of which one chunk or few are read, these alone."""
    chunks = form.chunks_of_shard
    size = math.prod(form.file) * form.dtype.itemsize
    is_little = size >= _LARGE and sum(1 for _ in touched(part, form.chunk)) * _FEW <= chunks
    return file.open_parts(chunks * ENTRY + SUM) if is_little else file.open()


def read_checked(store: Location, name: str, key: tuple[Any, ...], opening: Opening) -> Any:
    """Read a part of an array; what is read is compared with the checksums that are recorded.

    Parameters
    ----------
    store : Location
        A store with a manifest.
    name : str
        A large array of it.
    key : tuple of int or slice
        The part; slices rise.
    opening : Opening
        When the store was opened.

    Raises
    ------
    StoreError
        If a file is lost, damaged, or not the one that was written; or if the store was replaced.
    """
    form, sums = opened_once(store, name, opening)
    region, within = bounds(key, form.shape)
    out = np.empty([edge.stop - edge.start for edge in region], form.dtype.newbyteorder("="))
    for index, of_file, of_region in touched(region, form.file):
        file = store / name / form.path(index)
        try:
            with _early(file, opening) or _opened(file, form, of_file) as stream:
                out[of_region] = read(stream, form, of_file, sums[index])
        except (FileNotFoundError, NotADirectoryError, ValueError, RuntimeError) as error:
            opening.require_same(store, name)
            lost = isinstance(error, OSError)
            raise StoreError(
                f"{store / name} is damaged: its file {form.path(index)} is "
                f"{'lost' if lost else f'not the one that was written ({error})'}; {remedy(store)}"
            ) from error
    return out[within]
