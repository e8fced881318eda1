"""Samples and markers that are copies of others, which a scan computes once."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Self

import numpy as np

from bulklmm_dask.engine.arrays import is_lazy
from bulklmm_dask.lmm.markers import distinct_markers
from bulklmm_dask.typing import Index

# Blocks in which copies are counted, and their markers, as many as the usual blocks of a scan have.
_BLOCKS, _MARKERS = 4, 2048
# Columns of a kinship that are compared.
_COLUMNS = 64


@dataclass(frozen=True)
class Copies:
    """What a study has different ones of.

    Attributes
    ----------
    samples : int or None
        Number of samples with different genotypes, which a kinship has no higher rank than; None
        where all differ, or nobody knows.
    markers : float
        Share of the markers of a block that are computed; 1 where nobody knows.
    """

    samples: int | None = None
    markers: float = 1.0

    @classmethod
    def of(cls, genotypes: Any, kinship: Any, strains: Index | None) -> Self:
        """Count copies; what is lazy is not read.

        Parameters
        ----------
        genotypes : array (variants, samples, ...)
            Genotypes, in a few blocks of which copies are counted.
        kinship : array (..., samples, samples) or None
            Kinship. Samples of a strain are copies if it has equal rows for them; one that is lazy,
            or to come, is taken to have.
        strains : array (samples,) of int, optional
            Number of the strain of each sample.
        """
        share = 1.0 if is_lazy(genotypes) else _different(genotypes)
        if strains is None:
            return cls(None, share)
        _, first, of = np.unique(strains, return_index=True, return_inverse=True)
        known = None if kinship is None or is_lazy(kinship) else np.asarray(kinship)
        some = slice(None, None, max(len(strains) // _COLUMNS, 1))
        alike = known is None or np.allclose(known[..., some], known[..., first[of], some])
        return cls(len(first) if alike and len(first) < len(strains) else None, share)


def _different(genotypes: Any) -> float:
    """Share of the markers that are computed, of some blocks (`distinct_markers`)."""
    last = max(len(genotypes) - _MARKERS, 0)
    starts = {last * number // (_BLOCKS - 1) for number in range(_BLOCKS)}
    blocks = [np.asarray(genotypes[start : start + _MARKERS]) for start in starts]
    return sum(len(distinct_markers(each)[0]) for each in blocks) / sum(map(len, blocks))
