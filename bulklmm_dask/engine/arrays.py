"""Helpers for arrays in memory or in dask: conversion, chunks, and arrays of objects."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import dask.array as da
import numpy as np
import numpy.typing as npt

from bulklmm_dask.engine.held import held_array


def is_lazy(array: Any) -> bool:
    """Whether an array is a dask array, so that its values are not computed yet."""
    return isinstance(array, da.Array)


def as_dask(array: Any, chunks: tuple[Any, ...], name: str = "held") -> da.Array:
    """Convert an array to a dask array with these chunks; one in memory is named `name`."""
    if isinstance(array, da.Array):
        return array.rechunk(chunks)
    return held_array(np.asarray(array), chunks, name)


def per_block(
    function: Callable[..., Any],
    index: str,
    *inputs: Any,
    name: str,
    dtype: Any = object,
    new_axes: dict[str, int] | None = None,
    **options: Any,
) -> da.Array:
    """Call a function for every block; the graph is one layer, symbolic, with keys of this name.

    Parameters
    ----------
    function : callable
        Takes the chunks of the inputs, each as a list of chunks (of lists, and so on) along
        dimensions that the output lacks, and the options.
    index : str
        Dimensions of the output, a letter each.
    inputs : dask array, str, ...
        Arrays and their dimensions in turn.
    name : str
        Begins the keys of the tasks; equal names mean equal tasks.
    dtype : dtype
        Of the output. Any object can stand in place of a chunk of objects, for dask passes chunks
        on without looking at them.
    new_axes : dict, optional
        Sizes of dimensions that no input has.
    options : dict
        Further keyword arguments of the function.
    """
    return da.blockwise(
        function,
        index,
        *inputs,
        name=name,
        new_axes=new_axes,
        dtype=dtype,
        meta=np.empty((0,) * len(index), dtype),
        align_arrays=False,  # they are aligned
        **options,
    )


def only(chunk: Any) -> Any:
    """The single chunk along dimensions that are not cut, out of the list, or lists, it is in."""
    while isinstance(chunk, list):
        (chunk,) = chunk
    return chunk


def alone(item: Any) -> npt.NDArray[np.object_]:
    """An array that holds one object: what a chunk of objects gives when arrays are computed."""
    found = np.empty(1, dtype=object)
    found[0] = item
    return found


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
