"""Runs: records in an order, in memory or in files, and the merging of many of them into one order.

A run of any length takes little memory: what is more than `Spill.most` lies in files, and a merge
reads some records of each run ahead.
"""

from __future__ import annotations

import uuid
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Protocol, Self, TypeAlias

import numpy as np
import numpy.typing as npt

from bulklmm_dask.storage.places.location import Location, explained
from bulklmm_dask.typing import Index

Records: TypeAlias = npt.NDArray[np.void]
# What records are ordered by, the most important first.
Keys: TypeAlias = Callable[[Records], tuple[npt.NDArray[Any], ...]]

# Records of all runs that a merge holds together, and the least of one of them.
_TOGETHER = 1 << 17
_LEAST = 256


@dataclass(frozen=True)
class Spill:
    """Where runs go that are too long for memory.

    Attributes
    ----------
    folder : Location
        Folder for their files, which all workers reach.
    most : int
        Bytes of a run that stay in memory.
    """

    folder: Location
    most: int

    def file(self, parts: Sequence[Records]) -> Location:
        """Write records into a file of a new name: a task that runs twice writes two."""
        path = self.folder / uuid.uuid4().hex
        with explained(self.folder), path.replacing() as stream:
            for part in parts:
                stream.write(part.tobytes())
        return path


@dataclass(frozen=True)
class Run:
    """Records in an order.

    Attributes
    ----------
    dtype : dtype
        Of a record.
    pieces : tuple of array or Location
        The records, or files of them.
    ends : tuple of int
        Number of records up to the end of each piece.
    """

    dtype: np.dtype[np.void]
    pieces: tuple[Records | Location, ...]
    ends: tuple[int, ...]

    @classmethod
    def of(
        cls, parts: Iterable[Records], dtype: np.dtype[np.void], spill: Spill | None = None
    ) -> Self:
        """Keep records that come part by part; in memory without `spill`, or where they are few."""
        pieces: list[Records | Location] = []
        ends, held, rows = list[int](), list[Records](), 0
        for part in parts:
            held.append(part)
            rows += len(part)
            if spill is not None and sum(one.nbytes for one in held) > spill.most:
                pieces.append(spill.file(held))
                ends.append(rows)
                held = []
        if spill is not None and pieces and held:
            pieces.append(spill.file(held))
        elif held:
            pieces.append(np.concatenate(held))
        else:
            return cls(dtype, tuple(pieces), tuple(ends))
        return cls(dtype, tuple(pieces), (*ends, rows))

    @property
    def rows(self) -> int:
        """Number of records."""
        return self.ends[-1] if self.ends else 0

    @property
    def is_held(self) -> bool:
        """Whether all of it is in memory."""
        return not any(isinstance(piece, Location) for piece in self.pieces)

    def read(self, start: int, stop: int) -> Records:
        """Read the records of a range."""
        found = [np.empty(0, self.dtype)]
        for piece, first, last in zip(self.pieces, (0, *self.ends), self.ends, strict=False):
            low, high = max(start - first, 0), min(stop, last) - first
            if low >= high:
                continue
            if isinstance(piece, Location):
                size = self.dtype.itemsize
                found.append(np.frombuffer(piece.part(low * size, high * size), self.dtype))
            else:
                found.append(piece[low:high])
        return found[1] if len(found) == 2 else np.concatenate(found)

    def parts(self) -> Iterator[Records]:
        """Read all records, some at a time."""
        for start in range(0, self.rows, _TOGETHER):
            yield self.read(start, min(start + _TOGETHER, self.rows))


class Ordered(Protocol):
    """What `merged` takes: a run, or what is read like one."""

    @property
    def rows(self) -> int:
        """Number of records."""

    @property
    def is_held(self) -> bool:
        """Whether all of it is in memory."""

    def read(self, start: int, stop: int) -> Records:
        """Read the records of a range."""


class _Ahead:
    """Records of a run that were read and not yet given."""

    def __init__(self, run: Ordered, keys: Keys, step: int) -> None:
        self._run, self._keys, self._at = run, keys, 0
        self._step = run.rows if run.is_held else step
        self._records: Records | None = None

    @property
    def is_done(self) -> bool:
        """Whether all of the run was given."""
        return self._at == self._run.rows and (self._records is None or not len(self._records))

    def fill(self) -> tuple[Any, ...] | None:
        """Read on where little is left; give the last key that is known, or None for all."""
        have = 0 if self._records is None else len(self._records)
        if 2 * have < self._step and self._at < self._run.rows:
            stop = min(self._at + self._step - have, self._run.rows)
            more = self._run.read(self._at, stop)
            self._records = more if self._records is None else np.concatenate([self._records, more])
            self._at = stop
        if self._at == self._run.rows:
            return None
        assert self._records is not None
        return tuple(key[-1] for key in self._keys(self._records[-1:]))

    def take(self, limit: tuple[Any, ...] | None, *, with_limit: bool) -> Records:
        """Give the records before a key, and those that have it; or all."""
        assert self._records is not None
        low, high = 0, len(self._records)
        if limit is not None:
            for key, value in zip(self._keys(self._records), limit, strict=True):
                left = low + int(np.searchsorted(key[low:high], value, "left"))
                low, high = left, low + int(np.searchsorted(key[low:high], value, "right"))
            if not with_limit:
                high = low
        given, self._records = self._records[:high], self._records[high:]
        return given


def merged(runs: Sequence[Ordered], keys: Keys) -> Iterator[tuple[Records, Index]]:
    """Merge runs, each of which is in the order of its keys.

    Parameters
    ----------
    runs : sequence of Run
        Those in memory are taken as they are; of the others, about `_TOGETHER` records are held.
    keys : callable
        Gives of records the arrays by which they are in order, the most important first.

    Yields
    ------
    records : array
        The next records in the order of all; those of equal keys in the order of the runs.
    which : array of int
        The number of the run of each.
    """
    step = max(_LEAST, _TOGETHER // max(1, len(runs)))
    ahead = {at: _Ahead(run, keys, step) for at, run in enumerate(runs)}
    while ahead := {at: one for at, one in ahead.items() if not one.is_done}:
        known = {at: one.fill() for at, one in ahead.items()}
        # No record that is still to be read comes before the first of the last known keys.
        last = min(((key, at) for at, key in known.items() if key is not None), default=None)
        limit, run = (None, 0) if last is None else last
        parts = {at: one.take(limit, with_limit=at <= run) for at, one in ahead.items()}
        records = np.concatenate(list(parts.values()))
        which = np.repeat(list(parts), [len(part) for part in parts.values()])
        order = np.lexsort(keys(records)[::-1])
        yield records[order], which[order]
