"""Whether a chunk of texts can hold as many as it says."""

from __future__ import annotations

from typing import Any

_LENGTH = 4  # bytes of the number of texts, and of the length of each


def require_room(chunk: Any, expected: int | None = None) -> None:
    """Raise ValueError unless a chunk can hold as many texts as it says, or as are expected."""
    held = memoryview(chunk).cast("B")
    count = int.from_bytes(held[:_LENGTH], "little")
    if expected is not None and count != expected:
        raise ValueError(f"a chunk of {expected:,} texts says that it has {count:,}")
    if _LENGTH * (count + 1) > held.nbytes:
        raise ValueError(f"a chunk of {held.nbytes:,} bytes says that it has {count:,} texts")
