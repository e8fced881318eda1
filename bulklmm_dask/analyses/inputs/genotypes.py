"""Genotypes of an analysis: the variable that is tested, names of markers, strains, alleles."""

from __future__ import annotations

import numpy as np
import pandas as pd
import xarray as xr

from bulklmm_dask.engine.check_inputs import say_absent
from bulklmm_dask.engine.study import Genotypes
from bulklmm_dask.errors import InputError
from bulklmm_dask.lmm.joint.absent import absent_genotypes
from bulklmm_dask.storage.labels.encoding import text
from bulklmm_dask.study.checks import refuse_outside
from bulklmm_dask.text import listing
from bulklmm_dask.typing import Array, Index, Names

_VARIABLES = ("call_dosage", "call_genotype_probability")


def genotype_variable(ds: xr.Dataset, name: str | None) -> xr.DataArray:
    """The genotypes to scan: by default probabilities of three genotypes or more, else dosages."""
    known = [each for each in _VARIABLES if each in ds]
    if name is None:
        several = len(known) > 1 and ds[known[-1]].sizes["genotypes"] > 2
        name = known[-1] if several else known[0]
    if name not in known:
        raise InputError(f"the study has no genotypes {name!r}; it has {listing(known)}")
    return ds[name]


def genotype_arrays(ds: xr.Dataset, calls: xr.DataArray, *, by_contig: bool) -> Genotypes:
    """Genotypes with the names of their variants, checked if they are in memory.

    With `by_contig`, a marker is tested in the model of its contig.
    """
    maximum = float(calls.attrs.get("maximum", 1))
    names = text(ds["variant_id"].values)
    if calls.chunks is None:
        refuse_outside(calls.values, maximum, list(names), ds["sample_id"].values.tolist())
        if calls.ndim == 3:
            say_absent(names[absent_genotypes(calls.values).any(axis=1)])
    relation = contigs_of(ds) if by_contig else np.zeros(len(names), dtype=np.int64)
    return Genotypes(calls.data, maximum, names, relation)


def contigs_of(ds: xr.Dataset) -> Index:
    """Index of the contig of every variant."""
    return np.asarray(ds["variant_contig"].values, dtype=np.int64)


def strains_of(ds: xr.Dataset) -> Index | None:
    """Index of the strain of every sample; None if the study has no strains."""
    if "sample_strain" not in ds:
        return None
    return pd.factorize(ds["sample_strain"].values)[0].astype(np.int64)


def allele_names(names: Names | None) -> list[str] | None:
    """Letters of the alleles in the names of genotypes; None for names of another form."""
    if names is None or any(len(name) != 2 or not name.isalpha() for name in names):
        return None
    alleles = sorted(set("".join(names)))
    # Otherwise they are names of founders, such as AJ.
    return alleles if all(2 * allele in names for allele in alleles) else None


def allele_shares(names: Names | None, count: int) -> Array:
    """Share of each allele in each genotype, (genotypes, alleles), by the names of genotypes."""
    alleles = allele_names(names)
    if names is None or alleles is None:
        return np.eye(count)
    return np.array([[name.count(allele) / 2 for allele in alleles] for name in names])
