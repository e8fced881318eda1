"""What a scan estimates, tests and tells of every pair."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np

# What may be asked of every pair besides its LOD.
STATISTICS = ("beta", "se", "neg_log10_p", "explained", "lod_interaction")


@dataclass(frozen=True)
class ModelOptions:
    """How heritabilities are estimated, what is tested, and what is told of it.

    Attributes
    ----------
    alternative : bool
        Estimate h2 again for every pair of a marker and a trait, not only once a trait.
    reml : bool
        By restricted instead of full maximum likelihood.
    grid : tuple of float or None
        Heritabilities to choose from; None searches the whole interval.
    refine_above : float
        LOD from which on a pair is optimised on its full likelihood (alternative, without grid).
    genotypes : int or None
        Number of genotypes whose probabilities a marker has; None for dosages.
    interactions : int
        Number of covariates whose product with the genotype is tested along.
    wanted : tuple of str
        Of `STATISTICS`.
    """

    alternative: bool = False
    reml: bool = False
    grid: tuple[float, ...] | None = None
    refine_above: float = 3.0
    genotypes: int | None = None
    interactions: int = 0
    wanted: tuple[str, ...] = ()

    @property
    def joint(self) -> bool:
        """Whether a marker has several columns that are tested together."""
        return self.genotypes is not None or self.interactions > 0

    @property
    def additive(self) -> int:
        """Columns of a marker without its interactions: all genotypes but the first."""
        return 1 if self.genotypes is None else self.genotypes - 1

    @property
    def columns(self) -> int:
        """Columns of a marker that are tested together."""
        return self.additive * (1 + self.interactions)

    @property
    def effects(self) -> tuple[int, ...]:
        """Shape of the effects of a pair: one, one a genotype, or one a column."""
        if not self.joint:
            return ()
        if self.interactions:
            return (self.columns,)
        return (self.additive + 1,)


@dataclass(frozen=True)
class Kind:
    """Dtype of an array of a result, and the sizes of its dimensions besides the usual ones."""

    dtype: np.dtype[Any]
    shape: tuple[int, ...] = ()

    @property
    def itemsize(self) -> int:
        """Bytes of one pair or trait."""
        return self.dtype.itemsize * math.prod(self.shape)


def statistics(options: ModelOptions, *, single: bool) -> dict[str, Kind]:
    """What `scan_block` gives of every pair.

    Scores of single pairs that are optimised exactly deserve more digits than float32 holds.
    """
    exact = options.alternative and not single
    kinds = {"lod": Kind(np.dtype(np.float64 if exact else np.float32))}
    if options.alternative:
        kinds["h2_alt"] = Kind(np.dtype(np.float32))
        if options.grid is None:
            kinds["refined"] = Kind(np.dtype(np.bool_))
    if options.joint:
        kinds["df"] = Kind(np.dtype(np.int16))
    for name in options.wanted:
        effect = name in ("beta", "se")
        # Differences between genotypes are small beside their means.
        long = exact or (effect and options.joint)
        dtype = np.dtype(np.float64 if long else np.float32)
        kinds[name] = Kind(dtype, options.effects if effect else ())
    return kinds
