"""Forward and backward: probabilities of the true genotypes given all calls of a chromosome.

Alpha moves left to right and is multiplied by the probabilities of the calls, beta right to left.
The sum of their product over the states is the likelihood of all calls at every position, so beta
begins at its inverse, and each product is the posterior. Alpha is divided by its sum now and then,
instead of being logarithms, and beta by the same number when it comes there.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from bulklmm_dask.crosses.chains import Chain
from bulklmm_dask.crosses.emission import expected, likelihoods
from bulklmm_dask.crosses.steps import NEAR, family, steps_of
from bulklmm_dask.typing import Array, Flags, Index, Single

# Sums of vectors are looked at before they may have lost so many decimal places, and vectors are
# divided by them where they are below _LOW. What is kept is in single precision, which has 38
# places; a step leaves a state at most 18 below the others (two changes of 1e-8 each).
_PLACES, _LOW = 10.0, 1e-5


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
        in_place = isinstance(place_of, slice) and isinstance(column, slice)
        if not isinstance(place_of, slice) and not isinstance(column, slice):
            place_of = place_of[:, None]
        for position, forward, backward in _forward_backward(
            chromosome, chosen, place, calls[:, mine], error
        ):
            if in_place:
                own = out[position, place_of, column]
                np.multiply(forward, backward, out=own, casting="same_kind")
            else:
                out[position][place_of, column] = forward * backward
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
) -> Iterator[tuple[int, Single, Array]]:
    """Yield two arrays (individuals, states) for each position, from the last to the first.

    Their product is the posterior. The second array is overwritten at the next position.
    """
    first = chains[0]
    steps = steps_of(chains, which, chromosome.fraction)
    table = likelihoods(first.seen, error)
    rows = expected(first.states, chromosome.founders)
    tells: Flags = np.asarray(rows.any(axis=1))
    by_call = np.ascontiguousarray(table.T)
    last = len(chromosome.marker) - 1
    seen = [int(row) if row >= 0 and tells[row] else -1 for row in chromosome.marker]
    often = max(1, int(_PLACES / -np.log10(min(table.min(), NEAR))))

    told = np.empty((len(which), len(first.states)))

    def see(row: int, vectors: Array, out: Array) -> None:
        """Multiply by the probabilities of the calls of a marker."""
        by_call[:, rows[row]].take(calls[row], axis=0, out=told, mode="clip")
        np.multiply(vectors, told, out=out)

    # Before the calls at each position; after them, and divided by their sum now and then.
    before = np.empty((last + 1, *told.shape), np.float32)
    alpha, new = np.empty((2, *told.shape))
    ones, sums = np.ones((len(first.states), 1)), dict[int, Array]()
    new[:] = first.start
    for position, row in enumerate(seen):
        if position:
            if position % often == 0:
                total = alpha @ ones
                if total.min() < _LOW or total.max() > 1 / _LOW:
                    sums[position] = total
                    alpha /= total
            steps.forward(position - 1, alpha, new)
        np.copyto(before[position], new, casting="same_kind")
        if row >= 0:
            see(row, new, alpha)
        else:
            alpha, new = new, alpha
    beta = np.empty(told.shape)
    beta[:] = 1 / (alpha @ ones)
    for position in range(last, -1, -1):
        if seen[position] >= 0:
            see(seen[position], beta, beta)
        yield position, before[position], beta
        if position:
            steps.backward(position - 1, beta, new)
            beta, new = new, beta
            if position in sums:
                beta /= sums[position]
