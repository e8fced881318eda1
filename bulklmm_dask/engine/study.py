"""A study as NumPy or dask arrays: measurements of the samples and genotypes of the markers.

Names of samples, markers and traits are used in error messages and in attributes of results.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from bulklmm_dask.engine.arrays import is_lazy
from bulklmm_dask.engine.parts import parts_of
from bulklmm_dask.engine.telling import tell
from bulklmm_dask.engine.watch import computed
from bulklmm_dask.lmm.basis import Eigen
from bulklmm_dask.lmm.check_kinship import check_kinship
from bulklmm_dask.lmm.prior import Prior
from bulklmm_dask.typing import Array, Flags, Index, Names

# Up to this many values of traits are read before anything else.
_FEW_VALUES = 2**16


@dataclass(frozen=True)
class OwnMarkers:
    """Markers used as trait-specific covariates.

    Attributes
    ----------
    dosage : array (samples, markers)
        Dosages, none missing.
    index : array (traits, k) of int
        Columns of `dosage` that are covariates of each trait; -1 for none.
    """

    dosage: Array
    index: Index

    def of(self, traits: slice) -> Array:
        """Covariates (samples, traits, k) of some traits; zeros for none."""
        index = self.index[traits]
        return np.where(index < 0, 0.0, self.dosage[:, np.maximum(index, 0)])


@dataclass(frozen=True)
class XCovariates:
    """Covariates of the models of markers on the X chromosome only.

    Attributes
    ----------
    columns : array (samples, q)
        None missing, independent of each other and of the covariates of all markers.
    names : tuple of str
    contigs : array (contigs,) of bool
        Which contigs are X chromosomes.
    """

    columns: Array
    names: tuple[str, ...]
    contigs: Flags


@dataclass(frozen=True)
class Measurements:
    """Traits, covariates, kinship and weights of the samples, and the prior.

    Attributes
    ----------
    traits : array (samples, traits)
        Trait values; NaN where missing.
    covariates : array (samples, c)
        Covariates with the intercept, in memory.
    kinship : array (samples, samples) or (contigs, samples, samples) or None
        One kinship for all markers, or one for the markers of each contig.
    sample_names, trait_names : array of str
        Names of the samples and of the traits.
    covariate_names : tuple of str
        Names of the covariates in the model, without the intercept.
    weights : array (samples,) or None
        Residual weights.
    eigen : tuple of pairs of arrays, or None
        Eigenvalues and eigenvectors of each kinship, if they are known; without weights.
    interacting : tuple of int
        Columns of `covariates` whose product with the genotype is tested.
    prior : Prior or None
        Prior on the residual variance of every trait.
    own_markers : OwnMarkers or None
        Markers used as trait-specific covariates.
    of_x : XCovariates or None
        Covariates of markers on the X only.
    kernels : tuple of array, or None
        Kernels of several random effects, in place of the kinship: (samples, samples) each, or
        (contigs, samples, samples) where each contig has its own.
    components : tuple of str
        Names of the kernels and, last, of the residual; none without `kernels`.
    """

    traits: Any
    covariates: Array
    kinship: Any
    sample_names: Names
    trait_names: Names
    covariate_names: tuple[str, ...] = ()
    weights: Array | None = None
    eigen: tuple[Eigen, ...] | None = None
    interacting: tuple[int, ...] = ()
    prior: Prior | None = None
    own_markers: OwnMarkers | None = None
    of_x: XCovariates | None = None
    kernels: tuple[Array, ...] | None = None
    components: tuple[str, ...] = ()

    @property
    def complete(self) -> Flags:
        """Mask (samples,) of the samples that have all covariates."""
        return np.asarray(~np.isnan(self.covariates).any(axis=1))

    def eigen_of(self, contig: int) -> Eigen | None:
        """Eigenvalues and eigenvectors of the kinship for a contig, if they are known."""
        return None if self.eigen is None else self.eigen[contig if self.by_contig else 0]

    @property
    def relations(self) -> int | None:
        """Number of models of a trait, one per contig; None where one serves all markers."""
        if self.by_contig:
            return max(len(one) for one in self._matrices if np.ndim(one) == 3)
        return None if self.of_x is None else len(self.of_x.contigs)

    @property
    def by_contig(self) -> bool:
        """Whether each contig has a kinship of its own."""
        return any(np.ndim(one) == 3 for one in self._matrices)

    @property
    def _matrices(self) -> tuple[Any, ...]:
        return (self.kinship,) if self.kernels is None else self.kernels

    @property
    def alike(self) -> tuple[int, ...]:
        """The first model with the same kinship and covariates, for each of the `relations`."""
        if self.by_contig or self.of_x is None:
            return tuple(range(self.relations or 1))
        on_x = self.of_x.contigs.tolist()
        return tuple(on_x.index(kind) for kind in on_x)

    def kinship_on(self, contig: int) -> Any:
        """Kinship (samples, samples) of the markers of a contig; None for none."""
        return self.kinship[contig] if self.by_contig else self.kinship

    def kernels_on(self, contig: int) -> Array:
        """Kernels (k, samples, samples) of the markers of a contig."""
        assert self.kernels is not None
        return np.stack([one[contig] if one.ndim == 3 else one for one in self.kernels])

    def covariates_on(self, contig: int) -> Array:
        """Covariates (samples, c) of the markers of a contig."""
        if self.of_x is None or not self.of_x.contigs[contig]:
            return self.covariates
        return np.concatenate([self.covariates, self.of_x.columns], axis=1)


@dataclass(frozen=True)
class Genotypes:
    """The markers of a study.

    Attributes
    ----------
    values : array (variants, samples) or (variants, samples, genotypes)
        Dosages, or the probability of each genotype; NaN where missing.
    maximum : float
        Largest possible value, 1 or 2.
    names : array (variants,) of str
        Names of the markers.
    relation : array (variants,) of int
        Number of the model, kinship and covariates, that each marker is scanned with; zeros if
        there is only one.
    """

    values: Any
    maximum: float
    names: Names
    relation: Index


@dataclass(frozen=True)
class Study:
    """A study as arrays: the input of scans and permutations."""

    measured: Measurements
    genotypes: Genotypes

    @property
    def sizes(self) -> tuple[int, int, int]:
        """Numbers of samples, variants and traits."""
        measured = self.measured
        return len(measured.sample_names), len(self.genotypes.names), len(measured.trait_names)

    def with_few_traits_in_memory(self) -> Study:
        """Copy of the study with its traits read, if they are few and lazy.

        Reading them once takes less time than each task that does.
        """
        traits = self.measured.traits
        if not is_lazy(traits) or traits.size > _FEW_VALUES:
            return self
        parts = parts_of(traits, tuple((size,) for size in traits.shape))
        values = np.asarray(computed(traits)[0] if parts is None else parts[0].read())
        return replace(self, measured=replace(self.measured, traits=values))

    def with_kinship_in_memory(self) -> Study:
        """Copy of the study with its kinship computed and checked, for a run of many graphs."""
        kinship = self.measured.kinship
        if not is_lazy(kinship):
            return self  # checked when the study was prepared
        (values,) = computed(kinship)
        several = self.measured.by_contig
        checked = (
            np.stack(list(map(checked_kinship, values))) if several else checked_kinship(values)
        )
        return replace(self, measured=replace(self.measured, kinship=checked))


def checked_kinship(kinship: Array) -> Array:
    """A kinship that was lazy until now, (samples, samples), checked; warns as `check_kinship`."""
    return check_kinship(kinship, len(kinship), "the kinship", tell)
