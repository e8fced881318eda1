"""The manifest of a store: checksums of the files of large arrays, and marks of finished blocks.

The group ``manifest`` has an array for each large array of the store. Its first dimensions are the
grid of the files; along the last one are the checksums in a file (`sums`). A result also has the
marks ``manifest_blocks`` (a number for each block) and ``manifest_traits`` (one for each chunk of
traits): 1 once all arrays are written there, 0 before. The sums and marks of 256 files share a
file, so that a store of many blocks has few of these.
"""

from __future__ import annotations

import math
import uuid
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any, Self

import numpy as np

from bulklmm_dask.errors import StoreError
from bulklmm_dask.storage.arrays.chunks import file_of, file_shape, files, grid
from bulklmm_dask.storage.arrays.datasets import make_array, make_group
from bulklmm_dask.storage.arrays.form import Form
from bulklmm_dask.storage.arrays.sums import inner_chunks, sound, sums_of
from bulklmm_dask.storage.places.location import METADATA, Location
from bulklmm_dask.storage.proof.attributes import attributes_in
from bulklmm_dask.storage.proof.remedy import remedy
from bulklmm_dask.storage.proof.stamp import DIGEST, PARTS
from bulklmm_dask.text import counted
from bulklmm_dask.typing import Flags

MANIFEST = "manifest"
BLOCKS, TRAITS = "manifest_blocks", "manifest_traits"
# Files whose sums, or blocks whose marks, share a file.
_TOGETHER = 256
# Files that an array may lack: version 0.1.0 wrote none for blocks that are not finished.
_MOST_ABSENT = 10_000


def sums_name(name: str) -> str:
    """Name of the array with the checksums of the files of an array."""
    return f"{MANIFEST}/{name}"


def create_sums(store: Location, names: Sequence[str]) -> None:
    """Create the manifest of arrays, all sums 0."""
    if names and not (store / MANIFEST).exists():
        make_group(store / MANIFEST)
    for name in names:
        form = Form.of(store / name)
        shape = (*form.files, 1 + (0 if form.inner is None else math.prod(form.grid)))
        sums = np.zeros(shape, np.uint32)
        make_array(store / sums_name(name), sums, (*together(shape[:-1]), shape[-1]))


def create_marks(store: Location, name: str, shape: tuple[int, ...], dims: Sequence[str]) -> None:
    """Create marks of blocks or of chunks of traits, all 0."""
    marks = np.zeros(shape, np.uint8)
    make_array(store / name, marks, together(shape), dims=tuple(dims))


def together(shape: Sequence[int]) -> tuple[int, ...]:
    """Sizes of the part of a grid that shares a file: along the first dimensions first."""
    left, sizes = _TOGETHER, []
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


def marks(store: Location, name: str) -> Flags:
    """Tell for every block, or for every chunk of traits, whether it is marked."""
    return entries(store, name) > 0


def entries(store: Location, name: str) -> Any:
    """Read all of an array of the manifest.

    Damaged metadata may tell of any number of files; those that cannot be there are not looked for.
    """
    array = store.open_array(name)
    told = math.prod(grid(array))
    if told > _MOST_ABSENT and (store / name).count() < told:
        raise StoreError(
            f"{store / name} is damaged: its metadata tell of {counted(told, 'file')}, which are "
            f"not there; {remedy(store)}"
        )
    return np.asarray(array[...])


def record(store: Location, names: Sequence[str]) -> None:
    """Write the checksums of all files of these arrays, once all are written."""
    create_sums(store, names)
    for name in names:
        array, sums = store.open_array(name), store.open_array(sums_name(name), "r+")
        inner = inner_chunks(array)
        found = np.zeros(sums.shape, np.uint32)
        places = dict(files(store, name, array))
        read = store.each(lambda file: sums_of(file, inner), places.values())  # noqa: B023
        for index, of_file in zip(places, read, strict=True):
            found[index] = of_file
        sums[...] = found


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
    array, sums = store.open_array(name), entries(store, sums_name(name))
    inner = inner_chunks(array)
    indices = list(np.ndindex(grid(array)) if chosen is None else chosen)

    def is_same(index: tuple[int, ...]) -> bool:
        file = file_of(store, name, array, index)
        try:
            same = _is_recorded(file, array, sums[index])
            return same and (not read or sound(file.read_bytes(), inner))
        except OSError:  # the disk does not give it
            return False

    for index, same in zip(
        indices, store.each(is_same, indices, large=read or inner > 0), strict=True
    ):
        if not same:
            yield index, file_of(store, name, array, index)


def _is_recorded(file: Location, array: Any, sums: Any) -> bool:
    found = sums_of(file, inner_chunks(array))
    return found is not None and np.array_equal(found, sums)


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
    token : str
        A text that is another each time the store is opened.
    """

    identity: str | None
    token: str = field(default_factory=lambda: uuid.uuid4().hex)

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


@lru_cache(maxsize=64)
def opened_once(store: Location, name: str, opening: Opening) -> tuple[Any, Any]:
    """An array and its checksums, once for all blocks that a process reads.

    Raises
    ------
    StoreError
        If the store was replaced since that opening.
    """
    array, sums = store.open_array(name), entries(store, sums_name(name))
    opening.require_same(store, name)
    return array, sums


def read_checked(store: Location, name: str, key: tuple[Any, ...], opening: Opening) -> Any:
    """Read a part of an array, once the files that hold it are found to be those recorded.

    Zarr compares the bytes of every chunk with its checksum.

    Parameters
    ----------
    store : Location
        A store with a manifest.
    name : str
        A large array of it.
    key : tuple of int or slice
        The part.
    opening : Opening
        When the store was opened.
    """
    array, sums = opened_once(store, name, opening)
    ranges = [
        _pieces(one, size, piece)
        for one, size, piece in zip(key, array.shape, file_shape(array), strict=True)
    ]
    for offset in np.ndindex(*map(len, ranges)):
        index = tuple(part[i] for part, i in zip(ranges, offset, strict=True))
        file = file_of(store, name, array, index)
        if not _is_recorded(file, array, sums[index]):
            opening.require_same(store, name)
            part = array.metadata.encode_chunk_key(index)
            what = "is not the one that was written" if file.is_file() else "is lost"
            raise StoreError(f"{store / name} is damaged: its file {part} {what}; {remedy(store)}")
    return array[key]


def _pieces(one: Any, size: int, piece: int) -> range:
    """Numbers of the files along a dimension that hold a part of it."""
    if not isinstance(one, slice):
        return range(int(one) // piece, int(one) // piece + 1)
    rows = range(*one.indices(size))
    if not rows:
        return range(0)
    return range(min(rows[0], rows[-1]) // piece, max(rows[0], rows[-1]) // piece + 1)
