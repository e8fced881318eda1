"""Genotypes that no sample has: their effect would be the error of their probabilities."""

from __future__ import annotations

import numpy as np

from bulklmm_dask.typing import Array, Flags, Real

# A genotype is absent at a marker if fewer samples than this have it, by the sum of their
# probabilities. Above it, the columns of R/qtl2's `scan1` are tested and its LODs found.
LEAST = 1e-4


def absent_genotypes(probabilities: Real) -> Flags:
    """Mask (variants, genotypes) of genotypes to be set to 0: absent, but not 0 already.

    Of a marker without any genotype that reaches the threshold, none is.

    Parameters
    ----------
    probabilities : array (variants, samples, genotypes)
        NaN where missing.
    """
    expected = np.add.reduce(probabilities, axis=1, dtype=np.float64)
    gaps = np.flatnonzero(np.isnan(expected).any(axis=1))
    expected[gaps] = np.nansum(probabilities[gaps], axis=1, dtype=np.float64)
    low = expected < LEAST
    return np.asarray(low & (expected > 0.0) & ~low.all(axis=1, keepdims=True))


def without_absent(probabilities: Array) -> Array:
    """Set absent genotypes to 0, and scale the others of each sample to the same sum.

    Parameters
    ----------
    probabilities : array (variants, samples, genotypes)
        None missing.
    """
    absent = absent_genotypes(probabilities)
    markers = np.flatnonzero(absent.any(axis=1))
    if not len(markers):
        return probabilities
    some = probabilities[markers]
    kept = np.where(absent[markers, None], 0.0, some)
    left = kept.sum(axis=2, keepdims=True)
    out = probabilities.copy()
    out[markers] = kept * (some.sum(axis=2, keepdims=True) / np.where(left > 0.0, left, 1.0))
    return out
