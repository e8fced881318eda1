"""Layers of a graph that make their tasks by a rule, where dask's `Blockwise` does not fit.

That is so where the inputs of a block follow no pattern: with a kinship per contig, a chunk of
markers reaches over some contigs, and needs what belongs to these. And it is so where many blocks
become one, which dask would compute in a single task if it could.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import product
from math import prod
from typing import Any, cast

import dask.array as da
import numpy as np
from dask._task_spec import List, Task, TaskRef
from dask.highlevelgraph import HighLevelGraph, Layer, MaterializedLayer
from dask.typing import Key


@dataclass(frozen=True)
class Source:
    """Where a task takes a chunk from, or a list of them.

    Attributes
    ----------
    name : str
        Name of an array.
    along : tuple of int
        For each of its dimensions the number of the dimension of the output; -1 for one that is not
        cut, -2 for the one whose chunks are listed.
    count : int
        Number of chunks in a list.
    """

    name: str
    along: tuple[int, ...]
    count: int

    def of(self, index: tuple[int, ...]) -> Any:
        """The input of the task for a block of the output."""
        if -2 not in self.along:
            return self._at(index, 0)
        return List(*(self._at(index, number) for number in range(self.count)))

    def _at(self, index: tuple[int, ...], number: int) -> TaskRef:
        whole = (0, number)
        return TaskRef(
            (self.name, *(index[at] if at >= 0 else whole[-at - 1] for at in self.along))
        )


@dataclass(frozen=True)
class Rule:
    """Which task computes a block.

    Attributes
    ----------
    function : callable
        Takes what comes from each of `inputs`; then, from each of `chosen`, what belongs to the
        block; then `options`.
    inputs : tuple of Source
        The same for all blocks.
    chosen : tuple of tuple of Source
        Of these some are inputs of a block.
    numbers : tuple of tuple of int
        Which, by the place of the block along dimension `axis` of the output.
    axis : int
        That dimension.
    with_index : bool
        Whether the function takes the place of the block, a tuple, before all else.
    options : dict
        The same for all blocks.
    """

    function: Callable[..., Any]
    inputs: tuple[Source, ...]
    chosen: tuple[tuple[Source, ...], ...]
    numbers: tuple[tuple[int, ...], ...]
    axis: int
    with_index: bool
    options: dict[str, Any]

    def task(self, key: Key) -> Task:
        """The task of this key."""
        index = cast("tuple[int, ...]", key)[1:]
        own = [
            sources[number] for sources in self.chosen for number in self.numbers[index[self.axis]]
        ]
        taken = [source.of(index) for source in (*self.inputs, *own)]
        first = [index] if self.with_index else []
        return Task(key, self.function, *first, *taken, **self.options)


class RuleLayer(Layer):
    """Layer of a graph that makes its tasks when they are asked for."""

    has_legacy_tasks = False

    def __init__(self, name: str, numblocks: tuple[int, ...], rule: Rule) -> None:
        super().__init__()
        self.name, self.numblocks, self.rule = name, numblocks, rule

    def __contains__(self, key: Any) -> bool:
        if not isinstance(key, tuple) or len(key) != 1 + len(self.numblocks):
            return False
        places = zip(key[1:], self.numblocks, strict=True)
        return key[0] == self.name and all(0 <= at < count for at, count in places)

    def __getitem__(self, key: Key) -> Task:
        if key not in self:
            raise KeyError(key)
        return self.rule.task(key)

    def __iter__(self) -> Iterator[Key]:
        return product((self.name,), *map(range, self.numblocks))

    def __len__(self) -> int:
        return prod(self.numblocks)

    def is_materialized(self) -> bool:
        """Whether the tasks are there."""
        return False

    def get_output_keys(self) -> set[Key]:
        """Keys of all tasks."""
        return set(iter(self))

    def cull(self, keys: set[Key], all_hlg_keys: Any) -> tuple[Layer, Mapping[Key, set[Key]]]:
        """The tasks of these keys, and the keys that each needs."""
        tasks = {key: self.rule.task(key) for key in keys if key in self}
        needs = {key: set(task.dependencies) for key, task in tasks.items()}
        return MaterializedLayer(tasks, annotations=self.annotations), needs


def ruled(
    function: Callable[..., Any],
    index: str,
    *inputs: Any,
    name: str,
    dtype: Any = object,
    new_axes: dict[str, int] | None = None,
    listed: str = "",
    chosen: Sequence[tuple[Sequence[da.Array], str]] = (),
    numbers: tuple[tuple[int, ...], ...] = (),
    chosen_by: str = "",
    with_index: bool = False,
    **options: Any,
) -> da.Array:
    """Call a function for every block, as `arrays.per_block` does; never fused with its inputs.

    Parameters
    ----------
    function, index, inputs, name, dtype, new_axes, options
        As of `arrays.per_block`, but a chunk along dimensions that are not cut is not in a list.
    listed : str
        Dimension whose chunks the function takes as a list.
    chosen : sequence of (sequence of dask array, str)
        Arrays of which only some are inputs of a block, and their dimensions.
    numbers : tuple of tuple of int
        Which of them, for each place along dimension `chosen_by`.
    with_index : bool
        Whether the function takes the place of the block, a tuple, before all else.
    """
    given = list(zip(inputs[::2], inputs[1::2], strict=True))
    each = [(array, along) for arrays, along in chosen for array in arrays]
    sizes = {letter: (size,) for letter, size in (new_axes or {}).items()}
    for array, along in given + each:
        sizes |= dict(zip(along, array.chunks, strict=True))
    places = {letter: at for at, letter in enumerate(index)} | dict.fromkeys(listed, -2)

    def source(array: da.Array, along: str) -> Source:
        count = len(sizes[listed]) if listed else 0
        return Source(array.name, tuple(places.get(letter, -1) for letter in along), count)

    rule = Rule(
        function,
        tuple(source(*one) for one in given),
        tuple(tuple(source(array, along) for array in arrays) for arrays, along in chosen),
        numbers if chosen else ((),) * len(sizes[index[0]]),
        index.index(chosen_by) if chosen else 0,
        with_index,
        options,
    )
    chunks = tuple(sizes[letter] for letter in index)
    layer = RuleLayer(name, tuple(map(len, chunks)), rule)
    needs = [array for array, _ in given + each]
    graph = HighLevelGraph.from_collections(name, layer, dependencies=needs)
    return da.Array(graph, name, chunks, meta=np.empty((0,) * len(index), dtype))
