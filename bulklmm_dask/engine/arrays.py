"""Arrays that may be lazy: brought to dask, cut into chunks, or taken whole."""

from __future__ import annotations

from typing import Any

import dask.array as da
import numpy as np
import numpy.typing as npt


def is_lazy(array: Any) -> bool:
    """Whether an array is a dask array, whose values are not known yet."""
    return isinstance(array, da.Array)


def as_dask(array: Any, chunks: tuple[Any, ...]) -> da.Array:
    """Array as a dask array of these chunks."""
    if isinstance(array, da.Array):
        return array.rechunk(chunks)
    return da.from_array(array, chunks=chunks, name=False)


def in_one_chunk(array: Any) -> Any:
    """Delayed whole of a dask array; what is in memory stays as it is."""
    if isinstance(array, da.Array):
        return array.rechunk(array.shape).to_delayed().ravel()[0]
    return array


def split(values: npt.NDArray[Any], sizes: tuple[int, ...]) -> list[npt.NDArray[Any]]:
    """Cut an array into pieces of these sizes along its first dimension."""
    return np.split(values, np.cumsum(sizes)[:-1])
