"""Graph of the allele frequencies of a scan: one pass over the markers, a chunk at a time."""

from __future__ import annotations

import dask.array as da
import numpy as np

from bulklmm_dask.engine.arrays import as_dask
from bulklmm_dask.engine.blas import one_blas_thread
from bulklmm_dask.engine.patterns import Patterns
from bulklmm_dask.engine.study import Study
from bulklmm_dask.lmm.frequency import allele_frequencies
from bulklmm_dask.typing import Flags, Real, Single

# Patterns of a chunk.
_PATTERNS = 4096


def lazy_frequencies(study: Study, patterns: Patterns, sizes: tuple[int, ...]) -> da.Array:
    """Frequency of the effect allele at every marker, for each pattern of missing values.

    Parameters
    ----------
    study : Study
        With dosages.
    patterns : Patterns
        Of its traits.
    sizes : tuple of int
        Sizes of the chunks of markers.

    Returns
    -------
    dask array (variants, patterns)
        In single precision; nothing is computed.
    """
    values = as_dask(study.genotypes.values, (sizes, len(study.measured.sample_names)))
    kept = da.from_array(patterns.used, chunks=(-1, _PATTERNS), name=False)
    return da.blockwise(
        _of_chunk,
        "vp",
        values,
        "vs",
        kept,
        "sp",
        maximum=study.genotypes.maximum,
        concatenate=True,
        dtype=np.float32,
        meta=np.empty((0, 0), np.float32),
    )


def _of_chunk(dosage: Real, used: Flags, *, maximum: float) -> Single:
    with one_blas_thread():
        return allele_frequencies(dosage, used, maximum)
