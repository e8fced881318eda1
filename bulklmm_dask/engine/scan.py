"""Graph of a scan: dask arrays whose blocks are computed by `lmm.chunk`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from operator import getitem
from typing import Any

import dask.array as da
import numpy as np
from dask.delayed import delayed

from bulklmm_dask.engine.arrays import as_dask, as_texts
from bulklmm_dask.engine.bases import samples_nodes
from bulklmm_dask.engine.plan import Plan
from bulklmm_dask.engine.study import Study
from bulklmm_dask.engine.tasks import MarkerChunk, TraitChunk, marker_chunks, trait_chunks
from bulklmm_dask.lmm.basis import Basis
from bulklmm_dask.lmm.chunk import FittedTraits, fit_traits, scan_block
from bulklmm_dask.lmm.null.fit import OK, STATUS
from bulklmm_dask.lmm.options import ModelOptions
from bulklmm_dask.lmm.samples import Samples
from bulklmm_dask.lmm.statistics import statistics, trait_statistics
from bulklmm_dask.typing import Array, Columns, Real


@dataclass(frozen=True)
class LazyScan:
    """Graph of a scan: delayed null models of every trait chunk, and the markers in chunks.

    Attributes
    ----------
    study, plan, model : Study, Plan, ModelOptions
        What is scanned, in which blocks, and how.
    single : bool
        Compute matrix products in single precision.
    genotypes : dask array (variants, samples, ...)
        Genotypes in the marker chunks of the plan.
    fits : tuple of tuple of delayed FittedTraits
        Null models: one tuple per trait chunk, one entry per kinship.
    """

    study: Study
    plan: Plan
    model: ModelOptions
    single: bool
    genotypes: da.Array
    fits: tuple[tuple[Any, ...], ...]

    def options(self) -> dict[str, Any]:
        """Keyword arguments of `score_block`, the same for all blocks."""
        return {"model": self.model, "single": self.single}

    @cached_property
    def markers(self) -> list[MarkerChunk]:
        """Names and kinships of the markers, one `MarkerChunk` per marker chunk."""
        measured, genotypes = self.study.measured, self.study.genotypes
        return marker_chunks(genotypes, measured.sample_names, self.plan.variant_chunks)

    def needed(self, i: int, j: int) -> dict[int, Any]:
        """Delayed null models that block (i, j) needs, by number of the kinship."""
        return {number: self.fits[j][number] for number in self.markers[i].relations}

    def per_pair(self) -> dict[str, da.Array]:
        """Statistics of every pair, (variants, traits, ...), by name."""
        rows = self.plan.variant_chunks
        markers = da.concatenate(
            [
                da.from_delayed(delayed(chunk), shape=(size,), dtype=object)
                for chunk, size in zip(self.markers, rows, strict=True)
            ]
        )
        indices = "vsg"[: self.genotypes.ndim]
        scores = da.blockwise(
            score_block,
            "vt",
            self.genotypes,
            indices,
            markers,
            "v",
            self._fitted(),
            "vt",
            **self.options(),
            concatenate=True,
            align_arrays=False,  # they are aligned
            dtype=object,
            meta=np.empty((0, 0), dtype=object),
        )
        return {
            name: _part(scores, name, kind.dtype, kind.shape)
            for name, kind in statistics(self.model, single=self.single).items()
        }

    def per_trait(self) -> dict[str, da.Array]:
        """Statistics of every trait, (traits,) or (contigs, traits), by name."""
        chunks = self.plan.trait_chunks
        columns = [delayed(trait_columns)(list(fits)) for fits in self.fits]
        relations = self.study.measured.relations
        out = {}
        for name, kind in trait_statistics(relations).items():
            parts = [
                da.from_delayed(delayed(getitem)(column, name), (*kind.shape, size), kind.dtype)
                for column, size in zip(columns, chunks, strict=True)
            ]
            out[name] = da.concatenate(parts, axis=-1)
            if kind.dtype == object:
                out[name] = as_texts(out[name], STATUS)
        return out

    def _fitted(self) -> da.Array:
        """Array (variants, traits) whose chunks are the null models that each block needs.

        A chunk is a dict instead of an array; dask passes chunks on without checking them.
        """
        rows, columns = self.plan.variant_chunks, self.plan.trait_chunks
        return da.block(
            [
                [
                    da.from_delayed(delayed(self.needed(i, j)), shape=(height, width), dtype=object)
                    for j, width in enumerate(columns)
                ]
                for i, height in enumerate(rows)
            ]
        )


def lazy_scan(
    study: Study, plan: Plan, options: ModelOptions, *, single: bool, bases: Sequence[Any]
) -> LazyScan:
    """Make the graph of a scan; nothing is computed.

    Parameters
    ----------
    study : Study
        What is scanned.
    plan : Plan
        How the scan is cut into blocks.
    options : ModelOptions
        How heritabilities are estimated, and what is tested.
    single : bool
        Compute matrix products in single precision.
    bases : sequence of delayed or Basis or None
        Bases of all samples, one per kinship, from `bases.lazy_bases` or `bases.kept_bases`.
    """
    measured = study.measured
    nodes = samples_nodes(measured)
    prior = measured.prior
    own_markers = None if measured.own_markers is None else delayed(measured.own_markers)
    fits = []
    start = 0
    for block, chunk in trait_chunks(measured, plan.trait_chunks):
        mine = slice(start, start + len(chunk.names))
        start = mine.stop
        own = {
            "prior": None if prior is None else prior.take(np.arange(mine.start, mine.stop)),
            "extra": None if own_markers is None else own_markers.of(mine),
        }
        fits.append(
            tuple(
                delayed(_fit)(block, chunk, samples, options, basis, own)
                for samples, basis in zip(nodes, bases, strict=True)
            )
        )
    values = study.genotypes.values
    genotypes = as_dask(values, (plan.variant_chunks, *values.shape[1:]))
    return LazyScan(study, plan, options, single, genotypes, tuple(fits))


def _part(scores: da.Array, name: str, dtype: Any, rest: tuple[int, ...]) -> da.Array:
    """One statistic out of the dicts in `scores`, with extra dimensions of sizes `rest`."""
    meta = np.empty((0,) * (2 + len(rest)), dtype=dtype)
    return da.map_blocks(
        getitem,
        scores,
        name,
        dtype=dtype,
        meta=meta,
        new_axis=list(range(2, 2 + len(rest))) or None,
        chunks=(*scores.chunks, *((size,) for size in rest)),
    )


def _fit(
    traits: Array,
    chunk: TraitChunk,
    samples: Samples,
    options: ModelOptions,
    basis: Basis | None,
    own: dict[str, Any],
) -> FittedTraits:
    with chunk.guarded(traits) as values:
        return fit_traits(values, samples, options, complete=basis, **own)


def trait_columns(fits: Sequence[FittedTraits]) -> Columns:
    """Statistics of the traits of a chunk, by the names of `trait_statistics`.

    A trait has a status for each kinship; the first that is not "ok" is kept.
    """
    first = fits[0]
    if len(fits) == 1:
        return {
            "h2": first.h2,
            "sigma2": first.sigma2,
            "n_samples": first.n_samples,
            "trait_status": first.status,
        }
    status = first.status
    for fit in fits[1:]:
        status = np.where(status == OK, fit.status, status)
    return {
        "h2": np.stack([fit.h2 for fit in fits]),
        "sigma2": np.stack([fit.sigma2 for fit in fits]),
        "n_samples": first.n_samples,
        "trait_status": status,
    }


def score_block(
    genotypes: Real,
    chunk: MarkerChunk,
    fits: Mapping[int, FittedTraits],
    *,
    model: ModelOptions,
    single: bool,
) -> Columns:
    """Statistics of every pair of a block, (variants, traits, ...), by name."""
    out: Columns = {}
    with chunk.guarded(genotypes):
        for relation, rows, values in chunk.by_relation(genotypes):
            found = scan_block(values, fits[relation], model, single=single)
            if len(chunk.relations) == 1:
                return found
            for name, part in found.items():
                if name not in out:
                    out[name] = np.empty((len(genotypes), *part.shape[1:]), part.dtype)
                out[name][rows] = part
    return out
