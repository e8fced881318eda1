"""Frequency of the effect allele among the samples that a trait is scanned on."""

from __future__ import annotations

import numpy as np

from bulklmm_dask.typing import Array, Flags, Real, Single

# Numbers of the markers that are looked at together: they stay in cache.
_CELLS = 2**17


def allele_frequencies(dosage: Real, used: Flags, maximum: float) -> Single:
    """Mean dosage of every marker over some of the samples, as a share of the largest dosage.

    Missing calls are left out, as in GEMMA's column af.

    Parameters
    ----------
    dosage : array (variants, samples)
        NaN where there is no call.
    used : array (samples, patterns) of bool
        The samples of each pattern.
    maximum : float
        Largest dosage, that of two copies of the effect allele.

    Returns
    -------
    array (variants, patterns)
        Between 0 and 1; NaN where no sample of the pattern has a call.
    """
    weights = used.astype(np.float64)
    out = np.empty((len(dosage), weights.shape[1]), np.float32)
    step = max(1, _CELLS // max(1, len(weights)))
    for start in range(0, len(dosage), step):
        some = slice(start, start + step)
        out[some] = _shares(np.asarray(dosage[some], dtype=np.float64), weights, maximum)
    return out


def _shares(values: Array, weights: Array, maximum: float) -> Array:
    """Frequencies (variants, patterns) of a few markers, in double precision."""
    counts = np.tile(weights.sum(axis=0), (len(values), 1))
    with np.errstate(invalid="ignore"):
        sums = values @ weights
        some = np.flatnonzero(np.isnan(sums).any(axis=1))  # NaN of one sample is that of the sum
        if some.size:
            called = ~np.isnan(values[some])
            sums[some] = np.where(called, values[some], 0.0) @ weights
            counts[some] = called @ weights
        return np.asarray(sums / (maximum * counts))
