r"""A null shared by many traits: maxima of LOD scores of random residuals, at some heritabilities.

Under the null the whitened residuals of a trait are noise whatever its h2, so that the distribution
of the highest LOD depends on the trait only through h2, which decides how markers are weighted.
Noise of unit variance stands in for the residuals of `residuals`, the same at every node; a trait
between two nodes gets a mixture of their nulls.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import numpy.typing as npt

from bulklmm_dask.lmm.basis import Basis
from bulklmm_dask.lmm.covariance import Covariance
from bulklmm_dask.lmm.options import ModelOptions
from bulklmm_dask.lmm.permute.maxima import NONE, highest_lods
from bulklmm_dask.lmm.permute.residuals import stream
from bulklmm_dask.lmm.samples import Samples
from bulklmm_dask.typing import Array, Index

# Shares of the variance at which the null is drawn, denser where it changes fast.
_SHARES = (0.0, 0.025, 0.05, 0.1, 0.2, 0.3, 0.5, 0.7, 0.9, 0.99, 0.9999, 1.0)
N_NODES = len(_SHARES)


def nodes(covariance: Covariance) -> Array:
    """Heritabilities at which the null is drawn, ascending, the ends of the interval among them.

    They depend on the samples alone: a trait's threshold does not depend on the other traits.
    """
    return np.minimum(covariance.at_share(np.array(_SHARES)), covariance.h2_max)


def noise(seed: int, numbers: Sequence[int], n: int) -> Array:
    """Standard normal vectors (len(numbers), n), each from a stream of its own."""
    return np.stack([stream(seed, number).standard_normal(n) for number in numbers])


def shared_maxima(
    markers: Mapping[int, Array],
    n_places: int,
    basis: Basis,
    samples: Samples,
    rows: Index,
    draws: Array,
    model: ModelOptions,
    *,
    single: bool,
) -> npt.NDArray[np.float32]:
    """Largest LOD of every draw and node at every place, (N, nodes, places).

    Parameters
    ----------
    markers : mapping of int to array (variants, n, ...)
        Genotypes by place, of all samples, from `residuals.split_markers`.
    n_places : int
        Number of places; those without markers get `maxima.NONE`.
    basis : Basis
        Of the samples chosen.
    samples : Samples
        These.
    rows : array (k,)
        Which they are.
    draws : array (N, n)
        From `noise`, of all samples.
    model : ModelOptions
        How the draws are estimated, and what is tested.
    single : bool
        Multiply in single precision.
    """
    vectors, at = np.ascontiguousarray(draws[:, rows]), nodes(basis)

    def draw(j: int, which: slice | Index) -> Array:
        return vectors[which]

    chosen = [x[:, rows] for x in markers.values()]
    out = np.full((len(draws), len(at), n_places), NONE, dtype=np.float32)
    out[:, :, list(markers)] = highest_lods(
        chosen, basis, samples, at, draw, len(draws), model, single=single
    )
    return out
