"""Permutation maxima on Dask: a block holds some permutations of some traits, over all markers.

A task scans the permuted traits of a block against one chunk of markers; a final task takes the
maximum over the chunks. The null models are those of `engine.scan.lazy_scan`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, cast

import dask.array as da
import numpy as np
from dask.base import tokenize

from bulklmm_dask.engine.arrays import only, per_block
from bulklmm_dask.engine.fits import attached
from bulklmm_dask.engine.held import held_object, held_objects
from bulklmm_dask.engine.plan import Plan, make_plan
from bulklmm_dask.engine.progress import BlockIndex, Progress, Work
from bulklmm_dask.engine.rules import ruled
from bulklmm_dask.engine.run import run_blocks
from bulklmm_dask.engine.scan import LazyScan
from bulklmm_dask.engine.tasks import MarkerChunk, per_marker_block
from bulklmm_dask.errors import OptionError
from bulklmm_dask.lmm.chunk import TraitFits
from bulklmm_dask.lmm.components.exact import ComponentScan
from bulklmm_dask.lmm.components.kernels import KernelSamples
from bulklmm_dask.lmm.footprint import Footprint
from bulklmm_dask.lmm.null.scan import NullScan
from bulklmm_dask.lmm.options import ModelOptions
from bulklmm_dask.lmm.permute.maxima import NONE
from bulklmm_dask.lmm.permute.residuals import permutations, permuted_maxima, split_markers
from bulklmm_dask.lmm.samples import Samples
from bulklmm_dask.storage.places.location import Location
from bulklmm_dask.storage.results.blocks import Target
from bulklmm_dask.storage.results.written import Written
from bulklmm_dask.study.checks import whole_number
from bulklmm_dask.typing import Array, Index, Names, Real, Single

# Genotypes (markers x samples) of a task. Every task rotates the permuted traits again: the first
# number makes that cheap beside the product with the markers, the second bounds the memory.
_MARKER_CELLS, _MOST_CELLS = 2**21, 2**24
# Largest number of multiplications of a task, and of permutations and of traits of a block.
_TASK, _PERMUTATIONS, _TRAITS = 2**39, 1024, 256
# Smallest number of blocks along the traits (if there are as many traits), to keep 8 cores busy.
_AT_LEAST = 8
# Markers a sample, and traits, of a block with several kernels.
_RATIOS, _SEVERAL = 16, 16


def plan_permutations(
    n_samples: int,
    n_variants: int,
    n_traits: int,
    n_permutations: int,
    chunks: str | Mapping[str, int] = "auto",
    *,
    footprint: Footprint | None = None,
    patterns: int = 1,
) -> tuple[Plan, int]:
    """Choose the chunks of markers and traits, and the number of permutations of a block.

    Parameters
    ----------
    n_samples, n_variants, n_traits, n_permutations : int
        Sizes of the whole analysis.
    chunks : "auto" or mapping
        ``{"permutations": ..., "traits": ...}`` sets the size of a block; sizes left out are
        chosen.
    footprint : Footprint, optional
        Memory of the steps of a block; by default of one column a marker.
    patterns : int
        Number of patterns of missing values of all traits.
    """
    columns = footprint.model.columns if footprint else 1
    wanted = dict(chunks) if isinstance(chunks, Mapping) else {}
    own = whole_number(wanted.pop("permutations", _PERMUTATIONS), "chunks['permutations']", 1)
    if set(wanted) - {"traits"} or (chunks != "auto" and not isinstance(chunks, Mapping)):
        raise OptionError(
            f"chunks is {chunks!r}; it should be 'auto' or a mapping such as "
            "{'permutations': 1000, 'traits': 256}"
        )
    size = min(own, n_permutations)
    several = footprint is not None and footprint.model.components > 0
    n = max(n_samples, 1)
    # With several kernels a permuted trait is rotated into many bases, and so are the markers of a
    # block: larger ones pay. Each trait has a root of its covariance, n x n numbers.
    most = _RATIOS * n if several else 4 * n
    variants = max(1, max(_MARKER_CELLS // n, min(most, _MOST_CELLS // n)) // columns)
    work = max(1, min(variants, n_variants) * n * size * columns**2)
    share = -(-n_traits // _AT_LEAST)
    if several:
        share = min(max(share, _SEVERAL), n_traits, max(_MOST_CELLS // n**2, 1))
    traits = max(1, min(_TRAITS, _TASK // work, share))
    cut = {"variants": variants, "traits": traits} | wanted
    how: dict[str, Any] = {"footprint": footprint, "patterns": patterns}
    return make_plan(n_samples, n_variants, n_traits, cut, **how), size


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
        """Memory of a task in bytes, about, with its markers and its null models."""
        plan = self.scan.plan
        given = plan.variants, plan.traits, self.size, self.pools.count
        own = plan.footprint.permutations(*given).peak + plan.fit_cells.kept
        return int(8 * (own + plan.variants * plan.n_samples))

    @cached_property
    def maxima(self) -> da.Array:
        """The maxima as a dask array (permutations, traits[, pools])."""
        (rows, _), scan = self.chunks, self.scan
        starts = np.cumsum([0, *rows[:-1]]).tolist()
        draws = [range(start, start + size) for start, size in zip(starts, rows, strict=True)]
        strata = held_object("strata", self.strata)
        of_draws = held_objects("draws", draws, (rows,), draws)
        orders = per_block(
            _orders,
            "p",
            of_draws,
            "p",
            strata,
            "",
            name=f"permutations-{tokenize(self.seed, of_draws.name, strata.name)}",
            seed=self.seed,
        )
        inputs = (scan.markers.values, scan.markers.chunks, scan.names, orders)
        token = tokenize(
            [each.name for each in (*inputs, *scan.fits, *scan.bases.samples)],
            self.pools.count,
            self.model,
            scan.single,
        )
        parts = per_marker_block(
            _part,
            "pvt",
            scan.markers,
            scan.names,
            "",
            orders,
            "p",
            chosen=[(scan.bases.samples, ""), *scan.chosen],
            name=f"permuted-block-{token}",
            n_pools=self.pools.count,
            model=self.model,
            single=scan.single,
        )
        flat = self.pools.together
        return ruled(
            highest,
            "pt" if flat else "ptc",
            parts,
            "pvt",
            name=f"permuted-maxima-{token}",
            dtype=np.float32,
            new_axes={} if flat else {"c": self.pools.count},
            listed="v",
            flat=flat,
        )


def _orders(draws: range, strata: Index, *, seed: int) -> Index:
    return permutations(seed, draws, strata)


def _part(
    genotypes: Any,
    chunk: MarkerChunk,
    names: Names,
    orders: Index,
    *chosen: Any,
    n_pools: int,
    model: ModelOptions,
    single: bool,
) -> Single:
    """Maxima (permutations, traits, pools) over a chunk of markers; `NONE` for no maximum.

    `chosen` are the samples for the kinships of the markers, then what `LazyScan.chosen` is.
    """
    genotypes = only(genotypes)
    count = len(chunk.relations)
    samples: tuple[Samples | KernelSamples, ...] = chosen[:count]
    attached_fits = attached(chosen[count : 2 * count], chosen[2 * count :])
    fits = cast("list[TraitFits[NullScan | ComponentScan]]", attached_fits)
    of_kinship = dict(zip(chunk.relations, zip(fits, samples, strict=True), strict=True))
    with chunk.guarded(genotypes, names):
        found = [
            permuted_maxima(markers, n_pools, *of_kinship[relation], orders, model, single=single)
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
    store: Target,
    lazy: LazyPermutations,
    progress: Callable[[Progress], None] | None = None,
) -> Location:
    """Compute the missing blocks of a store and write each, as `run.run_into` does."""
    rows, columns = lazy.chunks
    markers = lazy.scan.plan.n_variants
    work = Work(
        len(rows) * len(columns),
        lazy.count * lazy.scan.plan.tests,
        lambda block: rows[block[0]] * columns[block[1]] * markers,
        4 * lazy.pools.count / markers,
    )

    def blocks(held: da.Array, run: str) -> tuple[da.Array, tuple[da.Array, ...]]:
        maxima = lazy.maxima
        name = f"write-block-{run}"
        along = "ptc"[: maxima.ndim]
        made = ruled(_write_block, "pt", held, "", maxima, along, name=name, with_index=True)
        return made, (maxima,)

    return run_blocks(store, lazy.scan, blocks, work, progress, task_bytes=lazy.task_bytes)


def _write_block(block: BlockIndex, store: Target, values: Single) -> Written:
    return store.made().write_block(*block, {"max_lod": values})
