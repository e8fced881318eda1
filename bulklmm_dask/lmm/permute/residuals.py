r"""Highest LOD scores of permuted traits: how high a trait would score without any locus.

With V = h2 K + (1 - h2) I at the trait's own h2 (and all samples multiplied by their residual
weights, see `basis`), the whitened residuals

    e = (I - P) V^(-1/2) y,   P the projection on the columns V^(-1/2) C,

are exchangeable: apart from the projection they are uncorrelated and of equal variance. Of the many
square roots of V the symmetric one is used, V^(-1/2) = U W^(1/2) U' with W = diag(1/v(h2)) in the
eigenbasis U:

- entry i of e then belongs to sample i, so that permutations within strata are defined, samples
  without a value can be left out, and one permutation serves all contigs with their own kinships;
- the result does not depend on the choice of eigenvectors for equal eigenvalues, which replicated
  samples have; a permutation of W^(1/2) U'y would give different numbers on different machines;
- at h2 = 0 it permutes the residuals of ordinary regression.

With a permutation Pi, y_s = V^(1/2) Pi e is a trait of the same covariance without any locus. It is
treated like the original trait: the covariates are projected out again (Freedman and Lane 1983),
and h2 is estimated again on a grid (`refit`). The estimate absorbs part of what the markers explain
by chance, so LODs at an estimated h2 are lower than at a fixed one. With h2 kept fixed, 1.8% to
3.6% instead of 5% of traits without loci exceeded their 0.05 threshold (248 samples of 50 strains).

The h2 of V should be unbiased, because the permuted traits have it as their true value. With REML
estimates 5.0% and 5.3% of traits exceeded the threshold (50 strains; 200 distinct samples; h2 from
0 to 1); with maximum likelihood, whose estimates are too low on average, 5.6% and 6.1%.

Only the largest r2 of each permutation is kept, and the logarithm is taken of it alone:

    max LOD = -(n/2) log10(1 - max over markers of (x'M(h)y_s)^2 / (x'M(h)x  y_s'M(h)y_s)).

In the eigenbasis, x* = U'x, this is one matrix product for all permutations and markers, x*'z with
z = U'M(h)y_s / sqrt(y_s'M(h)y_s); only the rows in which a marker is not zero are needed.
Permutations are sorted by their h, and x'M(h)x is computed for every h of the grid in use.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import numpy.typing as npt

from bulklmm_dask.lmm.chunk import TraitFits
from bulklmm_dask.lmm.components.exact import ComponentScan
from bulklmm_dask.lmm.components.kernels import KernelSamples
from bulklmm_dask.lmm.kinship import impute
from bulklmm_dask.lmm.markers import distinct_markers
from bulklmm_dask.lmm.null.scan import NullScan
from bulklmm_dask.lmm.options import ModelOptions
from bulklmm_dask.lmm.permute.kernels import highest_of_kernels
from bulklmm_dask.lmm.permute.maxima import NONE, highest_lods
from bulklmm_dask.lmm.permute.refit import Draw
from bulklmm_dask.lmm.samples import Samples
from bulklmm_dask.typing import Array, Index


def permutations(seed: int, numbers: Sequence[int], strata: Index) -> Index:
    """Permutations of the samples, (len(numbers), n), each from its own random stream.

    In permutation k, sample i takes the residual of sample `out[k, i]`. A seed and a number always
    give the same permutation, whichever others are requested.

    Parameters
    ----------
    seed : int
        Seed, not negative.
    numbers : sequence of int
        Numbers of the permutations.
    strata : array (n,) of int
        Stratum of each sample; samples are exchanged within a stratum only.
    """
    members = [np.flatnonzero(strata == stratum) for stratum in np.unique(strata)]
    out = np.empty((len(numbers), len(strata)), dtype=np.int64)
    for row, number in zip(out, numbers, strict=True):
        rng = stream(seed, number)
        for some in members:
            row[some] = rng.permutation(some)
    return out


def stream(seed: int, number: int) -> np.random.Generator:
    """Random generator of one permutation: the spawned child `number` of the seed."""
    return np.random.default_rng(np.random.SeedSequence(seed, spawn_key=(number,)))


def restricted(orders: Index, samples: Index) -> Index:
    """Permutations of a subset of the samples, as similar as possible to those of all samples.

    A chosen sample takes the value of its image under the permutation, or, if the image is not
    chosen, of the image of the image, and so on: samples that are not chosen are cut out of the
    cycles. All permutations of the chosen samples are then equally likely, strata are respected,
    and two traits are permuted alike on the samples that both have.

    Parameters
    ----------
    orders : array (N, n)
        Permutations of all samples, from `permutations`.
    samples : array (k,)
        Positions of the chosen samples, ascending.

    Returns
    -------
    array (N, k)
        Permutations, as positions among the chosen samples.
    """
    place = np.full(orders.shape[1], -1)
    place[samples] = np.arange(len(samples))
    image = orders[:, samples]
    row, column = np.nonzero(place[image] < 0)
    while len(row):
        image[row, column] = orders[row, image[row, column]]
        outside = place[image[row, column]] < 0
        row, column = row[outside], column[outside]
    return place[image]


def permuted(scan: NullScan, orders: Index) -> Draw:
    """Make a `Draw` of the whitened residuals of traits, permuted by `orders` (N, n)."""
    scores = scan.scores * np.sqrt(scan.basis.variances(scan.h2))
    residuals = scores if scan.basis.vectors is None else scan.basis.vectors @ scores
    by_trait = np.ascontiguousarray(residuals.T)

    def draw(j: int, which: slice | Index) -> Array:
        return by_trait[j][orders[which]]

    return draw


def split_markers(genotypes: npt.ArrayLike, pools: Index) -> dict[int, Array]:
    """Genotypes (variants, samples, ...) by pool (variants,): imputed, without copies."""
    x = impute(genotypes)
    return {int(pool): distinct_markers(x[pools == pool])[0] for pool in np.unique(pools)}


def permuted_maxima(
    markers: Mapping[int, Array],
    n_pools: int,
    fitted: TraitFits[NullScan | ComponentScan],
    samples: Samples | KernelSamples,
    orders: Index,
    model: ModelOptions,
    *,
    single: bool,
) -> npt.NDArray[np.float32]:
    """Highest LOD of every permutation and trait over the markers of each pool.

    Parameters
    ----------
    markers : mapping of int to array (variants, n, ...)
        Genotypes of all n samples by pool, from `split_markers`. A pool is a contig, or all
        markers.
    n_pools : int
        Number of pools.
    fitted : TraitFits of NullScan or ComponentScan
        A chunk of traits, fitted by REML; traits without a null model get `NONE`.
    samples : Samples or KernelSamples
        All n samples; of several kernels where the traits were fitted with these.
    orders : array (N, n)
        Permutations of all samples, from `permutations`.
    model : ModelOptions
        How the permuted traits are estimated, and what is tested.
    single : bool
        Compute matrix products in single precision.

    Returns
    -------
    array (N, traits, pools)
        LOD scores, `NONE` where there is no maximum.
    """
    out = np.full((len(orders), len(fitted.n_samples), n_pools), NONE, dtype=np.float32)
    pools = list(markers)
    for group in fitted.groups:
        scan, rows = group.scanner, group.samples
        everyone = len(rows) == orders.shape[1]
        chosen = [x if everyone else x[:, rows] for x in markers.values()]
        mine = orders if everyone else restricted(orders, rows)
        own = samples if everyone else samples.take(rows)
        if isinstance(scan, ComponentScan):
            assert isinstance(own, KernelSamples)
            found = highest_of_kernels(chosen, own, scan, mine, model, single=single)
        else:
            assert isinstance(own, Samples)
            draw, count = permuted(scan, mine), len(orders)
            found = highest_lods(
                chosen, scan.basis, own, scan.h2, draw, count, model, single=single
            )
        out[:, group.columns[:, None], pools] = found
    return out
