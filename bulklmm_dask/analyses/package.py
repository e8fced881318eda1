"""From arrays to the Dataset of a result: names, dimensions, attributes and version."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence, Set
from typing import Any

import xarray as xr

from bulklmm_dask._version import __version__
from bulklmm_dask.storage.labels.coordinates import arranged, as_names
from bulklmm_dask.storage.labels.portable import portable

_NAMED = frozenset({"variants", "traits", "contigs", "alleles"})


def labels(ds: xr.Dataset, dims: Set[str] = _NAMED) -> xr.Dataset:
    """Names, positions and metadata of a study along some dimensions, as a result keeps them."""
    kept = [
        name
        for name, variable in ds.variables.items()
        if set(variable.dims) <= dims and not {"variants", "traits"} <= set(variable.dims)
    ]
    return ds[kept].drop_attrs(deep=False)


def with_components(names: xr.Dataset, components: Sequence[str]) -> xr.Dataset:
    """Names with those of the components of a model; unchanged if it has none."""
    if not components:
        return names
    about = {"long_name": "component"}
    return names.assign_coords(components=("components", as_names(components), about))


def package(
    names: xr.Dataset, columns: Mapping[str, tuple[Any, ...]], attrs: Mapping[str, Any]
) -> xr.Dataset:
    """Arrays as a result.

    Parameters
    ----------
    names : Dataset
        From `labels`; a column takes the place of a label of the same name.
    columns : mapping of str to tuple
        Dimensions and array of every variable, and its attributes if it has any.
    attrs : mapping
        Attributes of the result, such as its options; JSON values. The version is added, and
        they become what files of every format hold (`portable`).
    """
    found = arranged(names.assign(columns))
    return found.assign_attrs({**portable(attrs), "version": __version__})


def template(names: xr.Dataset, columns: Iterable[str], attrs: Mapping[str, Any]) -> xr.Dataset:
    """Names and attributes of a result store, whose columns are written block by block."""
    return package(names.drop_vars(columns, errors="ignore"), {}, attrs)
