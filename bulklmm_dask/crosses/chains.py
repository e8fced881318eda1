"""Chains of hidden states along a chromosome: start and transitions.

Most crosses mix: from one position to the next a haplotype keeps its founder with probability a,
and otherwise takes one at random by the founders' weights w, T = a I + (1 - a) 1 w'. A diplotype of
unknown phase is an unordered pair of such haplotypes. Both cost sums instead of products of
matrices (`bulklmm_dask.crosses.steps`).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Protocol

import numpy as np
import numpy.typing as npt

from bulklmm_dask.crosses.states import State, diplotypes
from bulklmm_dask.typing import Array, Flags

# A function of recombination fractions (intervals,).
OfFraction = Callable[[Array], Array]
Founders = npt.NDArray[np.integer]


class Chain(Protocol):
    """Start and transitions of the true genotype of one kind of individual.

    `seen` is how calls show the states, one of `bulklmm_dask.crosses.emission.MANNERS`.
    """

    @property
    def states(self) -> tuple[State, ...]:
        """The true genotypes that there are."""
        ...

    @property
    def start(self) -> Array:
        """Probabilities (states,) where nothing is observed."""
        ...

    @property
    def seen(self) -> str:
        """How calls show the states."""
        ...

    def transition(self, fraction: Array) -> Array:
        """Transition matrices (intervals, from, to) at recombination fractions (intervals,)."""
        ...


@dataclass(frozen=True)
class Mixing:
    """One haplotype that keeps its founder, or takes one by weight.

    Attributes
    ----------
    weights : tuple of float
        Weight of each state, sum 1: the start.
    stay : callable
        Probability a of keeping the founder, by recombination fraction.
    """

    states: tuple[State, ...]
    weights: tuple[float, ...]
    stay: OfFraction
    seen: str

    @property
    def start(self) -> Array:
        """Probabilities (states,) where nothing is observed."""
        return np.array(self.weights)

    def transition(self, fraction: Array) -> Array:
        """Transition matrices (intervals, from, to) at recombination fractions."""
        stay = self.stay(np.asarray(fraction, float))[:, None, None]
        return stay * np.eye(len(self.weights)) + (1 - stay) * self.start


@dataclass(frozen=True)
class MixingPair:
    """Two such haplotypes, independent and without phase.

    Attributes
    ----------
    weights : tuple of float
        Weight of each founder.
    stay : callable
        As in `Mixing`.
    """

    weights: tuple[float, ...]
    stay: OfFraction
    seen: str = "three"

    @property
    def states(self) -> tuple[State, ...]:
        """The unordered pairs of founders."""
        return diplotypes(len(self.weights))

    @property
    def start(self) -> Array:
        """Probabilities (states,) where nothing is observed."""
        w = self.weights
        pairs = [one.alleles for one in self.states]
        return np.array([w[i] * w[j] * (1 if i == j else 2) for i, j in pairs])

    def transition(self, fraction: Array) -> Array:
        """Transition matrices (intervals, from, to) at recombination fractions."""
        one = Mixing((), self.weights, self.stay, "").transition(fraction)
        i, j = np.array([state.alleles for state in self.states]).T
        straight = one[:, i[:, None], i] * one[:, j[:, None], j]
        crossed = one[:, i[:, None], j] * one[:, j[:, None], i]
        return np.where(i == j, straight, straight + crossed)


@dataclass(frozen=True)
class Listed:
    """A chain whose matrices are listed: those of other form.

    Attributes
    ----------
    matrix : callable
        Transition matrices (intervals, from, to) by recombination fraction.
    """

    states: tuple[State, ...]
    matrix: OfFraction
    seen: str

    @property
    def start(self) -> Array:
        """Probabilities (states,) where nothing is observed."""
        return np.full(len(self.states), 1 / len(self.states))

    def transition(self, fraction: Array) -> Array:
        """Transition matrices (intervals, from, to) at recombination fractions."""
        return self.matrix(np.asarray(fraction, float))


def without_absent(chain: Chain, founders: Founders) -> tuple[Chain, Founders, Flags]:
    """A chain without founders of weight 0: no individual has their states.

    Calls that only such a founder explains would raise the likelihoods of its states beyond what
    numbers hold.

    Parameters
    ----------
    chain : Chain
    founders : array (markers, founders) of int
        Alleles of the founders that the states of the chain are made of.

    Returns
    -------
    Chain, array (markers, founders left) of int, array (states,) of bool
        The last says which of its states are left, in their order.
    """
    possible = chain.start > 0
    if isinstance(chain, MixingPair):
        left = np.flatnonzero(chain.weights)
        weights = tuple(chain.weights[founder] for founder in left)
        return replace(chain, weights=weights), founders[:, left], possible
    if isinstance(chain, Mixing):
        left = np.flatnonzero(possible)
        states = tuple(chain.states[state] for state in left)
        weights = tuple(chain.weights[state] for state in left)
        return replace(chain, states=states, weights=weights), founders, possible
    return chain, founders, possible


def even(founders: int) -> tuple[float, ...]:
    """Equal weights."""
    return (1 / founders,) * founders


def stay_of(change: OfFraction, founders: int) -> OfFraction:
    """Probability a of `Mixing` with equal weights, from that of another founder's allele."""
    return lambda fraction: 1 - change(fraction) * founders / (founders - 1)
