"""What a scan or permutations ask of their workers, from the shapes of a study and the options."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Self

from bulklmm_dask.analyses.scan_options import PermuteOptions, ScanOptions
from bulklmm_dask.engine.patterns import pattern_count
from bulklmm_dask.engine.permute import plan_permutations
from bulklmm_dask.engine.plan import make_plan
from bulklmm_dask.engine.study import Study
from bulklmm_dask.engine.workload import Workload
from bulklmm_dask.lmm.basis import are_wide
from bulklmm_dask.lmm.components.choice import fewest, may_be_bulk
from bulklmm_dask.lmm.footprint import Footprint
from bulklmm_dask.lmm.statistics import statistics


@dataclass(frozen=True)
class Shapes:
    """Sizes of a study and its model.

    Attributes
    ----------
    n_samples, n_variants, n_traits : int
        Sizes of the study.
    n_covariates : int
        Columns of covariates, with the intercept.
    own : int
        Covariates that each trait has of its own.
    relations : int
        Number of kinships; 0 for ordinary regression.
    genotype_bytes : int
        Bytes of the genotypes of a marker and a sample.
    genotypes : int or None
        Number of genotypes whose probabilities are tested; None for dosages.
    patterns : int or None
        Number of patterns of missing trait values; None if nobody has counted them.
    wide : bool
        Whether the residual weights are of very different size.
    """

    n_samples: int
    n_variants: int
    n_traits: int
    n_covariates: int = 1
    own: int = 0
    relations: int = 1
    genotype_bytes: int = 8
    genotypes: int | None = None
    patterns: int | None = None
    wide: bool = False

    @classmethod
    def of(cls, study: Study) -> Self:
        """Shapes of a study; lazy arrays are not read."""
        measured, values = study.measured, study.genotypes.values
        own = measured.own_markers
        several = values.shape[2] if values.ndim == 3 else None
        none = measured.kinship is None and measured.kernels is None
        kinships = 0 if none else len(set(measured.alike))
        return cls(
            *study.sizes,
            n_covariates=measured.covariates.shape[1],
            own=0 if own is None else own.index.shape[1],
            relations=kinships,
            genotype_bytes=values.dtype.itemsize * (several or 1),
            genotypes=several,
            patterns=pattern_count(measured),
            wide=are_wide(measured.weights),
        )

    def footprint(self, options: ScanOptions, *, permuted: bool = False) -> Footprint:
        """Memory of fits and scans with these options, or of permutations."""
        of_pattern = self.n_traits // (self.patterns or 1)
        many = of_pattern >= fewest(options.model.components - 1)
        bulk = may_be_bulk(options.model) and many and not self.wide
        return Footprint(
            options.model,
            self.n_samples,
            self.n_covariates,
            self.own,
            single=options.single and not self.wide,
            searched=self.wide or not self.relations,
            together=bulk and not permuted,
        )


def scan_load(
    shapes: Shapes, options: ScanOptions, chunks: str | Mapping[str, int] = "auto"
) -> Workload:
    """What a scan into a store asks of its workers."""
    kinds = statistics(options.model, single=options.single)
    plan = make_plan(
        shapes.n_samples,
        shapes.n_variants,
        shapes.n_traits,
        chunks,
        footprint=shapes.footprint(options),
        pair_bytes=sum(kind.itemsize for kind in kinds.values()),
        patterns=shapes.patterns or 1,
    )
    return Workload(plan, shapes.relations, shapes.genotype_bytes)


def permute_load(
    shapes: Shapes,
    options: PermuteOptions,
    pools: int = 1,
    chunks: str | Mapping[str, int] = "auto",
) -> Workload:
    """What permutations into a store ask of their workers."""
    plan, size = plan_permutations(
        shapes.n_samples,
        shapes.n_variants,
        shapes.n_traits,
        options.n_permutations,
        chunks,
        footprint=shapes.footprint(options.scan, permuted=True),
        patterns=shapes.patterns or 1,
    )
    given = shapes.relations, shapes.genotype_bytes, options.n_permutations, size, pools
    return Workload(plan, *given)
