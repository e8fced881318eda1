"""Markers that join the covariates: the same for all traits, or others for each trait."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from difflib import get_close_matches
from typing import Any

import numpy as np
import pandas as pd
import xarray as xr

from bulklmm_dask.engine.study import OwnMarkers
from bulklmm_dask.errors import InputError
from bulklmm_dask.lmm.kinship import impute
from bulklmm_dask.storage.labels.encoding import text
from bulklmm_dask.storage.labels.portable import names_of
from bulklmm_dask.study.checks import is_absent, refuse_outside
from bulklmm_dask.study.schema import locate, maximum_of
from bulklmm_dask.surface import either, option
from bulklmm_dask.text import listing
from bulklmm_dask.typing import Array, Index

ConditionLike = (
    str | Sequence[str] | Mapping[str, str | Sequence[str]] | pd.Series | xr.DataArray | None
)


def shared_markers(ds: xr.Dataset, calls: xr.DataArray, condition: ConditionLike) -> Array:
    """Columns (samples, columns) of markers that join the covariates of every trait.

    They are from the scanned genotypes `calls`: the dosage of each marker, or its probabilities of
    all genotypes but the first.
    """
    if condition is None or is_per_trait(condition):
        return np.empty((ds.sizes["samples"], 0))
    names = _of_all_traits(condition)
    if not names:
        raise InputError(f"{option('condition')} names no marker; leave it out")
    columns = impute(calls.isel(variants=_find(ds, names)).values)
    if columns.ndim == 3:
        columns = columns[:, :, 1:].transpose(0, 2, 1).reshape(-1, columns.shape[1])
    return np.ascontiguousarray(columns.T)


def own_markers(ds: xr.Dataset, condition: ConditionLike) -> OwnMarkers | None:
    """Markers that differ between traits, such as the highest of each trait from ``max_lod``."""
    if condition is None or not is_per_trait(condition):
        return None
    if "call_dosage" not in ds:
        raise InputError(
            f"{option('condition')} gives every trait its own markers, which needs call_dosage; "
            "the study has genotype probabilities only: name markers for all traits, as "
            + either("condition=[...]", "--condition NAMES")
        )
    chosen = _per_trait(ds, condition)
    names = sorted({name for own in chosen for name in own})
    where = _find(ds, names)
    column = {name: i for i, name in enumerate(names)}
    index = np.full((len(chosen), max(map(len, chosen))), -1, dtype=np.int64)
    for row, own in zip(index, chosen, strict=True):
        row[: len(own)] = [column[name] for name in own]
    order = np.argsort(where)  # a lazy study is read in its own order
    dosage = np.empty((ds.sizes["samples"], len(names)))
    dosage[:, order] = impute(ds["call_dosage"].isel(variants=where[order]).values).T
    return OwnMarkers(dosage, index)


def condition_in_words(condition: ConditionLike) -> list[str] | str:
    """The condition as an attribute of a result: names of markers, or "by trait"."""
    return "by trait" if is_per_trait(condition) else _of_all_traits(condition)


def _of_all_traits(condition: Any) -> list[str]:
    """Names of markers for all traits, also in one text as in an attribute of a result."""
    return _names(names_of(condition) if isinstance(condition, str) else condition)


def is_per_trait(condition: Any) -> bool:
    """Whether a condition gives each trait its own markers."""
    return isinstance(condition, Mapping | pd.Series | xr.DataArray)


def _names(value: Any) -> list[str]:
    """List of marker names from one name or several; an empty name, None and NaN are left out."""
    if isinstance(value, xr.DataArray | np.ndarray):
        value = np.atleast_1d(value)
    several = [value] if isinstance(value, str) or not isinstance(value, Iterable) else value
    return [str(name) for name in several if not is_absent(name) and str(name)]


def _per_trait(ds: xr.Dataset, condition: Any) -> list[list[str]]:
    """Names of the markers of every trait; a trait that occurs twice gets the markers of both."""
    given = condition
    if isinstance(given, xr.DataArray):
        if given.ndim != 1:
            raise InputError(
                f"{option('condition')} has dimensions {given.dims}; give it along traits, with "
                "their names"
            )
        given = given.to_series()
    chosen: dict[str, list[str]] = {trait: [] for trait in text(ds["trait_id"].values)}
    locate(
        chosen,
        dict.fromkeys(map(str, given.keys())),
        f"{option('condition')} names {{count}} traits that the study has not: {{}}",
        "give it by trait, such as "
        + either("max_lod(result).set_index('trait').variant", "the table of 'bulklmm maxima'"),
    )
    for trait, value in given.items():
        chosen[str(trait)] += _names(value)
    if not any(chosen.values()):
        raise InputError(f"{option('condition')} names no marker for any trait; leave it out")
    return list(chosen.values())


def _find(ds: xr.Dataset, names: Sequence[str]) -> Index:
    """Indices of markers by their names."""
    what = f"{option('condition')} names {{count}} markers that the study has not: {{}}"
    return locate(ds["variant_id"].values, names, what)


def position_of(ds: xr.Dataset, kind: str, name: str) -> int:
    """Index of a trait or a variant by its name; the error for an unknown one names similar ones.

    `kind` is "trait" or "variant".
    """
    known = text(ds[f"{kind}_id"].values)
    found = np.flatnonzero(known == name)
    if len(found):
        return int(found[0])
    similar = get_close_matches(str(name), list(known), n=3)
    hint = f"similar are {listing(similar)}" if similar else f"there are {listing(known, 3)}"
    raise InputError(f"no {kind} {name!r} in the study; {hint}")


def dosage_of(ds: xr.Dataset, variant: str) -> Array:
    """Dosages of a marker (samples,), missing ones imputed."""
    row = position_of(ds, "variant", variant)
    if "call_dosage" not in ds:
        raise InputError(
            f"the study has no call_dosage to take variant {variant!r} from; "
            + either(
                "reduce its genotype probabilities to dosages with create_dataset",
                "leave --variant out, or import dosages",
            )
        )
    dosage = ds["call_dosage"][[row]].values
    maximum = maximum_of(ds["call_dosage"])
    refuse_outside(dosage, maximum, [variant], ds["sample_id"].values.tolist())
    return impute(dosage)[0]
