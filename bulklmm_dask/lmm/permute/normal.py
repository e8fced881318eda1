r"""Null distribution shared by many traits: highest LOD scores of simulated noise at some h2.

Under the null the whitened residuals of a trait are noise, whatever its h2. The distribution of the
highest LOD therefore depends on the trait only through h2, which determines the weights of the
markers. Instead of permuting residuals (`residuals`), noise of unit variance is drawn, the same at
every node of h2; the null distribution of a trait between two nodes is a mixture of theirs.
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

# Shares of variance due to the kinship at which the null is drawn, denser where it changes fast.
_SHARES = (0.0, 0.025, 0.05, 0.1, 0.2, 0.3, 0.5, 0.7, 0.9, 0.99, 0.9999, 1.0)
N_NODES = len(_SHARES)


def nodes(covariance: Covariance) -> Array:
    """Heritabilities (N_NODES,) at which the null is drawn, ascending, both ends included.

    They depend on the samples only, so that the threshold of a trait does not depend on others.
    """
    return np.minimum(covariance.at_share(np.array(_SHARES)), covariance.h2_max)


def noise(seed: int, numbers: Sequence[int], n: int) -> Array:
    """Standard normal vectors (len(numbers), n), each from its own random stream."""
    return np.stack([stream(seed, number).standard_normal(n) for number in numbers])


def shared_maxima(
    markers: Mapping[int, Array],
    n_pools: int,
    basis: Basis,
    samples: Samples,
    rows: Index,
    draws: Array,
    model: ModelOptions,
    *,
    single: bool,
) -> npt.NDArray[np.float32]:
    """Highest LOD of every draw at every node over the markers of each pool, (N, nodes, pools).

    Parameters
    ----------
    markers : mapping of int to array (variants, n, ...)
        Genotypes of all n samples by pool, from `residuals.split_markers`.
    n_pools : int
        Number of pools; those without markers get `maxima.NONE`.
    basis : Basis
        Eigenbasis of the k samples in use.
    samples : Samples
        The k samples.
    rows : array (k,)
        Their positions among all n samples.
    draws : array (N, n)
        Noise for all n samples, from `noise`.
    model : ModelOptions
        How the draws are estimated, and what is tested.
    single : bool
        Compute matrix products in single precision.
    """
    vectors, at = np.ascontiguousarray(draws[:, rows]), nodes(basis)

    def draw(j: int, which: slice | Index) -> Array:
        return vectors[which]

    chosen = [x[:, rows] for x in markers.values()]
    out = np.full((len(draws), len(at), n_pools), NONE, dtype=np.float32)
    out[:, :, list(markers)] = highest_lods(
        chosen, basis, samples, at, draw, len(draws), model, single=single
    )
    return out
