"""The check of a study against the table of variables, and names that are looked up in it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, TypeVar

import numpy as np
import xarray as xr

from bulklmm_dask.errors import InputError
from bulklmm_dask.storage.labels.encoding import text
from bulklmm_dask.storage.labels.restored import require_contigs, restored
from bulklmm_dask.storage.labels.variables import NAMES, VARIABLES, Dims, Variable
from bulklmm_dask.study.checks import is_one_of
from bulklmm_dask.surface import either
from bulklmm_dask.text import listing
from bulklmm_dask.typing import Index

IMPORT = "'bulklmm import'"  # the command that makes a study

_DOUBLE = 8  # bytes

Selected = TypeVar("Selected", xr.Dataset, xr.DataArray)

_REQUIRED = ("variant_id", "sample_id", "trait_id", "sample_trait")


def unknown_names(known: Iterable[object], wanted: Iterable[object]) -> list[str]:
    """List the wanted names that are not known, in order; names are compared as text."""
    present = set(map(str, known))
    return [name for name in map(str, wanted) if name not in present]


def locate(
    known: Iterable[object], wanted: Iterable[object], what: str, remedy: str | None = None
) -> Index:
    """Find the positions of names among those known.

    Parameters
    ----------
    known, wanted : iterable of names
        Names are compared as text.
    what : str
        Beginning of the error for unknown names, such as "the study has no covariate {}"; {}
        stands for the unknown names, {count} for their number.
    remedy : str, optional
        End of the error; by default it shows the first known names.

    Returns
    -------
    array of int
        Position of each wanted name among the known ones.

    Raises
    ------
    InputError
        If any name is unknown, or is that of several.
    """
    names = list(map(str, known))
    asked = list(map(str, wanted))
    where = {name: position for position, name in enumerate(names)}
    if unknown := [name for name in asked if name not in where]:
        if remedy is None:
            remedy = f"the names are like {listing(names, 3)}" if names else "there is none"
        what = what.replace("{count}", str(len(unknown))).replace("{}", listing(unknown), 1)
        raise InputError(f"{what}; {remedy}")
    if len(where) < len(names):
        refuse_several(names, asked)
    return np.array([where[name] for name in asked], dtype=np.int64)


def refuse_several(names: Sequence[str], asked: Iterable[str]) -> None:
    """Raise InputError if a name that is asked for stands for several of those known."""
    times = Counter(names)
    if several := [name for name in dict.fromkeys(asked) if times[name] > 1]:
        raise InputError(
            f"{several[0]!r} is the name of {times[several[0]]} of {len(names)} entries, which "
            "does not say which of them is meant; give each a name of its own"
        )


def positions(ds: xr.Dataset | xr.DataArray, dim: str, names: Iterable[object]) -> Index:
    """Positions of entries along a dimension such as traits by their names, compared as text.

    Raises
    ------
    InputError
        If the dimension is lost, or a name is unknown or that of several entries.
    """
    kind = dim.removesuffix("s")
    if dim not in ds.dims:
        raise InputError(
            f"the dimension {dim!r} is lost, so no {kind} can be selected by its name; select with "
            f"a list before: ds.sel({dim}=[name])"
        )
    return locate(ds[dim].values, names, f"no {kind} {{}} here")


def select(ds: Selected, dim: str, names: Iterable[object]) -> Selected:
    """Entries along a dimension by their names, found by `positions`."""
    return ds.isel({dim: positions(ds, dim, names)})


def require_unique(names: Iterable[str], what: str, remedy: str) -> None:
    """Raise InputError quoting the first names that occur twice."""
    known = list(names)
    if len(set(known)) < len(known):
        twice = [name for name, times in Counter(known).items() if times > 1]
        shown = ", ".join(repr(name) for name in twice[:5]) + (", ..." if len(twice) > 5 else "")
        raise InputError(f"{what} must be unique, but {len(twice)} occur twice: {shown}; {remedy}")


def _transposed(ds: xr.Dataset, name: str, wanted: tuple[Dims, ...]) -> xr.Dataset:
    """Bring a variable into the order of dimensions declared, or raise InputError."""
    found = ds[name]
    more = [str(dim) for dim in found.dims if dim not in wanted[-1]]
    if all(ds.sizes[dim] == 1 for dim in more):  # given by expand_dims
        found = found.isel(dict.fromkeys(more, 0), drop=True)
    fitting = next((dims for dims in wanted if set(dims) == set(found.dims)), None)
    if fitting is not None:
        return ds.assign({name: found.transpose(*fitting)})
    shown = " or ".join(str(dims) for dims in wanted)
    remedy = (
        f"it may have got {listing(more)} from xr.concat, where or expand_dims: join studies with "
        "data_vars='minimal', and select with isel or sel"
        if more
        else "a name may have been selected: select with a list, ds.sel(dim=[name])"
    )
    raise InputError(f"{name} has dimensions {found.dims}, not {shown}; {remedy}")


def _make_one() -> str:
    return f"make one with {either('create_dataset or a reader', IMPORT)}"


def validate(ds: xr.Dataset) -> xr.Dataset:
    """Check a study against the schema, without reading lazy arrays.

    Parameters
    ----------
    ds : Dataset
        A study; variables that the schema does not declare are left alone.

    Returns
    -------
    Dataset
        The same, with dimensions in the order declared, whatever xarray has done to it.

    Raises
    ------
    InputError
        If `ds` is no Dataset, a required variable is absent, or a declared one has other
        dimensions or another kind of values, or names are not unique.
    """
    if not isinstance(ds, xr.Dataset):
        raise InputError(
            f"a study is an xarray.Dataset, not {type(ds).__name__}; make one of arrays with "
            "create_dataset"
        )
    for name in _REQUIRED:
        if name not in ds.variables:
            raise InputError(f"the study has no variable {name!r}; {_make_one()}")
    if "call_dosage" not in ds and "call_genotype_probability" not in ds:
        raise InputError(
            "the study has no genotypes: neither call_dosage nor call_genotype_probability; "
            + _make_one()
        )
    ds = restored(ds)
    _require_plain_indexes(ds)  # xarray warns of others when variables are replaced
    for dim, name in NAMES.items():
        if not ds.variables[name].ndim:
            raise InputError(
                f"the study has lost its dimension {dim!r}, for one name was selected; select with "
                f"a list instead: ds.sel({dim}=[{str(ds[name].values)!r}])"
            )
    for name, declared in VARIABLES.items():
        if name in ds.variables and ds.variables[name].dims not in declared.dims:
            ds = _transposed(ds, name, declared.dims)
    require_form(ds, VARIABLES)
    for dim, name in NAMES.items():
        names = text(ds[name].values)
        require_unique(names, f"the names in {name}", f"rename the {dim}")
    require_contigs(ds)
    if "call_dosage" in ds:
        maximum_of(ds["call_dosage"])
    return ds


def _require_plain_indexes(ds: xr.Dataset) -> None:
    for dim, index in ds.indexes.items():
        levels, kind = index.nlevels, ds.variables[dim].dtype
        if levels > 1 or not isinstance(kind, np.dtype):
            raise InputError(
                f"the index {dim!r} is of {f'{levels} levels' if levels > 1 else kind}; give plain "
                "names instead: ds.drop_vars(...).assign_coords(...)"
            )


def require_form(ds: xr.Dataset, declared: Mapping[str, Variable], *, turned: bool = False) -> None:
    """Raise InputError if a variable has not the dimensions, or the kind of values, declared.

    Variables that are absent, or not declared, are left alone. With `turned` the order of the
    dimensions does not count.
    """
    _require_plain_indexes(ds)
    for dim in ds.dims:
        along = ds.variables[dim].dims if dim in ds.variables else (dim,)
        if along != (dim,):
            raise InputError(f"{dim} has dimensions {along}, not {(dim,)}; rename it")
    for name, form in declared.items():
        if name not in ds.variables:
            continue
        found = ds.variables[name]
        alternatives = [frozenset(dims) if turned else dims for dims in form.dims]
        if (frozenset(found.dims) if turned else found.dims) not in alternatives:
            wanted = " or ".join(str(dims) for dims in form.dims)
            is_turned = any(set(found.dims) == set(dims) for dims in form.dims)
            raise InputError(
                f"{name} has dimensions {found.dims}, not {wanted}; "
                + ("transpose it" if is_turned else "give it along these")
            )
        if not isinstance(found.dtype, np.dtype) or found.dtype.kind not in form.kinds:
            raise InputError(f"{name} has dtype {found.dtype}; it should hold {form.meaning}")
        unit = found.attrs.get("units", "")
        if not isinstance(unit, str):
            raise InputError(f"{name}.attrs['units'] is {unit!r}; it should be a text, such as Mb")
        if found.dtype.kind == "f" and found.dtype.itemsize > _DOUBLE:
            raise InputError(
                f"{name} has dtype {found.dtype}, and all is computed in doubles at most; give it "
                "as doubles: .astype('float64')"
            )


def maximum_of(dosage: xr.DataArray) -> int:
    """Dosage of two counted alleles, 1 or 2, of genotypes that have it as an attribute."""
    found: Any = dosage.attrs.get("maximum")
    if not is_one_of(found, (1, 2)):
        raise InputError(
            f"call_dosage.attrs['maximum'] is {found!r}; set it to 1 (dosages 0..1) or 2 "
            "(dosages 0..2)"
        )
    return int(found)
