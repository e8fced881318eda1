"""Helpers for arrays in memory or in dask: conversion, chunks, and splitting."""

from __future__ import annotations

from typing import Any

import dask.array as da
import numpy as np
import numpy.typing as npt


def is_lazy(array: Any) -> bool:
    """Whether an array is a dask array, so that its values are not computed yet."""
    return isinstance(array, da.Array)


def as_dask(array: Any, chunks: tuple[Any, ...]) -> da.Array:
    """Convert an array to a dask array with these chunks."""
    if isinstance(array, da.Array):
        return array.rechunk(chunks)
    return da.from_array(array, chunks=chunks, name=False)


def in_one_chunk(array: Any) -> Any:
    """A dask array as one delayed NumPy array; an array in memory is returned unchanged."""
    if isinstance(array, da.Array):
        return array.rechunk(array.shape).to_delayed().ravel()[0]
    return array


class _Texts(np.ndarray):
    """Texts of which one is an array too: as a plain text, which NumPy gives, dask stores none."""

    def __getitem__(self, key: Any) -> Any:
        found = super().__getitem__(key)
        return np.array(found, self.dtype) if isinstance(found, str) else found


def as_texts(array: da.Array, dtype: np.dtype[Any]) -> da.Array:
    """A dask array of objects as texts of fixed width: xarray writes these, while they are lazy."""
    empty = np.empty((0,) * array.ndim, dtype)
    return da.map_blocks(_texts_of, array, dtype, dtype=dtype, meta=empty)


def _texts_of(chunk: npt.NDArray[Any], dtype: np.dtype[Any]) -> npt.NDArray[Any]:
    return chunk.astype(dtype).view(_Texts)


def split(values: npt.NDArray[Any], sizes: tuple[int, ...]) -> list[npt.NDArray[Any]]:
    """Split an array into pieces of these sizes along its first dimension."""
    return np.split(values, np.cumsum(sizes)[:-1])
