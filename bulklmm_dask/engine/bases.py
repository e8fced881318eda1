"""Samples of a study and their eigenbases, one per kinship, as dask arrays of a single object."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import dask.array as da
import numpy as np
from dask.base import persist, tokenize

import bulklmm_dask.engine.sizes  # noqa: F401  workers are to know how large a basis is
from bulklmm_dask.engine.arrays import is_lazy, only, per_block
from bulklmm_dask.engine.held import held_object
from bulklmm_dask.engine.overlap import computing, is_worker
from bulklmm_dask.engine.study import Measurements, checked_kinship
from bulklmm_dask.lmm.basis import Basis
from bulklmm_dask.lmm.components.kernels import KernelSamples, RotatedKernels
from bulklmm_dask.lmm.samples import Samples
from bulklmm_dask.typing import Array


@dataclass(frozen=True)
class Bases:
    """Samples and eigenbases, one each per kinship.

    Attributes
    ----------
    samples : tuple of dask array
        `Samples`, which tasks share instead of copying arrays; `KernelSamples` of several kernels.
    bases : tuple of dask array or None
        Eigenbases of all samples, or `RotatedKernels`; None if some sample lacks a covariate.
    """

    samples: tuple[da.Array, ...]
    bases: tuple[da.Array | None, ...]


def lazy_bases(measured: Measurements) -> Bases:
    """Samples and their bases; nothing is computed.

    A lazy kinship is checked on its way: by one task, however many graphs ask for the samples.
    """
    samples = tuple(_samples_nodes(measured))
    if np.isnan(measured.covariates).any():
        return Bases(samples, (None,) * len(samples))
    made = (
        per_block(_basis, "", one, "", name=f"eigenbasis-{tokenize(one.name)}") for one in samples
    )
    return Bases(samples, tuple(made))


def kept_bases(measured: Measurements) -> Bases:
    """Bases as from `lazy_bases`, computed now and kept in the memory of dask.

    A run that submits many graphs then computes every basis only once.
    """
    lazy = lazy_bases(measured)
    return Bases(lazy.samples, tuple(persist(*lazy.bases)))


def _basis(samples: Samples | KernelSamples) -> Basis | RotatedKernels:
    if isinstance(samples, KernelSamples):
        with computing():
            return samples.rotated()
    with computing():  # on a worker of a cluster dask keeps it
        return samples.basis(keep=not is_worker())


def _samples_nodes(measured: Measurements) -> list[da.Array]:
    """Samples of each model; contigs whose models are alike share them."""
    nodes = {contig: _node(measured, contig) for contig in set(measured.alike)}
    return [nodes[contig] for contig in measured.alike]


def _node(measured: Measurements, contig: int) -> da.Array:
    rest = measured.covariates_on(contig), measured.weights, measured.interacting
    if measured.kernels is not None:
        several = KernelSamples(rest[0], measured.kernels_on(contig), *rest[1:])
        return held_object("kernels", several)
    matrix = measured.kinship_on(contig)
    if not is_lazy(measured.kinship):
        eigen = measured.eigen_of(contig)
        return held_object("samples", replace(_samples(matrix, rest), eigen=eigen))
    beside = held_object("covariates", rest)
    return per_block(
        _checked_samples,
        "",
        matrix.rechunk(matrix.shape),
        "ij",
        beside,
        "",
        name=f"samples-{tokenize(matrix.name, beside.name)}",
    )


def _samples(kinship: Array | None, rest: tuple[Any, Any, Any]) -> Samples:
    covariates, weights, interacting = rest
    return Samples(covariates, kinship, weights, interacting)


def _checked_samples(kinship: list[list[Array]], rest: tuple[Any, Any, Any]) -> Samples:
    return _samples(checked_kinship(only(kinship)), rest)
