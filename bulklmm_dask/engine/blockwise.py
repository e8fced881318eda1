"""Reduction of a large result: a function on every block, then one on each chunk of traits.

A block is dropped once the function has run on it, and all arrays of a block are computed together.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt
import xarray as xr

Block: TypeAlias = dict[str, xr.Variable]

_PAIR = ("variants", "traits")


def gathered(
    whole: xr.Dataset,
    sift: Callable[..., Any],
    gather: Callable[..., Any],
    *,
    sift_with: dict[str, Any],
    gather_with: dict[str, Any],
    beside: xr.Dataset | None = None,
) -> list[Any]:
    """Run ``sift`` on every block, then ``gather`` on its results for each chunk of traits.

    If ``whole`` holds a single array of pairs, dask computes and sifts a block in one task, while
    it is in the processor's cache.

    Parameters
    ----------
    whole : Dataset
        Variables over variants, traits or both, with consistent chunks.
    sift : callable
        ``sift(block, **sift_with)`` reduces the variables of one block, a mapping by name, to a
        small object.
    gather : callable
        ``gather(parts, chunk, **gather_with)`` combines the results of ``sift`` for the chunk of
        traits with the number ``chunk``, in the order of the variants.
    sift_with, gather_with : dict
        Further keyword arguments of the two functions.
    beside : Dataset, optional
        Further variables over variants or traits. ``gather`` receives them as ``beside``, for all
        variants and for the traits of its chunk.

    Returns
    -------
    list
        Results of ``gather``, one per chunk of traits in order.
    """
    cuts = {dim: whole.chunksizes[dim] for dim in _PAIR}
    sizes = cuts["traits"]
    columns = {} if beside is None else dict(beside.variables)
    columns["_part"] = on_blocks(whole.variables, cuts, sift, sift_with)
    columns["_chunk"] = xr.Variable("traits", np.repeat(np.arange(len(sizes)), sizes))
    options = {"gather": gather, "options": gather_with, "more": beside is not None}
    return list(on_blocks(columns, {"traits": sizes}, _collected, options).values)


def _collected(
    column: Block, gather: Callable[..., Any], options: dict[str, Any], *, more: bool
) -> Any:
    """Call ``gather`` with the results of ``sift`` for one chunk of traits."""
    parts, chunk = list(column.pop("_part").values.ravel()), int(column.pop("_chunk").values[0])
    return gather(parts, chunk, **options, **({"beside": column} if more else {}))


def on_blocks(
    given: Mapping[Any, xr.Variable],
    cuts: dict[str, tuple[int, ...]],
    function: Callable[..., Any],
    options: dict[str, Any],
) -> xr.Variable:
    """Run a function lazily on every block of some variables; it gives one object per block.

    Parameters
    ----------
    given : mapping of str to Variable
        Variables, of which each block has a part.
    cuts : dict of str to tuple of int
        Sizes of the blocks along each cut dimension; other dimensions are whole in every block.
    function : callable
        ``function(block, **options)`` with the variables of one block, a mapping by name.
    options : dict
        Further keyword arguments of the function.

    Returns
    -------
    Variable
        Results of the function, over the cut dimensions. Its chunks claim the sizes of the blocks
        but hold one object each; dask passes chunks on without checking their size.
    """
    dims = tuple(cuts)
    cut = [each.chunk({d: cuts.get(str(d), -1) for d in each.dims}) for each in given.values()]
    found = xr.apply_ufunc(
        _of_block,
        *cut,
        input_core_dims=[[d for d in each.dims if d not in dims] for each in cut],
        kwargs={
            "layout": {name: each.dims for name, each in given.items()},
            "dims": dims,
            "function": function,
            "options": options,
        },
        dask="parallelized",
        output_dtypes=[object],
    )
    return found.transpose(*dims)


def _of_block(
    *arrays: npt.NDArray[Any],
    layout: dict[str, tuple[str, ...]],
    dims: tuple[str, ...],
    function: Callable[..., Any],
    options: dict[str, Any],
) -> npt.NDArray[np.object_]:
    """Call a function with the variables of one block."""
    block = {}
    for (name, own), array in zip(layout.items(), arrays, strict=True):
        axes: list[str | None] = []
        for dim in dims:
            if dim in own:
                axes.append(dim)
            elif axes:
                axes.append(None)  # dimension of size 1, added by xarray for alignment
        axes += [dim for dim in own if dim not in dims]
        values = array[tuple(0 if dim is None else slice(None) for dim in axes)]
        one = xr.Variable([dim for dim in axes if dim], values, fastpath=True)  # skips validation
        block[name] = one.transpose(*own)
    out = np.empty((1,) * len(dims), dtype=object)
    out[(0,) * len(dims)] = function(block, **options)
    return out
