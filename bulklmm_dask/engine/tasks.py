"""Chunks of markers and of traits in tasks: values are checked, and BLAS is held to one thread.

Values of a lazy array are checked in the task that uses them; errors name the marker or trait and
the sample.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any, Self

import dask.array as da
import numpy as np

from bulklmm_dask.engine.arrays import as_dask, is_lazy, per_block, split
from bulklmm_dask.engine.held import held_object, held_objects
from bulklmm_dask.engine.overlap import computing
from bulklmm_dask.engine.parts import parts_of
from bulklmm_dask.engine.rules import ruled
from bulklmm_dask.engine.study import Genotypes, Measurements
from bulklmm_dask.lmm.prior import Prior
from bulklmm_dask.study.checks import refuse_infinite, refuse_outside
from bulklmm_dask.typing import Array, Flags, Index, Names, Real


@dataclass(frozen=True)
class MarkerChunk:
    """Names, kinships and pools of a chunk of markers.

    Attributes
    ----------
    names : array (variants,) of str
        Names of the markers.
    relation : array (variants,) of int
        Number of the kinship that each marker is scanned with.
    maximum : float
        Largest possible genotype value, 1 or 2.
    pool : array (variants,) of int
        Number of the pool of markers with a common maximum under permutation: the contig, or 0
        for all markers.
    """

    names: Names
    relation: Index
    maximum: float
    pool: Index

    @cached_property
    def relations(self) -> list[int]:
        """Numbers of the kinships that the markers are scanned with, ascending."""
        return [int(number) for number in np.unique(self.relation)]

    @classmethod
    def joined(cls, chunks: Sequence[MarkerChunk]) -> MarkerChunk:
        """The markers of some chunks, one after the other."""
        if len(chunks) == 1:
            return chunks[0]
        names, relation, pool = (
            np.concatenate([getattr(chunk, name) for chunk in chunks])
            for name in ("names", "relation", "pool")
        )
        return cls(names, relation, chunks[0].maximum, pool)

    def take(self, rows: Flags) -> MarkerChunk:
        """Some of the markers."""
        return replace(
            self, names=self.names[rows], relation=self.relation[rows], pool=self.pool[rows]
        )

    @contextmanager
    def guarded(self, genotypes: Real, samples: Names) -> Iterator[None]:
        """Check genotypes (variants, samples, ...), and hold BLAS to one thread in the block."""
        refuse_outside(genotypes, self.maximum, list(self.names), list(samples))
        with computing():
            yield

    def by_relation(self, genotypes: Real) -> Iterator[tuple[int, Any, Real]]:
        """Split the genotypes by kinship.

        Yields
        ------
        relation : int
            Number of the kinship.
        rows : slice or array (variants,) of bool
            Markers of the chunk with this kinship.
        values : array (markers, samples, ...)
            Genotypes of these markers; not copied if all markers have the same kinship.
        """
        for relation in self.relations:
            rows = slice(None) if len(self.relations) == 1 else self.relation == relation
            yield relation, rows, genotypes[rows]


def marker_chunks(
    genotypes: Genotypes, sizes: tuple[int, ...], pool: Index | None = None
) -> list[MarkerChunk]:
    """Cut markers into chunks of these sizes; `pool` (variants,), None for one pool of all."""
    pool = np.zeros_like(genotypes.relation) if pool is None else pool
    parts = (split(each, sizes) for each in (genotypes.names, genotypes.relation, pool))
    return [
        MarkerChunk(names, relation, genotypes.maximum, own)
        for names, relation, own in zip(*parts, strict=True)
    ]


@dataclass(frozen=True)
class Markers:
    """The markers of a study in chunks, as dask arrays.

    Attributes
    ----------
    values : dask array (variants, samples, ...)
        Genotypes, or a `Part` in place of each chunk (`parts.taken`).
    chunks : dask array (variants,)
        A `MarkerChunk` in place of each chunk.
    relations : tuple of tuple of int
        Numbers of the kinships that the markers of each chunk are scanned with.
    """

    values: da.Array
    chunks: da.Array
    relations: tuple[tuple[int, ...], ...]

    @classmethod
    def of(
        cls,
        genotypes: Genotypes,
        sizes: tuple[int, ...],
        pool: Index | None = None,
        *,
        by_block: bool = False,
    ) -> Self:
        """Cut markers into chunks of these sizes, as `marker_chunks` does.

        Dask may hold a chunk until the last chunk of traits needs it, which takes the memory of all
        genotypes. `by_block`, each block reads its own, if they are read from a file, or are a
        selection of what is.
        """
        chunks = marker_chunks(genotypes, sizes, pool)
        token = (genotypes.names, genotypes.relation, genotypes.maximum, pool, sizes)
        return cls(
            _values(genotypes.values, sizes, by_block=by_block),
            held_objects("markers", chunks, (sizes,), token),
            tuple(tuple(chunk.relations) for chunk in chunks),
        )


def _values(values: Any, sizes: tuple[int, ...], *, by_block: bool) -> da.Array:
    """Genotypes in chunks of markers, or what reads each chunk."""
    chunks = (sizes, *((size,) for size in values.shape[1:]))
    parts = parts_of(values, chunks) if by_block and is_lazy(values) else None
    if parts is None:
        return as_dask(values, chunks, "genotypes")
    return held_objects("genotypes", parts, chunks, (values.name, sizes))


@dataclass(frozen=True)
class TraitChunk:
    """Names and priors of a chunk of traits, and their places among all traits."""

    names: Names
    prior: Prior | None
    places: slice

    @contextmanager
    def guarded(self, traits: Real, samples: Names) -> Iterator[Array]:
        """Check trait values (samples, traits), yield them as float64, hold BLAS to one thread."""
        refuse_infinite(traits, "sample_trait", list(samples), list(self.names))
        values = np.asarray(traits, dtype=np.float64)
        with computing():
            yield values


@dataclass(frozen=True)
class Traits:
    """The traits of a study in chunks, as dask arrays.

    Attributes
    ----------
    values : dask array (samples, traits)
        Trait values.
    chunks : dask array (traits,)
        A `TraitChunk` in place of each chunk.
    """

    values: da.Array
    chunks: da.Array

    @classmethod
    def of(cls, measured: Measurements, sizes: tuple[int, ...]) -> Self:
        """Cut traits into chunks of these sizes."""
        prior, ends = measured.prior, np.cumsum(sizes).tolist()
        places = [slice(end - size, end) for end, size in zip(ends, sizes, strict=True)]
        chunks = [
            TraitChunk(
                measured.trait_names[mine],
                None if prior is None else prior.take(np.arange(mine.start, mine.stop)),
                mine,
            )
            for mine in places
        ]
        return cls(
            as_dask(measured.traits, (len(measured.sample_names), sizes), "traits"),
            held_objects("trait-names", chunks, (sizes,), (measured.trait_names, prior, sizes)),
        )


def sample_names(measured: Measurements) -> da.Array:
    """Names of the samples, which error messages of tasks quote, as a single object."""
    return held_object("sample-names", measured.sample_names)


def per_marker_block(
    function: Callable[..., Any],
    index: str,
    markers: Markers,
    *inputs: Any,
    chosen: Sequence[tuple[Sequence[da.Array], str]],
    **how: Any,
) -> da.Array:
    """Call a function for every block of markers and something else, as `arrays.per_block` does.

    Parameters
    ----------
    function : callable
        Takes the genotypes and the `MarkerChunk` of a block, a chunk of each input, then those of
        `chosen` that belong to the kinships of its markers, and the options.
    index : str
        Dimensions of the output; the markers lie along "v".
    markers : Markers
        The markers.
    inputs : dask array, str, ...
        Further arrays and their dimensions in turn.
    chosen : sequence of (sequence of dask array, str)
        Arrays of which there is one for each kinship, and their dimensions.
    how
        Further arguments of `arrays.per_block`.
    """
    given = [markers.values, "vsg"[: markers.values.ndim], markers.chunks, "v", *inputs]
    if all(len(arrays) == 1 for arrays, _ in chosen):
        given += [part for (array,), along in chosen for part in (array, along)]
        return per_block(function, index, *given, **how)
    return ruled(
        function, index, *given, chosen=chosen, numbers=markers.relations, chosen_by="v", **how
    )
