"""The schema of a study: dimensions, dtype kinds and meaning of every variable.

The names are those of sgkit and VCF Zarr where these have one.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import xarray as xr

from bulklmm_dask.errors import InputError
from bulklmm_dask.study.checks import is_one_of
from bulklmm_dask.surface import either
from bulklmm_dask.text import listing
from bulklmm_dask.typing import Index


@dataclass(frozen=True)
class Variable:
    """One declared variable: dimensions (one or several alternatives), dtype kinds, meaning."""

    dims: tuple[tuple[str, ...], ...]
    kinds: str
    meaning: str


_TEXT = "OUT"
_REAL = "fiu"

# The kinships of a scan that leaves one chromosome out (LOCO), one for each contig.
LOCO = "kinship_loco"

VARIABLES: dict[str, Variable] = {
    "call_dosage": Variable(
        (("variants", "samples"),),
        _REAL,
        "dosage of the counted allele, 0..1 or 0..2 (attrs['maximum']); NaN where no call",
    ),
    "call_genotype_probability": Variable(
        (("variants", "samples", "genotypes"),), "f", "probability of each genotype; NaN where none"
    ),
    "genotype_id": Variable(
        (("genotypes",),), _TEXT, "name of the genotype, unique, as in call_genotype_probability"
    ),
    "variant_id": Variable((("variants",),), _TEXT, "name of the marker, unique"),
    "variant_contig": Variable((("variants",),), "iu", "index into contig_id"),
    "variant_position": Variable(
        (("variants",),), _REAL, "position on the contig; unit in attrs['units']: bp, Mb or cM"
    ),
    "variant_genetic_position": Variable((("variants",),), "f", "genetic position in cM"),
    "variant_allele": Variable(
        (("variants", "alleles"),), _TEXT, "allele names; call_dosage counts the last one"
    ),
    "contig_id": Variable((("contigs",),), _TEXT, "name of the chromosome or contig"),
    "sample_id": Variable((("samples",),), _TEXT, "name of the sample, unique"),
    "sample_strain": Variable(
        (("samples",),), _TEXT, "inbred strain of the sample; samples of a strain share genotypes"
    ),
    "trait_id": Variable((("traits",),), _TEXT, "name of the trait, unique"),
    "sample_trait": Variable((("samples", "traits"),), "f", "trait values; NaN where missing"),
    "sample_covariate": Variable(
        (("samples", "covariates"),), "f", "covariates; an intercept is always added; NaN missing"
    ),
    "covariate_id": Variable((("covariates",),), _TEXT, "name of the covariate, unique"),
    "kinship": Variable(
        (("samples_0", "samples_1"), ("contigs", "samples_0", "samples_1")),
        "f",
        "relationship of every pair of samples (with contigs: leaving that contig out)",
    ),
    LOCO: Variable(
        (("contigs", "samples_0", "samples_1"),),
        "f",
        "relationship of every pair of samples by the markers of all contigs but one",
    ),
}

# Dimension -> the variable that names its entries; each is also the index coordinate of the dim.
NAMES = {"variants": "variant_id", "samples": "sample_id", "traits": "trait_id"}

IMPORT = "'bulklmm import'"  # the command that makes a study

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
        If any name is unknown.
    """
    names = list(map(str, known))
    asked = list(map(str, wanted))
    where = {name: position for position, name in enumerate(names)}
    if unknown := [name for name in asked if name not in where]:
        if remedy is None:
            remedy = f"the names are like {listing(names, 3)}" if names else "there is none"
        what = what.replace("{count}", str(len(unknown))).replace("{}", listing(unknown), 1)
        raise InputError(f"{what}; {remedy}")
    return np.array([where[name] for name in asked], dtype=np.int64)


def require_names(ds: xr.Dataset, dim: str, names: Iterable[object]) -> None:
    """Raise InputError unless a dimension such as traits has all these names."""
    locate(ds[dim].values, names, f"no {dim.removesuffix('s')} {{}} here")


def require_unique(names: Iterable[str], what: str, remedy: str) -> None:
    """Raise InputError quoting the first names that occur twice."""
    if twice := [name for name, times in Counter(names).items() if times > 1]:
        shown = ", ".join(repr(name) for name in twice[:5]) + (", ..." if len(twice) > 5 else "")
        raise InputError(f"{what} must be unique, but {len(twice)} occur twice: {shown}; {remedy}")


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
        The same dataset.

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
    for dim, name in NAMES.items():
        if not ds[name].ndim:
            raise InputError(
                f"the study has lost its dimension {dim!r}, for one name was selected; select with "
                f"a list instead: ds.sel({dim}=[{str(ds[name].values)!r}])"
            )
    require_form(ds, VARIABLES)
    for dim, name in NAMES.items():
        names = (str(value) for value in ds[name].values)
        require_unique(names, f"the names in {name}", f"rename the {dim}")
    require_contigs(ds)
    if "call_dosage" in ds:
        maximum_of(ds["call_dosage"])
    return ds


def require_form(ds: xr.Dataset, declared: Mapping[str, Variable], *, turned: bool = False) -> None:
    """Raise InputError if a variable has not the dimensions, or the kind of values, declared.

    Variables that are absent, or not declared, are left alone. With `turned` the order of the
    dimensions does not count.
    """
    for dim, index in ds.indexes.items():
        levels, kind = index.nlevels, ds.variables[dim].dtype
        if levels > 1 or not isinstance(kind, np.dtype):
            raise InputError(
                f"the index {dim!r} is of {f'{levels} levels' if levels > 1 else kind}; give plain "
                "names instead: ds.drop_vars(...).assign_coords(...)"
            )
    for dim in ds.dims:
        if dim in ds.variables and ds[dim].dims != (dim,):
            raise InputError(f"{dim} has dimensions {ds[dim].dims}, not {(dim,)}; rename it")
    for name, form in declared.items():
        if name not in ds.variables:
            continue
        found = ds[name]
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


def require_contigs(ds: xr.Dataset, name: str = "variant_contig", *, least: int = 0) -> None:
    """Raise InputError unless each marker, or trait, lies on a contig that has a name."""
    if name not in ds:
        return
    if "contig_id" not in ds:
        raise InputError(f"{name} is an index into contig_id, which the study lacks")
    index, count = ds[name].values, ds["contig_id"].size
    if index.size and (index.min() < least or index.max() >= count):
        raise InputError(
            f"{name} holds {index.min()}..{index.max()}, outside the {count} entries of contig_id"
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
