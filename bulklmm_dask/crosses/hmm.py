"""Forward and backward: probabilities of the true genotypes given all calls of a chromosome.

Alpha moves left to right and is multiplied by the probabilities of the calls, beta right to left.
The sum of their product over the states is the likelihood of all calls at every position, so beta
begins at its inverse, and each product is the posterior. Alpha is divided by its sum now and then,
instead of being logarithms, and beta by the same number when it comes there.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import numpy.typing as npt

from bulklmm_dask.crosses.chains import Chain, without_absent
from bulklmm_dask.crosses.compiled.posteriors import loops_for, write_posterior
from bulklmm_dask.crosses.seen import Chromosome, Seen
from bulklmm_dask.crosses.steps import Steps, family, kept, steps_of
from bulklmm_dask.typing import Array, Index, Single

# Vectors are divided by their sums where these are below it.
_LOW = 1e-5


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
        place, column = np.searchsorted(members, which[mine]), columns[members[0]]
        there = chromosome
        if not chosen[0].start.all():
            left = [without_absent(chain, chromosome.founders) for chain in chosen]
            chosen = [chain for chain, _, _ in left]
            _, founders, possible = left[0]
            there, column = replace(chromosome, founders=founders), column[possible]
        seen = Seen.of(there, chosen[0], calls[:, mine], error)
        compiled = loops_for(chosen[0])
        if compiled is not None:
            stay = kept(chosen, chromosome.fraction)
            where = (mine, column)
            write_posterior(out, where, chosen[0], stay, place, seen, compiled)
            continue
        place_of, column_of = _as_slice(mine), _as_slice(column)
        in_place = isinstance(place_of, slice) and isinstance(column_of, slice)
        if not isinstance(place_of, slice) and not isinstance(column_of, slice):
            place_of = place_of[:, None]
        steps = steps_of(chosen, place, chromosome.fraction)
        for position, forward, backward in _forward_backward(steps, chosen[0], seen):
            if in_place:
                own = out[position, place_of, column_of]
                np.multiply(forward, backward, out=own, casting="same_kind")
            else:
                out[position][place_of, column_of] = forward * backward
    return out


def _as_slice(places: Index) -> Any:
    """Neighbouring places as a slice, into which NumPy copies faster; others as they are."""
    first, last = int(places[0]), int(places[-1])
    whole = last - first + 1 == len(places) and bool((np.diff(places) == 1).all())
    return slice(first, last + 1) if whole else places


def _forward_backward(
    steps: Steps, chain: Chain, seen: Seen
) -> Iterator[tuple[int, Single, Array]]:
    """Yield two arrays (individuals, states) for each position, from the last to the first.

    Their product is the posterior. The second array is overwritten at the next position.
    """
    by_call = np.ascontiguousarray(seen.table.T)
    last = len(seen.marker) - 1
    told = np.empty((seen.calls.shape[1], len(chain.states)))

    def see(row: int, vectors: Array, out: Array) -> None:
        """Multiply by the probabilities of the calls of a marker."""
        by_call[:, seen.expected[row]].take(seen.calls[row], axis=0, out=told, mode="clip")
        np.multiply(vectors, told, out=out)

    # Before the calls at each position; after them, and divided by their sum now and then.
    before = np.empty((last + 1, *told.shape), np.float32)
    alpha, new = np.empty((2, *told.shape))
    ones, sums = np.ones((len(chain.states), 1)), dict[int, Array]()
    new[:] = chain.start
    for position, row in enumerate(seen.marker):
        if position:
            if position % seen.often == 0:
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
        if seen.marker[position] >= 0:
            see(seen.marker[position], beta, beta)
        yield position, before[position], beta
        if position:
            steps.backward(position - 1, beta, new)
            beta, new = new, beta
            if position in sums:
                beta /= sums[position]
