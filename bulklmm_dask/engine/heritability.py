"""Heritabilities of all traits on Dask: a task estimates consecutive traits, sorted by samples."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import dask.array as da
import numpy as np
import numpy.typing as npt
from dask.base import tokenize

from bulklmm_dask.engine.arrays import alone, only, per_block
from bulklmm_dask.engine.bases import lazy_bases
from bulklmm_dask.engine.patterns import missing_patterns
from bulklmm_dask.engine.study import Measurements
from bulklmm_dask.engine.tasks import TraitChunk, Traits, sample_names
from bulklmm_dask.engine.watch import computed
from bulklmm_dask.lmm.basis import Basis
from bulklmm_dask.lmm.null.heritability import estimate
from bulklmm_dask.lmm.samples import Samples
from bulklmm_dask.typing import Columns, Index, Names

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
    cuts = _cuts(patterns[order], len(measured.sample_names))
    (found,) = computed(_lazily(measured, cuts, reml))
    columns = {name: np.concatenate([part[name] for part in found]) for name in found[0]}
    back = np.argsort(order)
    return {name: values[back] for name, values in columns.items()}


def _cuts(patterns: Index, samples: int) -> tuple[int, ...]:
    """Sizes of tasks of about equal work, from the sorted pattern numbers of the traits."""
    work = np.ones(len(patterns), dtype=np.int64)
    work[1:] += _PATTERN * (patterns[1:] != patterns[:-1])
    task = work.cumsum() // max(1, min(_TASK, _CELLS // samples))
    return tuple(np.unique(task, return_counts=True)[1].tolist())


def _lazily(measured: Measurements, sizes: tuple[int, ...], reml: bool) -> da.Array:
    """Columns of the traits in chunks of these sizes, an object in place of each chunk."""
    bases = lazy_bases(measured)
    (samples,), (basis,) = bases.samples, bases.bases
    traits, names = Traits.of(measured, sizes), sample_names(measured)
    inputs = [traits.values, "st", traits.chunks, "t", names, "", samples, ""]
    inputs += [None, None] if basis is None else [basis, ""]
    token = tokenize([getattr(each, "name", each) for each in inputs], reml)
    return per_block(_estimate, "t", *inputs, name=f"heritability-{token}", reml=reml)


def _estimate(
    traits: Any,
    chunk: TraitChunk,
    names: Names,
    samples: Samples,
    basis: Basis | None,
    *,
    reml: bool,
) -> npt.NDArray[np.object_]:
    with chunk.guarded(only(traits), names) as values:
        return alone(estimate(values, samples, reml=reml, complete=basis).columns())
