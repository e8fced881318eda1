"""Columns of a study, with a value for each sample: traits, covariates and strains."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd
import xarray as xr

from bulklmm_dask.errors import InputError
from bulklmm_dask.storage.labels.encoding import text
from bulklmm_dask.study.checks import refuse_infinite
from bulklmm_dask.study.labelled import Argument
from bulklmm_dask.study.matching import say_unmatched
from bulklmm_dask.study.schema import unknown_names
from bulklmm_dask.study.warn import say
from bulklmm_dask.surface import either
from bulklmm_dask.text import counted, listing

# Steps between doubles beyond this share of the range of a column are a loss: rounding to less adds
# less than 1e-5 of its variance.
_STEP = 2.5e-3
_EQUAL = 4.0  # steps
# Whole numbers of 64 bits in this range are rounded.
_WHOLE = 2.0**53, 2.0**64


def put_traits(ds: xr.Dataset, traits: Argument, rows: list[int]) -> None:
    """Put these rows of the traits into a study that has the names of its samples."""
    data = traits.data if len(rows) == traits.data.sizes["samples"] else traits.data[rows]
    data = data.astype(np.float64, copy=False)
    if data.chunks is not None:
        data = data.chunk(samples=-1)
    else:
        samples = ds["sample_id"].values.tolist()
        refuse_infinite(data.values, "traits", samples, traits.labels)
        empty = np.flatnonzero(np.isnan(data.values).all(axis=0))
        if empty.size:
            say(
                f"{empty.size} of {len(traits.labels)} traits have no value at all; they are kept "
                f"and get no LOD scores: {listing(traits.labels[i] for i in empty)}"
            )
        _say_rounded(data.values, "traits", traits.labels)
    ds["sample_trait"] = data
    ds["trait_id"] = ("traits", text(traits.labels))


def put_strains(ds: xr.Dataset, strains: list[str | None]) -> None:
    """Put the strain of each sample into a study; InputError if there is none."""
    unknown = [
        name for name, strain in zip(ds["sample_id"].values, strains, strict=True) if not strain
    ]
    if unknown:
        raise InputError(
            f"no strain was given for {counted(len(unknown), 'sample')}: {listing(unknown)}; give "
            f"the strain of every sample, or leave {either('strains', '--strains')} out where each "
            "has its own genotypes"
        )
    ds["sample_strain"] = ("samples", text(strains))


def put_covariates(ds: xr.Dataset, covariates: Argument, names: list[str], rows: list[int]) -> None:
    """Put covariates into a study, matched by name, or by order to the rows of the traits."""
    values = covariates.data.astype(np.float64, copy=False).values
    if covariates.names is None:
        if len(values) != len(names):
            raise InputError(
                f"covariates has {len(values)} rows for the {len(names)} samples of the traits; "
                "give one row for each, or name the rows"
            )
        values = values[rows]
    else:
        frame = pd.DataFrame(values, index=covariates.names)
        _refuse_nobody(covariates, names)
        say_unmatched(unknown_names(names, covariates.names), len(values), "covariates", "traits")
        values = frame.reindex(ds["sample_id"].values.tolist()).to_numpy()
    refuse_infinite(values, "covariates", ds["sample_id"].values.tolist(), covariates.labels)
    _say_rounded(values, "covariates", covariates.labels)
    labels = text(covariates.labels)
    empty = np.isnan(values).all(axis=0)
    if empty.any():
        say(
            f"{empty.sum()} of {len(labels)} covariates have no value in any sample and are "
            f"dropped: {listing(labels[empty])}"
        )
        values, labels = values[:, ~empty], labels[~empty]
    if not len(labels):
        return
    missing = np.flatnonzero(np.isnan(values).any(axis=1))
    if missing.size:
        say(
            f"{missing.size} of {len(values)} samples lack a covariate; a scan with that covariate "
            f"leaves them out: {listing(ds['sample_id'].values[missing])}"
        )
    ds["sample_covariate"] = (("samples", "covariates"), values)
    ds["covariate_id"] = ("covariates", labels)
    ds.coords["covariates"] = labels


def _refuse_nobody(covariates: Argument, samples: Sequence[str]) -> None:
    """Raise InputError if covariates are of nobody in the study."""
    if not set(samples).isdisjoint(covariates.names or samples):
        return
    turned = not set(samples).isdisjoint(covariates.labels)
    raise InputError(
        f"the covariates are of nobody in the study: they are of "
        f"{listing(covariates.names or (), 3) or 'none'}, the samples are {listing(samples, 3)}; "
        + ("its columns are: pass covariates.T" if turned else "use the same names")
    )


def _say_rounded(values: np.ndarray, what: str, names: list[str]) -> None:
    """Warn of columns (samples, columns) whose values differ by few steps of doubles of their size.

    Whole numbers above 2^53 are examples: what is left of their differences is rounding.
    """
    low, high = np.fmin.reduce(values), np.fmax.reduce(values)
    size = np.fmax(np.abs(low), np.abs(high))
    with np.errstate(over="ignore"):
        width, step = high - low, np.spacing(size)
    # Values within some steps of each other are a constant, which has lost nothing; whole numbers
    # may have become one by rounding.
    varies = (width > _EQUAL * step) | ((size >= _WHOLE[0]) & (size < _WHOLE[1]))
    lost = np.flatnonzero(varies & (step > _STEP * width))
    if lost.size:
        i = lost[0]
        say(
            f"{lost.size} of {len(names)} {what} differ from sample to sample by hardly more than "
            f"doubles are rounded, so that digits are lost: {names[i]!r} runs from {low[i]:.17g} "
            f"to {high[i]:.17g} in steps of {step[i]:.3g}; subtract a constant from the numbers, "
            "or give them in another unit, before they are read"
        )
