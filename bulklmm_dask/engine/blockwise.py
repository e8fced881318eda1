"""A function run on every block of a result, and on what it found for each chunk of traits.

No block outlives its turn, and all arrays of a block are computed together, once.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt
import xarray as xr

Block: TypeAlias = dict[str, xr.Variable]
Sift: TypeAlias = Callable[..., Any]
Gather: TypeAlias = Callable[..., Any]

_PAIR = ("variants", "traits")


def gathered(
    whole: xr.Dataset,
    sift: Sift,
    gather: Gather,
    *,
    sift_with: dict[str, Any],
    gather_with: dict[str, Any],
    beside: xr.Dataset | None = None,
) -> list[Any]:
    """Run ``sift`` on every block, then ``gather`` on what was found for each chunk of traits.

    Where ``whole`` has one array of every pair and nothing else, a block is sifted in one go with
    computing it, while it is in the processor's cache.

    Parameters
    ----------
    whole : Dataset
        Of variables over variants, traits or both, in chunks that agree.
    sift : callable
        ``sift(block, **sift_with)``, of a mapping of the variables of one block, to something
        small.
    gather : callable
        ``gather(parts, number of the chunk of traits, **gather_with)``, with the parts that
        ``sift`` gave for the chunk, in the order of the variants.
    sift_with, gather_with : dict
        More arguments of both.
    beside : Dataset, optional
        More such variables, which ``gather`` is given as its argument ``beside``: of all the
        variants, and of the traits of its chunk.

    Returns
    -------
    list
        What ``gather`` gave for each chunk of traits, in their order.
    """
    cuts = {dim: whole.chunksizes[dim] for dim in _PAIR}
    sizes = cuts["traits"]
    columns = {} if beside is None else dict(beside.variables)
    columns["_part"] = on_blocks(whole.variables, cuts, sift, sift_with)
    columns["_chunk"] = xr.Variable("traits", np.repeat(np.arange(len(sizes)), sizes))
    options = {"gather": gather, "options": gather_with, "more": beside is not None}
    return list(on_blocks(columns, {"traits": sizes}, _collected, options).values)


def _collected(column: Block, gather: Gather, options: dict[str, Any], *, more: bool) -> Any:
    parts, chunk = list(column.pop("_part").values.ravel()), int(column.pop("_chunk").values[0])
    return gather(parts, chunk, **options, **({"beside": column} if more else {}))


def on_blocks(
    given: Mapping[Any, xr.Variable],
    cuts: dict[str, tuple[int, ...]],
    function: Callable[..., Any],
    options: dict[str, Any],
) -> xr.Variable:
    """Run a function on every block of some variables, lazily: one object a block.

    Parameters
    ----------
    given : mapping of str to Variable
        What a block is made of.
    cuts : dict of str to tuple of int
        Sizes of the blocks along each dimension that is cut; others are whole in every block.
    function : callable
        ``function(block, **options)``, of a mapping of the variables of one block.
    options : dict
        More arguments of it.

    Returns
    -------
    Variable
        Of the dimensions that are cut, holding what the function gave. It claims the size of the
        blocks, though it has one object of each: dask hands them on without looking inside.
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
                axes.append(None)  # added by xarray to align with the others
        axes += [dim for dim in own if dim not in dims]
        values = array[tuple(0 if dim is None else slice(None) for dim in axes)]
        one = xr.Variable([dim for dim in axes if dim], values, fastpath=True)  # no look at names
        block[name] = one.transpose(*own)
    out = np.empty((1,) * len(dims), dtype=object)
    out[(0,) * len(dims)] = function(block, **options)
    return out
