"""The study whose genotypes are tested: probabilities of a raw cross, or shares of alleles."""

from __future__ import annotations

import xarray as xr

from bulklmm_dask.analyses.inputs.cross import founder_shares, is_raw_cross
from bulklmm_dask.analyses.inputs.genotypes import allele_names, allele_shares
from bulklmm_dask.analyses.inputs.markers import ConditionLike, is_per_trait
from bulklmm_dask.analyses.options import MODELS, Model
from bulklmm_dask.analyses.probabilities import (
    allele_probabilities,
    genotype_probabilities,
    with_genotypes,
)
from bulklmm_dask.errors import InputError
from bulklmm_dask.study.checks import require_choice
from bulklmm_dask.study.schema import validate
from bulklmm_dask.study.warn import say
from bulklmm_dask.surface import function, option

_PROBABILITY, _DOSAGE = "call_genotype_probability", "call_dosage"


def study_to_test(
    ds: xr.Dataset,
    genotypes: str | None,
    model: Model,
    *,
    method: str = "",
    condition: ConditionLike = None,
) -> xr.Dataset:
    """A study, checked, with the genotypes that an analysis tests.

    The calls of a raw cross become genotype probabilities at its markers, which is said, unless
    `genotypes` asks for the calls. Methods that test one column a marker, and conditions that
    differ between traits, take the share of the second allele of a cross of two founders.

    Parameters
    ----------
    ds : Dataset
    genotypes, model, method, condition
        As in `scan`.
    """
    require_choice(model, "model", MODELS)
    ds = validate(ds)
    one_column = method.startswith("alt-") or is_per_trait(condition)
    if is_raw_cross(ds) and _PROBABILITY not in ds and genotypes != _DOSAGE:
        ds = _of_calls(ds, one_column=one_column, asked=genotypes is not None)
    return additive(ds) if model == "additive" and genotypes != _DOSAGE else ds


def _of_calls(ds: xr.Dataset, *, one_column: bool, asked: bool) -> xr.Dataset:
    """A raw cross with probabilities; as it is, said, where they cannot be had or tested."""
    name, calls = ds.attrs["crosstype"], option("genotypes", _DOSAGE)
    try:
        found = genotype_probabilities(ds)
    except InputError as error:
        if asked:
            raise
        say(
            f"the calls of this {name} are scanned as dosages, because its genotype probabilities "
            f"cannot be computed: {error}. {calls} scans the calls without this warning"
        )
        return ds
    if one_column and found.sizes["genotypes"] > 2:
        shares = allele_probabilities(found)
        if _DOSAGE not in shares:
            say(
                f"the calls of this {name} are scanned as dosages of the markers' second allele, "
                f"because one column a marker is tested; {calls} scans them without this warning"
            )
            return ds
        found = shares
    if not asked:
        say(
            f"the calls of this {name} are scanned as genotype probabilities at its markers, "
            f"computed with the defaults of {function('genotype_probabilities')}; compute them "
            f"beforehand for other options, or give {calls} to scan the calls"
        )
    return found


def additive(ds: xr.Dataset) -> xr.Dataset:
    """A study whose genotype probabilities are summed to shares of alleles.

    Raises
    ------
    InputError
        If names of genotypes do not tell their alleles.
    """
    if _PROBABILITY not in ds or ds.sizes["genotypes"] < 3:
        return ds
    if founder_shares(ds) is not None:
        return allele_probabilities(ds)
    count = ds.sizes["genotypes"]
    names = ds["genotype_id"].values if "genotype_id" in ds else None
    alleles = allele_names(names)
    if names is None:
        raise InputError(
            f"{option('model', 'additive')} needs the alleles of the {count} genotypes, which have "
            "no names (genotype_id); name them by two letters each, as AA, AB, BB"
        )
    if alleles is None:  # shares of founders already
        return ds
    shares = ds[_PROBABILITY].data @ allele_shares(names, count).astype(ds[_PROBABILITY].dtype)
    return with_genotypes(ds.drop_dims("genotypes"), shares, alleles)
