"""Values of this process in a graph, which travel to a cluster once, not with every graph.

In this process a task takes them as they are. A graph that is sent to a cluster names them only:
the client sends them beforehand, once, and keeps them there as long as this process does. A worker
that is lost does not take them along, for the scheduler can give them to another one.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable, Sequence
from itertools import product
from typing import TYPE_CHECKING, Any
from weakref import WeakKeyDictionary

import dask
import dask.array as da
import numpy as np
import numpy.typing as npt
from dask._task_spec import DataNode
from dask.array.core import normalize_chunks, slices_from_chunks
from dask.base import tokenize
from dask.highlevelgraph import HighLevelGraph, MaterializedLayer

if TYPE_CHECKING:
    from distributed import Client, Future

_WARNING = "distributed.admin.large-graph-warning-threshold"
_GONE = ("cancelled", "error", "lost")


class HeldLayer(MaterializedLayer):
    """Layer of a graph whose tasks are values of this process, by key."""

    def __init__(self, values: dict[Any, Any]) -> None:
        super().__init__({key: DataNode(key, value) for key, value in values.items()})
        self._sent: WeakKeyDictionary[Client, list[Future[Any]]] = WeakKeyDictionary()

    def __reduce__(self) -> tuple[Any, ...]:
        """Where it is sent to a cluster: without the values, which are sent before it."""
        client = _sender()
        if client is None:
            return MaterializedLayer, (dict(self.mapping),)
        self.send(client)
        return MaterializedLayer, ({},)

    def send(self, client: Client) -> None:
        """Send the values to the cluster of a client, unless they are there."""
        futures = self._sent.get(client)
        if futures is None or any(future.status in _GONE for future in futures):
            with dask.config.set({_WARNING: sys.maxsize}):  # it is about data that travel often
                self._sent[client] = submitted(client, dict(self.mapping), list(self.mapping))


def submitted(
    client: Client, tasks: dict[Any, Any], keys: list[Any], **how: Any
) -> list[Future[Any]]:
    """Submit tasks by key, and give the futures of some; `how` is as of ``Client.get``.

    They go as a layer: of a plain dict dask computes a name, which takes longer than the rest.
    """
    graph = HighLevelGraph({"tasks": tasks}, {"tasks": set()})
    return list(client.get(graph, keys, sync=False, **how))


def _sender() -> Client | None:
    """The client that is sending a graph in this thread; None where something else is pickled.

    It holds its lock then. Where dask has no such lock, values travel inside their graphs.
    """
    distributed = sys.modules.get("distributed")  # imported if there is a client
    if distributed is None:
        return None
    for client in tuple(getattr(distributed.Client, "_instances", ())):
        owned = getattr(getattr(client, "_refcount_lock", None), "_is_owned", None)
        if owned is not None and owned() and not client.asynchronous:
            return client
    return None


def held_array(values: npt.NDArray[Any], chunks: Any, name: str = "held") -> da.Array:
    """An array of this process as a dask array."""
    sizes = normalize_chunks(chunks, values.shape, dtype=values.dtype)
    name = f"{name}-{tokenize(values, sizes)}"
    parts = zip(product(*map(_numbers, sizes)), slices_from_chunks(sizes), strict=True)
    layer = HeldLayer({(name, *index): values[part] for index, part in parts})
    graph = HighLevelGraph.from_collections(name, layer)
    return da.Array(graph, name, sizes, meta=np.empty((0,) * values.ndim, values.dtype))


def held_objects(
    name: str, items: Iterable[Any], sizes: Sequence[tuple[int, ...]], token: Any
) -> da.Array:
    """Any objects of this process, each in place of a chunk of a dask array.

    Parameters
    ----------
    name : str
        What they are; the keys of their tasks begin with it.
    items : iterable
        One for each chunk, in C order.
    sizes : sequence of tuple of int
        What the chunks claim to be, along each dimension; () for a single object.
    token : any
        What the objects follow from: equal tokens give equal keys.
    """
    name = f"{name}-{tokenize(token)}"
    keys = ((name, *index) for index in product(*map(_numbers, sizes)))
    layer = HeldLayer(dict(zip(keys, items, strict=True)))
    graph = HighLevelGraph.from_collections(name, layer)
    return da.Array(graph, name, tuple(sizes), meta=np.empty((0,) * len(sizes), object))


def held_object(name: str, item: Any, token: Any = None) -> da.Array:
    """A single object of this process as a dask array without dimensions."""
    return held_objects(name, [item], (), item if token is None else token)


def _numbers(sizes: tuple[int, ...]) -> range:
    return range(len(sizes))
