"""Marker maps and genotypes of simulated crosses, which any process can draw again part by part.

Genotypes are Markov chains along mouse-like chromosomes (Haldane's map function, no crossover
interference).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from bulklmm_dask.storage.labels.encoding import text
from bulklmm_dask.typing import Array, Flags, Index, Names, Single

# Lengths of mouse chromosomes in Mb.
LENGTHS = {
    "1": 195.5, "2": 182.1, "3": 160.0, "4": 156.5, "5": 151.8, "6": 149.7, "7": 145.4,
    "8": 129.4, "9": 124.6, "10": 130.7, "11": 122.1, "12": 120.1, "13": 120.4, "14": 124.9,
    "15": 104.0, "16": 98.2, "17": 95.0, "18": 90.7, "19": 61.4, "X": 171.0,
}  # fmt: skip
CROSSES = ("ril", "f2", "backcross")
_MORGAN_PER_MB = 0.005
_MARKERS = 4096  # between two places where the state of the chains is kept


@dataclass(frozen=True)
class Map:
    """Marker map.

    Attributes
    ----------
    contig, position : array (variants,)
        Index of the chromosome and position in Mb of each marker, in genome order.
    names : array (contigs,)
        Names of the chromosomes.
    """

    contig: Index
    position: Array
    names: Names

    @classmethod
    def draw(cls, rng: np.random.Generator, n_variants: int, n_contigs: int) -> Map:
        """Draw random places, in proportion to the length of each chromosome, one at least."""
        names = list(LENGTHS)[:n_contigs]
        lengths = np.array([LENGTHS[name] for name in names])
        ends = np.cumsum(lengths) / lengths.sum()
        counts = 1 + np.diff(np.rint(ends * (n_variants - n_contigs)).astype(int), prepend=0)
        places = [
            np.sort(rng.choice(round(length * 1e6), size=count, replace=False, shuffle=False))
            for length, count in zip(lengths, counts, strict=True)
        ]
        contig = np.repeat(np.arange(n_contigs), counts)
        return cls(contig=contig, position=np.concatenate(places) / 1e6, names=text(names))

    @property
    def recombination(self) -> Array:
        """Probability of recombination in one meiosis between each marker and the one before."""
        morgans = np.diff(self.position, prepend=0.0) * _MORGAN_PER_MB
        r = -0.5 * np.expm1(-2 * np.maximum(morgans, 0))
        r[np.diff(self.contig, prepend=-1) != 0] = 0.5
        return r

    def nearest(self, contig: Index, position: Array) -> Index:
        """Index of the marker nearest to each position on its chromosome."""
        apart = 10 * max(LENGTHS.values())  # so that the nearest is never on another chromosome
        line = self.contig * apart + self.position
        place = contig * apart + position
        right = np.searchsorted(line, place).clip(max=line.size - 1)
        left = np.maximum(right - 1, 0)
        return np.where(np.abs(line[left] - place) <= np.abs(line[right] - place), left, right)


@dataclass(frozen=True)
class Cross:
    """Genotypes of a cross: sums of Markov chains of 0 and 1 along the markers.

    The random numbers of a chain lie one after the other in the stream of the generator, so any
    part of it can be drawn without those before.

    Attributes
    ----------
    state : dict
        State of the bit generator before the first chain.
    chains : int
        Chains of a genotype.
    switch : array (variants,)
        Probability that a chain changes its state before each marker.
    before : array (places, chains, count) of bool
        States before every 4,096th marker.
    one : float
        Dosage of a 1 in one chain.
    """

    state: Any
    chains: int
    switch: Array
    before: Flags
    one: float

    @classmethod
    def draw(cls, kind: str, rng: np.random.Generator, count: int, recombination: Array) -> Cross:
        """Draw the genotypes of a number of individuals, or of strains.

        Recombinant inbred lines have the recombination fraction 4r / (1 + 6r).
        """
        r, chains = recombination, 2 if kind == "f2" else 1
        switch = 4 * r / (1 + 6 * r) if kind == "ril" else r
        starts = np.arange(0, switch.size, _MARKERS)
        before = np.zeros((starts.size, chains, count), bool)
        state = rng.bit_generator.state
        for chain in range(chains):
            for k in range(count):
                odd = np.logical_xor.reduceat(rng.random(switch.size) < switch, starts)
                before[1:, chain, k] = np.logical_xor.accumulate(odd)[:-1]
        return cls(state, chains, switch, before, 1.0 if kind == "ril" else 0.5)

    @property
    def shape(self) -> tuple[int, int]:
        """Variants and genotypes."""
        return self.switch.size, self.before.shape[2]

    def slabs(self) -> Iterator[slice]:
        """Ranges of variants that together are all."""
        n_variants = self.switch.size
        for start in range(0, n_variants, _MARKERS):
            yield slice(start, min(start + _MARKERS, n_variants))

    def read(self, start: int, stop: int) -> Single:
        """Dosages of a range of variants, an array (variants, genotypes)."""
        place = start // _MARKERS
        first = place * _MARKERS
        switch, skipped = self.switch[first:stop], start - first
        ones = np.zeros((stop - start, self.shape[1]), np.float32)
        for chain in range(self.chains):
            for k in range(self.shape[1]):
                bits = np.random.PCG64()
                bits.state = self.state
                bits.advance((chain * self.shape[1] + k) * self.switch.size + first)
                switches = np.random.Generator(bits).random(switch.size) < switch
                states = np.logical_xor.accumulate(switches) ^ self.before[place, chain, k]
                ones[:, k] += states[skipped:]
        return ones * np.float32(self.one)


@dataclass(frozen=True)
class Copies:
    """Genotypes of samples that share those of a cross, as a lazy array reads them.

    Attributes
    ----------
    cross : Cross
        The distinct genotypes.
    strain : array (samples,)
        Which of them each sample has.
    """

    cross: Cross
    strain: Index
    step: int = _MARKERS

    @property
    def shape(self) -> tuple[int, int]:
        """Variants and samples."""
        return self.cross.shape[0], self.strain.size

    def read(self, start: int, stop: int) -> Single:
        """Dosages of a range of variants."""
        return self.cross.read(start, stop)[:, self.strain]
