"""Chunks of markers and of traits in tasks: values are checked, and BLAS is held to one thread.

Values of a lazy array are checked in the task that uses them; errors name the marker or trait and
the sample.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np

from bulklmm_dask.engine.arrays import as_dask, split
from bulklmm_dask.engine.overlap import computing
from bulklmm_dask.engine.study import Genotypes, Measurements
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
    sample_names : array (samples,) of str
        Names of the samples.
    maximum : float
        Largest possible genotype value, 1 or 2.
    pool : array (variants,) of int
        Number of the pool of markers with a common maximum under permutation: the contig, or 0
        for all markers.
    """

    names: Names
    relation: Index
    sample_names: Names
    maximum: float
    pool: Index

    @cached_property
    def relations(self) -> list[int]:
        """Numbers of the kinships that the markers are scanned with, ascending."""
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
    genotypes: Genotypes,
    sample_names: Names,
    sizes: tuple[int, ...],
    pool: Index | None = None,
) -> list[MarkerChunk]:
    """Cut markers into chunks of these sizes; `pool` (variants,), None for one pool of all."""
    pool = np.zeros_like(genotypes.relation) if pool is None else pool
    parts = (split(each, sizes) for each in (genotypes.names, genotypes.relation, pool))
    return [
        MarkerChunk(names, relation, sample_names, genotypes.maximum, own)
        for names, relation, own in zip(*parts, strict=True)
    ]


@dataclass(frozen=True)
class TraitChunk:
    """Names of the traits of a chunk, and of the samples."""

    names: Names
    sample_names: Names

    @contextmanager
    def guarded(self, traits: Real) -> Iterator[Array]:
        """Check trait values (samples, traits), yield them as float64, hold BLAS to one thread."""
        refuse_infinite(traits, "sample_trait", list(self.sample_names), list(self.names))
        values = np.asarray(traits, dtype=np.float64)
        with computing():
            yield values


def trait_chunks(measured: Measurements, sizes: tuple[int, ...]) -> list[tuple[Any, TraitChunk]]:
    """Cut traits into chunks of these sizes: delayed values (samples, traits), and names."""
    blocks = as_dask(measured.traits, (len(measured.sample_names), sizes)).to_delayed().ravel()
    return [
        (block, TraitChunk(names, measured.sample_names))
        for block, names in zip(blocks, split(measured.trait_names, sizes), strict=True)
    ]
