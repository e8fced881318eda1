"""Samples of genotypes and traits: matched by name, by strain or by order."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from bulklmm_dask.errors import InputError
from bulklmm_dask.study.checks import is_absent
from bulklmm_dask.study.labelled import Argument, by_sample, say_by_order
from bulklmm_dask.study.warn import say
from bulklmm_dask.surface import either
from bulklmm_dask.text import listing


def strains_of(strains: Any, traits: Argument) -> list[str | None]:
    """Look up the strain of each row of the traits; None where a sample is not listed."""
    found = by_sample(strains, "strains", traits)
    return [None if is_absent(name) else str(name) for name in found]


def match_samples(
    calls: Argument, traits: Argument, strains: list[str | None] | None
) -> tuple[list[int], list[int]]:
    """Rows of the traits to keep, and for each the row of its genotypes."""
    size, genotyped = traits.data.sizes["samples"], calls.data.sizes["samples"]
    keys: Sequence[str | None] | None = traits.names
    if strains is not None and calls.names is not None:
        by_strain = not set(strains).isdisjoint(calls.names)
        by_name = traits.names is not None and not set(traits.names).isdisjoint(calls.names)
        keys = strains if by_strain or not by_name else traits.names
    if calls.names is None or keys is None:
        if size != genotyped:
            raise InputError(
                f"the genotypes have {genotyped} samples and the traits {size}, and they cannot be "
                f"matched by name; pass {either('sample_ids, or ', '')}tables that carry sample "
                "names"
            )
        if calls.names is None and keys is not None:
            say_by_order(calls, traits)
        elif keys is None and calls.names is not None:
            say_by_order(traits, calls)
        return list(range(size)), list(range(size))
    where = {name: i for i, name in enumerate(calls.names)}
    rows = [i for i, key in enumerate(keys) if key in where]
    if not rows:
        raise InputError(
            "genotypes and traits have no sample in common: the genotypes have "
            f"{listing(calls.names, 3) or 'none'}, the traits "
            f"{listing(filter(None, keys), 3) or 'none'}; use the same names on both sides"
        )
    labels = traits.names or [f"row {i + 1}" for i in range(size)]
    kept = set(rows)
    say_unmatched([labels[i] for i in range(size) if i not in kept], size, "traits", "genotypes")
    used = {keys[i] for i in rows}
    unused = [name for name in calls.names if name not in used]
    who = "samples" if keys is traits.names else "strains"
    say_unmatched(unused, genotyped, "genotypes", "traits", who)
    return rows, [where[str(keys[i])] for i in rows]


def say_unmatched(
    names: list[str], total: int, present: str, absent: str, who: str = "samples"
) -> None:
    """Warn which of `total` samples are on one side only, if any."""
    if names:
        say(
            f"{len(names)} of {total} {who} with {present} have no {absent} "
            f"and are dropped: {listing(names)}"
        )
