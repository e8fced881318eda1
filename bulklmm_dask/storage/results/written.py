"""What a task of a run has written, as it is noted by the process that drives the run."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field

import numpy as np

from bulklmm_dask.storage.places.location import Location
from bulklmm_dask.storage.proof.manifest import BLOCKS, TRAITS
from bulklmm_dask.storage.summaries.of_blocks import BlockSummary
from bulklmm_dask.typing import Sums


@dataclass(frozen=True)
class Written:
    """What a task has written.

    Attributes
    ----------
    mark : (int, int) or (int,)
        Index of a block, or of a chunk of traits.
    sums : mapping of str to array
        Checksums in the file of every array there.
    files : tuple of Location
        These files.
    length : int
        Bytes of these files together.
    summary : BlockSummary or None
        Summary of the LODs of a block, if it has any.
    """

    mark: tuple[int, ...]
    sums: Mapping[str, Sums] = field(default_factory=dict)
    files: tuple[Location, ...] = ()
    length: int = 0
    summary: BlockSummary | None = None

    @property
    def kind(self) -> str:
        """Array that its mark is in."""
        return kind_of(self.mark)

    def is_same(self, other: Written) -> bool:
        """Tell whether the same bytes were written, as a task that is tried again should."""
        return self.length == other.length and all(
            np.array_equal(sums, other.sums[name]) for name, sums in self.sums.items()
        )


# Who is told, in this process, what is about to be written into a store, by its path.
_told: dict[str, Callable[[Written], None]] = {}


@contextmanager
def telling(path: str, tell: Callable[[Written], None]) -> Iterator[None]:
    """Tell what is about to be written into a store: all but its last bytes, which are sent.

    If another run of this process makes the store meanwhile, that one is told from then on.
    """
    _told[path] = tell
    try:
        yield
    finally:
        if _told.get(path) == tell:
            del _told[path]


def foretell(path: str, written: Written) -> None:
    """Tell, if anyone wants to know, what is written once the last requests are answered."""
    if (tell := _told.get(path)) is not None:
        tell(written)


def kind_of(mark: tuple[int, ...]) -> str:
    """Array of marks of blocks, or of chunks of traits."""
    return BLOCKS if len(mark) == 2 else TRAITS
