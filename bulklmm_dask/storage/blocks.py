"""Writing of blocks: each is written as a whole shard, or chunk, of every array.

Concurrent writers of one shard would corrupt it without an error, so a write that does not cover
whole blocks is refused.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from bulklmm_dask.errors import StoreError
from bulklmm_dask.storage.chunks import file_of
from bulklmm_dask.storage.compression import FAST, Compression
from bulklmm_dask.storage.journal import Written
from bulklmm_dask.storage.layout import Layout
from bulklmm_dask.storage.location import Location, explained
from bulklmm_dask.storage.lock import Held
from bulklmm_dask.storage.manifest import BLOCKS, TRAITS, marks, place
from bulklmm_dask.storage.sums import inner_chunks, sums_of
from bulklmm_dask.surface import repeat

# Blocks that hold only the fill value are written too, so that an absent file is a lost one.
_WRITE_ALL: Any = {"write_empty_chunks": True}
_KEPT = "finished blocks are kept: "


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
