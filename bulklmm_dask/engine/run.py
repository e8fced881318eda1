"""Resumable runs: blocks of a lazy scan are computed and written into a store."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence, Set
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any, Self

import dask.array as da
from dask.base import get_scheduler
from dask.callbacks import Callback, normalize_callback
from dask.core import flatten
from dask.highlevelgraph import HighLevelGraph, MaterializedLayer

from bulklmm_dask.engine.fits import Fits
from bulklmm_dask.engine.held import HeldLayer, held_object, submitted
from bulklmm_dask.engine.overlap import overlapping, waiting
from bulklmm_dask.engine.plan import BATCH, Plan
from bulklmm_dask.engine.progress import BlockIndex, Meter, Progress, Work
from bulklmm_dask.engine.rules import ruled
from bulklmm_dask.engine.scan import LazyScan, score_distinct, trait_columns
from bulklmm_dask.engine.tasks import MarkerChunk
from bulklmm_dask.engine.watch import Watch, active_client, watched
from bulklmm_dask.lmm.kept import keeping_markers
from bulklmm_dask.storage.places.location import Location
from bulklmm_dask.storage.results.blocks import Target
from bulklmm_dask.storage.results.journal import Journal
from bulklmm_dask.storage.results.written import Written
from bulklmm_dask.surface import option, repeat
from bulklmm_dask.text import storage as size
from bulklmm_dask.typing import Names, Real

if TYPE_CHECKING:
    from distributed import Client, Future

# Retries of a task on a cluster after an error or the loss of its worker.
_RETRIES = 3
# Rounds of a run on a cluster. Another one begins after a block seems to have ended its workers:
# where all workers are killed at times, whatever they compute looks guilty.
_ROUNDS = 3


def run_into(
    store: Target,
    scan: LazyScan,
    progress: Callable[[Progress], None] | None = None,
) -> Location:
    """Compute the missing blocks of a store and write each when it is finished.

    A block is marked as finished after its data are written, so that the same call resumes a run
    that was stopped at any time.

    Parameters
    ----------
    store : ResultStore or NewStore
        New store, or one left by an earlier run of the same scan.
    scan : LazyScan
        Graph of the scan.
    progress : callable, optional
        Called with a `Progress` at the start and after each block.

    Returns
    -------
    Location
        The store, as it was looked up at the end (`run_blocks`).
    """
    plan = scan.plan
    own = plan.trait_chunks
    if store.share is not None:
        own = own[store.share.part(len(own))]
    blocks, tests = len(plan.variant_chunks) * len(own), plan.n_variants * sum(own)
    work = Work(blocks, tests, lambda block: _tests(plan, *block), plan.pair_bytes)
    return run_blocks(
        store, scan, partial(_blocks, scan), work, progress, task_bytes=plan.block_bytes
    )


def _blocks(scan: LazyScan, store: da.Array, run: str) -> tuple[da.Array, tuple[da.Array, ...]]:
    """Writes of the blocks of a scan (`Writes.of`)."""
    markers = scan.markers
    inputs = (markers.values, markers.chunks, scan.names, *scan.known_bases)
    blocks = ruled(
        _write_block,
        "vt",
        markers.values,
        "vsg"[: markers.values.ndim],
        markers.chunks,
        "v",
        scan.names,
        "",
        store,
        "",
        chosen=scan.chosen,
        numbers=markers.relations,
        chosen_by="v",
        with_index=True,
        name=f"write-block-{run}",
        model=scan.model,
        single=scan.single,
    )
    return blocks, inputs


def run_blocks(
    store: Target,
    scan: LazyScan,
    make: Callable[[da.Array, str], tuple[da.Array, tuple[da.Array, ...]]],
    work: Work,
    progress: Callable[[Progress], None] | None = None,
    *,
    task_bytes: int,
) -> Location:
    """Write the missing blocks of a store on dask's current scheduler, note and report each.

    What is finished is noted also when an error or Ctrl-C stops the run.

    Parameters
    ----------
    store : ResultStore or NewStore
        The store that is written; one that is being made is waited for by those who write.
    scan, make
        Graph of the scan, and what makes the writes of blocks (`Writes.of`).
    work : Work
        Total work, for the report.
    progress : callable, optional
        Called with a `Progress` at the start and after each block.
    task_bytes : int
        Memory that a task takes, about, for messages.

    Returns
    -------
    Location
        The store, as it was looked up when all was put into its arrays, so that it can be opened
        without looking again.

    Raises
    ------
    ClusterError
        If the workers of a cluster or its scheduler are lost for good.
    """
    pending, traits = store.pending_blocks(), store.pending_traits().tolist()
    if progress is not None and not store.location.is_far:
        store.made()  # whoever is told of the start finds the store
    meter = Meter(work, pending, progress)
    if not pending and not traits:
        return store.made().location
    finished = set[tuple[int, ...]]()
    client = active_client()
    expected = [*pending, *((j,) for j in traits)]
    with Journal(store, expected=expected) as journal:

        def count(block: BlockIndex | None, written: Written) -> None:
            journal.note(written)
            finished.add(written.mark)
            if block is not None:
                meter.count(block)

        def batches() -> Iterator[Batch]:
            left = [block for block in pending if block not in finished]
            unknown = {j for j in traits if (j,) not in finished}
            return _batches(Writes.of(store, scan, make), left, unknown, client)

        if client is None:
            with overlapping(store.location, task_bytes), keeping_markers():
                _run_here(batches(), count)
        else:
            with watched(client, f"finished blocks are kept: {repeat()} to go on") as watch:
                words = partial(_size, store, task_bytes)
                for left in reversed(range(_ROUNDS)):
                    if _run_distributed(client, batches(), count, watch, words, last=not left):
                        break
            store.made().remove_partial_chunks()
    return journal.store


def _size(store: Target, task_bytes: int, block: BlockIndex) -> str:
    """Describe a block and the memory that it takes."""
    region = store.layout.region(*block)
    cut = zip(region, store.layout.dims, strict=True)
    sizes = " x ".join(f"{part.stop - part.start:,} {dim}" for part, dim in cut)
    return f"block {block} of {store.location} ({sizes}, about {size(task_bytes)} in memory)"


def _tests(plan: Plan, i: int, j: int) -> int:
    return plan.variant_chunks[i] * plan.trait_chunks[j]


@dataclass(frozen=True)
class Writes:
    """Graph of what a run writes.

    Attributes
    ----------
    blocks : dask array
        A `Written` in place of each block.
    traits : dask array (traits,)
        A `Written` in place of each chunk of traits, for its statistics.
    inputs : tuple of dask array
        What their tasks take chunks of.
    """

    blocks: da.Array
    traits: da.Array
    inputs: tuple[da.Array, ...]

    @classmethod
    def of(
        cls,
        store: Target,
        scan: LazyScan,
        make: Callable[[da.Array, str], tuple[da.Array, tuple[da.Array, ...]]],
    ) -> Self:
        """Make the graph, with keys of its own.

        Parameters
        ----------
        store : ResultStore or NewStore
            Store to write into.
        scan : LazyScan
            Graph of the scan, of which the null models are written.
        make : callable
            ``make(store, run)`` gives the writes of blocks, with `run` in the keys of their tasks,
            and their inputs beside store and null models.
        """
        run = uuid.uuid4().hex
        held = held_object("result-store", store, run)
        pairs = (part for each in scan.fits for part in (each, "t"))
        how: dict[str, Any] = {"with_index": True, "by_contig": scan.by_contig}
        traits = ruled(_write_traits, "t", held, "", *pairs, name=f"write-traits-{run}", **how)
        blocks, inputs = make(held, run)
        return cls(blocks, traits, (held, *scan.fits, *inputs))

    def shared(self, client: Client | None) -> dict[Any, Any]:
        """Tasks that blocks share, by key; without what is sent to the cluster of a client now."""
        graph = HighLevelGraph.merge(*(each.dask for each in self.inputs))
        layers = dict(graph.layers)
        for name, layer in graph.layers.items():
            if client is not None and isinstance(layer, HeldLayer):
                layer.send(client)
                layers[name] = MaterializedLayer({})
        keys = list(flatten([each.__dask_keys__() for each in self.inputs]))
        return dict(da.Array.__dask_optimize__(HighLevelGraph(layers, graph.dependencies), keys))


@dataclass(frozen=True)
class Batch:
    """Part of a run that is submitted together.

    Attributes
    ----------
    tasks : dict
        All tasks by key.
    keys : dict
        Keys of those that write: the block of each, None for the statistics of traits.
    """

    tasks: dict[Any, Any]
    keys: dict[Any, BlockIndex | None]


def _batches(
    writes: Writes, pending: Sequence[BlockIndex], unknown: Set[int], client: Client | None
) -> Iterator[Batch]:
    """Yield batches of writes of blocks, and of statistics of the chunks of traits in `unknown`.

    Blocks of one trait chunk follow each other, so that its null models are fitted once per batch.
    """
    shared = writes.shared(client)
    of_column: dict[int, list[BlockIndex]] = {j: [] for j in unknown}
    for block in pending:
        of_column.setdefault(block[1], []).append(block)
    keys: dict[Any, BlockIndex | None] = {}
    for j, blocks in sorted(of_column.items()):
        if j in unknown:
            keys[(writes.traits.name, j)] = None
        for block in blocks:
            keys[(writes.blocks.name, *block)] = block
            if len(keys) >= BATCH:
                yield _batch(writes, shared, keys)
                keys = {}
    if keys:
        yield _batch(writes, shared, keys)


def _batch(writes: Writes, shared: Mapping[Any, Any], keys: dict[Any, BlockIndex | None]) -> Batch:
    layers = {each.name: each.dask.layers[each.name] for each in (writes.blocks, writes.traits)}
    tasks: dict[Any, Any] = {}
    needed = list(keys)
    while needed:
        key = needed.pop()
        if key in tasks:
            continue
        task = layers[key[0]][key] if key in keys else shared.get(key)
        if task is not None:  # else it is on the cluster
            tasks[key] = task
            needed += task.dependencies
    return Batch(tasks, keys)


def _write_block(
    block: BlockIndex,
    genotypes: Real,
    markers: MarkerChunk,
    names: Names,
    store: Target,
    *chosen: Any,
    **options: Any,
) -> Written:
    scores, where = score_distinct(genotypes, markers, names, *chosen, **options)
    with waiting(store.location):
        return store.made().write_block(*block, scores, where)


def _write_traits(index: tuple[int], store: Target, *fits: Fits, by_contig: bool) -> Written:
    return store.made().write_traits(*index, trait_columns(*fits, by_contig=by_contig))


def _run_here(
    batches: Iterator[Batch], count: Callable[[BlockIndex | None, Written], None]
) -> None:
    """Compute batch after batch on dask's scheduler of this process.

    What counts the blocks is given to that scheduler alone: of the callbacks that dask has for all,
    the next one takes hold, also one that another thread has begun, such as the one that makes the
    store.
    """
    get = get_scheduler() or da.Array.__dask_scheduler__
    for batch in batches:

        def after(key: Any, result: Any, *_: Any, block_of: Mapping[Any, Any] = batch.keys) -> None:
            if key in block_of:
                count(block_of[key], result)

        counting = normalize_callback(Callback(posttask=after))
        get(batch.tasks, list(batch.keys), callbacks=[*Callback.active, counting])


def _run_distributed(
    client: Client,
    batches: Iterator[Batch],
    count: Callable[[BlockIndex | None, Written], None],
    watch: Watch,
    words: Callable[[BlockIndex], str],
    *,
    last: bool,
) -> bool:
    """Compute on a cluster with a bounded number of futures, submitting more as others finish.

    Returns False if a block has ended several workers, after others were finished. If none was, or
    this is the `last` try, that is an error.
    """
    from distributed import as_completed
    from distributed.scheduler import KilledWorker

    block_of: dict[Any, BlockIndex | None] = {}
    futures: dict[Any, Future[Written]] = {}
    hopeful = False

    def finish(ready: list[Future[Written]]) -> None:
        nonlocal hopeful
        # What is written is fetched together, and noted before an error ends the run.
        ready.sort(key=lambda future: future.status == "error")
        whole = [future for future in ready if future.status != "error"]
        written = dict(zip(whole, client.gather(whole), strict=True))
        for future in ready:
            block = block_of[future.key]
            try:
                count(block, written[future] if future in written else future.result())
            except KilledWorker as error:
                if hopeful:
                    raise
                what = "a fit of null models" if block is None else words(block)
                smaller = f", or give smaller {option('chunks')} and another store"
                raise watch.killed(error, what, smaller) from error
            del block_of[future.key], futures[future.key]
            hopeful = not last
            watch.count_from_here()

    watch.count_from_here()
    running = as_completed(loop=client.loop)
    try:
        for batch in batches:
            block_of |= batch.keys
            for future in submitted(client, batch.tasks, list(batch.keys), retries=_RETRIES):
                futures[future.key] = future
                running.add(future)
            while running.count() > max(BATCH // 2, 2 * watch.threads):
                finish(watch.finished(running))
        while not running.is_empty():
            finish(watch.finished(running))
    except KilledWorker:
        client.cancel(list(futures.values()))
        return False
    return True
