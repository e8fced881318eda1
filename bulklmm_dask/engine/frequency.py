"""Graph of the allele frequencies of a scan: one pass over the markers, a chunk at a time."""

from __future__ import annotations

from typing import Any

import dask.array as da
import numpy as np
from dask.base import tokenize

from bulklmm_dask.engine.arrays import as_dask, only, per_block
from bulklmm_dask.engine.overlap import computing
from bulklmm_dask.engine.parts import taken
from bulklmm_dask.engine.patterns import Patterns
from bulklmm_dask.lmm.frequency import allele_frequencies
from bulklmm_dask.typing import Single

# Patterns of a chunk.
_PATTERNS = 4096


def lazy_frequencies(dosages: da.Array, maximum: float, patterns: Patterns) -> da.Array:
    """Frequency of the effect allele at every marker, for each pattern of missing values.

    Parameters
    ----------
    dosages : dask array (variants, samples)
        In chunks of markers (`tasks.Markers.values`).
    maximum : float
        Largest possible dosage, 1 or 2.
    patterns : Patterns
        Missing values of the traits.

    Returns
    -------
    dask array (variants, patterns)
        In single precision; nothing is computed.
    """
    used = as_dask(patterns.used, (-1, _PATTERNS), "used-samples")
    return per_block(
        _of_chunk,
        "vp",
        dosages,
        "vs",
        used,
        "sp",
        name=f"frequency-block-{tokenize(dosages.name, used.name, maximum)}",
        dtype=np.float32,
        maximum=maximum,
    )


def _of_chunk(dosage: Any, used: Any, *, maximum: float) -> Single:
    dosage = taken(dosage)
    with computing(first=True):  # a new store begins with them
        return allele_frequencies(dosage, only(used), maximum)
