"""Text columns: split into covariates and labels; labels kept as sample or trait variables."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd
import xarray as xr

from bulklmm_dask.storage.encoding import text
from bulklmm_dask.study.schema import NAMES, VARIABLES
from bulklmm_dask.study.warn import say
from bulklmm_dask.text import listing

_INTEGER = re.compile(r"0|-?[1-9]\d{0,17}")
_LEADING_ZERO = re.compile(r"[+-]?0\d")


def split_covariates(
    names: Sequence[str], columns: Mapping[str, Sequence[str]]
) -> tuple[pd.DataFrame | None, dict[str, dict[str, str]]]:
    """Split columns into covariates and labels.

    Columns of numbers are covariates; columns with two different texts become 0 and 1; all
    others are labels. A StudyWarning names each column that is not all numbers.

    Parameters
    ----------
    names : sequence of str
        Sample names, one for each row.
    columns : mapping
        Column name to its cells, empty text where missing.

    Returns
    -------
    covariates : DataFrame or None
        Numbers by sample, None if there are none.
    labels : dict
        Column name to (sample name to text).
    """
    numbers: dict[str, np.ndarray] = {}
    labels: dict[str, dict[str, str]] = {}
    for column, cells in columns.items():
        levels = sorted(set(cells) - {""})
        parsed = _as_numbers(cells)
        if parsed is not None and levels:
            numbers[column] = parsed
        elif len(levels) == 2:
            numbers[column] = np.array(
                [np.nan if cell == "" else float(levels.index(cell)) for cell in cells]
            )
            say(f"covariate {column!r} is text: {levels[0]!r} becomes 0 and {levels[1]!r} 1")
        else:
            labels[column] = dict(zip(names, cells, strict=True))
            say(
                f"column {column!r} has {len(levels)} different texts, so it is no covariate; "
                f"it is kept as sample_{column}: {listing(levels)}{_odd_one(names, cells)}"
            )
    covariates = pd.DataFrame(numbers, index=list(names)) if numbers else None
    return covariates, labels


def attach(ds: xr.Dataset, dim: str, column: str, by_name: Mapping[str, str]) -> None:
    """Keep a column as a variable <prefix>_<column> along `dim`, matched by name.

    Numbers become numbers, all else stays text, empty where a name is not listed.
    """
    prefix = NAMES[dim].removesuffix("id")
    name = prefix + re.sub(r"[\s/.]+", "_", column.strip())
    while name in VARIABLES or name in ds.variables:
        name += "_"
    cells = [by_name.get(str(key), "") for key in ds[NAMES[dim]].values]
    values: np.ndarray
    if all(_INTEGER.fullmatch(cell) for cell in cells):
        values = np.array([int(cell) for cell in cells], dtype=np.int64)
    else:
        parsed = _as_numbers(cells)
        values = text(cells) if parsed is None or np.isnan(parsed).all() else parsed
    ds[name] = (dim, values)


def _odd_one(names: Sequence[str], cells: Sequence[str]) -> str:
    """Quote the first text in a column of mostly numbers, which is likely to be a mistake."""
    odd = [at for at, cell in enumerate(cells) if cell and _as_numbers([cell]) is None]
    if not odd or 2 * len(odd) >= sum(map(bool, cells)):
        return ""
    return f"; all are numbers but {len(odd)}, the first {cells[odd[0]]!r} of {names[odd[0]]!r}"


def _as_numbers(cells: Sequence[str]) -> np.ndarray | None:
    """Cells as numbers, NaN where empty; None if any is text (007 counts as text)."""
    if any(_LEADING_ZERO.match(cell) or "_" in cell for cell in cells):
        return None
    try:
        return np.array([float(cell) if cell else np.nan for cell in cells])
    except ValueError:
        return None
