"""One step of a chain along a chromosome, for many individuals at once.

Vectors of states are columns: arrays (states, individuals), so that what differs between
individuals (their generations) is a row.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

import numpy as np

from bulklmm_dask.crosses.chains import Chain, Mixing, MixingPair
from bulklmm_dask.typing import Array, Index


class Steps(Protocol):
    """Steps of the chains of some individuals over all intervals."""

    def forward(self, interval: int, vectors: Array, out: Array) -> None:
        """Move probabilities over an interval, left to right: T' p."""
        ...

    def backward(self, interval: int, vectors: Array, out: Array) -> None:
        """Move likelihoods over an interval, right to left: T b; overwrites `vectors`."""
        ...


def steps_of(chains: Sequence[Chain], which: Index, fraction: Array) -> Steps:
    """Steps of individuals whose chains have the same states.

    Parameters
    ----------
    chains : sequence of Chain
        Of one family (`family`).
    which : array (individuals,) of int
        The chain of each individual.
    fraction : array (intervals,)
        Recombination fractions.
    """
    first = chains[0]
    if not isinstance(first, Mixing | MixingPair):
        return _Product(first.transition(fraction))
    stay = np.stack([one.stay(fraction) for one in chains if isinstance(one, type(first))], 1)
    if len(chains) > 1:
        stay = stay[:, which]
    weights = np.array(first.weights)[:, None]
    return _Mixed(stay, weights) if isinstance(first, Mixing) else _MixedPair(stay, first)


def family(chain: Chain) -> object:
    """Chains of the same family can take their steps together."""
    if isinstance(chain, Mixing | MixingPair):
        return type(chain), chain.states, chain.weights, chain.seen
    return id(chain)


class _Product:
    """Any chain: a product with the matrix of the interval."""

    def __init__(self, transition: Array) -> None:
        self._transition = transition

    def forward(self, interval: int, vectors: Array, out: Array) -> None:
        np.matmul(self._transition[interval].T, vectors, out=out)

    def backward(self, interval: int, vectors: Array, out: Array) -> None:
        np.matmul(self._transition[interval], vectors, out=out)


class _Mixed:
    """`Mixing`: one sum over the states."""

    def __init__(self, stay: Array, weights: Array) -> None:
        self._stay, self._weights = stay, weights
        self._ones = np.ones(len(weights))

    def forward(self, interval: int, vectors: Array, out: Array) -> None:
        stay = self._stay[interval]
        np.multiply(self._weights, (1 - stay) * (self._ones @ vectors), out=out)
        out += vectors * stay

    def backward(self, interval: int, vectors: Array, out: Array) -> None:
        stay = self._stay[interval]
        total = (1 - stay) * (self._weights[:, 0] @ vectors)
        np.multiply(vectors, stay, out=out)
        out += total


class _MixedPair:
    """`MixingPair`: sums by founder.

    With P the symmetric matrix of ordered pairs, m its row sums and t their sum, a step gives
    a^2 P + a b (m w' + w m') + b^2 t w w', where b = 1 - a. `_share` (founders, states) makes m
    from the unordered pairs, `_spread` (states, founders) m w' + w m' from m, and of w/2 w w'.
    """

    def __init__(self, stay: Array, chain: MixingPair) -> None:
        pairs = np.array([state.alleles for state in chain.states])
        states, founders = len(pairs), len(chain.weights)
        self._weights = np.array(chain.weights)
        self._share = np.zeros((founders, states))
        self._spread = np.zeros((states, founders))
        for one, other in (pairs.T, pairs.T[::-1]):
            self._share[one, np.arange(states)] += 0.5
            self._spread[np.arange(states), one] += 2 * self._weights[other]
        self._spread[pairs[:, 0] == pairs[:, 1]] /= 2
        move = 1 - stay
        self._kept, self._one, self._two = stay**2, stay * move, move**2 / 2

    def forward(self, interval: int, vectors: Array, out: Array) -> None:
        sums = self._share @ vectors
        total = self._two[interval] * sums.sum(0)
        sums *= self._one[interval]
        sums += self._weights[:, None] * total
        np.matmul(self._spread, sums, out=out)
        out += vectors * self._kept[interval]

    def backward(self, interval: int, vectors: Array, out: Array) -> None:
        sums = self._spread.T @ vectors
        total = self._two[interval] * (self._weights @ sums)
        sums *= self._one[interval]
        sums += total
        np.matmul(self._share.T, sums, out=out)
        vectors *= self._kept[interval]
        out += vectors
