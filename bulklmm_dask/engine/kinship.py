"""Kinship as a dask array, summed over chunks of markers."""

from __future__ import annotations

from collections.abc import Sequence
from functools import reduce
from operator import add, getitem, sub
from typing import Any

import dask.array as da
import numpy as np
from dask.delayed import delayed

from bulklmm_dask.engine.arrays import as_dask, is_lazy
from bulklmm_dask.engine.study import Genotypes
from bulklmm_dask.engine.tasks import MarkerChunk, marker_chunks
from bulklmm_dask.engine.telling import tell
from bulklmm_dask.lmm.kinship import Products, cross_products, finish
from bulklmm_dask.study.gaps import gaps_in_words, missing_calls
from bulklmm_dask.typing import Array, Index, Names, Real

# Partial kinships (n x n each) added per task, so that few of them are in memory at a time.
_FAN_IN = 8


def lazy_kinship(
    genotypes: Genotypes,
    sample_names: Names,
    method: str,
    *,
    strains: Index | None,
    alleles: Array | None = None,
    relations: int | None = None,
    tell_gaps: bool = False,
) -> da.Array:
    """Make the graph of a kinship, summed over chunks of markers.

    Parameters
    ----------
    genotypes : Genotypes
        Markers; with `relations`, their `relation` is the number of the contig.
    sample_names : array of str
        Names for error messages.
    method : str
        One of `lmm.kinship.METHODS`.
    strains : array (samples,) of int, optional
        Number of the inbred strain of every sample (`lmm.kinship.finish`).
    alleles : array (genotypes, alleles), optional
        Share of each allele in each genotype.
    relations : int, optional
        Number of contigs, for one kinship per contig from all markers outside it (LOCO).
    tell_gaps : bool
        Whether to count the missing genotypes on the way, and say how many there are.

    Returns
    -------
    dask array
        (samples, samples) in one chunk; with `relations` (contigs, samples, samples) in one chunk
        per contig. The products of every marker are computed once.
    """
    shape = genotypes.values.shape
    n = shape[1]
    lazy = is_lazy(genotypes.values)
    size = genotypes.values.chunks[0] if lazy else max(1, 2**22 // max(n, 1))
    array = as_dask(genotypes.values, (size, *shape[1:]))
    chunks = marker_chunks(genotypes, sample_names, array.chunks[0])
    blocks = list(zip(array.to_delayed().ravel(), chunks, strict=True))
    missing = [delayed(missing_calls)(block) for block, _ in blocks] if tell_gaps else None

    def told(total: Any) -> Any:
        return total if missing is None else delayed(_told)(total, missing, n, genotypes.names)

    if relations is None:
        parts = [delayed(_products)(block, chunk, method, alleles) for block, chunk in blocks]
        whole = delayed(finish)(told(_sum(parts, n)), method, strains)
        return da.from_delayed(whole, shape=(n, n), dtype=np.float64)
    parts_of: dict[int, list[Any]] = {number: [] for number in range(relations)}
    for block, chunk in blocks:
        for number in chunk.relations:
            some, mine = block, chunk
            if len(chunk.relations) > 1:
                rows = chunk.relation == number
                some, mine = delayed(getitem)(block, rows), chunk.take(rows)
            parts_of[number].append(delayed(_products)(some, mine, method, alleles))
    own = [_sum(parts, n) for parts in parts_of.values()]
    everything = told(_sum(own, n))
    matrices = [
        da.from_delayed(
            delayed(finish)(delayed(sub)(everything, mine), method, strains),
            shape=(n, n),
            dtype=np.float64,
        )
        for mine in own
    ]
    return da.stack(matrices)


def _products(genotypes: Real, chunk: MarkerChunk, method: str, alleles: Array | None) -> Products:
    with chunk.guarded(genotypes):
        return cross_products(genotypes, method, chunk.maximum, alleles)


def _told(total: Products, missing: list[Index], n: int, names: Names) -> Products:
    """Return the total, having said how many genotypes were missing."""
    for message in gaps_in_words(np.concatenate(missing), n, names):
        tell(message)
    return total


def _sum(parts: Sequence[Any], n: int) -> Any:
    """Delayed sum of `Products` of n samples, by a tree of sums."""
    while len(parts) > 1:
        groups = [parts[i : i + _FAN_IN] for i in range(0, len(parts), _FAN_IN)]
        parts = [delayed(reduce)(add, group) for group in groups]
    return parts[0] if parts else Products(np.zeros((n, n)), 0)
