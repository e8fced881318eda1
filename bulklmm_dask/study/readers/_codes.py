"""What the calls of a genotype table in R/qtl's format mean: told by themselves or given."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

from bulklmm_dask.errors import InputError
from bulklmm_dask.study.readers._crosses import (
    AA,
    AB,
    BACKCROSS,
    BB,
    CROSSES,
    INBRED,
    NOT_AA,
    NOT_BB,
    NOTHING,
)
from bulklmm_dask.study.warn import say
from bulklmm_dask.surface import function, option
from bulklmm_dask.text import counted, listing

_GENOTYPES = (AA, AB, BB, NOT_BB, NOT_AA)  # in R/qtl's order
_LETTERS = dict(zip("AHBDC", _GENOTYPES, strict=True))
_NUMBERS = dict(zip("12345", _GENOTYPES, strict=True))
_PAIR = re.compile(r"(?:not )?([A-Za-z0-9])[/|]?([A-Za-z0-9])")
_ENOUGH = 0.9  # share of the calls that a meaning must explain; others are taken as missing


@dataclass(frozen=True)
class Meaning:
    """The genotype of each call, and the names of the alleles A and B."""

    of: Mapping[str, int]
    alleles: tuple[str, str] = ("A", "B")


def read_codes(
    counts: Mapping[str, int], calls: Sequence[str] | None, cross: str | None, label: str
) -> Meaning:
    """Tell what the calls of a table mean.

    Parameters
    ----------
    counts : mapping of str to int
        How often each call occurs.
    calls : sequence of str, optional
        The calls AA, AB, BB, not BB and not AA, as many of them as there are; two are the two
        genotypes of the cross. By default they are told from the calls that occur: A, H, B, D, C;
        pairs of two letters such as CC, CB, BB, not BB, not CC; or 1 to 5.
    cross : str, optional
        The kind of cross, if it is known.
    label : str
        The file, for messages.

    Raises
    ------
    InputError
        If the calls cannot be told, or are those of a cross of four parents.
    """
    if calls is not None:
        meaning = _given(calls, cross)
    else:
        numbers = {"1": AA, "2": BB} if cross in INBRED and "3" not in counts else _NUMBERS
        small = {letter.lower(): genotype for letter, genotype in _LETTERS.items()}
        known = [Meaning(_LETTERS), Meaning(_LETTERS | small), Meaning(numbers)]
        meaning = max([*known, _pairs(counts)], key=lambda one: _explained(one, counts))
        _refuse_four_way(counts, label)
        if _explained(meaning, counts) < _ENOUGH * sum(counts.values()):
            often = sorted(counts, key=counts.__getitem__, reverse=True)
            raise InputError(
                f"{label}: the calls {listing(often, 8)} are not A, H, B, D, C, nor pairs of two "
                f"letters, nor 1 to 5; say what they mean with {option('calls')}: the calls of AA, "
                "AB and BB in this order, or of the two genotypes that there are"
            )
        if meaning.of is numbers:
            say(
                f"{label}: the calls 1, 2 and so on are taken as R/qtl's numbers of the genotypes "
                f"({_shown(numbers, counts)}); say what they mean with {option('calls')}"
            )
    _say_unlisted(meaning, counts, label)
    return meaning


def is_call(cell: str) -> bool:
    """Tell whether a cell looks like a call by letters."""
    return cell in _LETTERS or (cell.isalpha() and bool(_PAIR.fullmatch(cell)))


def kind_of_cross(given: str | None, present: Collection[int], meaning: Meaning, label: str) -> str:
    """Give the kind of cross; by default told from the genotypes that occur on autosomes."""
    if given is not None:
        if given not in CROSSES:
            raise InputError(
                f"{option('cross')} is {given!r}; calls can be read of crosses of two founders "
                f"({', '.join(CROSSES)}). For others compute genotype probabilities (R/qtl2: "
                f"calc_genoprob) and read them with {function('read_probabilities')}"
            )
        return given
    found = set(present) - {NOTHING}
    if found <= {AA, AB}:
        cross, what = BACKCROSS, "a backcross"
    elif found <= {AA, BB}:
        cross, what = "riself", "inbred lines"
    else:
        cross, what = "f2", "an intercross"
    shown = listing(call for call, genotype in meaning.of.items() if genotype in found)
    say(
        f"{label}: its calls on the autosomes ({shown or 'none'}) are those of {what}: read as "
        f"{option('cross', cross)}; name another of {', '.join(CROSSES)} if it is one"
    )
    return cross


def _given(calls: Sequence[str], cross: str | None) -> Meaning:
    names = [calls] if isinstance(calls, str) else [str(call).strip() for call in calls]
    if not 2 <= len(names) <= len(_GENOTYPES) or len(set(names)) < len(names):
        raise InputError(
            f"{option('calls')} names {listing(names)}; it should name two to five different calls:"
            " those of AA, AB, BB, not BB and not AA, in this order"
        )
    genotypes: Sequence[int] = _GENOTYPES
    if len(names) == 2:
        genotypes = (AA, AB) if cross == BACKCROSS else (AA, BB)
    of = dict(zip(names, genotypes, strict=False))
    return Meaning(of, _pairs(dict.fromkeys(names, 1)).alleles if len(names) > 2 else ("A", "B"))


def _pairs(counts: Mapping[str, int]) -> Meaning:
    """Meaning of calls that are pairs of letters; the heterozygote names allele A first."""
    found = {call: (match[1], match[2]) for call in counts if (match := _PAIR.fullmatch(call))}
    plain = [pair for call, pair in found.items() if not call.startswith("not")]
    letters = sorted({letter for pair in found.values() for letter in pair})
    if not 1 <= len(letters) <= 2:
        return Meaning({})
    orders = {pair for pair in plain if len(set(pair)) == 2}
    one, two = orders.pop() if len(orders) == 1 else (letters[0], letters[-1])
    genotype_of = {(one, one): AA, (one, two): AB, (two, one): AB, (two, two): BB}
    partial = {(one, one): NOT_AA, (two, two): NOT_BB}
    of = {
        call: partial.get(pair, NOTHING) if call.startswith("not") else genotype_of[pair]
        for call, pair in found.items()
    }
    return Meaning(of, (one, two) if one != two else (one, "?"))


def _explained(meaning: Meaning, counts: Mapping[str, int]) -> int:
    return sum(count for call, count in counts.items() if call in meaning.of)


def _refuse_four_way(counts: Mapping[str, int], label: str) -> None:
    high = [call for call in counts if call.isdecimal() and 5 < int(call[:3]) < 15]
    if high and sum(counts[call] for call in counts if call.isdecimal()) > _ENOUGH * sum(
        counts.values()
    ):
        raise InputError(
            f"{label}: the calls {listing(high)} are those of a cross of four parents, which "
            "cannot be read from calls; compute genotype probabilities (R/qtl2: calc_genoprob) and "
            f"read them with {function('read_probabilities')}"
        )


def _say_unlisted(meaning: Meaning, counts: Mapping[str, int], label: str) -> None:
    unlisted = [call for call in counts if call not in meaning.of]
    if unlisted:
        say(
            f"{label}: {counted(sum(counts[call] for call in unlisted), 'call')} "
            f"({listing(unlisted)}) not among {listing(meaning.of, 8)}: taken as missing, as in "
            f"R/qtl; name the calls with {option('calls')} if they mean a genotype"
        )
    partial = [call for call in counts if meaning.of.get(call) in (NOT_BB, NOT_AA)]
    if partial:
        say(
            f"{label}: {counted(sum(counts[call] for call in partial), 'call')} "
            f"({listing(partial)}) tell the genotype only in part: missing among the dosages; "
            f"{function('genotype_probabilities')} uses them"
        )


def _shown(of: Mapping[str, int], counts: Mapping[str, int]) -> str:
    words = {AA: "AA", AB: "AB", BB: "BB", NOT_BB: "not BB", NOT_AA: "not AA"}
    return ", ".join(f"{call} {words[of[call]]}" for call in of if call in counts)
