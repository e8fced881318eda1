"""Forward and backward in one compiled pass, for chains that mix (`chains.h`)."""

from __future__ import annotations

from types import ModuleType

import numpy as np
import numpy.typing as npt

from bulklmm_dask import _compiled
from bulklmm_dask.crosses.chains import Chain, Mixing, MixingPair
from bulklmm_dask.crosses.seen import Seen
from bulklmm_dask.typing import Array, Index, Single

# What the loop takes, and how many individuals it computes at a time, in vectors.
MOST_FOUNDERS = 64
_BLOCKS, _LANES = 16, 4


def built() -> ModuleType | None:
    """The compiled module; None where it was not built."""
    return _compiled.built("crosses.compiled._chains")


def loops_for(chain: Chain) -> int | None:
    """Number of the compiled loops that can compute a chain; None where NumPy has to."""
    mixes = isinstance(chain, Mixing | MixingPair) and len(chain.weights) <= MOST_FOUNDERS
    return _compiled.chosen(built()) if mixes else None


def write_posterior(
    out: Single,
    where: tuple[Index, Index],
    chain: Chain,
    stay: Array,
    which: Index,
    seen: Seen,
    loops: int,
) -> None:
    """Write the posterior of individuals whose chains have the same states and weights.

    Parameters
    ----------
    out : array (positions, all individuals, labels) of float32
    where : (individuals, states)
        Where each is in `out`.
    chain : Chain
        One of their chains.
    stay : array (positions - 1, kinds)
        Probability of keeping a founder over each interval (`steps.kept`).
    which : array (individuals,) of int
        Kind of each individual.
    seen : Seen
    loops : int
        Which compiled loops (`loops_for`).
    """
    module = built()
    assert module is not None
    assert isinstance(chain, Mixing | MixingPair)
    positions, people, labels = out.shape
    states, vectors = len(chain.states), _BLOCKS * _LANES
    module.chains(
        (
            np.ascontiguousarray(stay),
            _int64(which),
            np.array(chain.weights),
            np.ascontiguousarray(chain.start),
            np.ascontiguousarray(seen.table.T),
            _bytes(seen.expected),
            _int64(seen.marker),
            _bytes(seen.calls),
            *map(_int64, where),
            out,
            np.empty((positions, states, vectors), np.float32),
            np.empty((positions, vectors)),
            np.empty((states, vectors)),
        ),
        (
            *(positions, len(which), states, len(chain.weights), stay.shape[1]),
            *(len(seen.expected), people, labels, seen.often),
            2 if isinstance(chain, MixingPair) else 1,
        ),
        loops,
    )


def _int64(values: Index) -> Index:
    return np.ascontiguousarray(values, np.int64)


def _bytes(values: npt.NDArray[np.integer]) -> npt.NDArray[np.uint8]:
    return np.ascontiguousarray(values, np.uint8)
