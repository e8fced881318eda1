"""True genotypes of a cross, in terms of its founders."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class State:
    """One true genotype.

    Attributes
    ----------
    alleles : tuple of int
        The founders of its one or two haplotypes.
    shown : str
        How it is written: both letters (AB, also AA of an inbred line), one letter and Y
        (hemizygous: AY), or one letter (A).
    """

    alleles: tuple[int, ...]
    shown: str = "both"

    def label(self, letters: Sequence[str]) -> str:
        """Its name in the letters of the founders."""
        first = letters[self.alleles[0]]
        if self.shown == "both":
            return first + letters[self.alleles[-1]]
        return first + "Y" if self.shown == "hemizygous" else first


def homozygotes(founders: int) -> tuple[State, ...]:
    """AA, BB, CC, ..."""
    return tuple(State((i,)) for i in range(founders))


def hemizygotes(founders: int) -> tuple[State, ...]:
    """AY, BY, CY, ..."""
    return tuple(State((i,), "hemizygous") for i in range(founders))


def haplotypes(founders: int) -> tuple[State, ...]:
    """A, B, C, ..."""
    return tuple(State((i,), "single") for i in range(founders))


def diplotypes(founders: int) -> tuple[State, ...]:
    """AA, AB, BB, AC, BC, CC, ... of unknown phase, in the order of R/qtl2."""
    return tuple(State((i, j)) for j in range(founders) for i in range(j + 1))
