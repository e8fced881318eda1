"""Graph of a scan: dask arrays whose blocks are computed by `lmm.chunk`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import dask.array as da
import numpy as np
import numpy.typing as npt
from dask.base import tokenize

from bulklmm_dask.engine.arrays import as_texts, only, per_block
from bulklmm_dask.engine.bases import Bases
from bulklmm_dask.engine.fits import Fits, attached
from bulklmm_dask.engine.held import held_object
from bulklmm_dask.engine.parts import taken
from bulklmm_dask.engine.plan import Plan
from bulklmm_dask.engine.study import OwnMarkers, Study
from bulklmm_dask.engine.tasks import (
    MarkerChunk,
    Markers,
    TraitChunk,
    Traits,
    per_marker_block,
    sample_names,
)
from bulklmm_dask.lmm.chunk import each_marker, fit_traits, scan_distinct
from bulklmm_dask.lmm.components.kernels import KernelSamples
from bulklmm_dask.lmm.components.scan import fit_components
from bulklmm_dask.lmm.few.choice import MOST_TRAITS
from bulklmm_dask.lmm.options import ModelOptions
from bulklmm_dask.lmm.samples import Samples
from bulklmm_dask.lmm.statistics import Kind, statistics, trait_statistics
from bulklmm_dask.lmm.status import OK, STATUS
from bulklmm_dask.typing import Columns, Index, Names

# Letters of dimensions besides variants and traits.
_REST = "xyz"


@dataclass(frozen=True)
class LazyScan:
    """Graph of a scan: null models of every trait chunk, and the markers in chunks.

    Attributes
    ----------
    study, plan, model : Study, Plan, ModelOptions
        What is scanned, in which blocks, and how.
    single : bool
        Compute matrix products in single precision.
    markers : Markers
        Markers in the chunks of the plan.
    names : dask array
        Names of the samples.
    bases : Bases
        Samples and their bases, one each per kinship.
    fits : tuple of dask array (traits,)
        Null models, one array per kinship: `Fits` in place of each chunk.
    """

    study: Study
    plan: Plan
    model: ModelOptions
    single: bool
    markers: Markers
    names: da.Array
    bases: Bases
    fits: tuple[da.Array, ...]

    @property
    def by_contig(self) -> bool:
        """Whether each contig has a model of its own, which may be a single one."""
        return self.study.measured.relations is not None

    @property
    def chosen(self) -> list[tuple[Sequence[da.Array], str]]:
        """What a block takes for the kinships of its markers: `Fits`, and their bases if any."""
        return [(self.fits, "t"), *([(self.known_bases, "")] if self.known_bases else [])]

    @property
    def known_bases(self) -> list[da.Array]:
        """Eigenbases of all samples, one per kinship; none if some sample lacks a covariate."""
        return [basis for basis in self.bases.bases if basis is not None]

    def per_pair(self) -> dict[str, da.Array]:
        """Statistics of every pair, (variants, traits, ...), by name."""
        kinds = statistics(self.model, single=self.single)
        if len(kinds) == 1:  # a single layer
            ((name, kind),) = kinds.items()
            return {name: self.blocks(name, name, kind)}
        scores = self.blocks("scan")
        return {name: _part(scores, "vt", name, kind) for name, kind in kinds.items()}

    def blocks(self, prefix: str, wanted: str | None = None, kind: Kind | None = None) -> da.Array:
        """One statistic of all pairs, or in place of each block a dict of all statistics."""
        rest = () if kind is None else kind.shape
        parts = (self.markers.values, self.markers.chunks, self.names, *self.fits)
        token = tokenize([part.name for part in parts], self.model, self.single, wanted)
        return per_marker_block(
            score_block,
            "vt" + _REST[: len(rest)],
            self.markers,
            self.names,
            "",
            chosen=self.chosen,
            name=f"{prefix}-block-{token}",
            dtype=object if kind is None else kind.dtype,
            new_axes=dict(zip(_REST, rest, strict=False)),
            model=self.model,
            single=self.single,
            wanted=wanted,
        )

    def per_trait(self) -> dict[str, da.Array]:
        """Statistics of every trait, (traits,) or (contigs, traits), by name."""
        columns = per_block(
            trait_columns,
            "t",
            *(part for fits in self.fits for part in (fits, "t")),
            name=f"trait-statistics-{tokenize([fits.name for fits in self.fits], self.by_contig)}",
            by_contig=self.by_contig,
        )
        out = {}
        measured = self.study.measured
        kinds = trait_statistics(measured.relations, len(measured.components))
        for name, kind in kinds.items():
            out[name] = _part(columns, "t", name, kind)
            if kind.dtype == object:
                out[name] = as_texts(out[name], STATUS)
        return out


def lazy_scan(
    study: Study,
    plan: Plan,
    options: ModelOptions,
    *,
    single: bool,
    bases: Bases,
    pool: Index | None = None,
    by_block: bool = False,
    for_permutations: bool = False,
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
    bases : Bases
        From `bases.lazy_bases` or `bases.kept_bases`.
    pool : array (variants,) of int, optional
        Pool of each marker (`tasks.MarkerChunk`).
    by_block : bool
        Let each block read its genotypes by itself (`Markers.of`).
    for_permutations : bool
        Make scanners whose scores are permuted, not those of few traits.
    """
    measured = study.measured
    names = sample_names(measured)
    traits = Traits.of(measured, plan.trait_chunks)
    own = None if measured.own_markers is None else held_object("own-markers", measured.own_markers)
    fits = []
    counts = np.bincount(study.genotypes.relation, minlength=len(bases.samples)).tolist()
    for samples, basis, count in zip(bases.samples, bases.bases, counts, strict=True):
        inputs = (traits.values, traits.chunks, names, samples, basis, own)
        # Many traits are scanned in the same way against any number of markers.
        few = max(plan.trait_chunks) <= MOST_TRAITS and not for_permutations
        n_markers = count if few else None
        known = [getattr(each, "name", None) for each in inputs]
        token = tokenize(known, options, n_markers, for_permutations)
        shared = ((None, None) if each is None else (each, "") for each in inputs[2:])
        fits.append(
            per_block(
                _fit,
                "t",
                traits.values,
                "st",
                traits.chunks,
                "t",
                *(part for pair in shared for part in pair),
                name=f"null-fit-{token}",
                options=options,
                n_markers=n_markers,
                together=not for_permutations,
            )
        )
    markers = Markers.of(study.genotypes, plan.variant_chunks, pool, by_block=by_block)
    return LazyScan(study, plan, options, single, markers, names, bases, tuple(fits))


def _part(whole: da.Array, index: str, name: str, kind: Kind) -> da.Array:
    """One statistic out of dicts by name, one dict in place of each chunk of `whole`.

    Further dimensions come behind those of pairs, and before that of traits.
    """
    more = _REST[: len(kind.shape)]
    return per_block(
        _statistic,
        index + more if len(index) == 2 else more + index,
        whole,
        index,
        name=f"{name}-{'block' if len(index) == 2 else 'traits'}-{tokenize(whole.name, name)}",
        dtype=kind.dtype,
        new_axes=dict(zip(more, kind.shape, strict=True)),
        wanted=name,
    )


def _statistic(columns: Columns, *, wanted: str) -> npt.NDArray[Any]:
    return columns[wanted]


def _fit(
    traits: Any,
    chunk: TraitChunk,
    names: Names,
    samples: Samples | KernelSamples,
    basis: Any,
    own: OwnMarkers | None,
    *,
    options: ModelOptions,
    n_markers: int | None,
    together: bool,
) -> Fits:
    if isinstance(samples, KernelSamples):
        with chunk.guarded(only(traits), names) as values:
            several = fit_components(values, samples, options, complete=basis, together=together)
        return Fits(several, basis)
    extra = None if own is None else own.of(chunk.places)
    with chunk.guarded(only(traits), names) as values:
        found = fit_traits(
            values,
            samples,
            options,
            complete=basis,
            prior=chunk.prior,
            extra=extra,
            n_markers=n_markers,
        )
    return Fits(found, basis)


def trait_columns(*fits: Fits, by_contig: bool) -> Columns:
    """Statistics of the traits of a chunk, by the names of `trait_statistics`.

    `by_contig`, a trait has a status for each model; the first that is not "ok" is kept.
    """
    estimates = [fit.estimates for fit in fits]
    first = estimates[0]
    if not by_contig:
        return {
            "h2": first.h2,
            "sigma2": first.sigma2,
            "n_samples": first.n_samples,
            "trait_status": first.status,
        }
    status = first.status
    for each in estimates[1:]:
        status = np.where(status == OK, each.status, status)
    return {
        "h2": np.stack([each.h2 for each in estimates]),
        "sigma2": np.stack([each.sigma2 for each in estimates]),
        "n_samples": first.n_samples,
        "trait_status": status,
    }


def score_block(
    genotypes: Any,
    chunk: MarkerChunk,
    names: Names,
    *chosen: Any,
    model: ModelOptions,
    single: bool,
    wanted: str | None = None,
) -> Any:
    """Statistics of every pair of a block, (variants, traits, ...), by name; or the wanted one.

    Parameters are those of `score_distinct`.
    """
    out = each_marker(*score_distinct(genotypes, chunk, names, *chosen, model=model, single=single))
    return out if wanted is None else out[wanted]


def score_distinct(
    genotypes: Any,
    chunk: MarkerChunk,
    names: Names,
    *chosen: Any,
    model: ModelOptions,
    single: bool,
) -> tuple[Columns, Index | None]:
    """Statistics of the different markers of a block, and the row of each (`scan_distinct`).

    `chosen` are the null models for the kinships of the markers, in their order, then the bases.
    """
    genotypes = taken(genotypes)
    count = len(chunk.relations)
    fits = attached(chosen[:count], chosen[count:])
    parts, place, n_rows = list[Columns](), np.empty(len(genotypes), np.int64), 0
    with chunk.guarded(genotypes, names):
        for fitted, (kind, rows, values) in zip(fits, chunk.by_relation(genotypes), strict=True):
            found, where = scan_distinct(values, fitted, model, single=single, key=(chunk, kind))
            if len(fits) == 1:
                return found, where
            place[rows] = n_rows + (np.arange(len(values)) if where is None else where)
            parts.append(found)
            n_rows += len(next(iter(found.values())))
    out = {name: np.concatenate([part.pop(name) for part in parts]) for name in list(parts[0])}
    return out, place
