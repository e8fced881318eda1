"""What is analysed, as arrays: the measurements on the samples, and the genotypes of the markers.

They are NumPy or dask arrays; the names serve messages of errors and attributes of results.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from bulklmm_dask.engine.arrays import is_lazy
from bulklmm_dask.lmm.prior import Prior
from bulklmm_dask.typing import Array, Index, Names


@dataclass(frozen=True)
class OwnMarkers:
    """Markers among the covariates, of every trait its own.

    Attributes
    ----------
    dosage : array (samples, markers)
        Without gaps.
    index : array (traits, k) of int
        Columns of `dosage`; -1 for none.
    """

    dosage: Array
    index: Index

    def of(self, traits: slice) -> Array:
        """Values (samples, traits, k), zeros for none."""
        index = self.index[traits]
        return np.where(index < 0, 0.0, self.dosage[:, np.maximum(index, 0)])


@dataclass(frozen=True)
class Measurements:
    """What was measured on the samples, and how it is modelled.

    Attributes
    ----------
    traits : array (samples, traits)
    covariates : array (samples, c)
        In memory, with the intercept.
    kinship : array (samples, samples) or (contigs, samples, samples) or None
        One, or one for the markers of each contig.
    sample_names, trait_names : array of str
    covariate_names : tuple of str
        Of the study's covariates in the model, without the intercept.
    weights : array (samples,) or None
        Residual weights.
    interacting : tuple of int
        Columns of the covariates whose product with the genotype is tested.
    prior : Prior or None
        On the residual variance, one value a trait.
    own_markers : OwnMarkers or None
        Markers that a trait has among its covariates, and other traits have not.
    """

    traits: Any
    covariates: Array
    kinship: Any
    sample_names: Names
    trait_names: Names
    covariate_names: tuple[str, ...] = ()
    weights: Array | None = None
    interacting: tuple[int, ...] = ()
    prior: Prior | None = None
    own_markers: OwnMarkers | None = None

    @property
    def relations(self) -> int | None:
        """Number of kinships, one a contig; None where one serves all markers."""
        return len(self.kinship) if np.ndim(self.kinship) == 3 else None


@dataclass(frozen=True)
class Genotypes:
    """The markers of a study.

    Attributes
    ----------
    values : array (variants, samples) or (variants, samples, genotypes)
        Dosages, or the probability of each genotype.
    maximum : float
        Largest possible value of them.
    names : array (variants,) of str
    relation : array (variants,) of int
        Which kinship each variant is scanned with; zeros where there is one only.
    """

    values: Any
    maximum: float
    names: Names
    relation: Index


@dataclass(frozen=True)
class Study:
    """A study as arrays: what a scan, or permutations, are made of."""

    measured: Measurements
    genotypes: Genotypes

    @property
    def sizes(self) -> tuple[int, int, int]:
        """Numbers of samples, variants and traits."""
        measured = self.measured
        return len(measured.sample_names), len(self.genotypes.names), len(measured.trait_names)

    def with_kinship_in_memory(self) -> Study:
        """The same with a kinship that is computed, for a run of many graphs."""
        kinship = self.measured.kinship
        if not is_lazy(kinship):
            return self
        return replace(self, measured=replace(self.measured, kinship=kinship.compute()))
