"""Complementary probabilities: markers written twice, as p and as 1 - p, as in BulkLMM's files."""

from __future__ import annotations

import re
from collections.abc import Collection
from dataclasses import replace

import numpy as np

from bulklmm_dask.errors import InputError
from bulklmm_dask.study.tables.table import Table
from bulklmm_dask.study.warn import say
from bulklmm_dask.text import counted

_SUM_TOLERANCE = 2e-3  # of p and 1 - p, each rounded to three decimals
_SEPARATORS = re.compile(r"([._:\-\s|]+)")


def keep_first_of_pairs(
    table: Table, complementary: bool | None, known: Collection[str]
) -> tuple[Table, list[str] | None]:
    """Keep one of the two columns of each marker, if markers come in pairs.

    Parameters
    ----------
    table : Table
        Genotypes (samples, markers), the columns of a marker side by side.
    complementary : bool, optional
        Whether markers come in pairs. By default they do if the names of every two columns
        belong together (marker_A, marker_B, or the same name twice) and their values sum to 1.
    known : collection of str
        Marker names of the map; empty without a map.

    Returns
    -------
    table : Table
        The first column of each pair, under the name of its marker.
    alleles : list of str or None
        The two endings of the names, the one that is counted last; None if there are none.

    Raises
    ------
    InputError
        If `complementary` is true and columns do not come in pairs that sum to 1.
    """
    pairs = list(zip(table.columns[::2], table.columns[1::2], strict=False))
    stems = [_stem(one, two, known) for one, two in pairs]
    if complementary is None:
        belong = None not in stems and not any(one != two and one in known for one, two in pairs)
        complementary = bool(pairs) and belong and _wrong_pair(table) is None
    if not complementary:
        return table, None
    wrong = _wrong_pair(table)
    if wrong is not None:
        raise InputError(
            f"{table.label}: the columns from {table.columns[2 * wrong]!r} on are not "
            "complementary: two columns side by side should sum to 1; pass complementary=False"
        )
    found = [stem or (one, "", "") for stem, (one, _) in zip(stems, pairs, strict=True)]
    endings = {stem[1:] for stem in found}
    say(
        f"{table.label}: the {len(table.columns)} markers are {counted(len(pairs), 'pair')} of "
        "complementary probabilities; the first of each pair is kept"
    )
    kept = replace(table, columns=[stem[0] for stem in found], values=table.values[:, ::2])
    first, second = endings.pop() if len(endings) == 1 else ("", "")
    return kept, [second, first] if first else None


def _wrong_pair(table: Table) -> int | None:
    """Find the first two columns that do not sum to 1; None if all do."""
    if table.values.shape[1] % 2:
        return table.values.shape[1] // 2
    off = np.abs(table.values[:, ::2] + table.values[:, 1::2] - 1) > _SUM_TOLERANCE
    wrong = np.flatnonzero(off.any(axis=0))
    return int(wrong[0]) if wrong.size else None


def _stem(one: str, two: str, known: Collection[str]) -> tuple[str, str, str] | None:
    """Give the marker that two column names share, and what differs; None if they share none."""
    if one == two:
        return one, "", ""
    left, right = _SEPARATORS.split(one), _SEPARATORS.split(two)
    if len(left) == len(right) == 1:  # no separator: a marker name and one letter
        left, right = [one[:-1], "", one[-1:]], [two[:-1], "", two[-1:]]
    at = [i for i, pair in enumerate(zip(left, right, strict=False)) if len(set(pair)) > 1]
    if len(left) != len(right) or len(at) != 1 or not _are_alleles(left[at[0]], right[at[0]]):
        return None
    before, after = "".join(left[: max(at[0] - 1, 0)]), "".join(left[at[0] + 2 :])
    joined = "".join(left[: at[0] - 1] + left[at[0] + 1 :]) if at[0] else after
    name = next((part for part in (joined, before, after) if part in known), joined)
    return (name, left[at[0]], right[at[0]]) if name else None


def _are_alleles(one: str, two: str) -> bool:
    """Tell A and B, AA and AB, B6 and D2 from numbers that count markers."""
    return (one.isalpha() and two.isalpha()) or (
        one[:1].isalpha() and two[:1].isalpha() and one[0] != two[0]
    )
