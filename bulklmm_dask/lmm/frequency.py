"""Frequency of the effect allele among the samples that a trait is scanned on."""

from __future__ import annotations

import numpy as np

from bulklmm_dask.typing import Array, Flags, Real, Single


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
    values = np.asarray(dosage, dtype=np.float64)
    called = ~np.isnan(values)
    weights = used.astype(np.float64)
    counts: Array = weights.sum(axis=0)[None]
    if not called.all():
        counts = called @ weights
        values = np.where(called, values, 0.0)
    with np.errstate(invalid="ignore"):
        return np.asarray((values @ weights) / (maximum * counts), dtype=np.float32)
