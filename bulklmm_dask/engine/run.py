"""Resumable runs: blocks of a lazy scan are computed and written into a store."""

from __future__ import annotations

import sys
import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any, TypeAlias

from dask.base import compute, get_scheduler
from dask.callbacks import Callback
from dask.delayed import delayed

from bulklmm_dask.engine.overlap import overlapping, waiting
from bulklmm_dask.engine.plan import Plan
from bulklmm_dask.engine.progress import BlockIndex, Meter, Progress, Work
from bulklmm_dask.engine.scan import LazyScan, score_block, trait_columns
from bulklmm_dask.engine.tasks import MarkerChunk
from bulklmm_dask.engine.watch import Watch, watched
from bulklmm_dask.lmm.chunk import FittedTraits
from bulklmm_dask.storage.results.blocks import ResultStore
from bulklmm_dask.storage.results.journal import Journal, Written
from bulklmm_dask.surface import option, repeat
from bulklmm_dask.text import storage as size
from bulklmm_dask.typing import Real

if TYPE_CHECKING:
    from distributed import Client, Future

# Blocks submitted to the scheduler together; on a cluster the next batch follows once half are
# left.
_BATCH = 512
# Retries of a task on a cluster after an error or the loss of its worker.
_RETRIES = 3
# Rounds of a run on a cluster. Another one begins after a block seems to have ended its workers:
# where all workers are killed at times, whatever they compute looks guilty.
_ROUNDS = 3

# Makes batches of delayed writes of blocks, as `batches` does.
Writes: TypeAlias = Callable[[Sequence[BlockIndex]], Iterator[dict[Any, BlockIndex | None]]]


def run_into(
    store: ResultStore,
    scan: LazyScan,
    progress: Callable[[Progress], None] | None = None,
) -> None:
    """Compute the missing blocks of a store and write each when it is finished.

    A block is marked as finished after its data are written, so that the same call resumes a run
    that was stopped at any time.

    Parameters
    ----------
    store : ResultStore
        New store, or one left by an earlier run of the same scan.
    scan : LazyScan
        Graph of the scan.
    progress : callable, optional
        Called with a `Progress` at the start and after each block.
    """
    plan = scan.plan
    pending = store.pending_blocks()
    work = Work(plan.n_blocks, plan.tests, lambda block: _tests(plan, *block), plan.pair_bytes)
    write = _block_writer(store, scan)

    def writes(pending: Sequence[BlockIndex]) -> Iterator[dict[Any, BlockIndex | None]]:
        return batches(store, pending, scan.fits, write)

    drive(store, writes, work, pending, progress, task_bytes=plan.block_bytes)


def drive(
    store: ResultStore,
    writes: Writes,
    work: Work,
    pending: Sequence[BlockIndex],
    progress: Callable[[Progress], None] | None = None,
    *,
    task_bytes: int,
) -> None:
    """Compute delayed writes on dask's current scheduler; note and report each finished block.

    What is finished is noted also when an error or Ctrl-C stops the run.

    Parameters
    ----------
    store : ResultStore
        The store that is written.
    writes : callable
        Gives batches of delayed writes of these blocks and of statistics of traits (`batches`);
        each write gives a `Written`.
    work : Work
        Total work, for the report.
    pending : sequence of (int, int)
        Blocks not yet finished.
    progress : callable, optional
        Called with a `Progress` at the start and after each block.
    task_bytes : int
        Memory that a task takes, about, for messages.

    Raises
    ------
    ClusterError
        If the workers of a cluster or its scheduler are lost for good.
    """
    meter = Meter(work, pending, progress)
    client = active_client()
    with Journal(store.location, store.held) as journal:

        def count(block: BlockIndex | None, written: Written) -> None:
            journal.note(written)
            if block is not None:
                meter.count(block)

        if client is None:
            with overlapping(store.location, task_bytes):
                _run_here(writes(pending), count)
        else:
            with watched(client, f"finished blocks are kept: {repeat()} to go on") as watch:
                words = partial(_size, store, task_bytes)
                for left in reversed(range(_ROUNDS)):
                    batch = writes(pending)
                    if _run_distributed(client, batch, count, watch, words, last=not left):
                        break
                    journal.write()
                    pending = store.pending_blocks()


def active_client() -> Client | None:
    """The distributed client that is dask's current scheduler, if any."""
    owner = getattr(get_scheduler(), "__self__", None)
    distributed = sys.modules.get("distributed")  # imported if there is a client
    return owner if distributed and isinstance(owner, distributed.Client) else None


def _size(store: ResultStore, task_bytes: int, block: BlockIndex) -> str:
    """Describe a block and the memory that it takes."""
    region = store.layout.region(*block)
    cut = zip(region, store.layout.dims, strict=True)
    sizes = " x ".join(f"{part.stop - part.start:,} {dim}" for part, dim in cut)
    return f"block {block} of {store.location} ({sizes}, about {size(task_bytes)} in memory)"


def _tests(plan: Plan, i: int, j: int) -> int:
    return plan.variant_chunks[i] * plan.trait_chunks[j]


def batches(
    store: ResultStore,
    pending: Sequence[BlockIndex],
    fits: Sequence[Sequence[Any]],
    write: Callable[[BlockIndex, str], Any],
) -> Iterator[dict[Any, BlockIndex | None]]:
    """Yield batches of delayed writes of blocks and of statistics of traits.

    Blocks of one trait chunk follow each other, so that its null models are fitted once per batch.
    A batch maps the write of a block to the block, and the write of a trait chunk to None.

    Parameters
    ----------
    store : ResultStore
        Store to write into.
    pending : sequence of (int, int)
        Blocks not yet finished.
    fits : sequence of sequence of delayed
        Null models of each trait chunk, one per kinship.
    write : callable
        ``write(block, key)`` gives the delayed write of a block, with that key in the graph.
    """
    of_column: dict[int, list[BlockIndex]] = {int(j): [] for j in store.pending_traits()}
    unknown = set(of_column)
    for block in pending:
        of_column.setdefault(block[1], []).append(block)
    run, write_traits = uuid.uuid4().hex[:8], delayed(_write_traits)
    batch: dict[Any, BlockIndex | None] = {}
    for j, blocks in sorted(of_column.items()):
        if j in unknown:
            key = f"write_traits-{run}-{j}"
            batch[write_traits(store, j, list(fits[j]), dask_key_name=key)] = None
        for block in blocks:
            batch[write(block, f"write_block-{run}-{block[0]}-{j}")] = block
            if len(batch) >= _BATCH:
                yield batch
                batch = {}
    if batch:
        yield batch


def _block_writer(store: ResultStore, scan: LazyScan) -> Callable[[BlockIndex, str], Any]:
    """Make the function that gives the delayed write of a block of a scan (`batches`)."""
    genotypes = scan.genotypes.to_delayed().ravel()
    markers, options, write = scan.markers, scan.options(), delayed(_write_block)

    def of_block(block: BlockIndex, key: str) -> Any:
        i, needed = block[0], scan.needed(*block)
        return write(store, block, genotypes[i], markers[i], needed, options, dask_key_name=key)

    return of_block


def _write_block(
    store: ResultStore,
    block: BlockIndex,
    genotypes: Real,
    markers: MarkerChunk,
    fits: Mapping[int, FittedTraits],
    options: dict[str, Any],
) -> Written:
    scores = score_block(genotypes, markers, fits, **options)
    with waiting(store.location):
        return store.write_block(*block, scores)


def _write_traits(store: ResultStore, j: int, fits: Sequence[FittedTraits]) -> Written:
    return store.write_traits(j, trait_columns(fits))


def _run_here(
    writes: Iterator[dict[Any, BlockIndex | None]],
    count: Callable[[BlockIndex | None, Written], None],
) -> None:
    """Compute batch after batch on dask's scheduler of this process."""
    for batch in writes:
        block_of = {task.key: block for task, block in batch.items()}

        def after(
            key: Any, result: Any, *_: Any, block_of: dict[Any, BlockIndex | None] = block_of
        ) -> None:
            if key in block_of:
                count(block_of[key], result)

        with Callback(posttask=after):
            compute(*batch)


def _run_distributed(
    client: Client,
    writes: Iterator[dict[Any, BlockIndex | None]],
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

    def finish(future: Future[Written]) -> None:
        nonlocal hopeful
        block = block_of[future.key]
        try:
            count(block, future.result())
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
        for batch in writes:
            block_of |= {task.key: block for task, block in batch.items()}
            for future in client.compute(list(batch), retries=_RETRIES):
                futures[future.key] = future
                running.add(future)
            while running.count() > _BATCH // 2:
                finish(watch.next(running))
        while not running.is_empty():
            finish(watch.next(running))
    except KilledWorker:
        client.cancel(list(futures.values()))
        return False
    return True
