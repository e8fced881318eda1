"""Probability of a marker call given the true genotype.

Calls are 0 (none), 1 (AA), 2 (AB), 3 (BB), 4 (not BB) and 5 (not AA), where A and B are the alleles
of the marker; those of a founder are 1, 3, or 0 where it is unknown or heterozygous.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from bulklmm_dask.crosses.states import State
from bulklmm_dask.typing import Array, Index

NONE, AA, AB, BB, NOT_BB, NOT_AA = range(6)
_TELLS = {AA: {AA}, AB: {AB}, BB: {BB}, NOT_BB: {AA, AB}, NOT_AA: {AB, BB}}

# What the founders' alleles let expect of a state, besides AA, AB and BB: nothing, or one allele
# beside an unknown one.
_ONE_A, _ONE_B = 4, 5
_EXPECTED = 6

# Genotypes that can be seen, by how calls show the states: all three; one of two homozygotes
# (inbred lines and hemizygous males); the same, where a heterozygous call is an error too; one of
# the two of a backcross to A, or to B.
MANNERS = {
    "three": (AA, AB, BB),
    "alike": (AA, BB),
    "inbred": (AA, BB),
    "to A": (AA, AB),
    "to B": (AB, BB),
}


def likelihoods(manner: str, error: float) -> Array:
    """Probability of each call by what is expected.

    Parameters
    ----------
    manner : str
        One of `MANNERS`.
    error : float
        Probability that a call is wrong, eps.

    Returns
    -------
    array (expected, calls)
        Where three genotypes can be seen the right one has 1 - eps, each other eps/2; where two
        can, 1 - eps and eps, and calls that do not tell them apart have 1.
    """
    out = np.ones((_EXPECTED, 1 + len(_TELLS)))
    possible = set(MANNERS[manner])
    for call, told in _TELLS.items():
        for true in possible:
            if manner == "three":
                wrong = error / 2 if len(told) == 1 else error
                right = 1 - error if len(told) == 1 else 1 - error / 2
                out[true, call] = right if true in told else wrong
            elif len(told & possible) == 1:
                out[true, call] = 1 - error if true in told else error
            elif manner == "inbred":
                out[true, call] = error
        if manner == "three" and told != {AB}:
            out[_ONE_A, call] = 1 - error if AA in told else error
            out[_ONE_B, call] = 1 - error if BB in told else error
    return out


def expected(states: Sequence[State], founders: npt.NDArray[np.integer]) -> Index:
    """What each state lets expect at each marker: rows of `likelihoods`.

    Parameters
    ----------
    states : sequence of State
    founders : array (markers, founders) of int
        Alleles of the founders: 1, 3, or anything else where unknown.

    Returns
    -------
    array (markers, states) of int
    """
    known = np.where((founders == AA) | (founders == BB), founders, NONE).astype(np.int64)
    one, two = (known[:, [state.alleles[end] for state in states]] for end in (0, -1))
    half = np.where(np.maximum(one, two) == AA, _ONE_A, _ONE_B)
    both = (one > 0) & (two > 0)
    return np.where(both, (one + two) // 2, np.where(one + two == 0, NONE, half))
