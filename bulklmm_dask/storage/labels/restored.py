"""Studies and results after verbs of xarray, put back into the form that they had before.

``xr.concat`` may repeat, along a dimension, what does not depend on it, and keeps once what all
parts have in common; ``expand_dims`` gives a dimension back to values only; a DataArray leaves
behind what lies along other dimensions; ``reindex`` and outer joins fill up with NaN.
"""

from __future__ import annotations

import numpy as np
import xarray as xr

from bulklmm_dask.errors import InputError
from bulklmm_dask.storage.labels.coordinates import FREQUENCY, PAIR
from bulklmm_dask.storage.labels.variables import NAMES, PREFIXES, VARIABLES
from bulklmm_dask.text import listing

# Codes from here on are no numbers of contigs, and an array of so many names may fill the memory.
_MOST_CONTIGS = 100_000_000
# What a result has of a trait alone, besides variables whose names begin with trait_.
OF_TRAITS = ("h2", "sigma2", "n_samples", "n_refined")
# Whole numbers, and what stands for an absent one.
_WHOLE = {"trait_contig": -1, "n_samples": 0, "n_refined": 0, "variant_contig": None}


def restored(ds: xr.Dataset) -> xr.Dataset:
    """A study or a result with every description along the dimension that it describes, and named.

    Nothing lazy is computed, but for descriptions that have a dimension too many.

    Raises
    ------
    InputError
        If descriptions of markers or traits differ along the other dimension, as after parts of
        different studies were joined; if contigs are not what codes of contigs say; or if markers
        have none.
    """
    ds = _without_gaps(ds)
    for name in list(ds.variables):
        home = home_of(str(name))
        if home is None or name in ds.dims:
            continue
        if home in (*PAIR, "contigs"):
            ds = _without_repeats(ds, str(name), home)
        if home in ds.sizes and home not in ds.variables[name].dims and name in ds.coords:
            ds = _along(ds, str(name), home)
    for dim, name in NAMES.items():
        if dim in ds.dims and dim not in ds.coords and name in ds:
            ds = ds.assign_coords({dim: ds[name].values})
    return _with_contigs(ds)


def require_dims(ds: xr.Dataset, score: str, dims: tuple[str, ...]) -> None:
    """Raise InputError, which says why and how to get it back, where a score lacks a dimension."""
    for dim in dims:
        if dim in ds[score].dims:
            continue
        remedy = f"for one name was selected; select with a list instead: result.sel({dim}=[name])"
        if others := [str(one) for one in ds[score].dims if one not in dims]:
            remedy = f"it has {listing(others)} instead; give it its name back, as by rename"
        raise InputError(f"the result has lost its dimension {dim!r}, {remedy}")


def require_contigs(ds: xr.Dataset, name: str = "variant_contig", *, least: int = 0) -> None:
    """Raise InputError unless each marker, or trait, lies on a contig that has a name."""
    if name not in ds:
        return
    if "contig_id" not in ds:
        raise InputError(f"{name} is an index into contig_id, which the study lacks")
    index, count = ds[name].values, ds["contig_id"].size
    if index.size and (index.min() < least or index.max() >= count):
        raise InputError(
            f"{name} holds {index.min()}..{index.max()}, outside the {count} entries of contig_id; "
            "to select contigs, select their markers"
        )


def home_of(name: str) -> str | None:
    """The dimension whose entries a variable describes, None if it describes none."""
    if name in VARIABLES:
        declared = VARIABLES[name]
        return None if declared.measured else declared.dims[0][0]
    if name in OF_TRAITS:
        return "traits"
    return next((dim for dim, prefix in PREFIXES.items() if name.startswith(prefix)), None)


def _without_gaps(ds: xr.Dataset) -> xr.Dataset:
    """Give names and whole numbers back to entries of which only the index has a name."""
    for dim, name in NAMES.items():
        if dim in ds.indexes and name in ds and ds[name].dims == (dim,):
            array = ds[name].variable
            if array.dtype == object and (absent := array.isnull().values).any():
                names = np.where(absent, ds[dim].values, array.values)
                ds = _with(ds, name, xr.Variable(dim, names, array.attrs))
    for name, absent_one in _WHOLE.items():
        if name not in ds or ds[name].dtype.kind != "f":
            continue
        array = ds[name].variable
        if array.chunks is None and not bool(((array % 1 == 0) | array.isnull()).all()):
            continue  # which the check of the form refuses, if it must
        if absent_one is None:
            _require_all(ds, name)
        whole = array.fillna(absent_one or 0).astype(np.int64)
        ds = _with(ds, name, xr.Variable(whole.dims, whole.data, array.attrs))
    return ds


def _require_all(ds: xr.Dataset, name: str) -> None:
    """Raise InputError if markers have no contig."""
    absent = ds[name].isnull().values
    if absent.any() and "variants" in ds.indexes:
        names = listing(ds["variants"].values[absent], 3)
        raise InputError(
            f"{name} is missing for {absent.sum()} of {absent.size} markers, such as {names}, as "
            f"after reindex; keep the others: ds.isel(variants=ds.{name}.notnull())"
        )


def _without_repeats(ds: xr.Dataset, name: str, home: str) -> xr.Dataset:
    """Take dimensions of pairs from a variable that does not depend on them."""
    array = ds.variables[name]
    for dim in PAIR:
        if dim == home or dim not in array.dims or name == FREQUENCY:
            continue
        # In memory: Dask cannot take the only text out of an array.
        first = array.isel({dim: slice(1)}).compute().squeeze(dim)
        same = (array == first) | (array.isnull() & first.isnull())
        if not bool(same.all()):
            raise InputError(
                f"{name} differs along {dim}, so the parts that were joined are not of one "
                "scan of one study; look at each by itself"
            )
        array = first
        ds = _with(ds, name, array)
    return ds


def _along(ds: xr.Dataset, name: str, home: str) -> xr.Dataset:
    """Give what all entries of a dimension have in common to each of them."""
    array = ds[name].variable
    array = array.set_dims({home: ds.sizes[home], **array.sizes})
    return _with(ds, name, array.transpose(..., home) if home == "traits" else array)


def _with(ds: xr.Dataset, name: str, array: xr.Variable) -> xr.Dataset:
    """Put an array in the place of another: a coordinate stays one."""
    rest = ds.drop_vars(name)
    return rest.assign_coords({name: array}) if name in ds.coords else rest.assign({name: array})


def _with_contigs(ds: xr.Dataset) -> xr.Dataset:
    """Make ``contig_id`` of the names beside the codes where it is absent; compare them where not.

    Raises
    ------
    InputError
        If they differ, as after contigs were selected and markers were not.
    """
    if any(name not in ds for name in ("variant_contig", "variant_contig_name")):
        return ds
    codes, names = ds["variant_contig"].values, ds["variant_contig_name"].values
    if codes.ndim != 1 or codes.shape != names.shape or codes.dtype.kind not in "iu":
        return ds  # which the check of the form refuses, if it must
    if not codes.size or codes.min() < 0 or codes.max() >= _MOST_CONTIGS:
        return ds
    if "contig_id" not in ds:
        known = np.full(int(codes.max()) + 1, "", dtype=object)
        known[codes] = names
        return ds if "contigs" in ds.sizes else ds.assign_coords(contig_id=("contigs", known))
    known = ds["contig_id"].values
    if known.ndim != 1 or codes.max() >= len(known):
        return ds
    if not _equal(known[codes], names):
        some = listing(dict.fromkeys(map(str, names)), 3)
        raise InputError(
            f"contig_id has {listing(known, 3)}, but variant_contig_name says that the markers lie "
            f"on {some}; select markers of a contig instead of contigs: "
            f"ds.isel(variants=ds.variant_contig_name == {str(names[0])!r})"
        )
    return ds


def _equal(one: np.ndarray, other: np.ndarray) -> bool:
    """Whether arrays hold the same names, compared as text; objects may be no texts."""
    if {one.dtype.kind, other.dtype.kind} <= {"U", "T"}:
        return np.array_equal(one, other)
    return list(map(str, one)) == list(map(str, other))
