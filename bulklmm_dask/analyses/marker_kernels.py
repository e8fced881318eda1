"""Kernels of samples that are sums over the markers of a study, or are made of such sums."""

from __future__ import annotations

from typing import Any

import numpy as np
import xarray as xr

from bulklmm_dask.analyses.inputs.cross import founder_shares, is_raw_cross
from bulklmm_dask.analyses.inputs.genotypes import allele_shares, genotype_arrays, strains_of
from bulklmm_dask.analyses.probabilities import genotype_probabilities
from bulklmm_dask.engine.kinship import lazy_gaussian, lazy_kinship, lazy_product
from bulklmm_dask.errors import InputError
from bulklmm_dask.lmm.derived import GAUSSIAN, PRODUCTS
from bulklmm_dask.storage.labels.encoding import text
from bulklmm_dask.study.gaps import is_uncounted
from bulklmm_dask.study.warn import say
from bulklmm_dask.surface import either, function, option
from bulklmm_dask.typing import Array

# Methods that take genotype probabilities of any alleles; of two alleles also dominance.
_OF_PROBABILITIES = ("bulklmm", "rqtl2")


def kernel_of_markers(ds: xr.Dataset, method: str, *, loco: bool, bandwidth: float | None) -> Any:
    """Kernel of the markers of a checked study, by any method of theirs; a dask array.

    Raises
    ------
    InputError
        If the study has no markers or genotypes that the method is made of, or with `loco` no
        contigs or only one.
    """
    if not ds.sizes["variants"]:
        raise InputError("the study has no markers, from which a kinship is computed; select some")
    if method == GAUSSIAN:
        return lazy_gaussian(_summed(ds, "rqtl2", method, loco=loco), bandwidth)
    if method not in PRODUCTS:
        if method == "rqtl2":
            ds = _as_in_rqtl2(ds)
        return _summed(ds, method, method, loco=loco)
    first, second = PRODUCTS[method]
    one = _summed(ds, first, method, loco=loco)
    other = one if first == second else _summed(ds, second, method, loco=loco, tell_gaps=False)
    return lazy_product(one, other, method)


def _summed(ds: xr.Dataset, method: str, asked: str, *, loco: bool, tell_gaps: bool = True) -> Any:
    """Kernel that is a sum over markers, for the method that was asked for."""
    calls, alleles = _calls(ds, method, asked)
    if loco:
        _require_contigs(ds)
    return lazy_kinship(
        genotype_arrays(ds, calls, by_contig=loco),
        text(ds["sample_id"].values),
        method,
        strains=strains_of(ds),
        alleles=alleles,
        relations=ds.sizes["contigs"] if loco else None,
        tell_gaps=tell_gaps and is_uncounted(calls),
    )


def _as_in_rqtl2(ds: xr.Dataset) -> xr.Dataset:
    """The study; a raw cross with its genotype probabilities, as R/qtl2's calc_kinship takes."""
    if not is_raw_cross(ds) or "call_genotype_probability" in ds:
        return ds
    name = ds.attrs["crosstype"]
    try:
        found = genotype_probabilities(ds)
    except InputError as error:
        say(
            f"the kinship is that of the calls of this {name}, because its genotype probabilities "
            f"cannot be computed: {error}"
        )
        return ds
    say(
        f"the kinship is that of the genotype probabilities of this {name} at its markers, by the "
        f"defaults of {function('genotype_probabilities')}; compute them beforehand for other "
        "options"
    )
    return found


def _calls(ds: xr.Dataset, method: str, asked: str) -> tuple[xr.DataArray, Array | None]:
    """The genotypes to use, and for probabilities the shares of alleles (genotypes, alleles)."""
    if "call_dosage" in ds:
        return ds["call_dosage"], None
    if "call_genotype_probability" not in ds:
        raise InputError("the study has no genotypes to compute a kinship from")
    if method not in (*_OF_PROBABILITIES, "dominance"):
        raise InputError(
            f"method {asked!r} needs dosages, but the study has genotype probabilities only; use "
            f"{' or '.join(_OF_PROBABILITIES)}{either(', or add call_dosage', '')}"
        )
    probability = ds["call_genotype_probability"]
    names = ds["genotype_id"].values if "genotype_id" in ds else None
    shares = founder_shares(ds)
    if shares is None:
        shares = allele_shares(names, probability.sizes["genotypes"])
    if method == "dominance" and shares.shape[1] != 2:
        raise InputError(
            f"method {asked!r} is that of two alleles, but the genotypes of the study are of "
            f"{shares.shape[1]}; leave it out, or give genotypes of two alleles"
        )
    return probability, shares


def _require_contigs(ds: xr.Dataset) -> None:
    if "variant_contig" not in ds:
        raise InputError(
            "the study has no variant_contig, so no chromosome can be left out; give it a marker "
            f"map, or leave out {option('loco')}"
        )
    contigs = np.unique(ds["variant_contig"].values)
    if len(contigs) < 2:
        only = str(ds["contig_id"].values[contigs[0]])
        raise InputError(
            f"all markers lie on contig {only!r}: leaving it out "
            f"leaves none; leave out {option('loco')}"
        )
