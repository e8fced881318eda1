"""Manifests: marks of finished blocks, written after the files that they vouch for.

A result has two manifests, one of blocks and one of trait chunks. The mark of an entry is the size
in bytes of the file of every array there, 0 until the entry is finished. Stores of format 1 have a
single 1 for a finished entry instead.

A study has a group of manifests, one for each large array, written before the study appears under
its name.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import zarr

from bulklmm_dask.storage.chunks import file_of, files, grid, is_whole
from bulklmm_dask.storage.location import Location
from bulklmm_dask.typing import Flags

Mark = tuple[int, ...]  # index of an entry

_ARRAYS = "arrays"  # attribute of a manifest: names, in the order of its last dimension
_STUDY = "manifest"  # group in a study


@dataclass(frozen=True)
class Manifest:
    """One of the manifests of a result.

    Attributes
    ----------
    store : Location
        The result.
    name : str
        Name of its Zarr array.
    leading : bool
        Whether an entry stands for the first dimensions of the files of its arrays, or for the last
        ones; along all others there is one file.
    """

    store: Location
    name: str
    leading: bool

    def create(
        self, group: zarr.Group, shape: Sequence[int], dims: Sequence[str], arrays: Sequence[str]
    ) -> None:
        """Create the Zarr array of the manifest, without marks."""
        group.create_array(
            self.name,
            shape=(*shape, len(arrays)),
            dtype="uint64",
            chunks=(*(1 for _ in shape), max(1, len(arrays))),
            compressors=None,
            dimension_names=(*dims, f"{self.name}_{_ARRAYS}"),
            attributes={_ARRAYS: list(arrays)},
        )

    def finished(self) -> Flags:
        """Tell for every entry whether it is marked."""
        return self._marked(self._open("r"))

    def mark(self, index: Mark, arrays: Mapping[str, Any]) -> None:
        """Record the sizes of the files of an entry, after all its arrays were written."""
        manifest = self._open("r+")
        sizes = [self._file(name, arrays[name], index).size() for name in manifest.attrs[_ARRAYS]]
        manifest[index] = np.array(sizes, dtype=np.uint64)

    def discard(self, index: Mark, file: Location) -> None:
        """Remove the mark of an entry, and a file of it that is not whole."""
        self._open("r+")[index] = 0
        file.remove()

    def damaged(self, names: Sequence[str]) -> Iterator[tuple[Mark, Location]]:
        """Yield index and file for each file of a marked entry that is missing or not whole."""
        manifest = self._open("r")
        marks: list[Mark] = [tuple(mark) for mark in np.argwhere(self._marked(manifest)).tolist()]
        values = np.asarray(manifest[:])
        for position, name in enumerate(names):
            array = self.store.open_array(name)
            for mark in marks:
                file = self._file(name, array, mark)
                size = int(values[mark][position]) if _has_sizes(manifest) else None
                if not _is_whole(file, size, array, self._index(array, mark)):
                    yield mark, file

    def _open(self, mode: str) -> Any:
        return self.store.open_array(self.name, mode)

    def _marked(self, manifest: Any) -> Flags:
        values: npt.NDArray[np.integer] = np.asarray(manifest[:])
        return np.all(values > 0, axis=-1) if _has_sizes(manifest) else values > 0

    def _index(self, array: Any, mark: Mark) -> Mark:
        rest = (0,) * (array.ndim - len(mark))
        return (*mark, *rest) if self.leading else (*rest, *mark)

    def _file(self, name: str, array: Any, mark: Mark) -> Location:
        return file_of(self.store, name, array, self._index(array, mark))


def _has_sizes(manifest: Any) -> bool:
    return _ARRAYS in manifest.attrs


def _is_whole(file: Location, size: int | None, array: Any, index: Mark) -> bool:
    """Compare a file with its recorded size, None where there is no record.

    A worker that Dask took for lost may write a block again after it was marked, and the same
    scores may compress to a few bytes more or less. So if the size differs, the codecs decide.
    """
    return (size is not None and file.size() == size) or is_whole(file, array, index)


def record_study(store: Location, names: Sequence[str]) -> None:
    """Record the sizes of all files of these arrays of a study, once all are written."""
    group = store.open_group("r+").create_group(_STUDY)
    for name in names:
        array = store.open_array(name)
        sizes = np.array([file.size() for _, file in files(store, name, array)], dtype=np.uint64)
        group.create_array(name, data=sizes.reshape(grid(array)))


def damaged_files(store: Location, names: Sequence[str]) -> Iterator[Location]:
    """Yield the files of arrays of a study that are missing or not whole."""
    recorded = store.open_group()
    manifest: Any = recorded.get(_STUDY, {})
    for name in names:
        array = store.open_array(name)
        sizes = np.asarray(manifest[name][...]) if name in manifest else None
        for index, file in files(store, name, array):
            if not _is_whole(file, None if sizes is None else int(sizes[index]), array, index):
                yield file
