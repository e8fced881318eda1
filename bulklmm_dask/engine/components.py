"""Shares of several components on Dask: a task estimates consecutive traits, sorted by samples."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
from dask.base import tokenize

import bulklmm_dask.engine.sizes  # noqa: F401  workers are to know how large the kernels are
from bulklmm_dask.engine.arrays import alone, only, per_block
from bulklmm_dask.engine.held import held_object
from bulklmm_dask.engine.heritability import ByPattern
from bulklmm_dask.engine.study import Measurements
from bulklmm_dask.engine.tasks import TraitChunk, Traits, sample_names
from bulklmm_dask.engine.watch import computed
from bulklmm_dask.lmm.components.estimate import estimate_shares
from bulklmm_dask.lmm.components.kernels import KernelSamples
from bulklmm_dask.typing import Columns, Names

# Traits per task: each takes some dozen Cholesky factors.
_TASK = 64
# Factoring a mesh of covariances for another pattern takes as long as this many traits.
_PATTERN = 4


def estimate_all_shares(measured: Measurements, *, reml: bool) -> Columns:
    """Compute the columns of `lmm.components.estimate.Shares` of all traits, (..., traits)."""
    tasks = ByPattern.of(measured, task=_TASK, pattern=_PATTERN)
    traits, names = Traits.of(tasks.measured, tasks.sizes), sample_names(measured)
    model = KernelSamples(measured.covariates, measured.kernels_on(0), measured.weights)
    samples = held_object("kernels", model)
    token = tokenize(traits.values.name, traits.chunks.name, names.name, samples.name, reml)
    lazy = per_block(
        _estimate,
        "t",
        *(traits.values, "st", traits.chunks, "t", names, "", samples, ""),
        name=f"components-{token}",
        reml=reml,
    )
    (found,) = computed(lazy)
    return tasks.joined(found)


def _estimate(
    traits: Any, chunk: TraitChunk, names: Names, samples: KernelSamples, *, reml: bool
) -> npt.NDArray[np.object_]:
    with chunk.guarded(only(traits), names) as values:
        return alone(estimate_shares(values, samples, reml=reml).columns())
