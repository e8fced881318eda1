r"""Highest LOD scores of permuted traits with several kernels: one kinship for each ratio of them.

With V = sum_k h_k K_k + h_e I at the trait's own shares (kernels of mean diagonal one, all samples
multiplied by their residual weights), the whitened residuals e = V^(1/2) M y are permuted and
V^(1/2) restores the covariance, as with one kinship (`residuals`), with the symmetric root

    V^(1/2) = E D^(1/2) E',  V = E D E'.

Then the shares are estimated again. For kernels that have a ratio r to each other, the sum
sum_k r_k K_k is one kinship, and its share is estimated on the grid of one kinship (`refit`). The
ratios are those of a mesh of the simplex, each with an eigenbasis of its own; a permuted trait
takes the ratio of largest likelihood, and its markers are tested in the eigenbasis of that. With
one kernel there is one ratio, and nothing else than with a kinship happens.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np

from bulklmm_dask.lmm.chunk import FittedTraits
from bulklmm_dask.lmm.components.exact import ComponentScan
from bulklmm_dask.lmm.components.kernels import KernelSamples, RotatedKernels
from bulklmm_dask.lmm.components.scan import fit_components
from bulklmm_dask.lmm.components.simplex import ratios
from bulklmm_dask.lmm.markers import prepare_markers
from bulklmm_dask.lmm.options import ModelOptions
from bulklmm_dask.lmm.permute.maxima import lods, scanned
from bulklmm_dask.lmm.permute.refit import COLUMNS, Draw, Refit, drawn, runs
from bulklmm_dask.lmm.powers import in_range
from bulklmm_dask.lmm.samples import Samples
from bulklmm_dask.typing import Array, Index


class Whitened:
    """Residuals of traits measured on the same n samples, whitened by the covariance of each.

    Attributes
    ----------
    residuals : array (traits, n)
        e of each trait.
    roots : array (traits, n, n)
        V^(1/2) of each trait.
    """

    def __init__(self, scan: ComponentScan) -> None:
        kernels, d = scan.kernels, scan.kernels.contrasts
        y, _ = in_range(scan.traits)
        contrasts = kernels.rotate(y - y.mean(axis=0))
        self.residuals = np.empty((contrasts.shape[1], kernels.n))
        self.roots = np.empty((*self.residuals.shape, kernels.n))
        flat = kernels.vertices.reshape(len(kernels.vertices), -1)
        for j, inner in enumerate(scan.inner.T):
            covariance = (inner @ flat).reshape(kernels.n, kernels.n)
            values, vectors = np.linalg.eigh(covariance)
            turned = kernels.turn @ vectors
            self.roots[j] = (turned * np.sqrt(np.maximum(values, 0.0))) @ turned.T
            score = np.linalg.solve(covariance[:d, :d], contrasts[:, j])
            self.residuals[j] = self.roots[j] @ (kernels.turn[:, :d] @ score)

    def permuted(self, orders: Index) -> Draw:
        """Make a `Draw` of the residuals, permuted by `orders` (N, n)."""

        def draw(j: int, which: slice | Index) -> Array:
            return self.residuals[j][orders[which]]

        return draw


def highest_of_kernels(
    markers: Sequence[Array],
    samples: KernelSamples,
    scan: ComponentScan,
    orders: Index,
    model: ModelOptions,
    *,
    single: bool,
) -> Array:
    """Highest LOD of every permutation and trait over the markers of each pool.

    Parameters
    ----------
    markers : sequence of array (variants, n) or (variants, n, genotypes)
        Genotypes of each pool, none missing.
    samples : KernelSamples
        The n samples that the traits were measured on.
    scan : ComponentScan
        The traits, fitted by REML.
    orders : array (N, n)
        Permutations of the samples.
    model : ModelOptions
        How the permuted traits are estimated, and what is tested.
    single : bool
        Compute matrix products in single precision.

    Returns
    -------
    array (N, traits, pools)
        LOD scores, `maxima.NONE` where there is no maximum.
    """
    white, count = Whitened(scan), len(orders)
    draw = white.permuted(orders)
    single = single and not scan.kernels.graded
    if model.joint:
        return _scanned(markers, samples, scan.kernels, white, draw, count, model, single=single)

    def coloured(numbers: Index) -> Array:
        vectors, trait = drawn(draw, numbers, count)
        starts = np.flatnonzero(np.diff(trait, prepend=-1))
        each = np.split(vectors, starts[1:])
        return np.concatenate(
            [one @ white.roots[j] for one, j in zip(each, trait[starts], strict=True)]
        )

    refits = [Refit.of(one.basis(), reml=model.reml) for one in mixed(samples)]
    total = count * scan.traits.shape[1]
    chosen = np.zeros(total, np.int64)
    for some in runs(total if len(refits) > 1 else 0, COLUMNS):
        y = coloured(np.arange(some.start, some.stop))
        values = [refit.estimate(refit.turned(y))[1] for refit in refits]
        chosen[some] = np.argmax(values, axis=0)
    found = np.zeros((len(markers), total))
    for number, refit in enumerate(refits):
        mine = np.flatnonzero(chosen == number)
        if not len(mine):
            continue

        def rows(numbers: Index, refit: Refit = refit, mine: Index = mine) -> Array:
            return refit.turned(coloured(mine[numbers]))

        parts = [prepare_markers(refit.basis, x) for x in markers]
        found[:, mine] = refit.largest(rows, len(mine), parts, single=single)
    return lods(found, len(samples), count)


def mixed(samples: KernelSamples) -> Iterator[Samples]:
    """Samples with one kinship in place of the kernels, one each for every ratio of a mesh.

    A single kernel is taken as it was given.
    """
    kernels, rest = samples.kernels, (samples.weights, samples.interacting)
    if len(kernels) == 1:
        yield Samples(samples.covariates, kernels[0], *rest)
        return
    scaled = kernels / (np.einsum("kii->k", kernels) / len(samples))[:, None, None]
    for ratio in ratios(len(kernels)):
        yield Samples(samples.covariates, np.tensordot(ratio, scaled, axes=1), *rest)


def _scanned(
    markers: Sequence[Array],
    samples: KernelSamples,
    kernels: RotatedKernels,
    white: Whitened,
    draw: Draw,
    count: int,
    model: ModelOptions,
    *,
    single: bool,
) -> Array:
    """Markers of several columns: the permuted traits are scanned in full, (N, traits, pools)."""
    weights = 1.0 if samples.weights is None else samples.weights

    def coloured(j: int, which: slice) -> Array:
        return np.asarray(draw(j, which) @ white.roots[j] / weights)

    def fit(traits: Array) -> FittedTraits:
        return fit_components(traits, samples, model, complete=kernels)

    shape = count, len(white.roots)
    return scanned(markers, coloured, fit, shape, model, single=single)
