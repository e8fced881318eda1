"""Missing calls of lazy genotypes, which nobody has counted until something reads them all.

They are filled in by every scan, so they are counted and said once: by the pass that saves the
study, or by the one that computes its kinship. Until then the genotypes bear a mark.
"""

from __future__ import annotations

import numpy as np
import xarray as xr

from bulklmm_dask.study.warn import say
from bulklmm_dask.surface import function
from bulklmm_dask.text import counted, listing
from bulklmm_dask.typing import Index, Names, Real

# Attribute of genotypes whose missing calls were not counted; no other is stored beside the data.
_MARK = "gaps"
_CALLS = ("call_dosage", "call_genotype_probability")


def mark_uncounted(calls: xr.DataArray) -> xr.DataArray:
    """Genotypes with the mark."""
    return calls.assign_attrs({_MARK: "not counted"})


def is_uncounted(calls: xr.DataArray) -> bool:
    """Tell whether nobody has counted the missing calls of these genotypes."""
    return _MARK in calls.attrs


def without_mark(ds: xr.Dataset) -> xr.Dataset:
    """The study, its missing calls having been counted."""
    for name in _CALLS:
        if name in ds and is_uncounted(ds[name]):
            kept = {key: value for key, value in ds[name].attrs.items() if key != _MARK}
            ds = ds.assign({name: ds[name].copy(deep=False)})
            ds[name].attrs = kept
    return ds


def uncounted(ds: xr.Dataset) -> xr.DataArray | None:
    """Number of missing calls of every variant, lazy; None if they were counted before."""
    calls = next((ds[name] for name in _CALLS if name in ds and is_uncounted(ds[name])), None)
    if calls is None:
        return None
    absent = calls.isnull()
    return (absent.any("genotypes") if absent.ndim == 3 else absent).sum("samples")


def missing_calls(genotypes: Real) -> Index:
    """Number of missing calls of every variant of a block (variants, samples, ...)."""
    absent = np.isnan(genotypes).reshape(*genotypes.shape[:2], -1)
    return np.asarray(absent.any(axis=2).sum(axis=1), dtype=np.int64)


def gaps_in_words(missing: Index, samples: int, names: Names) -> list[str]:
    """Warnings of missing calls, and of variants without any; none if none is missing.

    Parameters
    ----------
    missing : array (variants,)
        Missing calls of each variant.
    samples : int
        Number of samples.
    names : array (variants,) of str
    """
    uncalled = np.flatnonzero(missing == samples)
    rest = np.delete(missing, uncalled)
    found = []
    if uncalled.size:
        found.append(
            f"{uncalled.size} of {counted(len(missing), 'variant')} have no call in any sample, "
            f"and get the LOD 0: {listing(names[uncalled])}"
        )
    if rest.any():
        found.append(missing_in_words(int(rest.sum()), rest.size * samples, int((rest > 0).sum())))
    return found


def missing_in_words(count: int, total: int, variants: int) -> str:
    """Warning that `count` of `total` genotypes, at so many variants, are missing."""
    return (
        f"{count} of {total} genotypes at {variants} variants are missing; each is filled with "
        "its marker's mean in the scan"
    )


def say_uncounted() -> None:
    """Warn that a scan fills in missing calls that nobody has counted."""
    say(
        "the genotypes are read as they are used, and how many calls are missing is not known; "
        "each missing one is filled with its marker's mean. Saving the study "
        f"({function('save')}) or computing its kinship ({function('kinship')}) counts them"
    )
