"""The shared null on Dask: one task a pattern of missing values and chunk of markers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from dask.base import compute
from dask.delayed import delayed

from bulklmm_dask.engine.blas import one_blas_thread
from bulklmm_dask.engine.permute import MarkerChunk, highest, marker_chunks
from bulklmm_dask.engine.scan import LazyScan, samples_nodes, trait_columns
from bulklmm_dask.lmm.basis import Basis
from bulklmm_dask.lmm.chunk import FittedTraits
from bulklmm_dask.lmm.options import ModelOptions
from bulklmm_dask.lmm.permute.normal import N_NODES, nodes, noise, shared_maxima
from bulklmm_dask.lmm.samples import Samples
from bulklmm_dask.study.checks import refuse_outside
from bulklmm_dask.typing import Array, Index, Single


@dataclass(frozen=True)
class SharedNull:
    """Single of random residuals of every pattern of missing values.

    Attributes
    ----------
    max_lod : array (permutations, patterns, nodes[, places])
    h2 : array (patterns, nodes) or (relations, patterns, nodes)
        Heritabilities of the nodes.
    pattern : array (traits,) of int
        Pattern of every trait; -1 without a null model.
    columns : dict
        What is known of every trait.
    """

    max_lod: Single
    h2: Array
    pattern: Index
    columns: dict[str, npt.NDArray[Any]]


def draw_shared(
    scan: LazyScan,
    bases: Sequence[Any],
    places: Index | None,
    n_places: int | None,
    *,
    seed: int,
    count: int,
    model: ModelOptions,
) -> SharedNull:
    """Compute the null of all traits.

    Parameters
    ----------
    scan : LazyScan
        Markers and null models.
    bases : sequence of delayed or Basis or None
        Of all samples, one a kinship.
    places : array (variants,) of int, or None
        Where each marker counts; None where all count together.
    n_places : int or None
        How many places there are; with a kinship for each contig there must be some.
    seed, count : int
        Where the draws come from, and how many.
    model : ModelOptions
        How draws are estimated, and what is tested.
    """
    columns, rows, pattern = _patterns(scan)
    study = scan.study
    draws = delayed(noise)(seed, range(count), len(study.sample_names))
    relations = list(zip(samples_nodes(study, study.interacting), bases, strict=True))
    chunks = marker_chunks(scan, places)
    found, at = [], []
    for some in rows:
        mine = [delayed(_chosen)(samples, basis, some) for samples, basis in relations]
        parts = [
            delayed(_part)(
                genotypes,
                chunk,
                {int(c): mine[int(c)] for c in np.unique(chunk.relation)},
                some,
                draws,
                n_places=n_places or 1,
                sample_names=study.sample_names,
                maximum=study.maximum,
                model=model,
                single=scan.single,
            )
            for genotypes, chunk in chunks
        ]
        found.append(delayed(highest)(parts, flat=n_places is None))
        at.append([delayed(_nodes)(basis) for basis in mine])
    maxima, heritabilities = compute(found, at)
    rest = () if n_places is None else (n_places,)
    lods = np.array(maxima, dtype=np.float32).reshape(len(rows), count, N_NODES, *rest)
    h2 = np.array(heritabilities).reshape(len(rows), len(relations), N_NODES).swapaxes(0, 1)
    return SharedNull(
        lods.swapaxes(0, 1), h2[0] if study.relations is None else h2, pattern, columns
    )


def _patterns(
    scan: LazyScan,
) -> tuple[dict[str, npt.NDArray[Any]], list[Index], Index]:
    """What is known of every trait, the samples of every pattern, and the pattern of every trait.

    A contig without a null model of a trait, as may be with a kinship of its own, has no maximum.
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
) -> tuple[dict[str, npt.NDArray[Any]], list[tuple[Index, Index]]]:
    groups = [(group.samples, group.columns) for fit in fits for group in fit.groups]
    return trait_columns(fits), groups


def _chosen(samples: Samples, complete: Basis | None, rows: Index) -> tuple[Samples, Basis]:
    """Some of the samples and their basis."""
    if complete is not None and len(rows) == len(samples):
        return samples, complete
    some = samples.take(rows)
    with one_blas_thread():
        return some, some.basis()


def _nodes(chosen: tuple[Samples, Basis]) -> Array:
    return nodes(chosen[1])


def _part(
    genotypes: npt.NDArray[np.floating],
    chunk: MarkerChunk,
    chosen: Mapping[int, tuple[Samples, Basis]],
    rows: Index,
    draws: Array,
    *,
    n_places: int,
    sample_names: npt.NDArray[np.object_],
    maximum: float,
    model: ModelOptions,
    single: bool,
) -> Single:
    """Single over a chunk of markers, `NONE` where it has none."""
    refuse_outside(genotypes, maximum, list(chunk.names), list(sample_names))
    found = []
    with one_blas_thread():
        for relation, markers in chunk.of_relations(genotypes):
            samples, basis = chosen[relation]
            found.append(
                shared_maxima(markers, n_places, basis, samples, rows, draws, model, single=single)
            )
    return np.maximum.reduce(found)
