"""Kinship as a dask array, summed over chunks of markers."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import reduce
from operator import add
from typing import Any

import dask.array as da
import numpy as np
from dask._task_spec import List, Task, TaskRef
from dask.base import tokenize
from dask.highlevelgraph import HighLevelGraph, MaterializedLayer

from bulklmm_dask.engine.arrays import as_dask, is_lazy
from bulklmm_dask.engine.held import held_object
from bulklmm_dask.engine.study import Genotypes
from bulklmm_dask.engine.tasks import MarkerChunk, Markers
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
    values = as_dask(genotypes.values, (size, *shape[1:]), "genotypes")
    markers = Markers.of(replace(genotypes, values=values), values.chunks[0])
    held = [held_object("sample-names", sample_names), held_object("strains", strains)]
    held += [held_object("marker-names", genotypes.names)] if tell_gaps else []
    inputs: list[Any] = [values, markers.chunks, *held]
    token = tokenize([each.name for each in inputs], method, alleles, relations)
    graph = _Graph(token)
    names, of_strains, *of_markers = (TaskRef((each.name,)) for each in held)

    def products(i: int, number: int) -> TaskRef:
        block = TaskRef((values.name, i, *(0 for _ in shape[1:])))
        chunk = TaskRef((markers.chunks.name, i))
        return graph.add("kinship-block", _products, block, chunk, names, number, method, alleles)

    parts_of: dict[int, list[TaskRef]] = {number: [] for number in range(relations or 1)}
    for i, numbers in enumerate(markers.relations):
        for number in numbers:
            parts_of[number].append(products(i, number))
    own = [graph.sum(parts, n) for parts in parts_of.values()]
    everything = graph.sum(own, n)
    if tell_gaps:
        missing = [
            graph.add(
                "missing-calls", missing_calls, TaskRef((values.name, i, *(0 for _ in shape[1:])))
            )
            for i in range(len(markers.relations))
        ]
        everything = graph.add("missing-calls", _told, everything, List(*missing), n, *of_markers)
    name = f"kinship-{token}"
    if relations is None:
        graph.put((name, 0, 0), _finish, everything, None, method, of_strains)
        sizes: tuple[tuple[int, ...], ...] = ((n,), (n,))
    else:
        for number, mine in enumerate(own):
            graph.put((name, number, 0, 0), _finish, everything, mine, method, of_strains)
        sizes = ((1,) * relations, (n,), (n,))
    whole = HighLevelGraph.from_collections(name, MaterializedLayer(graph.tasks), inputs)
    return da.Array(whole, name, sizes, meta=np.empty((0,) * len(sizes)))


class _Graph:
    """Tasks of a graph by their keys, which begin with what a task does."""

    def __init__(self, token: str) -> None:
        self.tasks: dict[Any, Task] = {}
        self._token = token

    def put(self, key: Any, function: Callable[..., Any], *inputs: Any) -> TaskRef:
        """Add a task of this key."""
        self.tasks[key] = Task(key, function, *inputs)
        return TaskRef(key)

    def add(self, what: str, function: Callable[..., Any], *inputs: Any) -> TaskRef:
        """Add a task, with a number of its own."""
        return self.put((f"{what}-{self._token}", len(self.tasks)), function, *inputs)

    def sum(self, parts: Sequence[TaskRef], n: int) -> TaskRef:
        """Add a tree of sums of `Products` of n samples."""
        if not parts:
            return self.add("kinship-sum", _none, n)
        while len(parts) > 1:
            groups = [parts[i : i + _FAN_IN] for i in range(0, len(parts), _FAN_IN)]
            parts = [self.add("kinship-sum", _summed, List(*group)) for group in groups]
        return parts[0]


def _none(n: int) -> Products:
    return Products(np.zeros((n, n)), 0)


def _summed(parts: list[Products]) -> Products:
    return reduce(add, parts)


def _products(
    genotypes: Real,
    chunk: MarkerChunk,
    names: Names,
    number: int,
    method: str,
    alleles: Array | None,
) -> Products:
    """Products of the markers of a chunk that belong to a contig, or to the only kinship."""
    if len(chunk.relations) > 1:
        rows = chunk.relation == number
        genotypes, chunk = genotypes[rows], chunk.take(rows)
    with chunk.guarded(genotypes, names):
        return cross_products(genotypes, method, chunk.maximum, alleles)


def _told(total: Products, missing: list[Index], n: int, names: Names) -> Products:
    """Return the total, having said how many genotypes were missing."""
    for message in gaps_in_words(np.concatenate(missing), n, names):
        tell(message)
    return total


def _finish(
    everything: Products, own: Products | None, method: str, strains: Index | None
) -> Array:
    """Kinship of all markers, or (1, samples, samples) of those outside a contig."""
    if own is None:
        return finish(everything, method, strains)
    return finish(everything - own, method, strains)[None]
