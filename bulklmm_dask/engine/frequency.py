"""Graph of the allele frequencies of a scan: one pass over the markers, a chunk at a time."""

from __future__ import annotations

import dask.array as da
import numpy as np

from bulklmm_dask.engine.overlap import computing
from bulklmm_dask.engine.patterns import Patterns
from bulklmm_dask.lmm.frequency import allele_frequencies
from bulklmm_dask.typing import Flags, Real, Single

# Patterns of a chunk.
_PATTERNS = 4096


def lazy_frequencies(dosages: da.Array, maximum: float, patterns: Patterns) -> da.Array:
    """Frequency of the effect allele at every marker, for each pattern of missing values.

    Parameters
    ----------
    dosages : dask array (variants, samples)
        In chunks of markers.
    maximum : float
        Largest possible dosage, 1 or 2.
    patterns : Patterns
        Missing values of the traits.

    Returns
    -------
    dask array (variants, patterns)
        In single precision; nothing is computed.
    """
    kept = da.from_array(patterns.used, chunks=(-1, _PATTERNS), name=False)
    return da.blockwise(
        _of_chunk,
        "vp",
        dosages,
        "vs",
        kept,
        "sp",
        maximum=maximum,
        concatenate=True,
        dtype=np.float32,
        meta=np.empty((0, 0), np.float32),
    )


def _of_chunk(dosage: Real, used: Flags, *, maximum: float) -> Single:
    with computing():
        return allele_frequencies(dosage, used, maximum)
