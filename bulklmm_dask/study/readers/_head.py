"""The lines above the individuals in R/qtl's format: names, chromosomes and positions."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass

import numpy as np

from bulklmm_dask.errors import InputError
from bulklmm_dask.study.readers._codes import is_call
from bulklmm_dask.study.readers._sheet import Sheet
from bulklmm_dask.study.tables.numbers import CellError, as_number, floats
from bulklmm_dask.study.warn import say
from bulklmm_dask.text import counted
from bulklmm_dask.typing import Array

_STEP = 5.0  # cM between markers without a map, as R/qtl places them until it estimates one


@dataclass(frozen=True)
class Head:
    """What the lines above the individuals say.

    Attributes
    ----------
    line : int
        Row of the first individual.
    markers : int
        Column of the first marker.
    contigs : list of str or None
    positions : array (markers,) or None
    """

    line: int
    markers: int
    contigs: list[str] | None = None
    positions: Array | None = None


def find_head(sheet: Sheet) -> tuple[Sheet, Head]:
    """Turn the table so that individuals are its rows, and read the lines above them."""
    below, beside = sheet.cells[1][0], sheet.cells[0][1]
    if not below and not beside:
        raise InputError(
            f"{sheet.label}: the second fields of its first line and of its first column are both "
            "empty, so it cannot be told whether lines are individuals (csv) or markers (csvr); "
            "name the phenotypes"
        )
    if not beside:
        sheet = sheet.turned()
    if below and beside:
        return sheet, _headless(sheet)
    contigs = sheet.cells[1]
    first = next((at for at, cell in enumerate(contigs) if cell), None)
    if first is None:
        raise InputError(
            f"{sheet.where(1, 0)}: no marker has a chromosome; name those of the markers, and "
            "leave the fields of the phenotypes empty"
        )
    for row, what in ((0, "name"), (1, "chromosome")):
        if "" in sheet.cells[row][first:]:
            at = sheet.cells[row].index("", first)
            raise InputError(
                f"{sheet.where(row, at)}: {what} is missing; phenotypes, without chromosome, "
                f"should come first, then the markers, and {sheet.cells[0][at]!r} comes after "
                f"{sheet.cells[0][first]!r}"
            )
    positions = _positions(sheet, first)
    if positions is None:
        return sheet, Head(2, first, contigs[first:], _spaced(contigs[first:], sheet.label))
    return sheet, Head(3, first, contigs[first:], positions)


def _positions(sheet: Sheet, first: int) -> Array | None:
    """Positions in the third row; None if that is an individual."""
    if len(sheet.cells) < 3 or any(sheet.cells[2][:first]):
        return None
    cells = sheet.cells[2][first:]
    try:
        return np.array(floats(cells, frozenset()))
    except CellError as error:
        if error.at == 0 and all(as_number(cell) is None for cell in cells):
            return None  # an individual without phenotypes
        at = first + error.at
        raise InputError(
            f"{sheet.where(2, at)}: the position of marker {sheet.cells[0][at]!r} is "
            f"{error.cell!r}, which is not a number; correct it, or leave the marker out"
        ) from None


def _spaced(contigs: list[str], label: str) -> Array:
    """Positions in cM of markers without any: evenly spaced on each chromosome."""
    say(
        f"{label} has no line of positions: markers are placed {_STEP:g} cM apart in the order of "
        "the file, as in R/qtl; add their positions (R/qtl: est.map, replace.map, write.cross)"
    )
    before: Counter[str] = Counter()
    positions = []
    for contig in contigs:
        positions.append(_STEP * before[contig])
        before[contig] += 1
    return np.array(positions)


def _headless(sheet: Sheet) -> Head:
    """Tell markers from phenotypes by their calls, in a table without chromosomes."""
    width = first = len(sheet.cells[0])
    while first and all(map(is_call, found := set(sheet.column(first - 1)) - {""})) and found:
        first -= 1
    if first in (0, width):
        raise InputError(
            f"{sheet.label} has no line of chromosomes, and its markers cannot be told: the second "
            "line should be empty for the phenotypes, of which there is at least one, and name the "
            "chromosome of each marker"
        )
    say(
        f"{sheet.label} has no line of chromosomes: the columns from {sheet.cells[0][first]!r} on, "
        f"{counted(width - first, 'column')} of calls, are taken for markers, those before "
        "for phenotypes; add a second line of chromosomes, empty for the phenotypes"
    )
    return Head(1, first)
