"""Genotypes of a study: dosages or probabilities in their range, markers without a call dropped."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence

import numpy as np
import xarray as xr

from bulklmm_dask.errors import InputError
from bulklmm_dask.study.checks import is_one_of, refuse_outside
from bulklmm_dask.study.coding import as_dosages, codes_hint
from bulklmm_dask.study.gaps import mark_uncounted, missing_in_words
from bulklmm_dask.study.warn import say
from bulklmm_dask.surface import option
from bulklmm_dask.text import counted, listing

# How far the probabilities of a call may sum off 1: files round each to a few decimals.
_SUM_TOLERANCE = 0.01


def put_calls(
    ds: xr.Dataset,
    data: xr.DataArray,
    rows: list[int],
    maximum: int | None,
    codes: Mapping[float, float | None] | None,
) -> xr.Dataset:
    """Add the genotypes, variants first; drop the variants without any call."""
    if maximum is not None and not is_one_of(maximum, (1, 2)):
        raise InputError(f"maximum is {maximum!r}; it should be 1 (dosages 0..1) or 2 (0..2)")
    dims = ("variants", "samples", "genotypes")[: data.ndim]
    data = data.transpose(*dims)
    if codes is not None and (data.chunks is not None or data.ndim == 3):
        raise InputError(
            "codes says what dosages in memory stand for, but these genotypes are "
            f"{'lazy' if data.chunks is not None else 'probabilities'}; recode them first"
        )
    if data.chunks is None and data.ndim == 2:
        values, maximum = as_dosages(data.values, maximum, codes, "genotypes")
        data = data.copy(data=values)
    if rows != list(range(data.sizes["samples"])):
        data = data[:, rows]
    if data.chunks is not None:
        data = mark_uncounted(data.chunk(samples=-1))
    else:
        data = data.copy(data=np.ascontiguousarray(data.values))
        maximum = maximum if data.ndim == 2 else 1
        _refuse_outside(data.values, maximum, ds)
        if data.ndim == 3:
            refuse_other_sums(
                data.values, ds["variant_id"].values.tolist(), ds["sample_id"].values.tolist()
            )
        ds, data = _drop_uncalled(ds, data)
    if data.ndim == 3:
        ds["call_genotype_probability"] = data
        if data.sizes["genotypes"] != 2:
            return ds
        data, maximum = data[:, :, 1], 1
    if maximum is None:
        say(
            f"the genotypes are lazy and {option('maximum')} was not given: they are taken as "
            f"dosages 0..2; pass {option('maximum', 1)} if they run from 0 to 1. Codes, such as 1 "
            "and 2 for two homozygotes, are not recognised in lazy genotypes: turn them into "
            "dosages before"
        )
    ds["call_dosage"] = data.assign_attrs(maximum=maximum or 2)
    return ds


def refuse_other_sums(
    probability: np.ndarray, variants: Sequence[str], samples: Sequence[str]
) -> None:
    """Raise InputError quoting the first call whose probabilities do not sum to 1.

    `probability` has the shape (variants, samples, genotypes).
    """
    total = probability.sum(axis=2)
    wrong = np.argwhere(np.abs(total - 1) > _SUM_TOLERANCE)
    if wrong.size:
        i, j = wrong[0]
        raise InputError(
            f"genotype probabilities do not sum to 1 in {counted(len(wrong), 'call')}, the first "
            f"to {total[i, j]:g} at variant {variants[i]!r}, sample {samples[j]!r}; pass the "
            "probability of every genotype"
        )


def _refuse_outside(values: np.ndarray, maximum: int | None, ds: xr.Dataset) -> None:
    try:
        names = ds["variant_id"].values.tolist(), ds["sample_id"].values.tolist()
        refuse_outside(values, maximum or 1, *names)
    except InputError as error:
        raise InputError(f"{error}{codes_hint(values)}") from None


def _drop_uncalled(ds: xr.Dataset, data: xr.DataArray) -> tuple[xr.Dataset, xr.DataArray]:
    absent = np.isnan(data.values)
    if absent.ndim == 3:
        absent = absent.any(axis=2)
    per_variant = absent.sum(axis=1)
    uncalled = per_variant == data.sizes["samples"]
    if not absent.size:
        raise InputError(
            f"the genotypes have {data.sizes['samples']} samples and {data.sizes['variants']} "
            "variants; a study needs some of both"
        )
    if uncalled.all():
        raise InputError(f"none of the {len(uncalled)} variants has a call in the samples kept")
    if uncalled.any():
        say_uncalled(ds["variant_id"].values[uncalled], len(uncalled))
        keep = np.flatnonzero(~uncalled)
        ds, data, per_variant = ds.isel(variants=keep), data[keep], per_variant[keep]
    if per_variant.any():
        total = data.sizes["variants"] * data.sizes["samples"]
        say(missing_in_words(int(per_variant.sum()), total, int((per_variant > 0).sum())))
    return ds, data


def say_uncalled(names: Collection[str], total: int) -> None:
    """Warn which of `total` variants have no call, if any."""
    if len(names):
        say(
            f"{len(names)} of {total} variants have no call in any sample and are "
            f"dropped: {listing(names)}"
        )
