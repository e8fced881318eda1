"""All that a result has of every pair of a marker and a trait, as variables cut into blocks."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import xarray as xr

from bulklmm_dask.engine.blockwise import Block, in_chunks
from bulklmm_dask.lmm.statistics import OF_PAIRS
from bulklmm_dask.storage.labels.coordinates import FREQUENCY, PAIR
from bulklmm_dask.storage.labels.encoding import text
from bulklmm_dask.storage.labels.shares import of_kernels
from bulklmm_dask.study.alleles import effect_allele
from bulklmm_dask.study.tables.frame import TEXT
from bulklmm_dask.typing import Array, Columns, Index, Names

# Columns of alleles, text or NaN.
ALLELES = ("effect_allele", "other_allele")
# Size of the blocks that a result in memory is cut into.
_BLOCK = {"variants": 2048, "traits": 4096}


def blocks(result: xr.Dataset, wanted: list[str]) -> xr.Dataset:
    """Arrays of pairs, with the variables that name their variants and traits.

    Returns
    -------
    Dataset
        The wanted arrays (variants, traits, ...), chunked as in the result, and: ``trait`` and
        ``column`` (traits), name and index; ``variant``, ``row``, ``contig`` and ``position``
        (variants), name, index, index of the contig (-1 without a marker map) and position (NaN
        without one); ``h2`` (traits) or (contigs, traits), the shares of several kernels together;
        ``effect_allele`` and ``other_allele`` (variants), their names; ``frequency`` (variants) or
        (variants, traits); ``n`` (traits), number of samples. These are variables, not coordinates,
        so that every block carries its own part of them only.
    """
    size = result["lod"].sizes
    parts = {name: result[name].transpose(*PAIR, ...).variable for name in wanted}
    if "h2" in result:
        parts["h2"] = of_kernels(result["h2"]).transpose(..., "traits").variable
    for name, dim in (("variant", "variants"), ("trait", "traits")):
        parts[name] = xr.Variable(dim, text(result[dim].values), fastpath=True)
    parts["row"] = xr.Variable("variants", np.arange(size["variants"]))
    parts["column"] = xr.Variable("traits", np.arange(size["traits"]))
    contig, position = np.full(size["variants"], -1), np.full(size["variants"], np.nan)
    if "variant_contig" in result:
        contig = result["variant_contig"].values
    if "variant_position" in result:
        position = result["variant_position"].values
    for name, alleles in alleles_of(result).items():
        parts[name] = xr.Variable("variants", alleles, fastpath=True)
    parts["frequency"] = xr.Variable("variants", np.full(size["variants"], np.nan, np.float32))
    if FREQUENCY in result:
        parts["frequency"] = result[FREQUENCY].transpose("variants", ...).variable
    parts["n"] = xr.Variable("traits", np.full(size["traits"], np.nan))
    if "n_samples" in result:
        parts["n"] = result["n_samples"].variable.astype(np.int64)  # NetCDF has it in 32 bits
    parts["contig"] = xr.Variable("variants", contig)
    parts["position"] = xr.Variable("variants", position.astype(np.float64))
    whole = xr.Dataset(parts)
    chunked = {name for name in wanted if whole[name].chunks is not None}
    if not chunked:
        cut = {dim: min(size[dim], _BLOCK[dim]) for dim in PAIR}
        whole = whole.assign({name: in_chunks(whole[name].variable, cut) for name in wanted})
    return whole.unify_chunks()


def pair_arrays(result: xr.Dataset) -> list[str]:
    """Names of the statistics that have a value, or several, for every pair, in their order."""
    found = [
        str(name)
        for name, array in result.data_vars.items()
        if set(PAIR) <= set(array.dims) and name != FREQUENCY
    ]
    order = {row.name: at for at, row in enumerate(OF_PAIRS)}
    return sorted(found, key=lambda name: order.get(name, len(order)))


def alleles_of(result: xr.Dataset) -> dict[str, Names]:
    """Names of the effect allele and of the other one (variants,), as columns of a table.

    Both are NaN where the study does not name its alleles, and where genotypes are tested together.
    """
    unknown = np.full(result.sizes["variants"], np.nan, dtype=object)
    of_genotypes = result.attrs.get("genotypes") == "call_genotype_probability"
    if "variant_allele" not in result or of_genotypes:
        return {"effect_allele": unknown, "other_allele": unknown}
    alleles = result["variant_allele"].transpose("variants", ...).values.astype(object)
    if alleles.shape[1] < 2:  # one of the two was selected
        return {"effect_allele": unknown, "other_allele": unknown}
    effect = text(map(effect_allele, alleles))
    other = text(alleles[:, 0])
    return {
        "effect_allele": np.where(effect == "", unknown, effect),
        "other_allele": np.where(other == "", unknown, other),
    }


def described(
    block: xr.Dataset | Block, i: Index, j: Index, frequency: Array | None = None
) -> dict[str, Any]:
    """Columns that end every table of pairs (i, j): alleles, frequency, number of samples.

    Give the `frequency` of the pairs where the block does not have that of its variants.
    """
    if frequency is None:
        frequency = frequency_of(block, i, j)
    return {
        **{name: block[name].values[i] for name in ALLELES},
        "frequency": frequency,
        "n": block["n"].values[j],
    }


def frequency_of(block: xr.Dataset | Block, i: Index, j: Index) -> Any:
    """Frequency of the effect allele for the pairs (i, j) of a block."""
    values = block["frequency"].values
    return values[i] if values.ndim == 1 else values[i, j]


def column_names(result: xr.Dataset, name: str) -> list[str]:
    """Columns that a variable of pairs takes in a table: one, or one for each of its effects.

    ``beta`` (variants, traits, effects) takes ``beta_AA``, ``beta_AB`` and so on.
    """
    others = [dim for dim in result[name].dims if dim not in PAIR]
    if not others:
        return [name]
    (dim,) = others
    return [f"{name}_{label}" for label in result[dim].values]


def h2_of(block: xr.Dataset | Block, i: Index, j: Index) -> Any:
    """Heritability of the pairs (i, j) of a block: that of the trait, by contig where h2 is."""
    if "h2" not in block:
        return np.full(i.size, np.nan)
    h2: Array = block["h2"].values
    return h2[j] if h2.ndim == 1 else h2[block["contig"].values[i], j]


def as_table(columns: Columns) -> pd.DataFrame:
    """Columns as a table, those of alleles as text whatever is missing."""
    alleles = {name: pd.array(columns[name], dtype=TEXT) for name in ALLELES}
    return pd.DataFrame({**columns, **alleles})


def joined(parts: list[Columns]) -> Columns:
    """Columns of several blocks, one below the other."""
    return {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}
