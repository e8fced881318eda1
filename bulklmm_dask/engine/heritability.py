"""Heritabilities of all traits on Dask: a task estimates consecutive traits, sorted by samples."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from dask.base import compute
from dask.delayed import delayed

from bulklmm_dask.engine.bases import lazy_bases, samples_nodes
from bulklmm_dask.engine.patterns import missing_patterns
from bulklmm_dask.engine.study import Measurements
from bulklmm_dask.engine.tasks import TraitChunk, trait_chunks
from bulklmm_dask.lmm.basis import Basis
from bulklmm_dask.lmm.null.heritability import estimate
from bulklmm_dask.lmm.samples import Samples
from bulklmm_dask.typing import Array, Columns, Index

# Traits per task: small tasks are dominated by scheduling, large ones leave cores idle.
_TASK = 4096
# Factoring the kinship for another pattern of missing values takes as long as this many traits.
_PATTERN = 128
# Largest number of trait values (samples x traits) in a task.
_CELLS = 2**22


def estimate_all(measured: Measurements, *, reml: bool) -> Columns:
    """Compute the columns of `lmm.null.heritability.Heritabilities` of all traits, (traits,)."""
    patterns = missing_patterns(measured).of_trait
    order = np.argsort(patterns, kind="stable")
    if patterns.any():
        # Sorted by pattern, few patterns are split over tasks, each of which factors the kinship.
        measured = replace(
            measured,
            traits=measured.traits[:, order],
            trait_names=measured.trait_names[order],
        )
    (samples,), (basis,) = samples_nodes(measured), lazy_bases(measured)
    sizes = _cuts(patterns[order], len(measured.sample_names))
    parts = [
        delayed(_estimate)(block, chunk, samples, basis, reml)
        for block, chunk in trait_chunks(measured, sizes)
    ]
    found = compute(*parts)
    columns = {name: np.concatenate([part[name] for part in found]) for name in found[0]}
    back = np.argsort(order)
    return {name: values[back] for name, values in columns.items()}


def _cuts(patterns: Index, samples: int) -> tuple[int, ...]:
    """Sizes of tasks of about equal work, from the sorted pattern numbers of the traits."""
    work = np.ones(len(patterns), dtype=np.int64)
    work[1:] += _PATTERN * (patterns[1:] != patterns[:-1])
    task = work.cumsum() // max(1, min(_TASK, _CELLS // samples))
    return tuple(np.unique(task, return_counts=True)[1].tolist())


def _estimate(
    traits: Array, chunk: TraitChunk, samples: Samples, basis: Basis | None, reml: bool
) -> Columns:
    with chunk.guarded(traits) as values:
        return estimate(values, samples, reml=reml, complete=basis).columns()
