"""Graph of a reduction of a large result: what `blockwise` runs."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from itertools import pairwise, product
from typing import TYPE_CHECKING, Any, TypeAlias

import dask.array as da
import numpy as np
import numpy.typing as npt
import xarray as xr
from dask.base import tokenize

from bulklmm_dask.engine.arrays import alone, as_dask, is_lazy, only, per_block
from bulklmm_dask.engine.held import held_objects
from bulklmm_dask.engine.overlap import overlapping
from bulklmm_dask.engine.rules import ruled
from bulklmm_dask.engine.watch import computed

if TYPE_CHECKING:
    from bulklmm_dask.engine.blockwise import Block

# Sizes of the blocks along each dimension that is cut.
Cuts: TypeAlias = dict[str, tuple[int, ...]]

_PAIR = ("variants", "traits")


def cut(variable: xr.Variable, sizes: Mapping[Any, Any]) -> xr.Variable:
    """Run `blockwise.in_chunks`."""
    chunks = tuple(sizes.get(dim, -1) for dim in variable.dims)
    data: Any = as_dask(variable.data, chunks)
    return variable.copy(deep=False, data=data)


def reduced(
    whole: xr.Dataset,
    sift: Callable[..., Any],
    gather: Callable[..., Any],
    sift_with: dict[str, Any],
    gather_with: dict[str, Any],
    beside: xr.Dataset | None,
) -> list[Any]:
    """Run `blockwise.gathered`."""
    cuts = {dim: whole.chunksizes[dim] for dim in _PAIR}
    parts = _on_blocks(per_block, _sifted, "sift", whole.variables, cuts, sift, sift_with)
    of_traits = {"traits": cuts["traits"]}
    numbers = held_objects("chunk-number", range(len(cuts["traits"])), (cuts["traits"],), cuts)
    found = _on_blocks(
        ruled,
        _gathered,
        "gather",
        {} if beside is None else beside.variables,
        of_traits,
        gather,
        gather_with,
        (parts, "vt", numbers, "t"),
        listed="v",
        more=beside is not None,
    )
    read = [each for each in whole.variables.values() if is_lazy(each.data)]
    block = math.prod(max(sizes) for sizes in cuts.values())
    task_bytes = block * sum(each.dtype.itemsize for each in read)
    with overlapping(None, task_bytes, *(each.data for each in read)):
        return list(*computed(found))


def _on_blocks(
    make: Callable[..., da.Array],
    task: Callable[..., Any],
    what: str,
    given: Mapping[Any, xr.Variable],
    cuts: Cuts,
    function: Callable[..., Any],
    options: dict[str, Any],
    first: tuple[Any, ...] = (),
    **more: Any,
) -> da.Array:
    """Run a task lazily on every block of some variables.

    Variables that are lazy are inputs of the tasks, each for itself. Those in memory come together:
    one input for all that are cut along the same dimensions.
    """
    letters = {dim: dim[0] for dim in cuts}
    lazy = {name: each for name, each in given.items() if is_lazy(each.data)}
    inputs, layout = list(first), []
    for name, each in lazy.items():
        along = "".join(letters.get(str(dim), chr(65 + at)) for at, dim in enumerate(each.dims))
        inputs += [cut(each, cuts).data, along]
        layout.append((name, each.dims))
    for dims in dict.fromkeys(
        _cut_along(each, cuts) for name, each in given.items() if name not in lazy
    ):
        mine = {
            name: each
            for name, each in given.items()
            if name not in lazy and _cut_along(each, cuts) == dims
        }
        inputs += [
            _together(mine, {dim: cuts[dim] for dim in dims}),
            "".join(letters[dim] for dim in dims),
        ]
    name = getattr(function, "__module__", what).rpartition(".")[2]
    token = tokenize([getattr(each, "name", each) for each in inputs], function, options, layout)
    return make(
        task,
        "".join(letters.values()),
        *inputs,
        name=f"{what}-{name.strip('_').replace('_', '-')}-{token}",
        layout=tuple(layout),
        call=function,
        call_with=options,
        **more,
    )


def _cut_along(variable: xr.Variable, cuts: Cuts) -> tuple[str, ...]:
    return tuple(dim for dim in cuts if dim in variable.dims)


def _together(variables: Mapping[Any, xr.Variable], cuts: Cuts) -> da.Array:
    """Variables in memory that are cut along these dimensions, as one input of tasks."""
    edges = [np.cumsum([0, *sizes]).tolist() for sizes in cuts.values()]
    regions = [
        dict(zip(cuts, map(slice, *zip(*corner, strict=True)), strict=True)) if corner else {}
        for corner in product(*(pairwise(ends) for ends in edges))
    ]
    items = ({name: _region(each, at) for name, each in variables.items()} for at in regions)
    token = ([(name, each.dims, each.values) for name, each in variables.items()], cuts)
    return held_objects("columns", items, tuple(cuts.values()), token)


def _region(variable: xr.Variable, region: dict[str, slice]) -> xr.Variable:
    key = tuple(region.get(str(dim), slice(None)) for dim in variable.dims)
    return xr.Variable(variable.dims, variable.values[key], fastpath=True)


def _block(chunks: tuple[Any, ...], layout: tuple[tuple[Any, Any], ...]) -> Block:
    """The variables of a block, from the inputs of its task."""
    block: Block = {}
    for (name, dims), chunk in zip(layout, chunks, strict=False):
        block[name] = xr.Variable(dims, only(chunk), fastpath=True)  # skips validation
    for held in chunks[len(layout) :]:
        block |= held
    return block


def _sifted(
    *chunks: Any,
    layout: tuple[tuple[Any, Any], ...],
    call: Callable[..., Any],
    call_with: dict[str, Any],
) -> Any:
    """Call ``sift`` with the variables of one block."""
    return call(_block(chunks, layout), **call_with)


def _gathered(
    parts: list[Any],
    number: int,
    *chunks: Any,
    layout: tuple[tuple[Any, Any], ...],
    call: Callable[..., Any],
    call_with: dict[str, Any],
    more: bool,
) -> npt.NDArray[np.object_]:
    """Call ``gather`` with the results of ``sift`` for one chunk of traits."""
    rest = {"beside": _block(chunks, layout)} if more else {}
    return alone(call(parts, number, **call_with, **rest))
