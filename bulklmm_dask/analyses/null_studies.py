"""Null data sets of a study, by random changes of sign along independent sample directions."""

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
    """A study with its traits as coordinates along directions of independent variation.

    Attributes
    ----------
    ds : Dataset
        The study, or its markers that share a kinship.
    kinship : array (samples, samples) or None
    coordinates : DataArray (traits, directions)
        The traits along the directions.
    observed : DataArray (samples, traits)
        True where the study has a value and all covariates.
    directions : Directions
    """

    ds: xr.Dataset
    kinship: Array | None
    coordinates: xr.DataArray
    observed: xr.DataArray
    directions: Directions

    @classmethod
    def of(cls, ds: xr.Dataset, samples: Samples) -> NullStudy:
        """Compute the coordinates of the traits of a study."""
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
        """The study with the traits whose coordinates are multiplied by `signs`."""
        operator = xr.DataArray(self.directions.with_signs(signs), dims=("samples", "directions"))
        traits = xr.dot(operator, self.coordinates, dim="directions").where(self.observed)
        return self.ds.assign(sample_trait=traits.transpose("samples", "traits"))


def null_studies(ds: xr.Dataset, study: Study) -> Iterator[NullStudy]:
    """Yield the study, or with LOCO kinships the markers of each contig, ready for sign changes."""
    measured = study.measured
    fixed, weights = measured.covariates, measured.weights
    if measured.relations is None:
        yield NullStudy.of(
            ds, Samples(fixed, measured.kinship, weights, eigen=measured.eigen_of(0))
        )
        return
    contig = study.genotypes.relation
    for number in np.unique(contig[ds["variant_position"].notnull().values]).tolist():
        markers = ds.isel(variants=np.flatnonzero(contig == number))
        eigen = measured.eigen_of(number)
        yield NullStudy.of(markers, Samples(fixed, measured.kinship[number], weights, eigen=eigen))
