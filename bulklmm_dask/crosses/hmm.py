"""Forward and backward: probabilities of the true genotypes given all calls of a chromosome.

Alpha moves left to right and is multiplied by the probabilities of the calls, beta right to left;
their product, scaled to the sum 1, is the posterior at a position. Both are scaled on the way,
which the last scaling undoes, instead of being logarithms.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from bulklmm_dask.crosses.chains import Chain
from bulklmm_dask.crosses.emission import expected, likelihoods
from bulklmm_dask.crosses.steps import family, steps_of
from bulklmm_dask.typing import Array, Index, Single

# Decimal places that vectors may lose before they are scaled; doubles have 308.
_PLACES = 150.0


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


def posterior(
    chromosome: Chromosome,
    chains: Sequence[Chain],
    which: Index,
    columns: Sequence[Index],
    calls: npt.NDArray[np.integer],
    error: float,
    labels: int,
) -> Single:
    """Compute probabilities of the true genotypes of some individuals.

    Parameters
    ----------
    chromosome : Chromosome
    chains : sequence of Chain
    which : array (individuals,) of int
        The chain of each individual.
    columns : sequence of arrays of int
        For each chain the columns of its states in the output.
    calls : array (markers, individuals) of int
        Calls (`bulklmm_dask.crosses.emission`).
    error : float
        Probability that a call is wrong.
    labels : int
        Columns of the output; those of other states are 0.

    Returns
    -------
    array (positions, individuals, labels) of float32
    """
    out = np.zeros((len(chromosome.marker), len(which), labels), np.float32)
    families: dict[object, list[int]] = {}
    for number, chain in enumerate(chains):
        families.setdefault(family(chain), []).append(number)
    for members in families.values():
        mine = np.flatnonzero(np.isin(which, members))
        if not len(mine):
            continue
        chosen = [chains[number] for number in members]
        place = np.searchsorted(members, which[mine])
        place_of, column = _as_slice(mine), _as_slice(columns[members[0]])
        if not isinstance(place_of, slice) and not isinstance(column, slice):
            place_of = place_of[:, None]
        for position, vectors in _forward_backward(
            chromosome, chosen, place, calls[:, mine], error
        ):
            out[position][place_of, column] = vectors.T
    return out


def _as_slice(places: Index) -> Any:
    """Neighbouring places as a slice, into which NumPy copies faster; others as they are."""
    first, last = int(places[0]), int(places[-1])
    whole = last - first + 1 == len(places) and bool((np.diff(places) == 1).all())
    return slice(first, last + 1) if whole else places


def _forward_backward(
    chromosome: Chromosome,
    chains: Sequence[Chain],
    which: Index,
    calls: npt.NDArray[np.integer],
    error: float,
) -> Iterator[tuple[int, Array]]:
    """Yield the posterior (states, individuals) of each position, from the last to the first.

    The array is overwritten at the next position.
    """
    first = chains[0]
    steps = steps_of(chains, which, chromosome.fraction)
    table = likelihoods(first.seen, error)
    rows = expected(first.states, chromosome.founders)
    marker, last = chromosome.marker, len(chromosome.marker) - 1
    often = max(1, int(_PLACES / -np.log10(table.min())))

    told = np.empty((len(first.states), len(which)))

    def see(position: int, vectors: Array) -> None:
        """Multiply by the probabilities of the calls, which may tell nothing."""
        row = marker[position]
        if row >= 0 and rows[row].any():
            np.take(table[:, calls[row]], rows[row], axis=0, out=told, mode="clip")
            vectors *= told

    kept = np.empty((last + 1, *told.shape))
    alpha = kept[0]
    alpha[:] = first.start[:, None]
    see(0, alpha)
    for position in range(1, last + 1):
        before, alpha = alpha, kept[position]
        steps.forward(position - 1, before, alpha)
        see(position, alpha)
        if position % often == 0:
            alpha /= alpha.sum(0)
    ones = np.ones(len(told))
    beta, new, both = np.ones(told.shape), np.empty(told.shape), np.empty(told.shape)
    for position in range(last, -1, -1):
        if position < last:
            see(position + 1, beta)
            steps.backward(position, beta, new)
            beta, new = new, beta
        if position % often == 0:
            beta /= beta.max(0)
        np.multiply(kept[position], beta, out=both)
        both /= ones @ both
        yield position, both
