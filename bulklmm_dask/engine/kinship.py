"""Kinship as a dask array, accumulated over chunks of markers."""

from __future__ import annotations

from collections.abc import Sequence
from functools import reduce
from operator import add, getitem, sub
from typing import Any

import dask.array as da
import numpy as np
import numpy.typing as npt
from dask.delayed import delayed

from bulklmm_dask.engine.blas import one_blas_thread
from bulklmm_dask.engine.scan import as_dask, is_lazy
from bulklmm_dask.lmm.kinship import Products, cross_products, finish
from bulklmm_dask.study.checks import refuse_outside
from bulklmm_dask.typing import Array, Index, Names

# Partial kinships are n x n each: added up in groups, so that only few are alive at a time.
_FAN_IN = 8


def lazy_kinship(
    genotypes: Any,
    maximum: float,
    method: str,
    strains: npt.NDArray[np.int64] | None,
    variant_names: Names,
    sample_names: Names,
    contigs: tuple[Index, int] | None = None,
    alleles: Array | None = None,
) -> da.Array:
    """Kinship as a dask array, accumulated over marker chunks.

    (samples, samples), in one chunk; or, with the contig of every variant and the number of
    contigs, (contigs, samples, samples): one chunk a contig, of all markers but its own, each
    product computed once.
    """
    n = genotypes.shape[1]
    rest = genotypes.shape[2:]
    size = genotypes.chunks[0] if is_lazy(genotypes) else max(1, 2**22 // max(n, 1))
    array = as_dask(genotypes, (size, n, *rest))
    cuts = np.cumsum(array.chunks[0])[:-1]
    blocks = array.to_delayed().ravel()
    names = np.split(variant_names, cuts)
    if contigs is None:
        parts = [
            delayed(_products)(block, method, maximum, variants, sample_names, alleles)
            for block, variants in zip(blocks, names, strict=True)
        ]
        whole = delayed(finish)(_sum(parts, n), method, strains)
        return da.from_delayed(whole, shape=(n, n), dtype=np.float64)
    contig, count = contigs
    parts_of: dict[int, list[Any]] = {number: [] for number in range(count)}
    for block, variants, where in zip(blocks, names, np.split(contig, cuts), strict=True):
        for number in np.unique(where):
            mine = where == number
            part = block if mine.all() else delayed(getitem)(block, mine)
            parts_of[int(number)].append(
                delayed(_products)(part, method, maximum, variants[mine], sample_names, alleles)
            )
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


def _products(
    genotypes: Array,
    method: str,
    maximum: float,
    variants: Names,
    samples: Names,
    alleles: Array | None,
) -> Products:
    refuse_outside(genotypes, maximum, list(variants), list(samples))
    with one_blas_thread():
        return cross_products(genotypes, method, maximum, alleles)


def _sum(parts: Sequence[Any], n: int) -> Any:
    """Delayed sum of products, few of them alive at a time."""
    while len(parts) > 1:
        groups = [parts[i : i + _FAN_IN] for i in range(0, len(parts), _FAN_IN)]
        parts = [delayed(reduce)(add, group) for group in groups]
    return parts[0] if parts else Products(np.zeros((n, n)), 0)
