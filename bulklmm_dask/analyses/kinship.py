"""The front door of kinships: from a study to the relationship of its samples."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pandas as pd
import xarray as xr

from bulklmm_dask.engine.kinship import lazy_kinship
from bulklmm_dask.errors import InputError
from bulklmm_dask.lmm.kinship import METHODS
from bulklmm_dask.study.schema import validate

_OF_PROBABILITIES = ("bulklmm", "rqtl2")


def kinship(ds: xr.Dataset, *, method: str = "bulklmm", loco: bool = False) -> xr.DataArray:
    """Relationship of every pair of samples of a study, estimated from its markers.

    Parameters
    ----------
    ds : Dataset
        A study with ``call_dosage`` (variants, samples), or with ``call_genotype_probability``
        (variants, samples, genotypes). Its markers are read chunk by chunk and never all at once;
        missing genotypes take the mean of their marker.
    method : {"bulklmm", "rqtl2", "centered", "standardized"}
        With x the dosages scaled to 0..1 and d = 2x: ``"bulklmm"`` is the mean over markers of
        x_i x_j + (1-x_i)(1-x_j) with ones on the diagonal (and between samples of one strain,
        where the study has ``sample_strain``); ``"rqtl2"`` the same without touching the diagonal
        (R/qtl2 doubles it internally: scan with twice this kinship to get its h2);
        ``"centered"`` and ``"standardized"`` are GEMMA's ``-gk 1`` and ``-gk 2``. Of genotype
        probabilities the first two are the mean of the sum over alleles of the product of their
        shares; genotypes named by two letters each, homozygotes among them (SS, SB, BB), have two
        alleles, others are alleles themselves (founders).
    loco : bool
        One kinship a contig, from the markers of all others (leave one chromosome out).

    Returns
    -------
    DataArray, shape (samples_0, samples_1) or (contigs, samples_0, samples_1)
        Lazy, in float64. Put it into the study: ``ds["kinship"] = kinship(ds)``.

    Raises
    ------
    InputError
        If the method is unknown, the study has no genotypes, or with `loco` no contigs or only
        one.
    """
    if method not in METHODS:
        raise InputError(f"unknown kinship method {method!r}; choose one of {', '.join(METHODS)}")
    validate(ds)
    genotypes, alleles = _genotypes(ds, method)
    strains = None
    if "sample_strain" in ds:
        strains = pd.factorize(ds["sample_strain"].values)[0].astype(np.int64)
    names = ds["sample_id"].values
    maximum = float(genotypes.attrs.get("maximum", 1))
    variants = ds["variant_id"].values
    contigs = _contigs(ds) if loco else None
    matrix = lazy_kinship(
        genotypes.data,
        maximum,
        method,
        strains,
        variants,
        names,
        None if contigs is None else (contigs, ds.sizes["contigs"]),
        alleles,
    )
    coords = {"samples_0": names, "samples_1": names}
    dims: tuple[str, ...] = ("samples_0", "samples_1")
    if loco:
        coords["contigs"] = ds["contig_id"].values
        dims = ("contigs", *dims)
    attrs = {"method": method, "n_variants": ds.sizes["variants"]}
    return xr.DataArray(matrix, dims=dims, coords=coords, name="kinship", attrs=attrs)


def _genotypes(ds: xr.Dataset, method: str) -> tuple[xr.DataArray, npt.NDArray[np.float64] | None]:
    """The genotypes to use; of probabilities also the share of each allele in each genotype."""
    if "call_dosage" in ds:
        return ds["call_dosage"], None
    if "call_genotype_probability" not in ds:
        raise InputError("the study has no genotypes to compute a kinship from")
    if method not in _OF_PROBABILITIES:
        raise InputError(
            f"method {method!r} needs dosages, but the study has genotype probabilities only; use "
            f"{' or '.join(_OF_PROBABILITIES)}, or add call_dosage"
        )
    probability = ds["call_genotype_probability"]
    names = ds["genotype_id"].values if "genotype_id" in ds else None
    return probability, _allele_shares(names, probability.sizes["genotypes"])


def _allele_shares(names: npt.NDArray[np.object_] | None, count: int) -> npt.NDArray[np.float64]:
    """Share of each allele in each genotype, (genotypes, alleles)."""
    if names is None or any(len(name) != 2 or not name.isalpha() for name in names):
        return np.eye(count)
    alleles = sorted(set("".join(names)))
    if any(2 * allele not in names for allele in alleles):  # names of founders, such as AJ
        return np.eye(count)
    return np.array([[name.count(allele) / 2 for allele in alleles] for name in names])


def _contigs(ds: xr.Dataset) -> npt.NDArray[np.int64]:
    if "variant_contig" not in ds:
        raise InputError(
            "the study has no variant_contig, so no chromosome can be left out; give it a marker "
            "map, or use loco=False"
        )
    contigs = ds["variant_contig"].values.astype(np.int64)
    if len(np.unique(contigs)) < 2:
        raise InputError(
            f"all markers lie on contig {ds['contig_id'].values[contigs[0]]!r}: leaving it out "
            "leaves none; use loco=False"
        )
    return contigs
