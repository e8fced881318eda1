"""All that a result has of every pair of a marker and a trait, as variables cut into blocks."""

from __future__ import annotations

from typing import Any

import numpy as np
import xarray as xr

from bulklmm_dask.engine.blockwise import Block
from bulklmm_dask.results.checks import PAIR
from bulklmm_dask.storage.encoding import text
from bulklmm_dask.typing import Array, Columns, Index

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
        without one); ``h2`` (traits) or (contigs, traits). These are variables, not coordinates,
        so that every block carries its own part of them only.
    """
    size = result["lod"].sizes
    parts = {name: result[name].transpose(*PAIR, ...).variable for name in wanted}
    if "h2" in result:
        parts["h2"] = result["h2"].transpose(..., "traits").variable
    for name, dim in (("variant", "variants"), ("trait", "traits")):
        parts[name] = xr.Variable(dim, text(result[dim].values), fastpath=True)
    parts["row"] = xr.Variable("variants", np.arange(size["variants"]))
    parts["column"] = xr.Variable("traits", np.arange(size["traits"]))
    contig, position = np.full(size["variants"], -1), np.full(size["variants"], np.nan)
    if "variant_contig" in result:
        contig = result["variant_contig"].values
    if "variant_position" in result:
        position = result["variant_position"].values
    parts["contig"] = xr.Variable("variants", contig)
    parts["position"] = xr.Variable("variants", position.astype(np.float64))
    whole = xr.Dataset(parts)
    chunked = {name for name in wanted if whole[name].chunks is not None}
    if not chunked:
        cut = {dim: min(size[dim], _BLOCK[dim]) for dim in PAIR}
        whole = whole.assign({name: whole[name].chunk(cut) for name in wanted})
    return whole.unify_chunks()


def pair_arrays(result: xr.Dataset) -> list[str]:
    """Names of all variables that have a value, or several, for every pair."""
    return [str(name) for name, array in result.data_vars.items() if set(PAIR) <= set(array.dims)]


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


def joined(parts: list[Columns]) -> Columns:
    """Columns of several blocks, one below the other."""
    return {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}
