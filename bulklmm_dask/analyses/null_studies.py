"""Null data sets of a study: signs of independent directions of its samples change."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import xarray as xr

from bulklmm_dask.engine.study import Study
from bulklmm_dask.lmm.permute.signs import Directions
from bulklmm_dask.lmm.samples import Samples
from bulklmm_dask.typing import Array


@dataclass(frozen=True)
class NullStudy:
    """A study whose traits are laid out along the directions they vary independently in.

    Attributes
    ----------
    ds : Dataset
        The study, or its markers that share a kinship.
    kinship : array (samples, samples) or None
    coordinates : DataArray (traits, directions)
    observed : DataArray (samples, traits)
        Which values the study has.
    directions : Directions
    """

    ds: xr.Dataset
    kinship: Array | None
    coordinates: xr.DataArray
    observed: xr.DataArray
    directions: Directions

    @classmethod
    def of(cls, ds: xr.Dataset, samples: Samples) -> NullStudy:
        """Lay out the traits of a study."""
        directions = Directions.of(samples)
        traits = ds["sample_trait"]
        if traits.chunks is not None:
            traits = traits.chunk(samples=-1)
        coordinates = xr.apply_ufunc(
            directions.coordinates,
            traits,
            input_core_dims=[["samples"]],
            output_core_dims=[["directions"]],
            dask="parallelized",
            output_dtypes=[np.float64],
            dask_gufunc_kwargs={"output_sizes": {"directions": directions.count}},
        )
        complete = xr.DataArray(samples.complete, dims="samples")
        observed = (traits.notnull() & complete).transpose("samples", "traits")
        return cls(ds, samples.kinship, coordinates, observed, directions)

    def with_signs(self, signs: Array) -> xr.Dataset:
        """The study with other traits: the signs of some directions are changed."""
        operator = xr.DataArray(self.directions.with_signs(signs), dims=("samples", "directions"))
        traits = xr.dot(operator, self.coordinates, dim="directions").where(self.observed)
        return self.ds.assign(sample_trait=traits.transpose("samples", "traits"))


def null_studies(ds: xr.Dataset, study: Study) -> Iterator[NullStudy]:
    """The study, or with a kinship for each contig the markers of each, to change signs of."""
    measured = study.measured
    fixed, weights = measured.covariates, measured.weights
    if measured.relations is None:
        yield NullStudy.of(ds, Samples(fixed, measured.kinship, weights))
        return
    contig = study.genotypes.relation
    for number in np.unique(contig[ds["variant_position"].notnull().values]):
        markers = ds.isel(variants=np.flatnonzero(contig == number))
        yield NullStudy.of(markers, Samples(fixed, measured.kinship[number], weights))
