"""Options of a scan: how heritabilities are estimated, what is tested, which statistics result."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class ModelOptions:
    """How heritabilities are estimated, what is tested, and which statistics are requested.

    Attributes
    ----------
    alternative : bool
        Estimate h2 again for every pair of a marker and a trait, not only once per trait.
    reml : bool
        Use restricted instead of full maximum likelihood.
    grid : tuple of float or None
        Heritabilities to choose from; None searches the whole interval.
    refine_above : float
        Pairs with at least this LOD are optimised one by one on the likelihood itself
        (alternative without grid).
    genotypes : int or None
        Number of genotype probabilities per marker and sample; None for dosages.
    interactions : int
        Number of covariates whose product with the genotype is tested together with it.
    wanted : tuple of str
        Requested names from `statistics.STATISTICS`, in that order.
    components : int
        Number of components with shares of the variance, the residual among them, where there are
        several kernels by name; 0 for a kinship.
    """

    alternative: bool = False
    reml: bool = False
    grid: tuple[float, ...] | None = None
    refine_above: float = 3.0
    genotypes: int | None = None
    interactions: int = 0
    wanted: tuple[str, ...] = ()
    components: int = 0

    @property
    def joint(self) -> bool:
        """Whether a marker has several columns that are tested together."""
        return self.genotypes is not None or self.interactions > 0

    @property
    def with_effects(self) -> bool:
        """Whether effects or their standard errors are requested."""
        return bool({"beta", "se"} & set(self.wanted))

    @property
    def additive(self) -> int:
        """Number of columns of a marker without interactions: all genotypes but the first."""
        return 1 if self.genotypes is None else self.genotypes - 1

    @property
    def columns(self) -> int:
        """Number of columns of a marker that are tested together."""
        return self.additive * (1 + self.interactions)

    @property
    def effects(self) -> tuple[int, ...]:
        """Shape of the effects of a pair: a scalar, one per genotype, or one per column."""
        if not self.joint:
            return ()
        if self.interactions:
            return (self.columns,)
        return (self.additive + 1,)
