"""Chunks of markers and of traits as tasks take them: checked, and on one BLAS thread.

Values of a lazy array are checked in the task that computes them; errors name marker or trait, and
sample.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np

from bulklmm_dask.engine.arrays import as_dask, split
from bulklmm_dask.engine.blas import one_blas_thread
from bulklmm_dask.engine.study import Genotypes, Measurements
from bulklmm_dask.study.checks import refuse_infinite, refuse_outside
from bulklmm_dask.typing import Array, Flags, Index, Names, Real


@dataclass(frozen=True)
class MarkerChunk:
    """Names, kinships and pools of the markers of a chunk.

    Attributes
    ----------
    names : array (variants,) of str
    relation : array (variants,) of int
        Which kinship each is scanned with.
    sample_names : array (samples,) of str
    maximum : float
        Largest possible genotype.
    pool : array (variants,) of int
        Which maximum of permutations each counts for: its contig, or 0 for all.
    """

    names: Names
    relation: Index
    sample_names: Names
    maximum: float
    pool: Index

    @cached_property
    def relations(self) -> list[int]:
        """Numbers of the kinships that they are scanned with."""
        return [int(number) for number in np.unique(self.relation)]

    def take(self, rows: Flags) -> MarkerChunk:
        """Some of the markers."""
        return replace(
            self, names=self.names[rows], relation=self.relation[rows], pool=self.pool[rows]
        )

    @contextmanager
    def guarded(self, genotypes: Real) -> Iterator[None]:
        """Check genotypes (variants, samples, ...), and hold BLAS to one thread in the block."""
        refuse_outside(genotypes, self.maximum, list(self.names), list(self.sample_names))
        with one_blas_thread():
            yield

    def by_relation(self, genotypes: Real) -> Iterator[tuple[int, Any, Real]]:
        """Split the genotypes by kinship.

        Yields
        ------
        relation : int
        rows : slice or array (variants,) of bool
            Which markers of the chunk have this kinship.
        values : array (rows, samples, ...)
            Their genotypes; not copied where one kinship serves the chunk.
        """
        for relation in self.relations:
            rows = slice(None) if len(self.relations) == 1 else self.relation == relation
            yield relation, rows, genotypes[rows]


def marker_chunks(
    genotypes: Genotypes,
    sample_names: Names,
    sizes: tuple[int, ...],
    pool: Index | None = None,
) -> list[MarkerChunk]:
    """Chunks of these sizes; `pool` is that of every marker, None for one pool of all."""
    pool = np.zeros_like(genotypes.relation) if pool is None else pool
    parts = (split(each, sizes) for each in (genotypes.names, genotypes.relation, pool))
    return [
        MarkerChunk(names, relation, sample_names, genotypes.maximum, own)
        for names, relation, own in zip(*parts, strict=True)
    ]


@dataclass(frozen=True)
class TraitChunk:
    """Names of the traits of a chunk and of the samples."""

    names: Names
    sample_names: Names

    @contextmanager
    def guarded(self, traits: Real) -> Iterator[Array]:
        """Check trait values (samples, traits), give them as float64, hold BLAS to one thread."""
        refuse_infinite(traits, "sample_trait", list(self.sample_names), list(self.names))
        values = np.asarray(traits, dtype=np.float64)
        with one_blas_thread():
            yield values


def trait_chunks(measured: Measurements, sizes: tuple[int, ...]) -> list[tuple[Any, TraitChunk]]:
    """Delayed values (samples, traits in the chunk) of every chunk of traits, and their names."""
    blocks = as_dask(measured.traits, (len(measured.sample_names), sizes)).to_delayed().ravel()
    return [
        (block, TraitChunk(names, measured.sample_names))
        for block, names in zip(blocks, split(measured.trait_names, sizes), strict=True)
    ]
