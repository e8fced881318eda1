"""Phenotypes in R/qtl's format: names of the individuals, traits, sexes and other labels."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from bulklmm_dask.errors import InputError
from bulklmm_dask.study.metadata import by_name
from bulklmm_dask.study.readers._metadata import Labels
from bulklmm_dask.study.readers._sheet import Sheet
from bulklmm_dask.study.schema import require_unique
from bulklmm_dask.study.tables.numbers import CellError, as_number, floats
from bulklmm_dask.study.warn import say
from bulklmm_dask.text import listing
from bulklmm_dask.typing import Array

SEX, DIRECTION, ID = "sex", "pgm", "id"  # phenotypes of a meaning of their own, in any case
_SEXES = {
    **dict.fromkeys(("0", "f", "female"), "female"),
    **dict.fromkeys(("1", "m", "male"), "male"),
}
_NUMBERS = 0.5  # share of numbers above which a column of phenotypes is one of numbers


@dataclass
class Phenotypes:
    """Phenotypes by column: numbers are traits, text is kept as labels of the samples."""

    label: str
    names: list[str]
    numbers: dict[str, Array] = field(default_factory=dict)
    labels: Labels = field(default_factory=dict)
    cells: dict[str, list[str]] = field(default_factory=dict)


def phenotypes_of(
    sheet: Sheet, start: int, columns: Sequence[int], ids: str | None = None
) -> Phenotypes:
    """Read columns of phenotypes from a row on; `ids` names the individuals, by default id."""
    names = [sheet.cells[0][at] for at in columns]
    if "" in names:
        raise InputError(
            f"{sheet.where(0, columns[names.index('')])}: a phenotype has no name; name it, or "
            "remove it"
        )
    require_unique(names, f"the phenotypes of {sheet.label}", "rename one")
    at_of = dict(zip(names, columns, strict=True))
    cells = {name: sheet.column(at, start) for name, at in at_of.items()}
    ids = ids or next((name for name in names if name.lower() == ID), None)
    count = len(sheet.cells) - start
    found = Phenotypes(sheet.label, [str(number + 1) for number in range(count)], cells=cells)
    if ids is not None:
        found.names = cells.pop(ids)
        if "" in found.names:
            raise InputError(
                f"{sheet.where(start + found.names.index(''), at_of[ids])}: the individual has no "
                f"{ids}; name it, or remove it"
            )
        require_unique(found.names, f"the individuals of {sheet.label}", "keep one of each")
    for name, own in cells.items():
        if name.lower() == SEX:
            found.labels[SEX] = dict(zip(found.names, _sexes(own, sheet.label), strict=True))
        elif name.lower() == DIRECTION:
            found.labels[DIRECTION] = dict(zip(found.names, own, strict=True))
        elif (numbers := _numbers(sheet, start, at_of[name], own)) is not None:
            found.numbers[name] = numbers
        else:
            found.labels[name] = dict(zip(found.names, own, strict=True))
    if found.labels:
        say(f"{sheet.label}: no traits, but metadata are {by_name(list(found.labels))}")
    return found


def _numbers(sheet: Sheet, start: int, at: int, cells: list[str]) -> Array | None:
    """A phenotype as numbers, None if it is text; a single text among numbers is an error."""
    try:
        return np.array(floats(cells, frozenset({""})))
    except CellError as error:
        share = sum(as_number(cell) is not None for cell in cells) / sum(map(bool, cells))
        if share <= _NUMBERS:
            return None
        raise InputError(
            f"{sheet.where(start + error.at, at)}: phenotype {sheet.cells[0][at]!r} is "
            f"{error.cell!r}, which is not a number; correct it, or mark it as missing (NA)"
        ) from None


def _sexes(cells: list[str], label: str) -> list[str]:
    unknown = {cell for cell in cells if cell and cell.lower() not in _SEXES}
    if unknown:
        say(
            f"{label}: the sexes {listing(sorted(unknown))} are not 0, f or female, 1, m or male; "
            "they are left empty"
        )
    return [_SEXES.get(cell.lower(), "") for cell in cells]
