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
        self._entries: list[_Entry[Value]] = []  # used last comes last
        self._lock = threading.Lock()

    def find(self, parts: Parts) -> Value | None:
        """The value of arrays that equal these in every bit, or None."""
        with self._lock:
            entries = self._entries[::-1]
        for entry in entries:
            if _are_same(entry.parts, parts):
                with self._lock:
                    if entry in self._entries:
                        self._entries.remove(entry)
                        self._entries.append(entry)
                return entry.value
        return None

    def keep(self, parts: Parts, value: Value, n_bytes: int) -> None:
        """Keep a value of `n_bytes` bytes; nothing happens if it alone is too large.

        The arrays are copied, and counted too.
        """
        total = n_bytes + sum(each.nbytes for each in parts if each is not None)
        if total > self._most:
            return
        copies = tuple(None if each is None else each.copy() for each in parts)
        with self._lock:
            self._entries.append(_Entry(copies, value, total))
            while sum(entry.n_bytes for entry in self._entries) > self._most:
                del self._entries[0]

    def forget(self) -> None:
        """Drop all entries."""
        with self._lock:
            self._entries.clear()


def _are_same(a: Parts, b: Parts) -> bool:
    """Tell whether arrays are equal, of the same type and bit by bit."""
    if len(a) != len(b) or any(
        (one is None) != (other is None)
        or (
            one is not None
            and other is not None
            and (one.shape != other.shape or one.dtype != other.dtype or _start(one, other))
        )
        for one, other in zip(a, b, strict=True)
    ):
        return False
    return all(
        one is None or np.array_equal(_bits(one), _bits(other))
        for one, other in zip(a, b, strict=True)
        if other is not None
    )


def _start(one: npt.NDArray[Any], other: npt.NDArray[Any]) -> bool:
    """Tell whether arrays of one shape differ in their first row: most that differ do so there."""
    return one.ndim > 1 and len(one) > 0 and not np.array_equal(_bits(one[0]), _bits(other[0]))


def _bits(array: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """The bytes of an array: NaN equals itself, and 0 differs from -0."""
    flat = np.ascontiguousarray(array)
    return flat.reshape(-1).view(np.uint64 if flat.itemsize == 8 else np.uint8)
