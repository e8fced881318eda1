"""Writing of blocks: each is written as a whole shard, or chunk, of every array.

Concurrent writers of one shard would corrupt it without an error, so a write that does not cover
whole blocks is refused. Blocks that hold only the fill value are written too: an absent file is a
lost one.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from threading import Lock
from typing import Any, NamedTuple, TypeAlias

import numpy as np
import numpy.typing as npt

from bulklmm_dask.errors import StoreError
from bulklmm_dask.storage.arrays.form import Form
from bulklmm_dask.storage.arrays.shard import write
from bulklmm_dask.storage.codecs.compression import FAST, Compression
from bulklmm_dask.storage.labels.layout import Layout
from bulklmm_dask.storage.places.location import Location, explained
from bulklmm_dask.storage.places.lock import Held
from bulklmm_dask.storage.places.share import Share
from bulklmm_dask.storage.proof.manifest import BLOCKS, TRAITS, entered, marks, place
from bulklmm_dask.storage.results.written import Written, foretell, kind_of
from bulklmm_dask.storage.summaries.of_blocks import BlockSummary, summary_of
from bulklmm_dask.typing import Flags, Index, Sums

_KEPT = "finished blocks are kept: "


def _form(array: Location, held: Held | None) -> Form:
    """Form of an array, once for all blocks that a process writes under a lock."""
    return Form.of(array) if held is None else _known_form(array, held)


@lru_cache(maxsize=64)
def _known_form(array: Location, _: Held) -> Form:
    return Form.of(array)


class _Part(NamedTuple):
    """The file of a part of an array, the checksums in it, and its length in bytes."""

    file: Location
    sums: Sums
    length: int


@dataclass(frozen=True)
class ResultStore:
    """A result on disk; a path, a layout and a lock, so that it is cheap to send to any worker.

    A write raises StoreError once the lock of its run is lost. A store that is not yet under its
    name has none. A run that has a share of the traits finishes that only.
    """

    path: str
    layout: Layout
    compression: Compression = FAST
    held: Held | None = None
    share: Share | None = None

    @property
    def location(self) -> Location:
        """Location of the store."""
        return Location(self.path)

    def made(self) -> ResultStore:
        """The store itself (`NewStore.made`)."""
        return self

    def pending_blocks(self) -> list[tuple[int, int]]:
        """Blocks (i, j) that a run begins with, chunk by chunk of traits: its journal is empty."""
        done = entered(self.location, BLOCKS)
        return [(int(i), int(j)) for j, i in np.argwhere(~done.T & self._is_own[:, None])]

    def pending_traits(self) -> npt.NDArray[np.int64]:
        """Chunks of traits that it begins with: their values per trait are not written."""
        return np.flatnonzero(~entered(self.location, TRAITS) & self._is_own)

    @property
    def _is_own(self) -> Flags:
        """Which chunks of traits the run has to finish: all, or those of its share."""
        columns = self.layout.blocks[1]
        own = np.zeros(columns, bool)
        own[slice(None) if self.share is None else self.share.part(columns)] = True
        return own

    def remove_partial_chunks(self) -> None:
        """Remove what workers that were killed have left, unless it may be of another run."""
        if self.share is None:
            self.location.remove_partial_chunks()

    def write_block(
        self,
        i: int,
        j: int,
        values: Mapping[str, npt.NDArray[Any]],
        where: Index | None = None,
    ) -> Written:
        """Write block (i, j) of every statistic; the `Journal` notes what is returned.

        Parameters
        ----------
        i, j : int
            Index of the block.
        values : mapping of str to array
            The block, (variants, traits, ...), of every statistic.
        where : array (variants,) of int, optional
            The row of `values` that each marker has, if copies of a marker share one.
        """
        rounded = {name: self.compression.rounded(block) for name, block in values.items()}
        summary = summary_of(self.location, self.held, i, rounded, where)
        return self._write((i, j), rounded, where, summary)

    def write_traits(self, j: int, values: Mapping[str, npt.NDArray[Any]]) -> Written:
        """Write the values per trait of trait chunk j; the `Journal` notes what is returned."""
        return self._write((j,), values)

    def _bytes_left(self, mark: tuple[int, ...], values: Mapping[str, npt.NDArray[Any]]) -> int:
        """Bytes of what is not marked as finished, before compression, from those of one part."""
        parts = np.count_nonzero(~marks(self.location, kind_of(mark)))
        return int(parts) * sum(part.nbytes for part in values.values())

    def _write(
        self,
        mark: tuple[int, ...],
        values: Mapping[str, npt.NDArray[Any]],
        where: Index | None = None,
        summary: BlockSummary | None = None,
    ) -> Written:
        if self.held is not None:
            self.held.require()
        parts: dict[str, _Part] = {}
        lock = Lock()

        def note(name: str, part: _Part) -> None:
            """Note a part whose bytes are known, and tell of all once the last one is."""
            with lock:
                parts[name] = part
                is_last = len(parts) == len(values)
            if is_last:
                foretell(self.path, written())

        def written() -> Written:
            return Written(
                mark,
                sums={name: parts[name].sums for name in values},
                files=tuple(parts[name].file for name in values),
                length=sum(part.length for part in parts.values()),
                summary=summary,
            )

        with explained(self.path, _KEPT, lambda: self._bytes_left(mark, values)):
            for _ in self.location.each(
                lambda item: self._write_part(mark, *item, where, note), values.items()
            ):
                pass
        return written()

    def _write_part(
        self,
        mark: tuple[int, ...],
        name: str,
        part: npt.NDArray[Any],
        where: Index | None,
        note: Callable[[str, _Part], None],
    ) -> None:
        """Write the part of an array; note it once its bytes are known, before they are sent."""
        form = _form(self.location / name, self.held)
        index = place(mark, len(form.shape))
        shape = tuple(edge.stop - edge.start for edge in form.region(index))
        found = part.shape if where is None else (*where.shape, *part.shape[1:])
        if found != shape:
            raise StoreError(
                f"{self.path}: block {mark} of {name} has shape {found}, not {shape}; "
                "a write that does not cover whole blocks corrupts its neighbours"
            )
        file = self.location / name / form.path(index)
        with file.replacing() as stream:
            sums = write(stream, form, part, where)
            note(name, _Part(file, sums, stream.tell()))
        file.begin_sync()


@dataclass(frozen=True)
class NewStore:
    """A result store that is being made, while others compute what is to be written into it.

    Attributes
    ----------
    path : str
        Its path or URL.
    layout : Layout
        Its sizes.
    made : callable
        Waits for the store, and gives it; raises what has kept it from being made.
    """

    path: str
    layout: Layout
    made: Callable[[], ResultStore]

    @property
    def share(self) -> None:
        """No share: a run that makes a store meanwhile writes all of it."""

    @property
    def location(self) -> Location:
        """Location of the store."""
        return Location(self.path)

    def pending_blocks(self) -> list[tuple[int, int]]:
        """All blocks (i, j), chunk by chunk of traits."""
        rows, columns = self.layout.blocks
        return [(i, j) for j in range(columns) for i in range(rows)]

    def pending_traits(self) -> npt.NDArray[np.int64]:
        """All chunks of traits."""
        return np.arange(self.layout.blocks[1])


# What a run writes into.
Target: TypeAlias = ResultStore | NewStore
