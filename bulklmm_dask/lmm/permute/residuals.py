r"""Maxima of LOD scores under permutation: how high a trait would score with nothing to find.

With V = h2 K + (1 - h2) I at the trait's own h2 (samples of unequal weight multiplied by it before,
see `basis`), the whitened residuals

    e = (I - P) V^(-1/2) y,   P the projection on the columns V^(-1/2) C,

are uncorrelated and of equal variance but for the covariates: exchangeable. Of the many roots of V
this must be the symmetric one, V^(-1/2) = U W^(1/2) U' with W = diag(1/v(h2)), v from the basis:

- entry i of e then belongs to sample i, so that strata mean something, samples without a value
  stay out of the permutation, and one permutation serves all contigs, each with its own kinship;
- it does not depend on the choice of eigenvectors among equal eigenvalues, which replicated samples
  have; permuting W^(1/2) U'y instead would give other numbers on another machine;
- at h2 = 0 it is the permutation of residuals of ordinary regression.

A permutation Pi moves the residuals, and y_s = V^(1/2) Pi e is a trait of the same covariance with
nothing to find. It is treated as the trait was: the covariates are projected out again (Freedman
and Lane 1983), and h2 is estimated again on a grid (`refit`). That matters: an estimate takes up
some of what the markers explain by chance, so that the LODs of data are lower than those at a given
h2. With h2 kept, 1.8% to 3.6% instead of 5% of traits without loci exceeded their 0.05 threshold on
248 samples of 50 strains. And the h2 to start from should be without bias, for the null has it for
its truth: after REML 5.0% and 5.3% exceeded (50 strains; 200 distinct samples; h2 from 0 to 1),
after maximum likelihood, which is low on average, 5.6% and 6.1%.

Only the largest r2 of each permutation is kept, so that the logarithm is taken once:

    max LOD = -(n/2) log10(1 - max over markers of (x'M(h)y_s)^2 / (x'M(h)x  y_s'M(h)y_s)).

In the eigenbasis, x* = U'x, this is one matrix product for all permutations and markers, x*'z with
z = U'M(h)y_s / sqrt(y_s'M(h)y_s), of which only the rows that markers reach are needed.
Permutations of equal h lie together, and x'M(h)x is known for every h of the grid.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import numpy.typing as npt

from bulklmm_dask.lmm.chunk import TraitFits
from bulklmm_dask.lmm.kinship import impute
from bulklmm_dask.lmm.markers import distinct_markers
from bulklmm_dask.lmm.null.scan import NullScan
from bulklmm_dask.lmm.options import ModelOptions
from bulklmm_dask.lmm.permute.maxima import NONE, highest_lods
from bulklmm_dask.lmm.permute.refit import Draw
from bulklmm_dask.lmm.samples import Samples
from bulklmm_dask.typing import Array, Index


def permutations(seed: int, numbers: Sequence[int], strata: Index) -> Index:
    """Permutations of the samples, each from a stream of its own, (len(numbers), n).

    Sample i takes the residual of sample `out[k, i]`. Number k of a seed is the same whatever
    others are asked for.

    Parameters
    ----------
    seed : int
        Not negative.
    numbers : sequence of int
        Which permutations.
    strata : array (n,) of int
        Samples are exchanged within a stratum only.
    """
    members = [np.flatnonzero(strata == stratum) for stratum in np.unique(strata)]
    out = np.empty((len(numbers), len(strata)), dtype=np.int64)
    for row, number in zip(out, numbers, strict=True):
        rng = stream(seed, number)
        for some in members:
            row[some] = rng.permutation(some)
    return out


def stream(seed: int, number: int) -> np.random.Generator:
    """Random numbers of one permutation: the child `number` of those that the seed spawns."""
    return np.random.default_rng(np.random.SeedSequence(seed, spawn_key=(number,)))


def restricted(orders: Index, samples: Index) -> Index:
    """Permutations of some of the samples, as close to those of all as can be.

    A sample takes the value of the first of those that follow it in the permutation (its image, the
    image of that, ...) which is among the chosen. All permutations of the chosen are equally likely
    then (a cycle from which a sample is taken stays uniform), none leaves its stratum, and two
    traits move alike wherever both were measured.

    Parameters
    ----------
    orders : array (N, n)
        From `permutations`.
    samples : array (k,)
        The chosen, ascending.

    Returns
    -------
    array (N, k)
        Positions among the chosen.
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
    """Draw the whitened residuals of the traits of a scan in the orders (N, n) of their samples."""
    scores = scan.scores * np.sqrt(scan.basis.variances(scan.h2))
    residuals = scores if scan.basis.vectors is None else scan.basis.vectors @ scores
    by_trait = np.ascontiguousarray(residuals.T)

    def draw(j: int, which: slice | Index) -> Array:
        return by_trait[j][orders[which]]

    return draw


def split_markers(genotypes: npt.ArrayLike, places: Index) -> dict[int, Array]:
    """Distinct genotypes (variants, samples, ...) of every place, without gaps."""
    x = impute(genotypes)
    return {int(place): distinct_markers(x[places == place])[0] for place in np.unique(places)}


def permuted_maxima(
    markers: Mapping[int, Array],
    n_places: int,
    fitted: TraitFits[NullScan],
    samples: Samples,
    orders: Index,
    model: ModelOptions,
    *,
    single: bool,
) -> npt.NDArray[np.float32]:
    """Largest LOD of every permutation and trait at every place, (N, traits, places).

    Parameters
    ----------
    markers : mapping of int to array (variants, n, ...)
        Genotypes by place (a contig, or one for all), from `split_markers`.
    n_places : int
        Number of places.
    fitted : TraitFits of NullScan
        A chunk of traits, by REML; those without a null model get `NONE`.
    samples : Samples
        All of them.
    orders : array (N, n)
        From `permutations`, of all samples.
    model : ModelOptions
        How the permuted traits are estimated, and what is tested.
    single : bool
        Multiply in single precision.
    """
    out = np.full((len(orders), len(fitted.h2), n_places), NONE, dtype=np.float32)
    places = list(markers)
    for group in fitted.groups:
        scan, rows = group.scanner, group.samples
        everyone = len(rows) == orders.shape[1]
        found = highest_lods(
            [x if everyone else x[:, rows] for x in markers.values()],
            group.basis,
            samples if everyone else samples.take(rows),
            scan.h2,
            permuted(scan, orders if everyone else restricted(orders, rows)),
            len(orders),
            model,
            single=single,
        )
        out[:, group.columns[:, None], places] = found
    return out
