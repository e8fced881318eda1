"""Kinship as a dask array, accumulated over chunks of markers."""

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
from bulklmm_dask.lmm.kinship import Products, cross_products, finish
from bulklmm_dask.typing import Array, Index, Names, Real

# Partial kinships are n x n each and are added in groups of so many: few are in memory at a time.
_FAN_IN = 8


def lazy_kinship(
    genotypes: Genotypes,
    sample_names: Names,
    method: str,
    *,
    strains: Index | None,
    alleles: Array | None = None,
    relations: int | None = None,
) -> da.Array:
    """Kinship as a dask array, accumulated over marker chunks.

    Parameters
    ----------
    genotypes : Genotypes
        Their `relation` is the contig of every marker, where there is a kinship for each.
    sample_names : array of str
    method : str
        One of `lmm.kinship.METHODS`.
    strains : array (samples,) of int, optional
        Number of the strain of every sample.
    alleles : array (genotypes, alleles), optional
        Share of each allele in each genotype.
    relations : int, optional
        Number of contigs, for a kinship of all markers but those of each.

    Returns
    -------
    dask array
        (samples, samples), in one chunk; or (contigs, samples, samples): one chunk a contig, from
        products that are each computed once.
    """
    shape = genotypes.values.shape
    n = shape[1]
    lazy = is_lazy(genotypes.values)
    size = genotypes.values.chunks[0] if lazy else max(1, 2**22 // max(n, 1))
    array = as_dask(genotypes.values, (size, *shape[1:]))
    chunks = marker_chunks(genotypes, sample_names, array.chunks[0])
    blocks = list(zip(array.to_delayed().ravel(), chunks, strict=True))
    if relations is None:
        parts = [delayed(_products)(block, chunk, method, alleles) for block, chunk in blocks]
        whole = delayed(finish)(_sum(parts, n), method, strains)
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
    everything = _sum(own, n)
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


def _sum(parts: Sequence[Any], n: int) -> Any:
    """Delayed sum of products; few of them are in memory at a time."""
    while len(parts) > 1:
        groups = [parts[i : i + _FAN_IN] for i in range(0, len(parts), _FAN_IN)]
        parts = [delayed(reduce)(add, group) for group in groups]
    return parts[0] if parts else Products(np.zeros((n, n)), 0)
