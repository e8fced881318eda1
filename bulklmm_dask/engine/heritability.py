"""Heritabilities of all traits, those of the same samples together: a task is a run of traits."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import numpy.typing as npt
from dask.base import compute
from dask.delayed import delayed

from bulklmm_dask.engine.blas import one_blas_thread
from bulklmm_dask.engine.scan import Measurements, lazy_bases, samples_nodes, trait_blocks
from bulklmm_dask.lmm.basis import Basis
from bulklmm_dask.lmm.null.heritability import estimate
from bulklmm_dask.lmm.samples import Samples
from bulklmm_dask.study.checks import refuse_infinite
from bulklmm_dask.typing import Array, Columns, Index, Names

# What a task does, in traits; factoring the kinship of one more pattern of missing values counts
# as many. Few tasks are overhead, many leave none for other cores.
_TASK = 4096
_PATTERN = 128
_CELLS = 2**22  # values of a task, at most


def estimate_all(study: Measurements, *, reml: bool) -> Columns:
    """Columns of `lmm.null.heritability.Heritabilities` of all traits, (traits,), by name."""
    patterns = _patterns(study)
    order = np.argsort(patterns, kind="stable")
    if patterns.any():
        # Any two tasks that meet the same pattern factor its kinship twice.
        study = replace(study, traits=study.traits[:, order], trait_names=study.trait_names[order])
    (samples,), (basis,) = samples_nodes(study), lazy_bases(study)
    parts = [
        delayed(_estimate)(block, samples, basis, reml, study.sample_names, names)
        for block, names in trait_blocks(study, _cuts(patterns[order], len(study.sample_names)))
    ]
    found = compute(*parts)
    columns = {name: np.concatenate([part[name] for part in found]) for name in found[0]}
    back = np.argsort(order)
    return {name: values[back] for name, values in columns.items()}


def _patterns(study: Measurements) -> Index:
    """Number of the pattern of missing values of every trait, 0 for all where they share one."""
    blocks = trait_blocks(study, _even(len(study.trait_names), len(study.sample_names)))
    keys = np.concatenate(compute(*(delayed(_keys)(block) for block, _ in blocks)))
    return np.unique(keys, return_inverse=True)[1]


def _keys(traits: Array) -> npt.NDArray[np.void]:
    bits = np.ascontiguousarray(np.packbits(np.isnan(traits), axis=0).T)
    return bits.view(np.dtype((np.void, bits.shape[1])))[:, 0]


def _even(traits: int, samples: int) -> tuple[int, ...]:
    size = max(1, min(_TASK, _CELLS // samples))
    return tuple(min(size, traits - start) for start in range(0, traits, size))


def _cuts(patterns: Index, samples: int) -> tuple[int, ...]:
    """Sizes of tasks of about equal work, from the sorted patterns of the traits."""
    work = np.ones(len(patterns), dtype=np.int64)
    work[1:] += _PATTERN * (patterns[1:] != patterns[:-1])
    task = work.cumsum() // max(1, min(_TASK, _CELLS // samples))
    return tuple(np.unique(task, return_counts=True)[1].tolist())


def _estimate(
    traits: Array,
    samples: Samples,
    basis: Basis | None,
    reml: bool,
    sample_names: Names,
    trait_names: Names,
) -> Columns:
    refuse_infinite(traits, "sample_trait", list(sample_names), list(trait_names))
    values = np.asarray(traits, dtype=np.float64)
    with one_blas_thread():
        return estimate(values, samples, reml=reml, complete=basis).columns()
