"""Permutation maxima on Dask: a block holds some permutations of some traits, over all markers.

A task scans the permuted traits of a block against one chunk of markers; a final task takes the
maximum over the chunks. The null models are those of `engine.scan.lazy_scan`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import dask.array as da
import numpy as np
from dask.delayed import delayed

from bulklmm_dask.engine.bases import samples_nodes
from bulklmm_dask.engine.plan import Plan, make_plan
from bulklmm_dask.engine.progress import BlockIndex, Progress, Work
from bulklmm_dask.engine.run import batches, drive
from bulklmm_dask.engine.scan import LazyScan
from bulklmm_dask.engine.tasks import MarkerChunk, marker_chunks
from bulklmm_dask.errors import InputError
from bulklmm_dask.lmm.chunk import TraitFits
from bulklmm_dask.lmm.null.scan import NullScan
from bulklmm_dask.lmm.options import ModelOptions
from bulklmm_dask.lmm.permute.maxima import NONE
from bulklmm_dask.lmm.permute.residuals import permutations, permuted_maxima, split_markers
from bulklmm_dask.lmm.samples import Samples
from bulklmm_dask.storage.results.blocks import ResultStore
from bulklmm_dask.storage.results.journal import Written
from bulklmm_dask.study.checks import whole_number
from bulklmm_dask.typing import Array, Index, Real, Single

# Genotypes (markers x samples) of a task. Every task rotates the permuted traits again: the first
# number makes that cheap beside the product with the markers, the second bounds the memory.
_MARKER_CELLS, _MOST_CELLS = 2**21, 2**24
# Largest number of multiplications of a task, and of permutations and of traits of a block.
_TASK, _PERMUTATIONS, _TRAITS = 2**39, 1024, 256
# Smallest number of blocks along the traits (if there are as many traits), to keep 8 cores busy.
_AT_LEAST = 8


def plan_permutations(
    n_samples: int,
    n_variants: int,
    n_traits: int,
    n_permutations: int,
    chunks: str | Mapping[str, int] = "auto",
    *,
    columns: int = 1,
) -> tuple[Plan, int]:
    """Choose the chunks of markers and traits, and the number of permutations of a block.

    Parameters
    ----------
    n_samples, n_variants, n_traits, n_permutations : int
        Sizes of the whole analysis.
    chunks : "auto" or mapping
        ``{"permutations": ..., "traits": ...}`` sets the size of a block; sizes left out are
        chosen.
    columns : int
        Number of columns of a marker that are tested together.
    """
    wanted = dict(chunks) if isinstance(chunks, Mapping) else {}
    own = whole_number(wanted.pop("permutations", _PERMUTATIONS), "chunks['permutations']", 1)
    if set(wanted) - {"traits"} or (chunks != "auto" and not isinstance(chunks, Mapping)):
        raise InputError(
            f"chunks is {chunks!r}; it should be 'auto' or a mapping such as "
            "{'permutations': 1000, 'traits': 256}"
        )
    size = min(own, n_permutations)
    n = max(n_samples, 1)
    variants = max(1, max(_MARKER_CELLS // n, min(4 * n, _MOST_CELLS // n)) // columns)
    work = max(1, min(variants, n_variants) * n * size * columns**2)
    traits = max(1, min(_TRAITS, _TASK // work, -(-n_traits // _AT_LEAST)))
    cut = {"variants": variants, "traits": traits} | wanted
    return make_plan(n_samples, n_variants, n_traits, cut), size


@dataclass(frozen=True)
class Pools:
    """Pools of markers, each with a maximum of its own: all markers, or those of each contig.

    Attributes
    ----------
    of_markers : array (variants,) of int, or None
        Number of the pool of every marker; None for one pool of all markers.
    count : int
        Number of pools.
    """

    of_markers: Index | None = None
    count: int = 1

    @property
    def together(self) -> bool:
        """Whether all markers are in one pool."""
        return self.of_markers is None


def pooled_chunks(scan: LazyScan, pools: Pools) -> list[tuple[Any, MarkerChunk]]:
    """Delayed genotypes of every chunk of markers, with its `MarkerChunk`."""
    measured, genotypes = scan.study.measured, scan.study.genotypes
    sizes, names = scan.plan.variant_chunks, measured.sample_names
    chunks = marker_chunks(genotypes, names, sizes, pools.of_markers)
    return list(zip(scan.genotypes.to_delayed().ravel(), chunks, strict=True))


@dataclass(frozen=True)
class LazyPermutations:
    """Graph of permutation maxima; nothing is computed.

    Attributes
    ----------
    scan : LazyScan
        Markers and null models.
    pools : Pools
        Pools of markers with a maximum each.
    seed : int
        Seed of the random permutations.
    count, size : int
        Number of permutations in all, and per block.
    strata : array (samples,) of int
        Stratum of each sample; samples are exchanged within a stratum only.
    model : ModelOptions
        How permuted traits are estimated, and what is tested.
    """

    scan: LazyScan
    pools: Pools
    seed: int
    count: int
    size: int
    strata: Index
    model: ModelOptions

    @property
    def chunks(self) -> tuple[tuple[int, ...], tuple[int, ...]]:
        """Sizes of the blocks along permutations and traits."""
        own = [min(self.size, self.count - start) for start in range(0, self.count, self.size)]
        return tuple(own), self.scan.plan.trait_chunks

    @property
    def task_bytes(self) -> int:
        """Memory of a task in bytes, about: its markers, its traits and a trait permuted."""
        plan = self.scan.plan
        return 8 * plan.n_samples * (2 * plan.variants + 2 * plan.traits + 3 * self.size)

    @cached_property
    def orders(self) -> list[Any]:
        """Delayed permutations (size, samples) of every chunk of permutations."""
        starts = range(0, self.count, self.size)
        return [
            delayed(permutations)(self.seed, range(a, min(a + self.size, self.count)), self.strata)
            for a in starts
        ]

    @cached_property
    def _markers(self) -> list[tuple[Any, MarkerChunk]]:
        return pooled_chunks(self.scan, self.pools)

    @cached_property
    def _samples(self) -> list[Any]:
        return samples_nodes(self.scan.study.measured)

    def block(self, i: int, j: int) -> Any:
        """Delayed maxima (permutations, traits[, pools]) of block (i, j)."""
        fits = self.scan.fits[j]
        options = {"n_pools": self.pools.count, "model": self.model, "single": self.scan.single}
        parts = [
            delayed(_part)(
                genotypes,
                chunk,
                {number: (fits[number], self._samples[number]) for number in chunk.relations},
                self.orders[i],
                **options,
            )
            for genotypes, chunk in self._markers
        ]
        return delayed(highest)(parts, flat=self.pools.together)

    def array(self) -> da.Array:
        """The maxima as a dask array (permutations, traits[, pools])."""
        rows, columns = self.chunks
        rest = () if self.pools.together else (self.pools.count,)
        blocks = [
            [
                da.from_delayed(self.block(i, j), (height, width, *rest), np.float32)
                for j, width in enumerate(columns)
            ]
            for i, height in enumerate(rows)
        ]
        return da.concatenate([da.concatenate(row, axis=1) for row in blocks], axis=0)


def _part(
    genotypes: Real,
    chunk: MarkerChunk,
    fits: Mapping[int, tuple[TraitFits[NullScan], Samples]],
    orders: Index,
    *,
    n_pools: int,
    model: ModelOptions,
    single: bool,
) -> Single:
    """Maxima (permutations, traits, pools) over a chunk of markers; `NONE` for no maximum."""
    with chunk.guarded(genotypes):
        found = [
            permuted_maxima(markers, n_pools, *fits[relation], orders, model, single=single)
            for relation, markers in by_relation_and_pool(genotypes, chunk)
        ]
    return np.maximum.reduce(found)


def by_relation_and_pool(
    genotypes: Real, chunk: MarkerChunk
) -> Iterator[tuple[int, dict[int, Array]]]:
    """Yield the number of each kinship, and the genotypes of its markers by pool."""
    for relation, rows, values in chunk.by_relation(genotypes):
        yield relation, split_markers(values, chunk.pool[rows])


def highest(parts: Sequence[Single], *, flat: bool) -> Single:
    """Maximum over all chunks of markers; NaN where no marker was tested.

    `flat` drops the dimension of the pools, the last one.
    """
    best = np.maximum.reduce(list(parts))
    best = np.where(best == NONE, np.float32(np.nan), best)
    return best[..., 0] if flat else best


def run_permutations(
    store: ResultStore,
    lazy: LazyPermutations,
    progress: Callable[[Progress], None] | None = None,
) -> None:
    """Compute the missing blocks of a store and write each, as `run.run_into` does."""
    rows, columns = lazy.chunks
    markers = lazy.scan.plan.n_variants
    pending, write = store.pending_blocks(), delayed(_write_block)
    work = Work(
        len(rows) * len(columns),
        lazy.count * lazy.scan.plan.tests,
        lambda block: rows[block[0]] * columns[block[1]] * markers,
        4 * lazy.pools.count / markers,
    )

    def of_block(block: BlockIndex, key: str) -> Any:
        return write(store, block, lazy.block(*block), dask_key_name=key)

    def writes(pending: Sequence[BlockIndex]) -> Iterator[dict[Any, BlockIndex | None]]:
        return batches(store, pending, lazy.scan.fits, of_block)

    drive(store, writes, work, pending, progress, task_bytes=lazy.task_bytes)


def _write_block(store: ResultStore, block: BlockIndex, values: Single) -> Written:
    return store.write_block(*block, {"max_lod": values})
