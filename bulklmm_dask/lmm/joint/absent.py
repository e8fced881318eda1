"""Genotypes that nearly no sample has: their effect would be the error of their probabilities."""

from __future__ import annotations

import numpy as np

from bulklmm_dask.typing import Array, Flags, Real

# A genotype is absent at a marker if no sample has it with a probability of at least this. R/qtl2's
# `clean_genoprob` has the same threshold.
LEAST = 0.01


def absent_genotypes(probabilities: Real) -> Flags:
    """Mask (variants, genotypes) of genotypes to be set to 0: absent, but not 0 already.

    Of a marker without any genotype at the threshold, none is.

    Parameters
    ----------
    probabilities : array (variants, samples, genotypes)
        NaN where missing.
    """
    highest = np.fmax.reduce(probabilities, axis=1, initial=0.0)
    low = highest < LEAST
    return np.asarray(low & (highest > 0.0) & ~low.all(axis=1, keepdims=True))


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
