"""Samples of a study and their eigenbases as delayed objects, one per kinship."""

from __future__ import annotations

from typing import Any

import numpy as np
from dask.base import persist
from dask.delayed import delayed

from bulklmm_dask.engine.arrays import in_one_chunk, is_lazy
from bulklmm_dask.engine.overlap import computing
from bulklmm_dask.engine.study import Measurements, checked_kinship
from bulklmm_dask.lmm.basis import Basis
from bulklmm_dask.lmm.samples import Samples


def samples_nodes(measured: Measurements) -> list[Any]:
    """Delayed `Samples`, one per kinship, so that tasks share them instead of copying arrays.

    A lazy kinship is checked on its way: by one task, however many graphs ask for the samples.
    """
    one = measured.relations is None
    matrices = [measured.kinship] if one else list(measured.kinship)
    if is_lazy(measured.kinship):
        check = delayed(checked_kinship, pure=True)
        matrices = [check(in_one_chunk(matrix)) for matrix in matrices]
    return [
        delayed(Samples)(measured.covariates, matrix, measured.weights, measured.interacting)
        for matrix in matrices
    ]


def lazy_bases(measured: Measurements) -> list[Any]:
    """Delayed bases of all samples, one per kinship; None if some sample lacks a covariate."""
    if np.isnan(measured.covariates).any():
        return [None] * (measured.relations or 1)
    return [delayed(_basis)(samples) for samples in samples_nodes(measured)]


def _basis(samples: Samples) -> Basis:
    with computing():
        return samples.basis()


def kept_bases(measured: Measurements) -> list[Any]:
    """Bases as from `lazy_bases`, computed now and kept in the memory of dask.

    A run that submits many graphs then computes every basis only once.
    """
    return list(persist(*lazy_bases(measured)))
