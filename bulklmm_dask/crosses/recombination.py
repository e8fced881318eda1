"""Probabilities that a haplotype changes its founder along an interval.

Each function takes recombination fractions r (intervals,) of one meiosis. Sources: Broman (2005)
Genetics 169:1133 (inbred lines), Broman (2012) Genetics 190:403 (pre-CC), Broman (2012) G3 2:199
(advanced intercrosses, Diversity Outbred), Kover et al. (2009) (MAGIC).
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from bulklmm_dask.typing import Array

# Share of the Diversity Outbred's founders that were taken from each generation of inbreeding of
# the pre-CC.
PRE_CC: dict[int, float] = {
    generation: share / 144
    for generation, share in zip(range(4, 13), (21, 64, 24, 10, 5, 9, 5, 3, 3), strict=True)
}
# The heterogeneous stock began with the offspring of four-way crosses.
FOUR_WAY: dict[int, float] = {1: 1.0}


def selfed(r: Array) -> Array:
    """Two-way lines by selfing."""
    return 2 * r / (1 + 2 * r)


def sib_mated(r: Array) -> Array:
    """Two-way lines by sib mating, autosomes."""
    return 4 * r / (1 + 6 * r)


def intercrossed(r: Array, generations: int) -> Array:
    """Advanced intercross of two founders, autosomes."""
    return (1 - (1 - 2 * r) * (1 - r) ** (generations - 2)) / 2


def of_three(r: Array, generations: int) -> Array:
    """Advanced intercross of three founders, autosomes."""
    return 1 - (1 - (-2 + 3 * r) * (1 - r) ** (generations - 2)) / 3


def magic19(r: Array) -> Array:
    """Nineteen-way lines: intermated, then selfed."""
    return r * (90 - 54 * r + 18 * r**2) / (19 * (1 + 2 * r))


def doubled_six(r: Array, generations: int) -> Array:
    """Doubled haploids of six founders."""
    return 5 / 6 * (1 - (5 - 6 * r) / 5 * (1 - r) ** (generations - 2))


def outbred(r: Array, generations: int, shares: Mapping[int, float]) -> Array:
    """Outbred stock of eight founders, autosomes.

    Parameters
    ----------
    r : array
    generations : int
        Generations of outbreeding, s.
    shares : mapping of int to float
        Share of the stock's founders by their generation of sib mating, k.
    """
    both = _both_of_eight(r, shares) * (1 - r) / 2
    return 1 - 8 * (1 / 64 + (1 - r) ** (generations - 1) * (both - 1 / 64))


def _both_of_eight(r: Array, shares: Mapping[int, float]) -> Array:
    """Probability that a haplotype has A at both loci, in four-way sib mating.

    The mean by `shares` of the generations after each; powers are made by products.
    """
    q = np.sqrt(np.maximum(4 * r**2 - 12 * r + 5, 0))
    apart = q > 0  # q is 0 at r = 1/2
    q = np.where(apart, q, 1)
    level, slope = 6 * r**2 - 7 * r, 3 * r * q
    slow, fast = (1 - 2 * r - q) / 4, (1 - 2 * r + q) / 4
    of_slow, of_fast = (level + slope) / ((1 + 6 * r) * q), (level - slope) / ((1 + 6 * r) * q)
    total = np.zeros_like(r)
    for k in range(1, max(shares) + 2):
        of_slow, of_fast = of_slow * slow, of_fast * fast
        if share := shares.get(k - 1, 0.0):
            end = 1 / 8 if k == 1 else 1 / 16
            total += share * np.where(apart, (1 / (1 + 6 * r) + of_slow - of_fast) / 4, end)
    return total


def outbred_x(r: Array, generations: int, shares: Mapping[int, float], *, female: bool) -> Array:
    """Outbred stock of eight founders, X chromosome."""
    females = males = np.zeros_like(r)
    for k, share in shares.items():
        (female_a, male_a), (female_c, male_c) = (_sib_mated_x(r, k + 1, of) for of in (0, 2))
        females = females + share * ((2 - r) * female_a + (1 - r) * female_c) / 8
        males = males + share * ((2 - r) * male_a + (1 - r) * male_c) / 8
    females, males = _random_mated_x(r, females, males, generations - 1, 1 / 64)
    return 1 - 8 * (females if female else males)


def _sib_mated_x(r: Array, generations: int, founder: int) -> tuple[Array, Array]:
    """Both loci of one founder on the X of a sib-mated female (either haplotype) and male.

    The line begins with a female of haplotypes 0 and 1 and a male of haplotype 2. both[i, j] is the
    probability that locus 1 of haplotype i and locus 2 of haplotype j come from `founder`; a
    female's haplotypes are 0 (from her mother) and 1 (from her father), the male's is 2.
    """
    both = np.zeros((3, 3, *r.shape))
    both[founder, founder] = 1
    for _ in range(generations):
        new = np.empty_like(both)
        mother = both[:2, :2]
        same = (mother[0, 0] + mother[1, 1]) / 2
        new[0, 0] = new[2, 2] = (1 - r) * same + r * (mother[0, 1] + mother[1, 0]) / 2
        new[0, 2] = new[2, 0] = mother.mean((0, 1))  # two gametes of one mother
        new[1, 1] = both[2, 2]
        new[0, 1] = new[2, 1] = both[:2, 2].mean(0)
        new[1, 0] = new[1, 2] = both[2, :2].mean(0)
        both = new
    return (both[0, 0] + both[1, 1]) / 2, both[2, 2]


def of_three_x(r: Array, generations: int, *, female: bool) -> Array:
    """Advanced intercross of three founders, X chromosome."""
    females, males = _random_mated_x(r, (2 - r) / 6, (1 - r) / 3, generations - 2, 1 / 9)
    return 1 - 3 * (females if female else males)


def _random_mated_x(
    r: Array, females: Array, males: Array, generations: int, crossed: float
) -> tuple[Array, Array]:
    """Both loci of one founder on the X of a female's haplotype and a male, by random mating.

    `crossed` is the probability that two haplotypes of one mother both come from this founder.
    """
    for _ in range(generations):
        gametes = (1 - r) * females + r * crossed
        females, males = (gametes + males) / 2, gametes
    return females, males


def intercrossed_x(
    r: Array, generations: int, direction: int, *, female: bool
) -> tuple[float, Array]:
    """Advanced intercross A x B or balanced, X chromosome.

    Parameters
    ----------
    r : array
    generations : int
        2 is the F2.
    direction : int
        0 for A x B (females of A), 2 for both directions alike.
    female : bool
        Whether the haplotype is one of a female.

    Returns
    -------
    share : float
        Frequency of A.
    both : array
        Probability of A at both loci.
    """
    # In the F1 females have one haplotype of each founder, males that of their mother.
    share_f, share_m = 0.5, 1.0 if direction == 0 else 0.5
    females, males = np.full_like(r, share_f), np.full_like(r, share_m)
    crossed = 0.0  # A on both haplotypes of one mother
    for _ in range(generations - 1):
        gametes = (1 - r) * females + r * crossed
        females, males = (gametes + males) / 2, gametes
        crossed = share_f * share_m  # a daughter's two haplotypes have their parents' shares
        share_f, share_m = (share_f + share_m) / 2, share_f
    return (share_f, females) if female else (share_m, males)
