"""Metadata of samples: variables sample_<name>, found by name and used as columns of a model.

Numbers are one column. Two texts are one column of 0 and 1; three or more are an indicator column
for each text but the first, as a factor in R's model.matrix.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Sequence
from dataclasses import dataclass, field
from numbers import Real

import numpy as np
import pandas as pd
import xarray as xr

from bulklmm_dask.errors import InputError
from bulklmm_dask.storage.labels.variables import NAMES, VARIABLES
from bulklmm_dask.study.tables.numbers import as_number
from bulklmm_dask.study.warn import say
from bulklmm_dask.surface import either
from bulklmm_dask.text import counted, listing
from bulklmm_dask.typing import Array

_LEADING_ZERO = re.compile(r"[+-]?0\d")
_INDICATOR = re.compile(r"(?P<name>.+)\[(?P<level>.*)\]")


@dataclass(frozen=True)
class Coded:
    """Metadata as columns of a model.

    Attributes
    ----------
    columns : dict of str to array (samples,)
        Numbers, NaN where missing, by the name of the column.
    note : str
        What was read as what; empty for numbers.
    """

    columns: dict[str, Array]
    note: str = ""


@dataclass(frozen=True)
class Texts:
    """A column of text, empty where missing.

    Attributes
    ----------
    cells : sequence of str
    levels : list of str
        The different texts, sorted.
    """

    cells: Sequence[str]
    levels: list[str] = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "levels", sorted(set(self.cells) - {""}))

    @property
    def odd_ones(self) -> list[int]:
        """Positions of texts in a column of mostly numbers, which are likely to be mistakes."""
        odd = [at for at, cell in enumerate(self.cells) if cell and as_numbers([cell]) is None]
        return odd if 2 * len(odd) < sum(map(bool, self.cells)) else []

    @property
    def are_categories(self) -> bool:
        """Whether the texts are categories: two, three that repeat, or each of two cells."""
        count, filled = len(self.levels), sum(map(bool, self.cells))
        few = count == 2 or (count == 3 and filled > 3) or 2 < 2 * count <= filled
        return few and not self.odd_ones

    def coded(self, name: str) -> Coded:
        """Columns for all levels but the first, in sorted order; one column for two levels."""
        first, *others = self.levels or [""]
        if len(others) < 2:
            (last,) = others or [first]
            note = f"{name!r} is text: {first!r} becomes 0 and {last!r} 1" if others else ""
            return Coded({name: self.indicator(last)}, note)
        columns = {indicator_name(name, level): self.indicator(level) for level in others}
        return Coded(
            columns,
            f"{name!r} has {len(self.levels)} texts and becomes {len(others)} columns of 0 and 1, "
            f"{listing(columns, 3)}, each against {first!r}",
        )

    def indicator(self, level: str) -> Array:
        """1 where the cell is this level, 0 where it is another, NaN where it is missing."""
        return np.array([np.nan if cell == "" else float(cell == level) for cell in self.cells])


def indicator_name(name: str, level: str) -> str:
    """Name of the indicator column of a level."""
    return f"{name}[{level}]"


def split_indicator(name: str) -> tuple[str, str] | None:
    """Name and level of an indicator column, from a name such as 'cage[b]'; None for others."""
    found = _INDICATOR.fullmatch(name)
    return None if found is None else (found["name"], found["level"])


def as_numbers(cells: Sequence[str]) -> Array | None:
    """Cells as numbers, NaN where empty; None if any is text (007 counts as text)."""
    numbers = [as_number(cell) if cell else np.nan for cell in cells]
    if None in numbers or any(map(_LEADING_ZERO.match, cells)):
        return None
    return np.array(numbers, dtype=np.float64)


def coded_frame(frame: pd.DataFrame) -> tuple[pd.DataFrame, list[str]]:
    """Replace categories in a table of covariates by columns of numbers.

    Returns
    -------
    frame : DataFrame
        The table; columns of other texts are left as they are.
    notes : list of str
        What was read as what.
    """
    columns: dict[str, object] = {}
    notes: list[str] = []
    for name, column in frame.items():
        texts = Texts([] if column.dtype.kind in "fiubcmM" else _cells(column.to_numpy(object)))
        if as_numbers(texts.cells) is None and texts.are_categories:
            coded = texts.coded(str(name))
            columns |= coded.columns
            notes.append(coded.note)
        else:
            columns[str(name)] = column.to_numpy()
    return pd.DataFrame(columns, index=frame.index) if notes else frame, notes


def variable_name(dim: str, column: str) -> str:
    """Name of the variable that keeps a column: sample_<column> or trait_<column>."""
    return NAMES[dim].removesuffix("id") + re.sub(r"[\s/.]+", "_", column.strip())


def leave_out(name: str) -> str:
    """Say how a scan goes without one covariate of the study."""
    how = either(f"covariates=['all', '-{name}']", f"--covariates all,-{name}")
    return f"leave it out of a scan with {how}"


def say_available(where: str, names: Collection[str]) -> None:
    """Say which metadata a file gives the samples, if any, and how they become covariates."""
    if names:
        say(f"{where}: the samples have {by_name(list(names))}")


def by_name(names: Sequence[str]) -> str:
    """Say how metadata become covariates."""
    how = either(f"covariates=[{names[0]!r}]", f"--covariates {names[0]}")
    return f"{listing(names)} (covariates of a scan once they are named: {how})"


def find_metadata(ds: xr.Dataset, name: str) -> xr.DataArray | None:
    """Find the variable of a name along the samples: <name> or sample_<name>."""
    for candidate in (name, variable_name("samples", name)):
        if candidate in ds and ds[candidate].dims == ("samples",):
            return ds[candidate]
    return None


def metadata_names(ds: xr.Dataset) -> list[str]:
    """Names that samples have metadata of, without the prefix sample_."""
    prefix = variable_name("samples", "")
    return [
        str(name).removeprefix(prefix)
        for name, variable in ds.variables.items()
        if variable.dims == ("samples",) and str(name).startswith(prefix) and name not in VARIABLES
    ]


def coded_metadata(ds: xr.Dataset, name: str) -> Coded | None:
    """Columns of a model by name: metadata, or the indicator of a level such as 'cage[b]'.

    None if the study has no such metadata.

    Raises
    ------
    InputError
        If the metadata are neither numbers nor categories.
    """
    found = find_metadata(ds, name)
    if found is not None:
        return _coded(found, ds["sample_id"].values.tolist())
    parts = split_indicator(name)
    found = None if parts is None else find_metadata(ds, parts[0])
    if parts is None or found is None:
        return None
    texts = Texts(_cells(found.values))
    short, level = _short(found), parts[1]
    if level not in texts.levels:
        raise InputError(
            f"covariate {name!r} stands for the samples whose {short} is {level!r}, but "
            f"{found.name} holds {listing(texts.levels)}"
        )
    return Coded({indicator_name(short, level): texts.indicator(level)})


def _short(found: xr.DataArray) -> str:
    """Name of a variable of the samples without its prefix."""
    return str(found.name).removeprefix(variable_name("samples", ""))


def _coded(found: xr.DataArray, samples: Sequence[str]) -> Coded:
    values, name = found.values, _short(found)
    if values.dtype.kind == "O" and _are_numbers(values):
        values = values.astype(np.float64)
    if values.dtype.kind in "fiub":
        return Coded({name: values.astype(np.float64)})
    if values.dtype.kind not in "OUT":
        raise InputError(
            f"{found.name} holds values of dtype {values.dtype}, which are neither numbers nor "
            "texts; turn dates into days, as numbers"
        )
    texts = Texts(_cells(values))
    if odd := texts.odd_ones:
        raise InputError(
            f"{found.name} holds numbers but for {counted(len(odd), 'sample')}, the first "
            f"{texts.cells[odd[0]]!r} of {samples[odd[0]]!r}; correct it, or leave {name!r} out of "
            "the covariates"
        )
    if len(texts.levels) > 2 and not texts.are_categories:
        raise InputError(
            f"{found.name} has {len(texts.levels)} different texts in {len(values)} samples, such "
            f"as {listing(texts.levels, 2)}, which are no categories; give numbers (for dates days "
            f"or months), or leave {name!r} out of the covariates"
        )
    return texts.coded(name)


def _are_numbers(values: np.ndarray) -> bool:
    """Whether objects are numbers where they are not missing."""
    there = pd.Series(values, dtype=object).dropna()
    return len(there) > 0 and all(isinstance(value, Real) for value in there)


def _cells(values: np.ndarray) -> list[str]:
    """Values as text, empty where missing; whole numbers without a point."""
    cells = pd.Series(values.tolist(), dtype=object)
    if values.dtype.kind in "fiu":
        return ["" if np.isnan(value) else f"{value:.15g}" for value in values]
    return ["" if absent else str(cell) for cell, absent in zip(cells, cells.isna(), strict=True)]
