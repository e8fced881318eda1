"""Shared null distribution on Dask: one task per pattern of missing values and marker chunk."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from dask.base import compute
from dask.delayed import delayed

from bulklmm_dask.engine.bases import samples_nodes
from bulklmm_dask.engine.overlap import computing
from bulklmm_dask.engine.permute import Pools, by_relation_and_pool, highest, pooled_chunks
from bulklmm_dask.engine.scan import LazyScan, trait_columns
from bulklmm_dask.engine.tasks import MarkerChunk
from bulklmm_dask.lmm.basis import Basis
from bulklmm_dask.lmm.chunk import FittedTraits
from bulklmm_dask.lmm.options import ModelOptions
from bulklmm_dask.lmm.permute.normal import N_NODES, nodes, noise, shared_maxima
from bulklmm_dask.lmm.samples import Samples
from bulklmm_dask.typing import Array, Columns, Index, Real, Single


@dataclass(frozen=True)
class SharedNull:
    """Highest LOD scores of simulated noise for every pattern of missing values.

    Attributes
    ----------
    max_lod : array (permutations, patterns, nodes[, pools])
        Highest LOD of each draw of noise.
    h2 : array (patterns, nodes) or (kinships, patterns, nodes)
        Heritabilities of the nodes.
    pattern : array (traits,) of int
        Number of the pattern of every trait; -1 without a null model.
    columns : dict
        Statistics of the traits, as from `trait_columns`.
    """

    max_lod: Single
    h2: Array
    pattern: Index
    columns: Columns


def draw_shared(
    scan: LazyScan,
    bases: Sequence[Any],
    pools: Pools,
    *,
    seed: int,
    count: int,
    model: ModelOptions,
) -> SharedNull:
    """Compute the shared null distribution of all traits.

    Parameters
    ----------
    scan : LazyScan
        Markers and null models.
    bases : sequence of delayed or Basis or None
        Bases of all samples, one per kinship.
    pools : Pools
        Pools of markers with a maximum each: the contigs, if each has its own kinship.
    seed, count : int
        Seed and number of the draws.
    model : ModelOptions
        How draws are estimated, and what is tested.
    """
    columns, rows, pattern = _patterns(scan)
    measured = scan.study.measured
    draws = delayed(noise)(seed, range(count), len(measured.sample_names))
    relations = list(zip(samples_nodes(measured), bases, strict=True))
    chunks = pooled_chunks(scan, pools)
    options = {"n_pools": pools.count, "model": model, "single": scan.single}
    found, at = [], []
    for some in rows:
        mine = [delayed(_chosen)(samples, basis, some) for samples, basis in relations]
        parts = [
            delayed(_part)(
                genotypes,
                chunk,
                {number: mine[number] for number in chunk.relations},
                some,
                draws,
                **options,
            )
            for genotypes, chunk in chunks
        ]
        found.append(delayed(highest)(parts, flat=pools.together))
        at.append([delayed(_nodes)(basis) for basis in mine])
    maxima, heritabilities = compute(found, at)
    rest = () if pools.together else (pools.count,)
    lods = np.array(maxima, dtype=np.float32).reshape(len(rows), count, N_NODES, *rest)
    h2 = np.array(heritabilities).reshape(len(rows), len(relations), N_NODES).swapaxes(0, 1)
    of_nodes = h2[0] if measured.relations is None else h2
    return SharedNull(lods.swapaxes(0, 1), of_nodes, pattern, columns)


def _patterns(
    scan: LazyScan,
) -> tuple[Columns, list[Index], Index]:
    """Statistics of the traits, samples of every pattern, and pattern number of every trait.

    With one kinship per contig, a trait may lack a null model for some contigs, and then has no
    maximum there.
    """
    parts = compute(*(delayed(_summary)(list(fits)) for fits in scan.fits))
    known: dict[bytes, int] = {}
    rows: list[Index] = []
    pattern, start = np.full(scan.plan.n_traits, -1), 0
    for columns, groups in parts:
        for samples, members in groups:
            key = samples.tobytes()
            if key not in known:
                known[key] = len(rows)
                rows.append(samples)
            pattern[start + members] = known[key]
        start += len(columns["trait_status"])
    names = parts[0][0]
    merged = {name: np.concatenate([part[0][name] for part in parts], axis=-1) for name in names}
    return merged, rows, pattern


def _summary(
    fits: Sequence[FittedTraits],
) -> tuple[Columns, list[tuple[Index, Index]]]:
    """Statistics of a chunk of traits, and samples and traits of each of its groups."""
    groups = [(group.samples, group.columns) for fit in fits for group in fit.groups]
    return trait_columns(fits), groups


def _chosen(samples: Samples, complete: Basis | None, rows: Index) -> tuple[Samples, Basis]:
    """Some of the samples, with their basis."""
    if complete is not None and len(rows) == len(samples):
        return samples, complete
    some = samples.take(rows)
    with computing():
        return some, some.basis()


def _nodes(chosen: tuple[Samples, Basis]) -> Array:
    basis = chosen[1]
    return basis.as_given(nodes(basis))


def _part(
    genotypes: Real,
    chunk: MarkerChunk,
    chosen: Mapping[int, tuple[Samples, Basis]],
    rows: Index,
    draws: Array,
    *,
    n_pools: int,
    model: ModelOptions,
    single: bool,
) -> Single:
    """Maxima (permutations, nodes, pools) over a chunk of markers; `NONE` for no maximum."""
    found = []
    with chunk.guarded(genotypes):
        for relation, markers in by_relation_and_pool(genotypes, chunk):
            samples, basis = chosen[relation]
            found.append(
                shared_maxima(markers, n_pools, basis, samples, rows, draws, model, single=single)
            )
    return np.maximum.reduce(found)
