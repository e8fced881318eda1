"""The table of the highest peaks: headings, text and sort keys of its columns."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

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
    label: str
    hint: str
    format: str = "{:.3g}"
    falling: bool = False


_NUMBERS = {
    "lod": _Kind("LOD", "log10 of the likelihood ratio", "{:.2f}", falling=True),
    "neg_log10_p": _Kind("\u2212log₁₀ p", "of this single test", "{:.2f}", falling=True),
    "p_adjusted": _Kind("p adjusted", "genome-wide, from the permutations of the trait", "{:.2g}"),
    "h2": _Kind("h²", "heritability without the marker", "{:.3f}", falling=True),
    "h2_alt": _Kind("h² with", "heritability with the marker in the model", "{:.3f}"),
    "df": _Kind("df", "degrees of freedom of the test", "{:.0f}"),
    "explained": _Kind("explained", "share of the variance", "{:.1%}", falling=True),
    "lod_interaction": _Kind("LOD int.", "of the interaction alone", "{:.2f}", falling=True),
    "beta": _Kind("effect", "beta"),
    "se": _Kind("s.e.", "standard error of the effect"),
}
_TEXTS = {
    "trait": ("Trait", ""),
    "variant": ("Marker", "the first of those with the highest LOD"),
    "cis": ("cis", "whether the peak lies near the position of the trait"),
}
_PLACES = ("contig", "position", "interval")


def table(top: pd.DataFrame, contigs: list[str], unit: str) -> list[Column]:
    """Lay out the columns of the highest peaks.

    Parameters
    ----------
    top : DataFrame
        From `Findings`.
    contigs : list of str
        Names in the order of the genome, by which chromosomes are sorted.
    unit : str
        Unit of positions.
    """
    ordered = [
        *("trait", "variant", *_PLACES, "cis"),
        *("lod", "neg_log10_p", "p_adjusted", "h2"),
        *map(str, top.columns),
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
        elif name in _TEXTS and name in top:
            columns.append(_text(top, name))
        elif name in top and _kind(name) is not None:
            columns.append(_number(top, name))
    return columns


def _has(top: pd.DataFrame, name: str) -> bool:
    return "ci_lo" in top if name == "interval" else name in top


def _kind(name: str) -> _Kind | None:
    """Heading and format of a column of numbers; of several effects the heading names each."""
    if name in _NUMBERS:
        return _NUMBERS[name]
    for stem in ("beta", "se"):
        if name.startswith(f"{stem}_"):
            kind, rest = _NUMBERS[stem], name.removeprefix(f"{stem}_")
            return _Kind(f"{kind.label} {rest}", kind.hint)
    return None


def _text(top: pd.DataFrame, name: str) -> Column:
    label, hint = _TEXTS[name]
    values = top[name]
    if name == "cis":
        values = values.map({True: "cis", False: "trans"}).fillna("")
    return Column(name, label, hint, False, False, [Cell(str(v), str(v)) for v in values])


def _number(top: pd.DataFrame, name: str) -> Column:
    kind = _kind(name)
    assert kind is not None
    values = top[name].to_numpy(np.float64)
    cells = [Cell(_shown(value, kind.format), _sorted_by(value)) for value in values]
    if name == "p_adjusted":
        fitted = top["p_source"] == FITTED
        cells = [
            Cell(_shown(value, "{:.0e}") + TAIL, cell.value) if of_tail else cell
            for value, of_tail, cell in zip(values, fitted, cells, strict=True)
        ]
    return Column(name, kind.label, kind.hint, True, kind.falling, cells)


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
