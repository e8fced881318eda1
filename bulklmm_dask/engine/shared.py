"""Shared null distribution on Dask: one task per pattern of missing values and marker chunk."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from dask.base import tokenize

from bulklmm_dask.engine.arrays import alone, only, per_block
from bulklmm_dask.engine.fits import Fits
from bulklmm_dask.engine.held import held_object, held_objects
from bulklmm_dask.engine.overlap import computing
from bulklmm_dask.engine.permute import Pools, by_relation_and_pool, highest
from bulklmm_dask.engine.rules import ruled
from bulklmm_dask.engine.scan import LazyScan, trait_columns
from bulklmm_dask.engine.tasks import MarkerChunk, per_marker_block
from bulklmm_dask.engine.watch import computed
from bulklmm_dask.lmm.basis import Basis
from bulklmm_dask.lmm.options import ModelOptions
from bulklmm_dask.lmm.permute.normal import N_NODES, nodes, noise, shared_maxima
from bulklmm_dask.lmm.samples import Samples
from bulklmm_dask.typing import Array, Columns, Index, Names, Single


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
        Markers in these pools, and null models.
    pools : Pools
        Pools of markers with a maximum each: the contigs, if each has its own kinship.
    seed, count : int
        Seed and number of the draws.
    model : ModelOptions
        How draws are estimated, and what is tested.
    """
    columns, rows, pattern = _patterns(scan)
    maxima, h2 = _maxima(scan, rows, pools, seed, count, model) if rows else ([], [])
    rest = () if pools.together else (pools.count,)
    lods = np.array(maxima, dtype=np.float32).reshape(len(rows), count, N_NODES, *rest)
    of_nodes = np.array(h2).reshape(len(scan.bases.samples), len(rows), N_NODES)
    own = of_nodes if scan.by_contig else of_nodes[0]
    return SharedNull(lods.swapaxes(0, 1), own, pattern, columns)


def _maxima(
    scan: LazyScan, rows: list[Index], pools: Pools, seed: int, count: int, model: ModelOptions
) -> tuple[list[Single], list[list[Array]]]:
    """Maxima, and the heritabilities of the nodes per kinship, for each pattern of samples."""
    markers = scan.markers
    patterns = held_objects("samples-of-patterns", rows, ((1,) * len(rows),), rows)
    draws = held_object("draws", (seed, count, len(scan.study.measured.sample_names)))
    noises = per_block(_noise, "", draws, "", name=f"noise-{tokenize(draws.name)}")
    chosen = [
        per_block(
            _chosen,
            "p",
            samples,
            "",
            *((None, None) if basis is None else (basis, "")),
            patterns,
            "p",
            name=f"pattern-basis-{tokenize(samples.name, patterns.name)}",
        )
        for samples, basis in zip(scan.bases.samples, scan.bases.bases, strict=True)
    ]
    inputs = (markers.values, markers.chunks, scan.names, patterns, noises, *chosen)
    token = tokenize([each.name for each in inputs], pools.count, model, scan.single)
    parts = per_marker_block(
        _part,
        "pv",
        markers,
        scan.names,
        "",
        patterns,
        "p",
        noises,
        "",
        chosen=[(chosen, "p")],
        name=f"shared-block-{token}",
        n_pools=pools.count,
        model=model,
        single=scan.single,
    )
    name = f"shared-maxima-{token}"
    found = ruled(_highest, "p", parts, "pv", listed="v", name=name, flat=pools.together)
    at = [per_block(_nodes, "p", one, "p", name=f"nodes-{tokenize(one.name)}") for one in chosen]
    maxima, *h2 = computed(found, *at)
    return list(maxima), [list(each) for each in h2]


def _noise(draws: tuple[int, int, int]) -> Array:
    seed, count, n_samples = draws
    return noise(seed, range(count), n_samples)


def _patterns(
    scan: LazyScan,
) -> tuple[Columns, list[Index], Index]:
    """Statistics of the traits, samples of every pattern, and pattern number of every trait.

    With one kinship per contig, a trait may lack a null model for some contigs, and then has no
    maximum there.
    """
    pairs = (part for fits in scan.fits for part in (fits, "t"))
    name = f"trait-patterns-{tokenize([fits.name for fits in scan.fits])}"
    (parts,) = computed(per_block(_summary, "t", *pairs, name=name, by_contig=scan.by_contig))
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


def _summary(*fits: Fits, by_contig: bool) -> npt.NDArray[np.object_]:
    """Statistics of a chunk of traits, and samples and traits of each of its groups."""
    groups = [group for fit in fits for group in fit.groups]
    return alone((trait_columns(*fits, by_contig=by_contig), groups))


def _chosen(samples: Samples, complete: Basis | None, rows: Index) -> tuple[Samples, Basis]:
    """Some of the samples, with their basis."""
    if complete is not None and len(rows) == len(samples):
        return samples, complete
    some = samples.take(rows)
    with computing():
        return some, some.basis()


def _nodes(chosen: tuple[Samples, Basis]) -> npt.NDArray[np.object_]:
    basis = chosen[1]
    return alone(basis.as_given(nodes(basis)))


def _highest(parts: list[Single], *, flat: bool) -> npt.NDArray[np.object_]:
    return alone(highest(parts, flat=flat))


def _part(
    genotypes: Any,
    chunk: MarkerChunk,
    names: Names,
    rows: Index,
    draws: Array,
    *chosen: tuple[Samples, Basis],
    n_pools: int,
    model: ModelOptions,
    single: bool,
) -> Single:
    """Maxima (permutations, nodes, pools) over a chunk of markers; `NONE` for no maximum.

    `chosen` are samples and bases for the kinships of the markers.
    """
    genotypes = only(genotypes)
    of_kinship = dict(zip(chunk.relations, chosen, strict=True))
    found = []
    with chunk.guarded(genotypes, names):
        for relation, markers in by_relation_and_pool(genotypes, chunk):
            samples, basis = of_kinship[relation]
            found.append(
                shared_maxima(markers, n_pools, basis, samples, rows, draws, model, single=single)
            )
    return np.maximum.reduce(found)
