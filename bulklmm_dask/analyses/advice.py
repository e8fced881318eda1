"""Advice about a model that can be fitted, but should rather be another one; StudyWarnings."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import xarray as xr

from bulklmm_dask.analyses.inputs.cross import contigs_on_x
from bulklmm_dask.analyses.inputs.kinship import KinshipLike
from bulklmm_dask.analyses.inputs.x_covariates import XCovariatesLike, x_columns
from bulklmm_dask.engine.arrays import is_lazy
from bulklmm_dask.engine.study import Measurements
from bulklmm_dask.errors import InputError
from bulklmm_dask.lmm.columns import independent_columns
from bulklmm_dask.study.warn import say, say_once
from bulklmm_dask.surface import either, option
from bulklmm_dask.text import listing
from bulklmm_dask.typing import Index

# With fewer residual degrees of freedom the chi-square distribution of a LOD is no approximation:
# at 5, with an intercept alone, its p-value of 0.05 is 0.13 by the exact t test.
FEW_DEGREES = 5
# Standard deviations of a covariate from 0 beyond which effects there have few digits left.
_FAR = 1e4
# A grid of heritabilities suits a kinship unless the shares of the variance that they stand for
# spread less than this part of their own spread.
_SPREAD = 0.5
# With fewer samples, the variance that the kinship of all markers takes from a locus costs power.
FEW_SAMPLES = 500


def warn_of_few_degrees(measured: Measurements, n_samples: Index | None = None) -> None:
    """Warn of traits whose samples are hardly more than the covariates.

    Parameters
    ----------
    measured : Measurements
        Traits and covariates.
    n_samples : array (traits,) of int, optional
        Samples with a value and all covariates, once they are counted. By default they are counted
        here, where the traits are in memory; lazy ones are taken as measured on all.
    """
    complete, c = ~np.isnan(measured.covariates).any(axis=1), measured.covariates.shape[1]
    lazy = is_lazy(measured.traits)
    if n_samples is not None:
        if not lazy or complete.sum() - c < FEW_DEGREES:
            return  # said when the study was prepared
        degrees = n_samples - c
    elif lazy:
        degrees = np.full(len(measured.trait_names), complete.sum() - c)
    else:
        observed = ~np.isnan(np.asarray(measured.traits))
        degrees = observed[complete].sum(axis=0) - c
    few = np.flatnonzero((degrees >= 2) & (degrees < FEW_DEGREES))
    if len(few):
        say(
            f"{len(few)} of {len(degrees)} traits have fewer than {FEW_DEGREES} samples more than "
            f"the {c} columns of covariates with the intercept, the fewest "
            f"{degrees[few].min() + c}: LODs of so few degrees of freedom are too large, p-values "
            f"too small; use fewer covariates, or leave out {listing(measured.trait_names[few])}"
        )


def warn_of_scale(measured: Measurements, grid: Sequence[float]) -> None:
    """Warn of a kinship of a size at which a grid of heritabilities is no grid of shares.

    h2 is that of the kinship as given: at h2 it explains the share h2 s/(h2 s + 1 - h2) of the
    variance, s being its mean diagonal. Exact methods give the same LODs for any s.
    """
    inner = [h for h in grid if 0.0 < h < 1.0]
    if measured.kinship is None or is_lazy(measured.kinship) or not inner:
        return
    diagonal = np.diagonal(np.asarray(measured.kinship), axis1=-2, axis2=-1)
    of_noise = 1.0 if measured.weights is None else np.exp(-2.0 * np.log(measured.weights).mean())
    scale = float((diagonal / of_noise).mean())
    low, high = (h * scale / (h * scale + 1.0 - h) for h in (min(inner), max(inner)))
    if high - low >= _SPREAD * (max(inner) - min(inner)):
        return
    say(
        f"the mean diagonal of the kinship, weighted as the samples are, is {scale:.3g} and not "
        f"near 1, so that the values of {option('h2_grid')} between 0 and 1 stand for {low:.3g} to "
        f"{high:.3g} of the variance; divide the kinship by its mean diagonal, give another grid, "
        "or use an exact method"
    )


def warn_of_far_covariates(measured: Measurements) -> None:
    """Warn of covariates far from 0, where effects of genotypes are given.

    In a model without intercept they are nearly a multiple of the sum of the genotypes, so that the
    digits of the effects, and then the effect of the last genotype, are lost. LODs do not depend on
    it.
    """
    columns = measured.covariates[measured.complete, 1 : 1 + len(measured.covariate_names)]
    if not len(columns):
        return
    with np.errstate(over="ignore", invalid="ignore"):
        far = np.abs(columns.mean(axis=0)) > _FAR * columns.std(axis=0)
    if far.any():
        names = np.array(measured.covariate_names, dtype=object)[far]
        say(
            f"effects of genotypes are those where covariates are 0, but {listing(names)} "
            f"{'lies' if len(names) == 1 else 'lie'} more than {_FAR:g} standard deviations from "
            "there: effects lose their digits, that of the last genotype all; subtract a constant "
            "from the covariate. LODs are right"
        )


def advise_loco(ds: xr.Dataset, kinship: KinshipLike, *, loco: bool) -> None:
    """Say once that a scan of few samples gains power by leaving one chromosome out.

    Only of a kinship that this package has computed from all markers: of others it is not known
    whether they hold the tested locus.
    """
    given = ds.get(kinship) if isinstance(kinship, str) else kinship
    n = ds.sizes["samples"]
    if loco or n >= FEW_SAMPLES or not isinstance(given, xr.DataArray) or given.ndim != 2:
        return
    several = "variant_contig" in ds and len(np.unique(ds["variant_contig"].values)) > 1
    if "method" not in given.attrs or not several:
        return
    how = either(
        "loco=True, with ds['kinship_loco'] = bulklmm_dask.kinship(ds, loco=True)",
        "--loco, after 'bulklmm kinship --loco'",
    )
    say_once(
        "loco",
        f"the kinship is of the whole genome, the tested locus included; of {n} samples (fewer "
        f"than {FEW_SAMPLES}) that costs power; to leave the chromosome of the locus out: {how}",
    )


def advise_x(ds: xr.Dataset, measured: Measurements, given: XCovariatesLike) -> None:
    """Say once that tests on the X of a cross need sex and direction, where these are in no model.

    Only of a cross whose samples have a known sex.
    """
    if given is not None or not isinstance(ds.attrs.get("crosstype"), str):
        return
    markers = ds["variant_contig"].values if "variant_contig" in ds else np.empty(0, np.int64)
    if not contigs_on_x(ds)[np.unique(markers)].any():
        return
    try:
        columns = x_columns(ds)
    except InputError:  # of unknown sex
        return
    both = np.column_stack([measured.covariates, *columns.values()])[measured.complete]
    if both.shape[1] - len(independent_columns(both)[1]) > measured.covariates.shape[1]:
        say_once(
            "x covariates",
            f"genotypes on the X depend on {listing(columns)}: a trait that differs by that seems "
            "to be linked to the whole X; take it into the models of the X: "
            f"{option('x_covariates', True)}",
        )
