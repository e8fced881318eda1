"""Cells as numbers, and the decimal sign that they are written with."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence

from bulklmm_dask.text import without_commas

_COMMA = re.compile(r"[+-]?\d*,\d+([eE][+-]?\d+)?")
_DIGITS = re.compile(r"[+-]?[\d,]+")
_POINT = re.compile(r"[+-]?\d*\.\d+([eE][+-]?\d+)?")


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


def decimal_sign(cells: Iterable[str]) -> str:
    """Give the decimal sign of the numbers of a table that is not separated by commas.

    It is a comma if some cell can be nothing else, as 0,25 (1,250 may be above a thousand), and no
    cell speaks against it: none has a point before decimals, or two commas.
    """
    found = False
    for cell in cells:
        if _POINT.fullmatch(cell) or (_DIGITS.fullmatch(cell) and cell.count(",") > 1):
            return "."
        found = found or bool(_COMMA.fullmatch(without_commas(cell)))
    return "," if found else "."


def pointed(cells: list[str]) -> list[str]:
    """Cells of a table with decimal commas, its numbers with points.

    ValueError quotes a number that has a point already.
    """
    for cell in cells:
        if _POINT.fullmatch(cell.strip()):
            raise ValueError(cell.strip())
    return [cell.replace(",", ".") if _COMMA.fullmatch(cell.strip()) else cell for cell in cells]
