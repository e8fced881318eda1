"""Sizes of objects of `lmm` in the memory of workers, for Dask.

Dask would take each for some dozen bytes: it would move it about as if that cost nothing, and not
put it on the disk where memory is short.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from dask.sizeof import sizeof

from bulklmm_dask.lmm.basis import Basis
from bulklmm_dask.lmm.components.kernels import KernelSamples, RotatedKernels
from bulklmm_dask.lmm.samples import Samples


def size_of(item: Any, counted: set[int] | None = None) -> int:
    """Bytes of all arrays in an object, each once; without those whose `id` is in `counted`."""
    known = set() if counted is None else counted
    if id(item) in known:
        return 0
    known.add(id(item))
    if isinstance(item, np.ndarray):
        return size_of(item.base, known) if isinstance(item.base, np.ndarray) else item.nbytes
    if isinstance(item, list | tuple):
        return sum(size_of(part, known) for part in item)
    if isinstance(item, dict):
        return sum(size_of(part, known) for part in item.values())
    parts = vars(item).values() if hasattr(item, "__dict__") else ()
    return sum(size_of(part, known) for part in parts)


@sizeof.register((Basis, KernelSamples, RotatedKernels, Samples))
def _size_of(item: Any) -> int:
    return size_of(item)
