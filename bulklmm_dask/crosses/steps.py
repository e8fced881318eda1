"""One step of a chain along a chromosome, for many individuals at once.

Vectors of states are rows: arrays (individuals, states). A step may be scaled by a number for each
individual and interval, the same in both directions: every interval is passed once in a product of
a forward and a backward vector, so that its sum is the same at all positions.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

import numpy as np

from bulklmm_dask.crosses.chains import Chain, Mixing, MixingPair
from bulklmm_dask.typing import Array, Flags, Index

# Shares of what keeps its state, below which a step is not divided by them.
NEAR = 0.01


class Steps(Protocol):
    """Steps of the chains of some individuals over all intervals."""

    def forward(self, interval: int, vectors: Array, out: Array) -> None:
        """Move probabilities over an interval, left to right: p T, scaled."""
        ...

    def backward(self, interval: int, vectors: Array, out: Array) -> None:
        """Move likelihoods over an interval, right to left: b T', scaled."""
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
    stay = kept(chains, fraction)
    if isinstance(first, Mixing):
        return _mixed(stay, first, which)
    return _mixed_pair(stay, first, which)


def kept(chains: Sequence[Chain], fraction: Array) -> Array:
    """Probabilities (intervals, chains) that a haplotype of chains that mix keeps its founder."""
    mixing = [chain for chain in chains if isinstance(chain, Mixing | MixingPair)]
    return np.stack([chain.stay(fraction) for chain in mixing], axis=1)


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
        np.matmul(vectors, self._transition[interval], out=out)

    def backward(self, interval: int, vectors: Array, out: Array) -> None:
        np.matmul(vectors, self._transition[interval].T, out=out)


class _Kept:
    """Chains T = k I + A diag(c) B of low rank, with k and c by interval and kind of individual.

    Where k is not small, T / k = I + A diag(c / k) B is used: k is then 1, and its product spared.
    """

    def __init__(self, kept: Array, factors: tuple[Array, Array, Array], which: Index) -> None:
        """Take k (intervals, kinds), and A (states, rank), c (intervals, kinds, rank) and B."""
        first, middle, last = factors
        self._is_near: Flags = np.asarray((kept > NEAR).all(axis=1))
        scale = np.where(self._is_near[:, None], kept, 1.0)
        self._middle, self._kept = middle / scale[:, :, None], kept
        # BLAS is quicker with factors that lie in order.
        self._right = np.ascontiguousarray(first), np.ascontiguousarray(last)
        self._left = np.ascontiguousarray(last.T), np.ascontiguousarray(first.T)
        self._which = which if kept.shape[1] > 1 else None
        self._sums, self._own = np.empty((2, len(which), len(last)))

    def forward(self, interval: int, vectors: Array, out: Array) -> None:
        self._move(interval, vectors, *self._right, out)

    def backward(self, interval: int, vectors: Array, out: Array) -> None:
        self._move(interval, vectors, *self._left, out)

    def _move(self, interval: int, vectors: Array, first: Array, last: Array, out: Array) -> None:
        sums, middle, which = self._sums, self._middle[interval], self._which
        np.matmul(vectors, first, out=sums)
        if which is None:
            np.matmul(sums, middle[0][:, None] * last, out=out)
        else:
            np.take(middle, which, axis=0, out=self._own, mode="clip")
            sums *= self._own
            np.matmul(sums, last, out=out)
        if self._is_near[interval]:
            out += vectors
        else:
            kept = self._kept[interval]
            out += vectors * (kept[0] if which is None else kept[which][:, None])


def _mixed(stay: Array, chain: Mixing, which: Index) -> _Kept:
    """`Mixing`: one sum over the states, a I + (1 - a) 1 w'."""
    weights = np.array(chain.weights)[None]
    return _Kept(stay, (np.ones(weights.T.shape), (1 - stay)[:, :, None], weights), which)


def _mixed_pair(stay: Array, chain: MixingPair, which: Index) -> _Kept:
    """`MixingPair`: sums by founder.

    With P the symmetric matrix of ordered pairs, m its row sums and t their sum, a step gives
    a^2 P + a b (m w' + w m') + b^2 t w w', where b = 1 - a. `share` (states, founders) makes m from
    the unordered pairs, `spread` (founders, states) m w' + w m' from m, and of w/2 w w'.
    """
    pairs = np.array([state.alleles for state in chain.states])
    weights = np.array(chain.weights)
    count, founders = len(pairs), len(weights)
    share, spread = np.zeros((count, founders)), np.zeros((founders, count))
    for one, other in (pairs.T, pairs.T[::-1]):
        share[np.arange(count), one] += 0.5
        spread[one, np.arange(count)] += 2 * weights[other]
    spread[:, pairs[:, 0] == pairs[:, 1]] /= 2
    move = 1 - stay
    middle = np.repeat((stay * move)[:, :, None], founders, axis=2)
    middle = np.concatenate([middle, (move**2 / 2)[:, :, None]], axis=2)
    first = np.concatenate([share, np.ones((count, 1))], axis=1)
    last = np.concatenate([spread, (weights @ spread)[None]])
    return _Kept(stay**2, (first, middle, last), which)
