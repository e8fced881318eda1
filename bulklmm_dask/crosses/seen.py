"""What the calls of some individuals tell along a chromosome, for chains with the same states."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Self

import numpy as np
import numpy.typing as npt

from bulklmm_dask.crosses.chains import Chain
from bulklmm_dask.crosses.emission import expected, likelihoods
from bulklmm_dask.crosses.steps import NEAR
from bulklmm_dask.typing import Array, Index

# Sums of vectors are looked at before they may have lost so many decimal places. What is kept is in
# single precision, which has 38 places; a step leaves a state at most 18 below the others (two
# changes of 1e-8 each).
_PLACES = 10.0


@dataclass(frozen=True)
class Chromosome:
    """The positions of a chromosome, and what its markers tell.

    Attributes
    ----------
    fraction : array (positions - 1,)
        Recombination fractions between neighbours.
    marker : array (positions,) of int
        Row of the marker at each position, -1 for none.
    founders : array (markers, founders) of int
        Alleles of the founders: 1, 3, or 0 where unknown.
    """

    fraction: Array
    marker: Index
    founders: npt.NDArray[np.integer]


@dataclass(frozen=True)
class Seen:
    """Calls, and their probabilities by state.

    Attributes
    ----------
    marker : array (positions,) of int
        Row of the marker at each position, -1 for none that tells anything.
    expected : array (markers, states) of int
        What each state lets expect (`emission.expected`).
    calls : array (markers, individuals) of int
    table : array (expected, calls)
        Probability of a call by what is expected.
    often : int
        Positions after which the sums of vectors have to be looked at.
    """

    marker: Index
    expected: Index
    calls: npt.NDArray[np.integer]
    table: Array
    often: int

    @classmethod
    def of(
        cls, chromosome: Chromosome, chain: Chain, calls: npt.NDArray[np.integer], error: float
    ) -> Self:
        """Look up what calls (markers, individuals) tell; `error` is how often they are wrong."""
        table = likelihoods(chain.seen, error)
        rows = expected(chain.states, chromosome.founders)
        marker = np.asarray(chromosome.marker)
        tells = np.append(rows.any(axis=1), False)  # the last stands for no marker
        marker = np.where(tells[marker], marker, -1)
        often = max(1, int(_PLACES / -np.log10(min(table.min(), NEAR))))
        return cls(marker, rows, calls, table, often)
