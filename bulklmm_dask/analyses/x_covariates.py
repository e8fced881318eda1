"""Covariates for tests on the X chromosome of a cross."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import xarray as xr

from bulklmm_dask.analyses.inputs.cross import contig_names, contigs_on_x, with_x
from bulklmm_dask.analyses.inputs.x_covariates import x_columns
from bulklmm_dask.storage.labels.encoding import text
from bulklmm_dask.study.schema import validate


def x_covariates(ds: xr.Dataset, *, x_contigs: str | Sequence[str] | None = None) -> xr.DataArray:
    """Make the covariates of tests on the X: sex, and the direction of the cross.

    Males have one X, and in an intercross the females of each direction lack one homozygote. A
    trait that differs between sexes or directions would therefore seem to be linked to the whole X
    (Broman et al. 2006). In the null model and the alternative of markers on the X, these
    covariates take that away: ``scan(ds, x_covariates=True)``.

    Parameters
    ----------
    ds : Dataset
        A cross, raw or with probabilities; or any study with ``sample_sex``.
    x_contigs : str or sequence of str, optional
        Contigs that are X chromosomes, by default those of the attribute ``x_chr``, else the one
        called X (or chrX). A number such as 20 or 23 is never taken for X by itself.

    Returns
    -------
    DataArray, shape (samples, x_covariates)
        ``sex``, 1 in males and 0 in females, if there are both and their genotypes differ;
        ``direction``, 1 in females of the second direction and 0 in all others, in an intercross
        with females of both. As R/qtl2's get_x_covar; it may have no columns.
        ``attrs["x_contigs"]`` names the X chromosomes.

    Raises
    ------
    InputError
        If the sex of a sample is not known, or a contig not in the study.

    Examples
    --------
    >>> sexes = np.where(np.arange(120) % 2, "male", "female").astype(object)
    >>> study = ds.assign_coords(sample_sex=("samples", sexes))
    >>> blmm.x_covariates(study, x_contigs="3")[:4].values.ravel()
    array([0., 1., 0., 1.])
    """
    ds = with_x(validate(ds), x_contigs)
    columns = x_columns(ds)
    values = np.column_stack([np.empty((ds.sizes["samples"], 0)), *columns.values()])
    on_x = contigs_on_x(ds)
    names = [name for name, is_x in zip(contig_names(ds), on_x, strict=True) if is_x]
    return xr.DataArray(
        values,
        dims=("samples", "x_covariates"),
        coords={"samples": text(ds["sample_id"].values), "x_covariates": text(list(columns))},
        name="x_covariates",
        attrs={"x_contigs": names},
    )
