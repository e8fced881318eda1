"""Simulated traits: the sum of one known locus, a polygenic part and noise.

A trait is scaled so that its heritability is the h2 of a scan with the "bulklmm" kinship.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from bulklmm_dask.simulate.genotypes import LENGTHS, Cross, Map
from bulklmm_dask.typing import Array, Index, Single

# Shares of traits whose locus is next to the trait's own position, or in a hotspot.
_SHARE_CIS = 0.6
_SHARE_HOTSPOT = 0.2
_N_HOTSPOTS = 4

_COVARIATE_EFFECT = 0.5  # standard deviation
_EFFECT_DEVIATION = np.sqrt((256**2 - 1) / 3)  # standard deviation of odd numbers from -255 to 255
_TRAITS_AT_A_TIME = 1024


@dataclass(frozen=True)
class Truth:
    """Truth of every trait, arrays (traits,).

    Attributes
    ----------
    contig, position : array
        Chromosome and position in Mb of the trait itself.
    locus : array of int
        Index of the causal marker.
    h2, qtl_share : array
        Heritability, and the share of it that is due to the locus.
    """

    contig: Index
    position: Array
    locus: Index
    h2: Array
    qtl_share: Array

    @classmethod
    def draw(
        cls,
        rng: np.random.Generator,
        markers: Map,
        n_traits: int,
        heritability: tuple[float, float],
        qtl_share: tuple[float, float],
    ) -> Truth:
        """Draw places, loci and shares."""
        lengths = np.array([LENGTHS[str(name)] for name in markers.names])
        contig = rng.choice(lengths.size, size=n_traits, p=lengths / lengths.sum())
        position = np.round(rng.random(n_traits) * lengths[contig], 6)
        hotspots = rng.integers(markers.contig.size, size=_N_HOTSPOTS)
        kind = rng.choice(
            3, size=n_traits, p=[_SHARE_CIS, _SHARE_HOTSPOT, 1 - _SHARE_CIS - _SHARE_HOTSPOT]
        )
        locus = np.choose(
            kind,
            [
                markers.nearest(contig, position),
                rng.choice(hotspots, size=n_traits),
                rng.integers(markers.contig.size, size=n_traits),
            ],
        )
        h2 = rng.uniform(*heritability, size=n_traits)
        return cls(contig, position, locus, h2, rng.uniform(*qtl_share, size=n_traits))


def draw_traits(
    seed: np.random.SeedSequence, cross: Cross, strain: Index, covariates: Array, truth: Truth
) -> tuple[Array, Array]:
    """Trait values (samples, traits), and the share of the variance that the locus explains.

    Traits are drawn some at a time, and each has its own stream of random numbers.
    """
    n_traits, n_variants = truth.h2.size, cross.shape[0]
    starts = range(0, n_traits, _TRAITS_AT_A_TIME)
    blocks = [slice(start, start + _TRAITS_AT_A_TIME) for start in starts]
    rngs = [np.random.default_rng(child) for child in seed.spawn(len(blocks))]
    signs = [
        rng.choice([-1.0, 1.0], size=truth.h2[b].size) for rng, b in zip(rngs, blocks, strict=True)
    ]
    drawn = _walk(cross, truth.locus, blocks, rngs)
    traits = np.empty((strain.size, n_traits))
    qtl_variance = np.empty(n_traits)
    for block, rng, sign in zip(blocks, rngs, signs, strict=True):
        h2, q = truth.h2[block], truth.qtl_share[block]
        polygenic = drawn.sums[:, block] / _EFFECT_DEVIATION
        genetic = np.sqrt(h2 * (1 - q) / (2 * n_variants)) * polygenic
        genetic += np.sqrt(h2 * drawn.own) * rng.standard_normal(polygenic.shape)
        qtl = np.sqrt(h2 * q / 2) * sign * drawn.at_loci[:, block]
        noise = np.sqrt(1 - h2) * rng.standard_normal((strain.size, h2.size))
        slopes = _COVARIATE_EFFECT * rng.standard_normal((covariates.shape[1], h2.size))
        y = (genetic + qtl)[strain] + noise + np.einsum("sc,ct->st", covariates, slopes)
        traits[:, block] = y
        qtl_variance[block] = qtl[strain].var(axis=0) / y.var(axis=0)
    return traits, qtl_variance


@dataclass(frozen=True)
class _Drawn:
    """What traits need of the genotypes.

    Attributes
    ----------
    sums : array (genotypes, traits)
        Effects of all markers, summed.
    at_loci : array (genotypes, traits)
        Codes -1, 0, 1 at the locus of each trait.
    own : array (genotypes, 1)
        Variance of the independent genetic term: it makes the kinship of a genotype with itself 1.
    """

    sums: Single
    at_loci: Single
    own: Single


def _walk(
    cross: Cross, locus: Index, blocks: list[slice], rngs: list[np.random.Generator]
) -> _Drawn:
    """Go along the markers once, and draw their effects on every trait."""
    n_variants, count = cross.shape
    sums, at_loci = (np.zeros((count, locus.size), np.float32) for _ in range(2))
    squares = np.zeros((count, 1), np.float32)
    for slab in cross.slabs():
        codes = np.ascontiguousarray(2 * cross.read(slab.start, slab.stop).T - 1)  # -1, 0, 1
        squares += np.sum(codes**2, axis=1, keepdims=True)
        here = np.flatnonzero((locus >= slab.start) & (locus < slab.stop))
        at_loci[:, here] = codes[:, locus[here] - slab.start]
        for block, rng in zip(blocks, rngs, strict=True):
            size = (codes.shape[1], locus[block].size)
            effects = rng.integers(-128, 128, size=size, dtype=np.int8)
            # Sums of odd whole numbers are exact in any order: every BLAS gives the same study.
            sums[:, block] += codes @ (2 * effects.astype(np.float32) + 1)
    return _Drawn(sums, at_loci, 0.5 - 0.5 * (squares / np.float32(n_variants)))


def hide(rng: np.random.Generator, traits: Array, missing: float, n_patterns: int) -> Array:
    """Make values missing; every trait has one of a few random patterns of missing samples."""
    patterns = rng.random((traits.shape[0], n_patterns)) < missing
    return np.where(patterns[:, rng.integers(n_patterns, size=traits.shape[1])], np.nan, traits)
