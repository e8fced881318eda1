"""Parts of an array that is read from a file, which each task reads by itself.

Dask reads a chunk in a task of its own and keeps it for all tasks that use it, which can take the
memory of the whole array. A `Part` tells only where its values are. What a user did to a lazy array
(selections, another order, other chunks) is done to Parts of it by dask's own tasks.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, TypeAlias, cast

import dask.array as da
import numpy as np
import numpy.typing as npt
from dask._task_spec import Alias, DataNode, GraphNode, Task, convert_legacy_graph
from dask.array.core import slices_from_chunks
from dask.core import flatten
from dask.local import get_sync
from dask.utils import ensure_dict

from bulklmm_dask.engine.arrays import only
from bulklmm_dask.storage.proof.lazy import Deferred, behind, within
from bulklmm_dask.typing import Index, Real

# Places along a dimension of the array: one, which drops the dimension, or some.
Places: TypeAlias = "int | range | Index"
# Functions that select and put together, by module and name: others, as a user's own, get no Parts.
_OF_DASK = ("dask.array", "numpy")
_SELECTING = {
    "getter",
    "getter_inline",
    "getter_nofancy",
    "getitem",
    "_getitem",
    "concatenate3",
    "concatenate_arrays",
    "concatenate_shaped",
    "transpose",
}
# Rows that are read for each that is used, at most. Beyond, as in a random order of all markers,
# reading a chunk once for all tasks is quicker.
_SPAN = 8


class _UnknownError(Exception):
    """Something else than a selection is made of a Part."""


@dataclass(frozen=True, eq=False)
class Part:
    """A part of an array, told by its places.

    Attributes
    ----------
    source : Deferred
        The array.
    places : tuple
        Along each dimension of the array.
    axes : tuple of int
        Dimension of the array of each dimension of the part.
    """

    source: Deferred
    places: tuple[Places, ...]
    axes: tuple[int, ...]

    @classmethod
    def whole(cls, source: Deferred) -> Part:
        """All of an array."""
        return cls(source, tuple(map(range, source.shape)), tuple(range(len(source.shape))))

    @property
    def shape(self) -> tuple[int, ...]:
        """Sizes of its dimensions."""
        return tuple(len(self._along(axis)) for axis in range(self.ndim))

    @property
    def ndim(self) -> int:
        """Number of its dimensions."""
        return len(self.axes)

    @property
    def dtype(self) -> np.dtype[Any]:
        """Type of its values."""
        return self.source.dtype

    @property
    def span(self) -> float:
        """Values that are read for each that is used."""
        several = [each for each in self.places if not isinstance(each, int) and len(each)]
        return float(np.prod([_hull(each)[1] / len(each) for each in several]))

    def __getitem__(self, key: Any) -> Part:
        """Select along each dimension, independently of the others."""
        key = key if isinstance(key, tuple) else (key,)
        if Ellipsis in [one for one in key if not isinstance(one, np.ndarray | list)]:
            at = key.index(Ellipsis)
            key = (*key[:at], *[slice(None)] * (self.ndim + 1 - len(key)), *key[at + 1 :])
        if len(key) > self.ndim:
            raise _UnknownError
        found, axes = list(self.places), list(self.axes)
        for axis, one in zip(self.axes, key, strict=False):
            found[axis] = _picked(cast("range | Index", found[axis]), one)
            if isinstance(found[axis], int):
                axes.remove(axis)
        return replace(self, places=tuple(found), axes=tuple(axes))

    def __array_function__(
        self, function: Callable[..., Any], types: Iterable[type], args: Any, kwargs: Any
    ) -> Any:
        """Do what NumPy's function does to values, if that selects or puts together."""
        if function not in _FUNCTIONS:
            raise _UnknownError
        return _FUNCTIONS[function](*args, **kwargs)

    def __array__(self, *_: Any, **__: Any) -> Any:
        """Refuse to become values, which would be read."""
        raise _UnknownError

    __array_ufunc__ = __array__

    def read(self) -> Real:
        """Read its values."""
        key: list[int | slice] = []
        inside: list[Any] = []
        for each in self.places:
            if isinstance(each, int):
                key.append(each)
                continue
            first, count = _hull(each)
            key.append(slice(first, first + count))
            exactly = isinstance(each, range) and each.step == 1
            inside.append(slice(None) if exactly else np.asarray(each) - first)
        found = np.asarray(self.source.take(tuple(key)))
        for axis, places in enumerate(inside):
            if not isinstance(places, slice):
                found = found.take(places, axis)
        order = sorted(self.axes)
        return found.transpose([order.index(axis) for axis in self.axes])

    def _along(self, axis: int) -> range | Index:
        return cast("range | Index", self.places[self.axes[axis]])


def taken(chunk: Any) -> Any:
    """The values of the single chunk along dimensions that are not cut (`arrays.only`)."""
    chunk = only(chunk)
    return chunk.read() if isinstance(chunk, Part) else chunk


def parts_of(values: da.Array, chunks: tuple[tuple[int, ...], ...]) -> list[Part] | None:
    """A dask array in these chunks as Parts, in C order; None if it does more than select.

    None also where tasks would have to read far more than they use.
    """
    source = behind(values)
    if source is not None:
        return [Part.whole(source)[edge] for edge in slices_from_chunks(chunks)]
    values = values.rechunk(chunks)
    graph = _with_parts(convert_legacy_graph(ensure_dict(values.dask)))
    if graph is None:
        return None
    try:
        found: Any = get_sync(graph, cast("Any", values.__dask_keys__()))
    except _UnknownError:
        return None
    parts = list(flatten(found, container=(list, tuple)))
    if all(isinstance(part, Part) and part.span <= _SPAN for part in parts):
        return parts
    return None


def _with_parts(graph: Mapping[Any, GraphNode]) -> dict[Any, GraphNode] | None:
    """The graph on Parts of the arrays that it reads; None if it does more than select."""
    made: dict[Any, GraphNode] = {}
    for key, node in graph.items():
        source = within(getattr(node, "value", None))
        if source is not None:
            node = DataNode(key, Part.whole(source))
        elif isinstance(node, Task):
            if not node.dependencies or not _selects(node.func):
                return None
        elif isinstance(node, DataNode) and isinstance(node.value, np.ndarray):
            return None  # values in memory
        elif not isinstance(node, Alias | DataNode):
            return None
        made[key] = node
    return made


def _selects(function: Any) -> bool:
    """Tell whether a function selects or puts together, so that it may be given Parts."""
    module = str(getattr(function, "__module__", None))
    own = any(module == one or module.startswith(f"{one}.") for one in _OF_DASK)
    return own and function.__name__ in _SELECTING


def _hull(places: range | Index) -> tuple[int, int]:
    """First place, and number of places from there to the last one."""
    if not len(places):
        return 0, 0
    if isinstance(places, range):
        first, last = sorted((places[0], places[-1]))
    else:
        first, last = int(places.min()), int(places.max())
    return first, last - first + 1


def _picked(places: range | Index, key: Any) -> Places:
    """Some of the places, as an index of NumPy picks them."""
    if isinstance(key, slice):
        return places[key]
    if isinstance(key, int | np.integer):
        return int(places[int(key)])
    if not isinstance(key, list | np.ndarray):
        raise _UnknownError
    rows = np.asarray(key)
    if rows.ndim != 1 or rows.dtype.kind not in "iub":
        raise _UnknownError
    rows = np.flatnonzero(rows) if rows.dtype.kind == "b" else rows.astype(np.int64)
    if isinstance(places, range):
        rows = np.where(rows < 0, rows + len(places), rows)
        return _compact(places.start + places.step * rows)
    return _compact(places[rows])


def _compact(places: Index) -> range | Index:
    """Places that follow each other as a range."""
    if len(places) and (np.diff(places) == 1).all():
        return range(int(places[0]), int(places[-1]) + 1)
    return places


def _joined(parts: Sequence[Any], axis: int = 0) -> Part:
    first = parts[0]
    if not all(isinstance(part, Part) for part in parts):
        raise _UnknownError
    along = first.axes[axis]
    for part in parts[1:]:
        others = zip(part.places, first.places, strict=True)
        same = all(_equal(*both) for at, both in enumerate(others) if at != along)
        if part.source is not first.source or part.axes != first.axes or not same:
            raise _UnknownError
    rows: list[npt.NDArray[Any]] = [np.asarray(part.places[along]) for part in parts]
    places = list(first.places)
    places[along] = _compact(np.concatenate(rows))
    return replace(first, places=tuple(places))


def _equal(a: Places, b: Places) -> bool:
    return type(a) is type(b) and np.array_equal(np.asarray(a), np.asarray(b))


def _taken_along(part: Part, rows: Any, axis: int) -> Part:
    return part[(*[slice(None)] * (axis % part.ndim), rows)]


def _transposed(part: Part, axes: Sequence[int] | None = None) -> Part:
    order = range(part.ndim)[::-1] if axes is None else axes
    return replace(part, axes=tuple(part.axes[axis] for axis in order))


_FUNCTIONS: Mapping[Callable[..., Any], Callable[..., Any]] = {
    np.concatenate: _joined,
    np.take: _taken_along,
    np.transpose: _transposed,
}
