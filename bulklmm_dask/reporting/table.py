"""The table of the highest peaks: headings, text and sort keys of its columns."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from bulklmm_dask.lmm.statistics import row_of
from bulklmm_dask.results.thresholds import FITTED
from bulklmm_dask.text import position_text

TAIL = "†"  # marks an adjusted p from a fitted tail


@dataclass(frozen=True)
class Cell:
    """Text of a cell, and the value that the page sorts by: empty where there is no number."""

    shown: str
    value: str


@dataclass(frozen=True)
class Column:
    """A column of the table.

    Attributes
    ----------
    name : str
        Name in the table of peaks.
    label, hint : str
        Heading, and its explanation.
    numeric : bool
        Whether its values are numbers.
    falling : bool
        Whether the first click sorts from the highest value down.
    cells : list of Cell
    """

    name: str
    label: str
    hint: str
    numeric: bool
    falling: bool
    cells: list[Cell]


@dataclass(frozen=True)
class _Kind:
    """Heading of a column of numbers, its explanation, format and order."""

    label: str
    hint: str
    format: str = "{:.3g}"
    falling: bool = False


# Columns that are no statistics of a scan.
_OWN = {
    "p_adjusted": _Kind("p adjusted", "genome-wide, from the permutations of the trait", "{:.2g}"),
    "n": _Kind("n", "samples that the trait was scanned on", "{:.0f}"),
}
# Formats of statistics whose digits do not depend on their size.
_FORMATS = {
    "frequency": "{:.3f}",
    "lod": "{:.2f}",
    "neg_log10_p": "{:.2f}",
    "h2": "{:.3f}",
    "h2_alt": "{:.3f}",
    "df": "{:.0f}",
    "explained": "{:.1%}",
    "lod_interaction": "{:.2f}",
}
_FALLING = ("lod", "neg_log10_p", "h2", "explained", "lod_interaction")
_TEXTS = {
    "trait": ("Trait", ""),
    "variant": ("Marker", "the first of those with the highest LOD"),
    "cis": ("cis", "whether the peak lies near the position of the trait"),
    "effect_allele": ("Effect allele", "whose copies the dosage counts"),
    "other_allele": ("Other allele", ""),
}

_LAST = ("effect_allele", "other_allele", "frequency", "n")
_PLACES = ("contig", "position", "interval")


def table(
    top: pd.DataFrame, contigs: list[str], unit: str, effect_unit: str | None
) -> list[Column]:
    """Lay out the columns of the highest peaks.

    Parameters
    ----------
    top : DataFrame
        From `Findings`.
    contigs : list of str
        Names in the order of the genome, by which chromosomes are sorted.
    unit : str
        Unit of positions.
    effect_unit : str or None
        What one unit of effects is, if they are known.
    """
    ordered = [
        *("trait", "variant", *_PLACES, "cis"),
        *("lod", "neg_log10_p", "p_adjusted", "h2"),
        *(name for name in map(str, top.columns) if name not in _LAST),
        *_LAST,
    ]
    makers: dict[str, Callable[[], Column]] = {
        "contig": lambda: _contig(top, contigs),
        "position": lambda: _position(top, unit),
        "interval": lambda: _interval(top, unit),
    }
    columns = []
    for name in dict.fromkeys(ordered):
        if name in makers and (contigs or name == "interval") and _has(top, name):
            columns.append(makers[name]())
        elif name in _LAST and (name not in top or top[name].isna().all()):
            continue
        elif name in _TEXTS and name in top:
            columns.append(_text(top, name))
        elif name in top and _kind(name) is not None:
            columns.append(_number(top, name, effect_unit))
    return columns


def _has(top: pd.DataFrame, name: str) -> bool:
    return "ci_lo" in top if name == "interval" else name in top


def _kind(name: str) -> _Kind | None:
    """Heading and format of a column of numbers, from the table of statistics.

    The heading of one of several effects, such as ``beta_AA``, ends with its genotype.
    """
    if name in _OWN:
        return _OWN[name]
    row = row_of("variant_frequency" if name == "frequency" else name)
    if row is not None:
        form = _FORMATS.get(name, "{:.3g}")
        return _Kind(row.label, row.meaning, form, name in _FALLING)
    stem, _, genotype = name.partition("_")
    row = row_of(stem)
    if row is None or "effects" not in row.extra:
        return None
    return _Kind(f"{row.label} {genotype}", row.meaning)


def _text(top: pd.DataFrame, name: str) -> Column:
    label, hint = _TEXTS[name]
    values = top[name]
    if name == "cis":
        values = values.map({True: "cis", False: "trans"})
    values = values.fillna("")
    return Column(name, label, hint, False, False, [Cell(str(v), str(v)) for v in values])


def _number(top: pd.DataFrame, name: str, effect_unit: str | None) -> Column:
    kind = _kind(name)
    assert kind is not None
    hint = kind.hint
    if effect_unit is not None and name.partition("_")[0] in ("beta", "se"):
        hint = f"{hint}, {effect_unit}"
    values = top[name].to_numpy(np.float64)
    cells = [Cell(_shown(value, kind.format), _sorted_by(value)) for value in values]
    if name == "p_adjusted":
        fitted = top["p_source"] == FITTED
        cells = [
            Cell(_shown(value, "{:.0e}") + TAIL, cell.value) if of_tail else cell
            for value, of_tail, cell in zip(values, fitted, cells, strict=True)
        ]
    return Column(name, kind.label, hint, True, kind.falling, cells)


def _contig(top: pd.DataFrame, contigs: list[str]) -> Column:
    order = {name: str(i) for i, name in enumerate(contigs)}
    cells = [Cell(str(name), order.get(str(name), "")) for name in top["contig"]]
    return Column("contig", "Chr", "chromosome, in the order of the genome", True, False, cells)


def _position(top: pd.DataFrame, unit: str) -> Column:
    cells = [Cell(position_text(value, unit), _sorted_by(value)) for value in top["position"]]
    return Column("position", f"Position ({unit})", "", True, False, cells)


def _interval(top: pd.DataFrame, unit: str) -> Column:
    """Column of intervals, sorted by their width."""
    cells = [
        Cell(f"{position_text(low, unit)}\u2013{position_text(high, unit)}", _sorted_by(high - low))
        for low, high in zip(top["ci_lo"], top["ci_hi"], strict=True)
    ]
    hint = "1.5-LOD support interval; sorted by its width"
    return Column("interval", f"Interval ({unit})", hint, True, False, cells)


def _shown(value: float, form: str) -> str:
    return form.format(value).replace("-", "\u2212") if np.isfinite(value) else ""


def _sorted_by(value: Any) -> str:
    return f"{float(value):.10g}" if np.isfinite(value) else ""
