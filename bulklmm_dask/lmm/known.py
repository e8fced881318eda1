"""What this process has computed of kinships, found again by the values that it follows from.

A decomposition of n samples takes as long as a scan of thousands of markers by one trait, and the
next question about the same study needs it again. Values are compared one by one, not by a digest:
what is found belongs to them, whatever became of the arrays that they came from.
"""

from __future__ import annotations

import threading
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Generic, TypeAlias, TypeVar

import numpy as np
import numpy.typing as npt

Value = TypeVar("Value")
# Arrays that something follows from; None for one that is not there.
Parts: TypeAlias = Sequence[npt.NDArray[Any] | None]


@dataclass(frozen=True, eq=False)
class _Entry(Generic[Value]):
    parts: tuple[npt.NDArray[Any] | None, ...]
    value: Value
    n_bytes: int


class Known(Generic[Value]):
    """Values by the arrays that they follow from; those that were not used for long give way.

    Of arrays that are alike in types, shapes, first rows and diagonals only the last are kept.

    Parameters
    ----------
    most : int
        Largest number of bytes of all entries.

    Examples
    --------
    >>> import numpy as np
    >>> known = Known(1000)
    >>> known.keep([np.arange(3), None], "a value", 8)
    >>> known.find([np.arange(3), None])
    'a value'
    >>> known.find([np.arange(4), None]) is None
    True
    """

    def __init__(self, most: int) -> None:
        self._most = most
        self._entries: dict[bytes, _Entry[Value]] = {}  # used last comes last
        self._lock = threading.Lock()

    def find(self, parts: Parts) -> Value | None:
        """The value of arrays that equal these in every bit, or None."""
        mark = _mark(parts)
        with self._lock:
            entry = self._entries.get(mark)
        if entry is None or not _are_same(entry.parts, parts):
            return None
        with self._lock:
            if self._entries.pop(mark, None) is not None:
                self._entries[mark] = entry
        return entry.value

    def keep(self, parts: Parts, value: Value, n_bytes: int) -> None:
        """Keep a value of `n_bytes` bytes; nothing happens if it alone is too large.

        The arrays are copied, and counted too.
        """
        total = n_bytes + sum(each.nbytes for each in parts if each is not None)
        if total > self._most:
            return
        copies = tuple(None if each is None else each.copy() for each in parts)
        mark = _mark(parts)
        with self._lock:
            self._entries.pop(mark, None)
            self._entries[mark] = _Entry(copies, value, total)
            while sum(entry.n_bytes for entry in self._entries.values()) > self._most:
                del self._entries[next(iter(self._entries))]

    def forget(self) -> None:
        """Drop all entries."""
        with self._lock:
            self._entries.clear()


def _mark(parts: Parts) -> bytes:
    """Types, shapes, first rows and diagonals: where arrays differ, these mostly do."""
    found = []
    for part in parts:
        if part is None:
            found.append(b"none")
            continue
        found.append(f"{part.dtype.str}{part.shape}".encode())
        first = part[:1] if part.ndim < 3 else part[:1, :1]
        found.append(np.ascontiguousarray(first).tobytes())
        if part.ndim > 1:
            found.append(np.diagonal(part, axis1=-2, axis2=-1).tobytes())
    return b"|".join(found)


def _are_same(a: Parts, b: Parts) -> bool:
    """Tell whether arrays of the same types and shapes are equal, bit by bit."""
    return all(
        np.array_equal(_bits(one), _bits(other))
        for one, other in zip(a, b, strict=True)
        if one is not None and other is not None
    )


def _bits(array: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """The bytes of an array: NaN equals itself, and 0 differs from -0."""
    flat = np.ascontiguousarray(array)
    return flat.reshape(-1).view(np.uint64 if flat.itemsize == 8 else np.uint8)
