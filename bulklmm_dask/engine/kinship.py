"""Kinship as a dask array, summed over chunks of markers."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any

import dask.array as da
import numpy as np
from dask._task_spec import List, Task, TaskRef
from dask.base import tokenize
from dask.highlevelgraph import HighLevelGraph, MaterializedLayer

from bulklmm_dask.engine.arrays import as_dask, is_lazy, per_block
from bulklmm_dask.engine.held import held_object
from bulklmm_dask.engine.overlap import computing
from bulklmm_dask.engine.parts import taken
from bulklmm_dask.engine.study import Genotypes
from bulklmm_dask.engine.tasks import MarkerChunk, Markers
from bulklmm_dask.engine.telling import tell
from bulklmm_dask.lmm.derived import GAUSSIAN, gaussian, hadamard
from bulklmm_dask.lmm.kinship import Products, added, cross_products, finish
from bulklmm_dask.study.checks import refuse_infinite
from bulklmm_dask.study.gaps import gaps_in_words, missing_calls
from bulklmm_dask.typing import Array, Index, Names, Real

# Partial kinships (n x n each) added per task: few, so that workers add beside each other.
_FAN_IN = 4
# A partial kinship is of as many markers as samples times the first, for it takes as long to add or
# to send to another worker as some n/20 markers; of fewer where that gave few tasks.
_MARKERS, _TASKS = 4, 8
# Genotypes that are put together for one product.
_CELLS = 2**21


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
        Markers; with `relations`, their `relation` is the number of the contig. For the method
        ``"linear"`` the columns of its kernel in their place.
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
    sizes = as_dask(genotypes.values, (size, *shape[1:]), "genotypes").chunks[0]
    # Missing calls are counted in the chunks that are read.
    markers = Markers.of(genotypes, sizes, by_block=not tell_gaps)
    values = markers.values
    held = [held_object("sample-names", sample_names), held_object("strains", strains)]
    held += [held_object("marker-names", genotypes.names)] if tell_gaps else []
    inputs: list[Any] = [values, markers.chunks, *held]
    token = tokenize([each.name for each in inputs], method, alleles, relations)
    graph = _Graph(token)
    names, of_strains, *of_markers = (TaskRef((each.name,)) for each in held)

    def products(some: list[int], number: int) -> TaskRef:
        blocks = List(*(TaskRef((values.name, i, *(0 for _ in shape[1:]))) for i in some))
        chunks = List(*(TaskRef((markers.chunks.name, i)) for i in some))
        return graph.add("kinship-block", _products, blocks, chunks, names, number, method, alleles)

    chunks_of: dict[int, list[int]] = {number: [] for number in range(relations or 1)}
    for i, numbers in enumerate(markers.relations):
        for number in numbers:
            chunks_of[number].append(i)
    most = min(_MARKERS * n, shape[0] // _TASKS)
    parts_of = {
        number: [products(some, number) for some in _together(mine, sizes, most)]
        for number, mine in chunks_of.items()
    }
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
        cut: tuple[tuple[int, ...], ...] = ((n,), (n,))
    else:
        for number, mine in enumerate(own):
            graph.put((name, number, 0, 0), _finish, everything, mine, method, of_strains)
        cut = ((1,) * relations, (n,), (n,))
    whole = HighLevelGraph.from_collections(name, MaterializedLayer(graph.tasks), inputs)
    return da.Array(whole, name, cut, meta=np.empty((0,) * len(cut)))


def lazy_product(one: da.Array, other: da.Array, method: str) -> da.Array:
    """Product of two kernels of `lazy_kinship` entry by entry (`lmm.derived.hadamard`)."""
    index = "cij"[-one.ndim :]
    name = f"{method}-{tokenize(one.name, other.name)}"
    return per_block(hadamard, index, one, index, other, index, name=name, dtype=np.float64)


def lazy_gaussian(kernel: da.Array, bandwidth: float | None) -> da.Array:
    """Gaussian kernel of the distances of a kernel of `lazy_kinship` (`lmm.derived.gaussian`)."""
    index = "cij"[-kernel.ndim :]
    name = f"{GAUSSIAN}-{tokenize(kernel.name, bandwidth)}"
    return per_block(
        gaussian, index, kernel, index, name=name, dtype=np.float64, bandwidth=bandwidth
    )


def _together(chunks: Sequence[int], sizes: Sequence[int], most: int) -> list[list[int]]:
    """Cut numbers of chunks into runs of about equal length, of about so many markers each.

    The last quarter of the runs is cut in halves, so that workers end at about the same time.
    """
    markers = sum(sizes[i] for i in chunks)
    count = min(len(chunks), -(-markers // max(most, 1)))
    if not count:
        return []
    halves = 2 * (count // 4)
    ends = np.cumsum([2] * (count - halves // 2) + [1] * halves)
    cuts = np.rint(len(chunks) * ends[:-1] / ends[-1]).astype(int)
    return [some.tolist() for some in np.split(np.array(chunks), cuts) if len(some)]


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
            return self.add("kinship-sum", Products.none, n)
        while len(parts) > 1:
            groups = [parts[i : i + _FAN_IN] for i in range(0, len(parts), _FAN_IN)]
            parts = [self.add("kinship-sum", added, List(*group)) for group in groups]
        return parts[0]


def _products(
    parts: list[Any],
    chunks: list[MarkerChunk],
    names: Names,
    number: int,
    method: str,
    alleles: Array | None,
) -> Products:
    """Products of the markers of some chunks that belong to a contig, or to the only kinship."""
    return added(
        _of_markers(genotypes, MarkerChunk.joined(some), names, method, alleles)
        for genotypes, some in _batches(parts, chunks, number)
    )


def _batches(
    parts: list[Any], chunks: list[MarkerChunk], number: int
) -> Iterator[tuple[Real, list[MarkerChunk]]]:
    """Put the genotypes of a contig together, as many as are multiplied at a time."""
    held, some = list[Real](), list[MarkerChunk]()
    for part, chunk in zip(parts, chunks, strict=True):
        genotypes = taken(part)
        if len(chunk.relations) > 1:
            rows = chunk.relation == number
            genotypes, chunk = genotypes[rows], chunk.take(rows)
        if some and sum(each.size for each in held) + genotypes.size > _CELLS:
            yield np.concatenate(held), some
            held, some = [], []
        held.append(genotypes)
        some.append(chunk)
    yield held[0] if len(held) == 1 else np.concatenate(held), some


def _of_markers(
    genotypes: Real, chunk: MarkerChunk, names: Names, method: str, alleles: Array | None
) -> Products:
    if method == "linear":  # of any numbers
        refuse_infinite(genotypes.T, "the columns of the kernel", list(names), list(chunk.names))
        with computing():
            return cross_products(genotypes, method, 1.0)
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
