"""A study with other traits: the same genotypes, traits and covariates matched by name."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import xarray as xr

from bulklmm_dask.storage.labels.coordinates import arranged
from bulklmm_dask.storage.labels.encoding import text
from bulklmm_dask.study.readers._places import attach_places
from bulklmm_dask.study.readers._samples import Covariates, read_samples
from bulklmm_dask.study.readers._traits import Source
from bulklmm_dask.study.schema import locate, validate

_SAMPLES = ("samples", "samples_0", "samples_1")


def with_traits(ds: xr.Dataset, traits: Source, covariates: Covariates = None) -> xr.Dataset:
    """Give a study other traits, and perhaps other covariates, matched by name.

    Parameters
    ----------
    ds : Dataset
        A study.
    traits : path or DataFrame
        Samples x traits or traits x samples, as in `read_csv`.
    covariates : path, DataFrame or sequence of str, optional
        Samples x covariates, or names of columns of the traits, as in `read_csv`. By default the
        study keeps its own.

    Returns
    -------
    Dataset
        The study, of the samples that have traits and genotypes, in the order of the traits. Lazy
        genotypes stay lazy. Kinships are those of these samples, as they were.

    Raises
    ------
    InputError
        If no sample is common to both, or a table is malformed.

    Warns
    -----
    StudyWarning
        For samples dropped, and for missing values.

    Examples
    --------
    >>> samples = ds.samples.values[:100]
    >>> lengths = pd.DataFrame({"length": np.arange(100.0)}, index=samples)
    >>> other = blmm.with_traits(ds.sel(samples=samples), lengths)
    >>> other.sample_trait.shape, other.call_dosage.shape
    ((100, 1), (60, 100))
    """
    ds = validate(ds)
    names = ds["sample_id"].values.tolist()
    tables = read_samples(traits, covariates, None, names, named_by=("covariates",))
    # A study of one marker matches, checks and warns as all readers do.
    marker = xr.DataArray(
        np.zeros((len(names), 1), np.float32),
        dims=("samples", "variants"),
        coords={"samples": text(names), "variants": text(["none"])},
    )
    new = replace(tables, places=None).study(marker, None, maximum=1).drop_dims("variants")
    rows = locate(names, new["sample_id"].values, "the study has no sample {}")
    gone = ["traits", *(["covariates"] if "sample_covariate" in new else [])]
    kept = ds.isel({dim: rows for dim in _SAMPLES if dim in ds.dims})
    kept = kept.drop_dims([dim for dim in gone if dim in kept.dims])
    both = kept.assign_coords(new.coords).assign(new.data_vars)
    return arranged(validate(attach_places(both, tables.places)))
