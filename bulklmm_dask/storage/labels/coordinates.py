"""Coordinates of studies and results: what describes a marker, a trait or a sample goes with it.

Codes of contigs have their names beside them, variables have ``long_name`` and ``units``, and those
that matter most come first, so that xarray selects, groups, joins and draws what is here.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np
import xarray as xr

from bulklmm_dask.storage.labels.encoding import text
from bulklmm_dask.storage.labels.summary import Summary as Summary  # Datasets have ds.bulklmm now
from bulklmm_dask.storage.labels.variables import PREFIXES, TRAIT_PLACES, VARIABLES, attributes

PAIR = ("variants", "traits")
# Frequency of the effect allele in a result: of each marker, or of each pair.
FREQUENCY = "variant_frequency"
# Dimensions of what a result holds, by its scores; all else in it is a coordinate.
_OF_RESULT = {"lod": PAIR, "max_lod": ("permutations",)}
# Index coordinates, and the dimensions of a Dataset, in the order in which they are shown.
_DIMS = (
    *PAIR,
    "samples",
    "permutations",
    "contigs",
    "covariates",
    "genotypes",
    "effects",
    "components",
)

# Codes of contigs, and their names.
_CONTIG_NAMES = {
    "variant_contig": "variant_contig_name",
    "trait_contig": "trait_contig_name",
}
# Names longer than this stay objects, for an array of fixed width has room for the longest in each.
_WIDEST = 64
# Attribute of a stored group or array in which xarray lists coordinates; not of one that is open.
COORDINATES = "coordinates"
# How xarray stores text of fixed width in Zarr, which has no such type of its own: as objects, for
# before 2026.9 it passes StringDType by.
_STORED = {"dtype": np.dtype(object, metadata={"element_type": str})}


def arranged(ds: xr.Dataset, written: Iterable[str] = ()) -> xr.Dataset:
    """A study or a result as the functions of this package return it.

    Nothing is computed, and no array of numbers is copied.

    Parameters
    ----------
    ds : Dataset
        A study, or a result of an analysis.
    written : iterable of str
        Variables in the order in which they are to come, for a Dataset from a store, where they
        have no order; those that are declared come before them.

    Returns
    -------
    Dataset
        The same, with: all that describes markers, traits, samples and contigs as coordinates, in a
        result also what it has of a marker or a trait alone; ``variant_contig_name`` and
        ``trait_contig_name``; ``long_name`` and ``units``; and the variables in order. Texts that
        one selects, groups or draws by have a fixed width, for xarray draws no others.
    """
    ds = ds.set_coords([name for name in ds.data_vars if _describes(ds, str(name))])
    ds = _with_contig_names(ds)
    ds = ds.assign_coords({name: _fixed_width(ds.variables[name]) for name in _texts(ds)})
    for name, variable in ds.variables.items():
        if variable.dtype.kind == "U":
            variable.encoding = dict(_STORED)
        variable.attrs = attributes(str(name), variable.attrs)
    return ds[_in_order(ds, written)]


def listed(ds: xr.Dataset) -> list[str]:
    """Coordinates that the attribute `COORDINATES` names: indexes need not be, blanks cannot be."""
    return [name for name in map(str, ds.coords) if name not in ds.dims and " " not in name]


def _describes(ds: xr.Dataset, name: str) -> bool:
    """Whether a variable describes something, and is no value of a study or a result."""
    dims = ds.variables[name].dims
    if name in VARIABLES:
        return not VARIABLES[name].measured
    if len(dims) == 1 and name.startswith(PREFIXES.get(str(dims[0]), " ")):
        return True
    own = next((own for score, own in _OF_RESULT.items() if _has(ds, score, own)), ())
    return not set(own) <= set(dims)


def _has(ds: xr.Dataset, score: str, own: tuple[str, ...]) -> bool:
    """Whether a Dataset has a score over these dimensions, and perhaps others."""
    return score in ds and set(own) <= set(ds[score].dims)


def _with_contig_names(ds: xr.Dataset) -> xr.Dataset:
    """Put the name of the contig beside each code; a trait without a place has an empty one."""
    for codes, names in _CONTIG_NAMES.items():
        if codes in ds and names not in ds and _is_coded(ds, codes):
            known = as_names([*map(str, ds["contig_id"].values), ""])
            ds = ds.assign_coords({names: (ds[codes].dims, known[ds[codes].values])})
    return ds


def _is_coded(ds: xr.Dataset, name: str) -> bool:
    """Whether a variable holds codes of contigs; traits may have notes of that name."""
    codes = ds[name]
    if "contig_id" not in ds or codes.ndim != 1 or codes.dtype.kind not in "iu":
        return False
    return bool(((codes.values >= -1) & (codes.values < ds["contig_id"].size)).all())


def as_names(values: Iterable[object]) -> np.ndarray:
    """Names as text of fixed width, or as objects where one is very long."""
    names = text(values)
    widest = max(map(len, names), default=0)
    # The width is given, for NumPy would look for it once more.
    return names if widest > _WIDEST else names.astype(f"U{max(widest, 1)}")


def _texts(ds: xr.Dataset) -> list[str]:
    """Coordinates of texts that xarray cannot draw, nor write lazily, yet."""
    return [str(name) for name, variable in ds.coords.variables.items() if _is_text(variable)]


def _is_text(variable: xr.Variable) -> bool:
    if variable.dtype.kind == "O" and variable.chunks is None:
        return set(map(type, variable.values.ravel())) <= {str, np.str_}
    return variable.dtype.kind == "T"


def _fixed_width(variable: xr.Variable) -> xr.Variable:
    names = as_names(variable.values.ravel()).reshape(variable.shape)
    return xr.Variable(variable.dims, names, variable.attrs)


def _in_order(ds: xr.Dataset, written: Iterable[str]) -> list[Any]:
    """Names of all variables: indexes, coordinates, values; each as declared, then as given."""
    declared = dict.fromkeys([*_DIMS, *_OF_RESULT, *VARIABLES, *TRAIT_PLACES, *written])
    place = {name: at for at, name in enumerate(declared)}

    def order(name: Any) -> tuple[int, int]:
        kind = 0 if name in ds.dims else 1 if name in ds.coords else 2
        return kind, place.get(name, len(place))

    return sorted(ds.variables, key=order)
