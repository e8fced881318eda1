"""How genotypes are coded: as dosages 0..1 or 0..2, or by numbers that stand for genotypes."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from bulklmm_dask.errors import InputError
from bulklmm_dask.study.checks import RANGE_TOLERANCE
from bulklmm_dask.study.warn import say
from bulklmm_dask.surface import either, option
from bulklmm_dask.text import counted, listing

_SHOWN = 8  # different values that a message lists


def as_dosages(
    values: np.ndarray, maximum: int | None, codes: Mapping[Any, Any] | None, where: str
) -> tuple[np.ndarray, int]:
    """Give genotypes as dosages, and the dosage of two counted alleles.

    Numbers that cannot be dosages of two alleles, but can be codes of two genotypes, are recoded
    with a StudyWarning: 1 and 2 (with 1.5 between), of which 0 copies of one allele are nowhere,
    and -1 and 1. By default the maximum is 2 if any dosage exceeds 1, else 1.

    Parameters
    ----------
    values : array of float
        Genotypes, NaN where missing.
    maximum : {1, 2}, optional
        Given, the values are dosages and stay as they are.
    codes : mapping, optional
        Value -> dosage, None where it stands for a missing genotype; every value must be listed.
    where : str
        The file or argument, for messages.

    Raises
    ------
    InputError
        If a value is not among the codes, or if -1 may mean a genotype or a missing one.
    """
    if codes is not None:
        values = _decoded(values, codes, where)
    elif maximum is None:
        values = _recoded(values, where)
    return values, maximum or _maximum(values)


def _maximum(values: np.ndarray) -> int:
    return 2 if np.fmax.reduce(values, axis=None, initial=0) > 1 + RANGE_TOLERANCE else 1


def _recoded(values: np.ndarray, where: str) -> np.ndarray:
    """Turn codes of two genotypes into 0 and 1; all other values stay."""
    low = np.fmin.reduce(values, axis=None, initial=np.inf)
    high = np.fmax.reduce(values, axis=None, initial=-np.inf)
    if low == 1 and high == 2:
        found = different(values)
        if set(found) <= {1, 1.5, 2}:
            _say_recoded(found, "1 becomes 0 and 2 becomes 1", option("maximum", 2), where)
            return values - 1
        say_never_below_one(low, high, where)
    if low == -1 and high == 1:
        found = different(values)
        if set(found) == {-1, 1}:
            _say_recoded(found, "-1 becomes 0, and 1 stays", option("codes"), where)
            return (values + 1) / 2
        if set(found) == {-1, 0, 1}:
            calls, gaps = ({-1: 0, 0: 1, 1: 2}, {-1: None, 0: 0, 1: 1})
            raise InputError(
                f"{where}: the genotypes are -1, 0 and 1, where -1 may be a homozygote or a "
                f"missing call; say which with {_option(calls)} or {_option(gaps)}"
            )
    return values


def say_never_below_one(low: float, high: float, where: str) -> None:
    """Warn of dosages from 1 to 2, which may be codes: no sample lacks the allele anywhere."""
    if (low, high) == (1, 2):
        say(
            f"{where}: no genotype is below 1 and some are 2; they are taken as dosages 0..2. If 1 "
            "and 2 stand for two homozygotes, subtract 1 from all of them"
        )


def _say_recoded(found: list[float], change: str, remedy: str, where: str) -> None:
    say(
        f"{where}: the genotypes are {_numbers(found)}, taken as codes of two homozygotes: "
        f"{change}; if they mean something else, say so with {remedy}"
    )


def _option(codes: Mapping[int, int | None]) -> str:
    """The option with these codes, as Python or the shell writes it."""
    pairs = (f"{code}={'NA' if dosage is None else dosage}" for code, dosage in codes.items())
    return either(f"codes={dict(codes)}", f"--codes {','.join(pairs)}")


def different(values: np.ndarray) -> list[float]:
    """Different values, without NaN."""
    return [float(value) for value in np.unique(values[~np.isnan(values)])]


def _decoded(values: np.ndarray, codes: Mapping[Any, Any], where: str) -> np.ndarray:
    if not isinstance(codes, Mapping):
        raise InputError(f"codes is {codes!r}; it should be a mapping such as {{1: 0, 2: 1}}")
    table: dict[float, float] = {}
    for code, dosage in codes.items():
        try:
            table[float(code)] = np.nan if dosage is None else float(dosage)
        except (TypeError, ValueError, OverflowError):
            raise InputError(
                f"codes holds {code!r}: {dosage!r}; it should map numbers to dosages, or to None "
                "where a number stands for a missing genotype"
            ) from None
    found = different(values)
    if unknown := [value for value in found if value not in table]:
        raise InputError(
            f"{where}: {counted(len(unknown), 'value')} not among the codes {_numbers(list(table))}"
            f", such as {_numbers(unknown)}; list every value in {option('codes')}"
        )
    out = np.full(values.shape, np.nan, dtype=values.dtype)
    for code, dosage in table.items():
        out[values == code] = dosage
    return out


def codes_hint(values: np.ndarray) -> str:
    """End of an error about values out of range, where these may be codes; else empty."""
    found = different(values)
    if len(found) > _SHOWN:
        return ""
    return f"; their values are {_numbers(found)}: {option('codes')} can say what each stands for"


def _numbers(values: list[float]) -> str:
    return listing([f"{value:g}" for value in values], _SHOWN).replace("'", "")
