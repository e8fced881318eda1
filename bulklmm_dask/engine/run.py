"""The resumable run: blocks of a lazy scan written into a store, a bounded number at a time."""

from __future__ import annotations

import sys
import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from dask.base import compute, get_scheduler
from dask.callbacks import Callback
from dask.delayed import delayed

from bulklmm_dask.engine.plan import Plan
from bulklmm_dask.engine.progress import Block, Meter, Progress, Work
from bulklmm_dask.engine.scan import LazyScan, score_block, trait_columns
from bulklmm_dask.engine.tasks import MarkerChunk
from bulklmm_dask.lmm.chunk import FittedTraits
from bulklmm_dask.storage.result import ResultStore
from bulklmm_dask.typing import Real

if TYPE_CHECKING:
    from distributed import Client, Future

# Blocks given to the scheduler together; on a cluster more follow once half of them are left.
_BATCH = 512
_RETRIES = 3  # of a task on a cluster, after an error or the loss of its worker


def run_into(
    store: ResultStore,
    scan: LazyScan,
    progress: Callable[[Progress], None] | None = None,
) -> None:
    """Compute what a store lacks and write it, block by block.

    Any stop leaves a store that the same call finishes: a block is marked after its data.

    Parameters
    ----------
    store : ResultStore
        New, or left by an earlier run of the same scan.
    scan : LazyScan
        What to compute.
    progress : callable, optional
        Called with a `Progress` at the start and after each block.
    """
    plan = scan.plan
    pending = store.pending_blocks()
    work = Work(plan.n_blocks, plan.tests, lambda block: _tests(plan, *block), plan.pair_bytes)
    writes = batches(store, pending, scan.fits, _block_writer(store, scan))
    drive(writes, work, pending, progress)


def drive(
    writes: Iterator[dict[Any, Block | None]],
    work: Work,
    pending: Sequence[Block],
    progress: Callable[[Progress], None] | None = None,
) -> None:
    """Compute delayed writes wherever dask computes by default, and report each finished block.

    Parameters
    ----------
    writes : iterator of dict
        Delayed writes, each with the block that it finishes; None for those of a trait chunk.
    work : Work
    pending : sequence of (int, int)
        Blocks not yet finished.
    progress : callable, optional
        Called with a `Progress` at the start and after each block.
    """
    meter = Meter(work, pending, progress)

    def count(block: Block | None) -> None:
        if block is not None:
            meter.count(block)

    client = active_client()
    if client is None:
        _run_here(writes, count)
    else:
        _run_distributed(client, writes, count)


def active_client() -> Client | None:
    """The distributed client that dask computes on by default, if any."""
    owner = getattr(get_scheduler(), "__self__", None)
    distributed = sys.modules.get("distributed")  # who has a client has imported it
    return owner if distributed and isinstance(owner, distributed.Client) else None


def _tests(plan: Plan, i: int, j: int) -> int:
    return plan.variant_chunks[i] * plan.trait_chunks[j]


def batches(
    store: ResultStore,
    pending: Sequence[Block],
    fits: Sequence[Sequence[Any]],
    write: Callable[[Block, str], Any],
) -> Iterator[dict[Any, Block | None]]:
    """Delayed writes of blocks and of trait chunks, in batches.

    Blocks of one trait chunk stay together, so that its null models are fitted once. A write of a
    block stands beside the block, one of a trait chunk beside None.

    Parameters
    ----------
    store : ResultStore
    pending : sequence of (int, int)
        Blocks not yet finished.
    fits : sequence of sequence of delayed
        Null models of each trait chunk.
    write : callable
        ``write(block, key)``: the delayed write of a block, under a key of its own.
    """
    of_column: dict[int, list[Block]] = {int(j): [] for j in store.pending_traits()}
    unknown = set(of_column)
    for block in pending:
        of_column.setdefault(block[1], []).append(block)
    run, write_traits = uuid.uuid4().hex[:8], delayed(_write_traits)
    batch: dict[Any, Block | None] = {}
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


def _block_writer(store: ResultStore, scan: LazyScan) -> Callable[[Block, str], Any]:
    """Delayed writes of the blocks of a scan."""
    genotypes = scan.genotypes.to_delayed().ravel()
    markers, options, write = scan.markers, scan.options(), delayed(_write_block)

    def of_block(block: Block, key: str) -> Any:
        i, needed = block[0], scan.needed(*block)
        return write(store, block, genotypes[i], markers[i], needed, options, dask_key_name=key)

    return of_block


def _write_block(
    store: ResultStore,
    block: Block,
    genotypes: Real,
    markers: MarkerChunk,
    fits: Mapping[int, FittedTraits],
    options: dict[str, Any],
) -> None:
    store.write_block(*block, score_block(genotypes, markers, fits, **options))


def _write_traits(store: ResultStore, j: int, fits: Sequence[FittedTraits]) -> None:
    store.write_traits(j, trait_columns(fits))


def _run_here(
    writes: Iterator[dict[Any, Block | None]], count: Callable[[Block | None], None]
) -> None:
    """Compute on the scheduler that dask is set to in this process, one batch after another."""
    for batch in writes:
        block_of = {task.key: block for task, block in batch.items()}

        def after(key: Any, *_: Any, block_of: dict[Any, Block | None] = block_of) -> None:
            count(block_of.get(key))

        with Callback(posttask=after):
            compute(*batch)


def _run_distributed(
    client: Client,
    writes: Iterator[dict[Any, Block | None]],
    count: Callable[[Block | None], None],
) -> None:
    """Compute on a cluster with a bounded number of futures, adding more while others run."""
    from distributed import as_completed

    block_of: dict[Any, Block | None] = {}
    running = as_completed(loop=client.loop)
    for batch in writes:
        block_of |= {task.key: block for task, block in batch.items()}
        for future in client.compute(list(batch), retries=_RETRIES):
            running.add(future)
        while running.count() > _BATCH // 2:
            _finish(next(running), block_of, count)
    for future in running:
        _finish(future, block_of, count)


def _finish(
    future: Future[None], block_of: dict[Any, Block | None], count: Callable[[Block | None], None]
) -> None:
    future.result()
    count(block_of.pop(future.key))
