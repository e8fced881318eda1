"""Checks of arguments, and of arrays in memory or of one block of a lazy array."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from bulklmm_dask.errors import InputError, OptionError
from bulklmm_dask.text import counted
from bulklmm_dask.typing import Array

# How far a dosage may lie outside its range: files round their numbers.
RANGE_TOLERANCE = 1e-6
# Positions that exceed this are bp: no chromosome is as long in Mb or cM.
LARGEST_MB = 10_000
# Sums and squares of larger numbers overflow; LODs, positions and relationships are far below.
LARGEST = 1e100


def whole_number(value: object, what: str, least: int) -> int:
    """Give `value` as an int, or raise OptionError unless it is a whole number >= `least`."""
    if isinstance(value, bool) or not isinstance(value, int | np.integer) or value < least:
        raise OptionError(f"{what} is {value!r}; it should be a whole number from {least} on")
    return int(value)


def number(value: object, what: str, low: float, high: float = np.inf) -> float:
    """Give `value` as a float, or raise OptionError unless it is in [`low`, `high`]."""
    try:
        found = np.nan if isinstance(value, complex) else float(value)  # type: ignore[arg-type]
    except (TypeError, ValueError, OverflowError):
        found = np.nan
    if not low <= found <= high:
        limit = f" from {low:g} on" if high == np.inf else f" from {low:g} to {high:g}"
        raise OptionError(
            f"{what} is {value!r}; it should be a number{'' if low == -np.inf else limit}"
        )
    return found


def array_of(values: Any, what: str) -> npt.NDArray[Any]:
    """Give values as an array, or raise InputError where they are of no one shape."""
    try:
        return np.asarray(values)
    except (TypeError, ValueError):
        kind = type(values).__name__
        raise InputError(
            f"{what} is a {kind} that makes no array; give numbers or texts in rows of one length"
        ) from None


def real_numbers(values: Any, what: str, remedy: str) -> Array:
    """Give values as float64, or raise InputError where they are no real numbers."""
    try:
        found = np.asarray(values)
        is_complex = found.dtype == object and any(isinstance(one, complex) for one in found.flat)
        if (
            is_complex or found.dtype.kind in "cmMSV"
        ):  # NumPy takes dates, and drops parts of numbers
            raise TypeError
        return found.astype(np.float64, copy=False)
    except (TypeError, ValueError, OverflowError):
        raise InputError(f"{what} does not hold numbers; {remedy}") from None


def is_one_of(value: object, choices: Sequence[object]) -> bool:
    """Whether a value is one of some texts and numbers; an array, or a table, is none of them."""
    return isinstance(value, str | int | float | np.number) and value in choices


def is_absent(cell: object) -> bool:
    """Whether a cell is a missing one: None, NaN, NA, NaT; an array in a cell is none."""
    if isinstance(cell, str):
        return False
    return pd.api.types.is_scalar(cell) and bool(pd.isna(cell))  # type: ignore[call-overload]


def require_choice(value: object, what: str, choices: Sequence[str | None]) -> None:
    """Raise OptionError unless an option has one of its known values."""
    if not (value is None or isinstance(value, str)) or value not in choices:
        known = ", ".join(map(str, choices))
        raise OptionError(f"unknown {what} {value!r}; choose one of {known}")


def require_flag(value: object, what: str) -> None:
    """Raise OptionError unless an option is True or False."""
    if not isinstance(value, bool | np.bool_):
        raise OptionError(f"{what} is {value!r}; it should be True or False")


def require_by(by: object) -> None:
    """Raise OptionError unless `by` is None (over all markers) or "contig"."""
    require_choice(by, "by", (None, "contig"))


def require_some(label: str, samples: int, traits: int) -> None:
    """Raise InputError unless a table of traits has both samples and traits."""
    if not samples or not traits:
        raise InputError(
            f"{label} has {counted(samples, 'sample')} and {counted(traits, 'trait')}; a study "
            "needs some of both: see whether this is the table of traits"
        )


def refuse_infinite(
    values: npt.NDArray[np.floating], what: str, rows: Sequence[str], columns: Sequence[str]
) -> None:
    """Raise InputError quoting the first infinite value of a table (samples, columns)."""
    if are_finite(values):
        return
    infinite = np.argwhere(np.isinf(values))
    i, j = infinite[0]
    raise InputError(
        f"{what} holds {counted(len(infinite), 'infinite value')}, the first {values[i, j]} in "
        f"sample {rows[i]!r}, column {columns[j]!r}; replace them by numbers or NaN"
    )


def refuse_huge(values: npt.NDArray[Any], what: str, remedy: str) -> None:
    """Raise InputError quoting the first of some numbers beyond `LARGEST`; NaN passes."""
    huge = np.abs(values) > np.float64(LARGEST)  # single precision has no such number
    if huge.any():
        raise InputError(
            f"{what} hold {values[huge][0]:g}, and numbers of a result or a picture lie within "
            f"{-LARGEST:g} and {LARGEST:g}; {remedy}"
        )


def refuse_outside(
    values: npt.NDArray[np.floating],
    maximum: float,
    variants: Sequence[str],
    samples: Sequence[str],
) -> None:
    """Raise InputError quoting the first genotype (variants, samples, ...) outside 0..maximum."""
    if are_within(values, maximum):
        return
    outside = np.argwhere((values < -RANGE_TOLERANCE) | (values > maximum + RANGE_TOLERANCE))
    i, j = outside[0][:2]
    raise InputError(
        f"{counted(len(outside), 'genotype')} outside 0..{maximum:g}, the first "
        f"{values[tuple(outside[0])]} at variant {variants[i]!r}, sample {samples[j]!r}; "
        "code them as dosages from 0 to 1 or from 0 to 2, NaN where missing"
    )


def are_within(values: npt.NDArray[np.floating], maximum: float) -> bool:
    """Tell whether all genotypes lie within 0..maximum; NaN passes."""
    smallest, largest = _extent(values)
    return smallest >= -RANGE_TOLERANCE and largest <= maximum + RANGE_TOLERANCE


def are_finite(values: npt.NDArray[np.floating]) -> bool:
    """Tell whether there is no infinite value; NaN passes."""
    return not values.size or bool(np.isfinite(_extent(values)).all())


def _extent(values: npt.NDArray[np.floating]) -> tuple[float, float]:
    """Smallest and largest of the values and 0, without NaN."""
    flat = values.reshape(-1)
    low, high = flat.min(initial=0), flat.max(initial=0)
    if np.isnan(low):  # there are some: what passes over them takes longer
        low, high = np.fmin.reduce(flat, initial=0), np.fmax.reduce(flat, initial=0)
    return float(low), float(high)
