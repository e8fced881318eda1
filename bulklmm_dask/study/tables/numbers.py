"""Cells as numbers."""

from __future__ import annotations

from collections.abc import Sequence


class CellError(Exception):
    """A cell that is no number, and its index in the row."""

    def __init__(self, at: int, cell: str) -> None:
        self.at, self.cell = at, cell


def floats(cells: Sequence[str], missing: frozenset[str]) -> list[float]:
    """Turn cells into numbers, missing ones into NaN; CellError at the first that is none."""
    nan = float("nan")
    try:
        if "_" not in "".join(cells):
            return [nan if cell in missing else float(cell) for cell in cells]
    except ValueError:
        pass
    return [_float(at, cell.strip(), missing) for at, cell in enumerate(cells)]


def _float(at: int, cell: str, missing: frozenset[str]) -> float:
    number = float("nan") if cell in missing else as_number(cell)
    if number is None:
        raise CellError(at, cell)
    return number


def as_number(cell: str) -> float | None:
    """Give a cell as a number, None if it is none."""
    try:
        return None if "_" in cell else float(cell)  # Python reads 1_0 as ten, which no table means
    except ValueError:
        return None
