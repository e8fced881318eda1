"""The form of results: dimensions and kinds of values that those who search them count on."""

from __future__ import annotations

import numpy as np
import xarray as xr

from bulklmm_dask.errors import InputError
from bulklmm_dask.lmm.statistics import row_of
from bulklmm_dask.storage.labels.coordinates import FREQUENCY, PAIR
from bulklmm_dask.storage.labels.restored import require_contigs
from bulklmm_dask.storage.labels.variables import TRAIT_PLACES, VARIABLES, Variable
from bulklmm_dask.study.checks import refuse_huge
from bulklmm_dask.study.schema import require_form

_TRAITS = ("traits",)
_OF_CONTIGS = ("contigs", "traits")
_DRAWS = ("permutations", "patterns", "nodes")
_MAP = {
    name: VARIABLES[name]
    for name in ("variant_contig", "variant_position", "contig_id", "variant_allele")
}
_PLACES = {name: TRAIT_PLACES[name] for name in ("trait_contig", "trait_position")}
_OF_TRAITS = {
    "h2": Variable(
        (_TRAITS, _OF_CONTIGS, ("components", *_TRAITS), ("contigs", "components", *_TRAITS)),
        "fiu",
        "the heritability of each trait, or the shares of its components",
    ),
    "n_samples": Variable((_TRAITS,), "fiu", "the number of samples of each trait"),
    "trait_status": Variable((_TRAITS,), "OUT", "the status of each trait"),
}
_SCAN = {
    **_MAP,
    **_OF_TRAITS,
    "lod": Variable((PAIR,), "fiu", "the LOD of each pair of a marker and a trait"),
    "neg_log10_p": Variable((PAIR,), "fiu", "-log10 p of each pair"),
    "df": Variable((PAIR,), "fiu", "the degrees of freedom of each pair"),
    FREQUENCY: Variable((("variants",), PAIR), "f", "the frequency of the effect allele"),
}
_PERMUTED = {
    **_OF_TRAITS,
    "contig_id": VARIABLES["contig_id"],
    "max_lod": Variable(
        (
            *(("permutations", "traits"), ("permutations", "traits", "contigs")),
            *(_DRAWS, (*_DRAWS, "contigs")),
        ),
        "f",
        "the highest LOD of each permutation",
    ),
    "null_h2": Variable(
        (("patterns", "nodes"), ("contigs", "patterns", "nodes")), "f", "heritabilities of draws"
    ),
    "trait_pattern": Variable((_TRAITS,), "iu", "an index into patterns"),
}


def require_scan_form(result: xr.Dataset) -> None:
    """Raise InputError unless the variables of a scan that are there have their form."""
    require_form(result, _SCAN, turned=True)
    require_contigs(result)
    for name, array in result.data_vars.items():
        others = [dim for dim in array.dims if dim not in PAIR]
        if not set(PAIR) <= set(array.dims) or name == FREQUENCY:
            continue
        if len(others) > 1:
            raise InputError(
                f"{name} has dimensions {array.dims}; a statistic has variants and traits, and at "
                "most one more; drop or reshape it"
            )
        if row_of(str(name)) is not None and array.dtype.kind not in "fiub":
            raise InputError(f"{name} has dtype {array.dtype}; it should hold numbers")


def require_places_form(ds: xr.Dataset) -> None:
    """Raise InputError unless the places of traits have their form, for those who use them."""
    require_form(ds, _PLACES)
    if "trait_position" in ds:
        positions = ds["trait_position"].values
        refuse_huge(positions, "the positions of traits (trait_position)", "correct them")
    require_contigs(ds, "trait_contig", least=-1)


def require_permuted_form(perm: xr.Dataset) -> None:
    """Raise InputError unless the variables of permutations that are there have their form."""
    require_form(perm, _PERMUTED, turned=True)
    for name, array in perm.variables.items():
        if not isinstance(array.dtype, np.dtype):  # xarray selects from few arrays of pandas
            raise InputError(f"{name} has dtype {array.dtype}; give it as an array of NumPy")
    if perm["max_lod"].sizes.get("contigs", 1) == 0:
        raise InputError("the maxima are of no contig; select at least one")
    if "nodes" not in perm["max_lod"].dims:
        return
    if absent := [name for name in ("null_h2", "h2", "trait_pattern") if name not in perm]:
        raise InputError(f"the maxima are shared by traits, which needs {', '.join(absent)}")
    if "components" in perm["h2"].dims:
        raise InputError(
            "the maxima are shared by traits, which needs one h2 of each trait, but h2 has "
            f"dimensions {perm['h2'].dims}; give what permute returned"
        )
    pattern, count = perm["trait_pattern"].values, perm.sizes["patterns"]
    if pattern.size and (pattern.min() < -1 or pattern.max() >= count):
        raise InputError(
            f"trait_pattern holds {pattern.min()}..{pattern.max()}, outside the {count} patterns"
        )
