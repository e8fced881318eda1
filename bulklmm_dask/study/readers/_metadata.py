"""Columns of tables of text: covariates where given as such, else variables of a dimension."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping, Sequence
from typing import TypeAlias

import numpy as np
import pandas as pd
import xarray as xr

from bulklmm_dask.errors import InputError
from bulklmm_dask.storage.labels.encoding import text
from bulklmm_dask.storage.labels.variables import NAMES, VARIABLES
from bulklmm_dask.study.metadata import Texts, as_numbers, leave_out, variable_name
from bulklmm_dask.study.readers._orientation import samples_in_columns
from bulklmm_dask.study.schema import require_unique
from bulklmm_dask.study.tables.table import Table
from bulklmm_dask.study.warn import say
from bulklmm_dask.text import listing

Labels: TypeAlias = "dict[str, dict[str, str]]"

_INTEGER = re.compile(r"0|-?[1-9]\d{0,17}")


def require_known(table: Table, samples: Collection[str], what: str, remedy: str) -> None:
    """Raise InputError if no row of a table is a sample of the study; `what` it holds."""
    if set(samples).isdisjoint(table.rows):
        raise InputError(
            f"{table.label} has {what} of nobody in the study: its rows are "
            f"{listing(table.rows, 3) or 'none'}, its columns {listing(table.columns, 3)}, the "
            f"samples of the study {listing(samples, 3)}; {remedy}"
        )


def split_covariates(table: Table, samples: Collection[str]) -> tuple[pd.DataFrame | None, Labels]:
    """Split the columns of a table of text into covariates and labels of the samples.

    Columns of numbers are covariates; a column with two texts becomes 0 and 1, one with three or
    more becomes an indicator column for each but the first. A column in which texts hardly repeat
    is only a label, and so is one of numbers with a few texts among them. A StudyWarning names each
    column that is not all numbers.

    Parameters
    ----------
    table : Table
        Covariates by sample, or by covariate; empty where missing.
    samples : collection of str
        Samples of the study; rows of others are left out, with a StudyWarning.

    Returns
    -------
    covariates : DataFrame or None
        Numbers by sample, None if there are none.
    labels : dict
        Column name to (sample name to text): of categories and of what is no covariate.
    """
    table = _upright(table, samples, "covariates")
    known = set(samples)
    rows = [at for at, name in enumerate(table.rows) if name in known]
    if len(rows) < len(table.rows):
        others = [name for name in table.rows if name not in known]
        say(
            f"{table.label}: {len(others)} of {len(table.rows)} samples with covariates have no "
            f"traits and are dropped: {listing(others)}"
        )
    names = [table.rows[at] for at in rows]
    numbers: dict[str, np.ndarray] = {}
    labels: Labels = {}
    for column, everyone in table.by_column().items():
        cells = [everyone[at] for at in rows]
        parsed, texts = as_numbers(cells), Texts(cells)
        if not texts.levels:
            say(f"{table.label}: column {column!r} is empty, so it is no covariate")
        elif parsed is not None:
            numbers[column] = parsed
        elif texts.are_categories:
            coded = texts.coded(column)
            numbers |= coded.columns
            say(f"{table.label}: covariate {coded.note}; {leave_out(column)}")
            if len(coded.columns) > 1:
                labels[column] = dict(zip(names, cells, strict=True))
        else:
            labels[column] = dict(zip(names, cells, strict=True))
            say(
                f"{table.label}: column {column!r} has {len(texts.levels)} different texts, so it "
                f"is no covariate; it is kept as {variable_name('samples', column)}: "
                f"{listing(texts.levels)}{_odd_ones(names, texts)}"
            )
    covariates = pd.DataFrame(numbers, index=names) if numbers else None
    return covariates, labels


def _upright(table: Table, samples: Collection[str], what: str) -> Table:
    """Turn a table so that its rows are samples of the study; `what` says what it holds.

    Raises
    ------
    InputError
        If neither its rows nor its columns name a sample of the study.
    """
    if samples_in_columns(table.rows, table.columns, samples):
        say(
            f"{table.label} has the samples in its columns, so its rows are taken for the {what}: "
            f"{listing(table.rows)}"
        )
        table = table.T
    require_known(table, samples, what, "use the same names")
    require_unique(table.rows, f"the samples of {table.label}", "keep one row for each")
    require_unique(table.columns, f"the columns of {table.label}", "rename one")
    return table


def attach(ds: xr.Dataset, dim: str, column: str, by_name: Mapping[str, str]) -> None:
    """Keep a column as a variable <prefix>_<column> along `dim`, matched by name.

    Numbers become numbers, all else stays text, empty where a name is not listed. A name that the
    schema or the study already has gets a suffix, with a StudyWarning.
    """
    plain = name = variable_name(dim, column)
    while name in VARIABLES or name in ds.variables:
        name += "_"
    if name != plain:
        say(
            f"column {column!r} is kept as {name}, since {plain} has a meaning of its own in a "
            f"study"
        )
    cells = [by_name.get(str(key), "") for key in ds[NAMES[dim]].values]
    values: np.ndarray
    if all(_INTEGER.fullmatch(cell) for cell in cells):
        values = np.array([int(cell) for cell in cells], dtype=np.int64)
    else:
        parsed = as_numbers(cells)
        values = text(cells) if parsed is None or np.isnan(parsed).all() else parsed
    ds.coords[name] = (dim, values, {"long_name": column.strip()})


def _odd_ones(names: Sequence[str], texts: Texts) -> str:
    """Quote the first text in a column of mostly numbers, which is likely to be a mistake."""
    odd = texts.odd_ones
    if not odd:
        return ""
    first = odd[0]
    return f"; all are numbers but {len(odd)}, the first {texts.cells[first]!r} of {names[first]!r}"
