"""Names of contigs as people write them: 1, chr1, Chr1, CHR_1, 01 and 1.0 are one chromosome.

Every place that looks a contig up by its name does it here. A name that is there as it is written
is taken first; otherwise the one contig that is spelled alike. Nothing else is guessed: 23 is not
taken for X, because which number a sex chromosome has depends on the species.
"""

from __future__ import annotations

import re
from collections.abc import Iterable

import numpy as np
import pandas as pd

from bulklmm_dask.errors import InputError
from bulklmm_dask.study.schema import locate, refuse_several
from bulklmm_dask.study.warn import say
from bulklmm_dask.text import listing
from bulklmm_dask.typing import Index

# Position of a contig that is not among those known.
ABSENT = -1

# Longer words first: an expression takes the first that fits.
_PREFIX = re.compile(r"(?:chromosome|chrom|chr)[\s_.\-]*(?=[a-z0-9])")
_NUMBERED = re.compile(r"([a-z]+)[\s_.\-]*0*(\d+)|0*(\d+)(?:\.0+)?")
_MITOCHONDRION = frozenset({"m", "mt", "mito", "mtdna", "mitochondrion", "mitochondria"})


def spelling(name: object) -> str:
    """What all usual spellings of a contig have in common.

    Letters are small; a prefix such as chr, zeros in front of a number, and what makes a decimal
    number of it (1.0) are dropped, as is what separates letters from a number at their end. M, MT
    and Mito are the mitochondrion.
    """
    small = str(name).strip().lower()
    prefix = _PREFIX.match(small)
    plain = small[prefix.end() :] if prefix else small
    if plain in _MITOCHONDRION:
        return "mt"
    numbered = _NUMBERED.fullmatch(plain)
    return plain if numbered is None else "".join(part or "" for part in numbered.groups())


def match_contigs(known: Iterable[object], wanted: Iterable[object], what: str) -> Index:
    """Find contigs by their names in any usual spelling.

    Parameters
    ----------
    known, wanted : iterable of names
    what : str
        What holds the known ones, for the error, such as "the study".

    Returns
    -------
    array of int
        Position of each wanted contig among those known; `ABSENT` where it is not among them.

    Raises
    ------
    InputError
        If a name is that of several of the known ones, or may be because it is not there as it is
        written.
    """
    names = list(map(str, known))
    exact = {name: position for position, name in enumerate(names)}
    alike: dict[str, list[int]] = {}
    for position, name in enumerate(names):
        alike.setdefault(spelling(name), []).append(position)

    def position_of(name: str) -> int:
        if name in exact:
            return exact[name]
        found = alike.get(spelling(name), [])
        if len(found) > 1:
            raise InputError(
                f"contig {name!r} may be {listing(names[i] for i in found)} of {what}; write it as "
                "it is there"
            )
        return found[0] if found else ABSENT

    codes, distinct = pd.factorize(
        np.array(list(map(str, wanted)), dtype=object), use_na_sentinel=False
    )
    if len(exact) < len(names):
        refuse_several(names, distinct)
    at = np.array([position_of(str(name)) for name in distinct], dtype=np.int64)
    return at[codes]


def say_alike(names: Iterable[object], where: str) -> None:
    """Warn of contigs in `where` that are one in different spellings, such as 1 and chr1."""
    alike: dict[str, list[str]] = {}
    for name in map(str, names):
        alike.setdefault(spelling(name), []).append(name)
    if groups := [group for group in alike.values() if len(group) > 1]:
        pairs = "; ".join(listing(group) for group in groups[:3])
        say(
            f"{where} has contigs that may be one in several spellings: {pairs}; they are kept "
            "apart. Write each alike, if they are one"
        )


def locate_contigs(
    known: Iterable[object],
    wanted: Iterable[object],
    what: str,
    remedy: str | None = None,
    *,
    where: str = "the study",
) -> Index:
    """Find contigs as `match_contigs` does; InputError, worded as by `locate`, if one is absent."""
    names, asked = list(map(str, known)), list(map(str, wanted))
    at = match_contigs(names, asked, where)
    absent = dict.fromkeys(name for name, position in zip(asked, at, strict=True) if position < 0)
    locate(names, absent, what, remedy)
    return at
