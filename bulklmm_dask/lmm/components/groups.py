"""Traits in groups that were measured on the same samples, with the likelihoods of their shares."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from bulklmm_dask.lmm.columns import least_left
from bulklmm_dask.lmm.components.fit import Search
from bulklmm_dask.lmm.components.kernels import KernelSamples, RotatedKernels
from bulklmm_dask.lmm.components.likelihood import Likelihood
from bulklmm_dask.lmm.null.fit import NO_SHARE
from bulklmm_dask.lmm.powers import in_range
from bulklmm_dask.lmm.samples import alike
from bulklmm_dask.lmm.status import CONFOUNDED, CONSTANT, TOO_FEW
from bulklmm_dask.typing import Array, Flags, Index


@dataclass(frozen=True)
class KernelGroup:
    """Traits that can be fitted and were measured on the same samples.

    Attributes
    ----------
    rows : array (n,) of int
        Positions of the samples.
    columns : array (traits,) of int
        Positions of the traits.
    kernels : RotatedKernels
        Kernels of these samples.
    search : Search
        Likelihoods of the traits, of contrasts of length one.
    scale : array (traits,)
        Number by which the contrasts of each trait were divided, besides 2^exponent.
    exponent : array (traits,) of int
        The power of two by which a trait was divided first (`powers`); mostly 0.
    """

    rows: Index
    columns: Index
    kernels: RotatedKernels
    search: Search
    scale: Array
    exponent: Index


def kernel_groups(
    traits: Array,
    samples: KernelSamples,
    status: npt.NDArray[np.object_],
    *,
    reml: bool,
    complete: RotatedKernels | None = None,
) -> Iterator[KernelGroup]:
    """Group traits by their samples; `status` (traits,) is filled in for those without a model.

    Parameters
    ----------
    traits : array (samples, traits)
        NaN where missing.
    samples : KernelSamples
        Covariates, kernels and weights of the same samples.
    status : array (traits,) of str
        Modified in place.
    reml : bool
        Use restricted instead of full maximum likelihood.
    complete : RotatedKernels, optional
        Kernels of all samples, if already rotated.
    """
    observed = ~np.isnan(traits) & samples.complete[:, None]
    for columns in alike(observed):
        rows = np.flatnonzero(observed[:, columns[0]])
        if not len(rows):
            continue
        if len(rows) < 2:
            status[columns] = TOO_FEW
            continue
        everyone = complete is not None and len(rows) == len(samples)
        kernels = complete if everyone and complete else samples.take(rows).rotated()
        if len(rows) < kernels.n_covariates + 2:
            status[columns] = TOO_FEW
            continue
        y, exponent = in_range(traits[np.ix_(rows, columns)])
        contrasts, constants = _contrasts(kernels, y)
        status[columns[constants]] = CONSTANT
        usable = np.flatnonzero(~constants)
        if not len(usable):
            continue
        if kernels.dependent():
            status[columns[usable]] = CONFOUNDED
            continue
        scale = np.sqrt(np.einsum("kj,kj->j", contrasts, contrasts))[usable]
        search = Search(Likelihood(kernels, reml), contrasts[:, usable] / scale)
        yield KernelGroup(rows, columns[usable], kernels, search, scale, exponent[usable])


def _contrasts(kernels: RotatedKernels, y: Array) -> tuple[Array, Flags]:
    """Contrasts (n - c, traits) of traits y (n, traits), and which traits are constant."""
    deviations = y - y.mean(axis=0)
    rotated = kernels.rotate(deviations)
    weights = np.ones((len(y), 1)) if kernels.weights is None else kernels.weights[:, None]
    left = np.einsum("kj,kj->j", rotated, rotated)
    size, raw = (np.square(weights * one).sum(axis=0) for one in (deviations, y))
    return rotated, left <= least_left(size, raw, NO_SHARE)
