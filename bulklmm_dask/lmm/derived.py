"""Kernels made of other kernels: products entry by entry, and functions of distances.

Matrices are (samples, samples) or (contigs, samples, samples); each is a kernel of its own.
"""

from __future__ import annotations

import numpy as np

from bulklmm_dask.errors import InputError
from bulklmm_dask.typing import Array

# Kernels of interactions, by the two methods of `kinship` whose matrices are multiplied.
PRODUCTS = {
    "epistasis": ("centered", "centered"),
    "epistasis-dominance": ("centered", "dominance"),
}
GAUSSIAN = "gaussian"

# Squared distances up to this share of the largest are rounding.
_NOTHING = 1e-12


def hadamard(one: Array, other: Array) -> Array:
    """Product of two kernels entry by entry, divided by the mean of its diagonal.

    It is the covariance of the interaction of their effects (Henderson 1985; Vitezica et al. 2017).
    """
    product = one * other
    size = np.einsum("...ii->...", product) / product.shape[-1]
    return product / np.where(size > 0.0, size, 1.0)[..., None, None]


def gaussian(kernel: Array, bandwidth: float | None) -> Array:
    """Kernel exp(-(d / b)^2) of the distances d^2 = k_ii + k_jj - 2 k_ij of samples.

    Parameters
    ----------
    kernel : array (..., samples, samples)
        Products of two samples.
    bandwidth : float or None
        b; None for the median d of the pairs of samples that differ.
    """
    diagonal = np.einsum("...ii->...i", kernel)
    squares = -2.0 * kernel
    squares += diagonal[..., :, None]
    squares += diagonal[..., None, :]
    np.maximum(squares, 0.0, out=squares)
    for each in squares.reshape(-1, *squares.shape[-2:]):  # views
        each /= -(_median(each) if bandwidth is None else bandwidth**2)
    return np.asarray(np.exp(squares, out=squares))


def _median(squares: Array) -> float:
    """Median squared distance of the pairs that differ."""
    least = _NOTHING * squares.max(initial=0.0)
    rows = (row[i + 1 :] for i, row in enumerate(squares))
    apart = np.concatenate([row[row > least] for row in rows])
    if not len(apart):
        raise InputError("no two samples differ, so that they have no distances; give others")
    return float(np.median(apart, overwrite_input=True))
