"""The lazy graph of a scan: dask arrays whose blocks call the statistics."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from operator import getitem
from typing import Any

import dask.array as da
import numpy as np
import numpy.typing as npt
from dask.base import persist
from dask.delayed import delayed

from bulklmm_dask.engine.blas import one_blas_thread
from bulklmm_dask.engine.plan import Plan
from bulklmm_dask.lmm.basis import Basis
from bulklmm_dask.lmm.chunk import FittedTraits, fit_traits, scan_block
from bulklmm_dask.lmm.kinship import check_kinship
from bulklmm_dask.lmm.null.fit import OK
from bulklmm_dask.lmm.options import ModelOptions
from bulklmm_dask.lmm.prior import Prior
from bulklmm_dask.lmm.samples import Samples
from bulklmm_dask.lmm.statistics import statistics, trait_statistics
from bulklmm_dask.storage.result import Field
from bulklmm_dask.study.checks import refuse_infinite, refuse_outside
from bulklmm_dask.typing import Array, Columns, Index, Names


@dataclass(frozen=True)
class Conditions:
    """Markers among the covariates, of every trait its own.

    Attributes
    ----------
    dosage : array (samples, markers)
        Without gaps.
    index : array (traits, k) of int
        Columns of `dosage`; -1 for none.
    """

    dosage: Array
    index: Index

    def of(self, traits: slice) -> Array:
        """Values (samples, traits, k), zeros for none."""
        index = self.index[traits]
        return np.where(index < 0, 0.0, self.dosage[:, np.maximum(index, 0)])


@dataclass(frozen=True)
class Measurements:
    """What was measured on the samples, as NumPy or dask arrays; names serve messages of errors.

    Attributes
    ----------
    traits : array (samples, traits)
    covariates : array (samples, c)
        In memory, with the intercept.
    kinship : array (samples, samples) or (contigs, samples, samples) or None
        One, or one for the markers of each contig.
    sample_names, trait_names : array of str
    weights : array (samples,) or None
        Residual weights.
    """

    traits: Any
    covariates: Array
    kinship: Any
    sample_names: Names
    trait_names: Names
    weights: Array | None = None

    @property
    def relations(self) -> int | None:
        """Number of kinships, one a contig; None where one serves all markers."""
        return len(self.kinship) if np.ndim(self.kinship) == 3 else None


@dataclass(frozen=True, kw_only=True)
class Study(Measurements):
    """The same with the markers of a scan.

    Attributes
    ----------
    genotypes : array (variants, samples) or (variants, samples, genotypes)
        Dosages, or the probability of each genotype.
    maximum : float
        Largest possible value of them.
    variant_names : array of str
    contig : array (variants,) of int
        Which kinship each variant is scanned with; zeros where there is one only.
    interacting : tuple of int
        Columns of the covariates whose product with the genotype is tested.
    prior : Prior or None
        On the residual variance.
    conditions : Conditions or None
    """

    genotypes: Any
    maximum: float
    variant_names: Names
    contig: Index
    interacting: tuple[int, ...] = ()
    prior: Prior | None = None
    conditions: Conditions | None = None


def is_lazy(array: Any) -> bool:
    """Whether an array is a dask array, whose values are not known yet."""
    return isinstance(array, da.Array)


def as_dask(array: Any, chunks: tuple[Any, ...]) -> da.Array:
    """Array as a dask array of these chunks."""
    if isinstance(array, da.Array):
        return array.rechunk(chunks)
    return da.from_array(array, chunks=chunks, name=False)


def load_kinship(study: Study) -> tuple[Study, Any]:
    """The study with its kinship in memory, and the bases kept where they were computed.

    For a run of many graphs: none of them computes either again.
    """
    if is_lazy(study.kinship):
        study = replace(study, kinship=study.kinship.compute())
    return study, list(persist(*lazy_bases(study)))


def lazy_bases(study: Measurements) -> list[Any]:
    """Delayed bases of all samples, one a kinship; None where some lack a covariate."""
    if np.isnan(study.covariates).any():
        return [None] * (study.relations or 1)
    return [delayed(_basis)(samples) for samples in samples_nodes(study)]


def _basis(samples: Samples) -> Basis:
    with one_blas_thread():
        return samples.basis()


def samples_nodes(study: Measurements, interacting: tuple[int, ...] = ()) -> list[Any]:
    """Delayed `Samples`, one a kinship: nodes of the graph, not copies in every task."""
    matrices = [study.kinship] if study.relations is None else list(study.kinship)
    return [
        delayed(_samples)(_one_chunk(matrix), study.covariates, study.weights, interacting)
        for matrix in matrices
    ]


def _samples(
    kinship: Array | None, covariates: Array, weights: Array | None, interacting: tuple[int, ...]
) -> Samples:
    checked = None if kinship is None else check_kinship(kinship, len(covariates))
    return Samples(covariates, checked, weights, interacting)


def trait_blocks(study: Measurements, chunks: tuple[int, ...]) -> list[tuple[Any, Names]]:
    """Delayed values (samples, traits in the chunk) of every chunk of traits, and their names."""
    blocks = as_dask(study.traits, (len(study.sample_names), chunks)).to_delayed().ravel()
    names = np.split(study.trait_names, np.cumsum(chunks)[:-1])
    return list(zip(blocks, names, strict=True))


def _one_chunk(matrix: Any) -> Any:
    """Delayed whole of a dask array, or what is in memory as it is."""
    if isinstance(matrix, da.Array):
        return matrix.rechunk(matrix.shape).to_delayed().ravel()[0]
    return matrix


@dataclass(frozen=True)
class LazyScan:
    """A scan laid out: delayed fits of every trait chunk, and the markers cut as the plan says.

    Attributes
    ----------
    study, plan, model : Study, Plan, ModelOptions
    single : bool
        Multiply in single precision.
    genotypes : dask array (variants, samples, ...)
    fits : tuple of tuple of delayed FittedTraits
        For each trait chunk, one a kinship.
    """

    study: Study
    plan: Plan
    model: ModelOptions
    single: bool
    genotypes: da.Array
    fits: tuple[tuple[Any, ...], ...]

    def options(self) -> dict[str, Any]:
        """Keyword arguments of `score_block`, besides the block's own data."""
        return {
            "sample_names": self.study.sample_names,
            "maximum": self.study.maximum,
            "model": self.model,
            "single": self.single,
        }

    @cached_property
    def variants(self) -> list[Variants]:
        """Names and contigs of the variants of every marker chunk."""
        cuts = np.cumsum(self.plan.variant_chunks)[:-1]
        parts = (np.split(self.study.variant_names, cuts), np.split(self.study.contig, cuts))
        return [Variants(names, contig) for names, contig in zip(*parts, strict=True)]

    def needed(self, i: int, j: int) -> dict[int, Any]:
        """Delayed fits that block (i, j) needs, by the number of their kinship."""
        return {number: self.fits[j][number] for number in self.variants[i].relations}

    def per_pair(self) -> dict[str, da.Array]:
        """Statistics of every pair, (variants, traits, ...)."""
        rows = self.plan.variant_chunks
        variants = da.concatenate(
            [
                da.from_delayed(delayed(part), shape=(size,), dtype=object)
                for part, size in zip(self.variants, rows, strict=True)
            ]
        )
        indices = "vsg"[: self.genotypes.ndim]
        scores = da.blockwise(
            score_block,
            "vt",
            self.genotypes,
            indices,
            variants,
            "v",
            self._fitted(),
            "vt",
            **self.options(),
            concatenate=True,
            align_arrays=False,  # they are
            dtype=object,
            meta=np.empty((0, 0), dtype=object),
        )
        return {
            name: _part(scores, name, kind.dtype, kind.shape)
            for name, kind in statistics(self.model, single=self.single).items()
        }

    def per_trait(self) -> dict[str, da.Array]:
        """What is known of every trait, (traits,) or (contigs, traits)."""
        chunks = self.plan.trait_chunks
        columns = [delayed(trait_columns)(list(fits)) for fits in self.fits]
        relations = self.study.relations
        out = {}
        for name, kind in trait_statistics(relations).items():
            parts = [
                da.from_delayed(delayed(getitem)(column, name), (*kind.shape, size), kind.dtype)
                for column, size in zip(columns, chunks, strict=True)
            ]
            out[name] = da.concatenate(parts, axis=-1)
        return out

    def _fitted(self) -> da.Array:
        """Array whose chunks are the fits of a block: dask hands them on without looking inside."""
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


@dataclass(frozen=True)
class Variants:
    """Names and contigs of the variants of a marker chunk."""

    names: Names
    contig: Index

    @cached_property
    def relations(self) -> list[int]:
        """Numbers of the kinships that they are scanned with."""
        return [int(number) for number in np.unique(self.contig)]


def lazy_scan(
    study: Study, plan: Plan, options: ModelOptions, *, single: bool, bases: Sequence[Any]
) -> LazyScan:
    """Lay out a scan: nothing is computed.

    Parameters
    ----------
    study : Study
        What is scanned.
    plan : Plan
        How it is cut.
    options : ModelOptions
        How heritabilities are estimated.
    single : bool
        Multiply in single precision.
    bases : sequence of delayed or Basis or None
        Of all samples, one a kinship, from `lazy_bases`.
    """
    nodes = samples_nodes(study, study.interacting)
    conditions = None if study.conditions is None else delayed(study.conditions)
    fits = []
    start = 0
    for block, names in trait_blocks(study, plan.trait_chunks):
        mine = slice(start, start + len(names))
        start = mine.stop
        own = {
            "prior": None
            if study.prior is None
            else study.prior.take(np.arange(mine.start, mine.stop)),
            "conditions": None if conditions is None else conditions.of(mine),
        }
        fits.append(
            tuple(
                delayed(_fit)(block, samples, options, basis, study.sample_names, names, own)
                for samples, basis in zip(nodes, bases, strict=True)
            )
        )
    shape = (plan.variant_chunks, *study.genotypes.shape[1:])
    genotypes = as_dask(study.genotypes, shape)
    return LazyScan(study, plan, options, single, genotypes, tuple(fits))


def _part(scores: da.Array, name: str, dtype: Any, rest: tuple[int, ...]) -> da.Array:
    """One statistic of the scores, with `rest` more dimensions."""
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
    samples: Samples,
    options: ModelOptions,
    basis: Basis | None,
    sample_names: Names,
    trait_names: Names,
    own: dict[str, Any],
) -> FittedTraits:
    refuse_infinite(traits, "sample_trait", list(sample_names), list(trait_names))
    values = np.asarray(traits, dtype=np.float64)
    with one_blas_thread():
        return fit_traits(values, samples, options, complete=basis, **own)


def trait_fields(relations: int | None, n_traits: int) -> dict[str, Field]:
    """The arrays of a result that `trait_statistics` lists."""
    return {
        name: Field((*kind.dims, "traits"), (*kind.shape, n_traits), kind.dtype)
        for name, kind in trait_statistics(relations).items()
    }


def trait_columns(fits: Sequence[FittedTraits]) -> Columns:
    """What is known of every trait of a chunk, under the names of `trait_statistics`.

    Of the states that a trait has with different kinships, the first that is not "ok" counts.
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
    genotypes: npt.NDArray[np.floating],
    variants: Variants,
    fits: Mapping[int, FittedTraits],
    *,
    sample_names: Names,
    maximum: float,
    model: ModelOptions,
    single: bool,
) -> Columns:
    """Statistics of every pair of a block, (variants, traits, ...), under their names."""
    refuse_outside(genotypes, maximum, list(variants.names), list(sample_names))
    with one_blas_thread():
        if len(fits) == 1:
            (fit,) = fits.values()
            return scan_block(genotypes, fit, model, single=single)
        out: Columns = {}
        for contig, fit in fits.items():
            mine = variants.contig == contig
            for name, values in scan_block(genotypes[mine], fit, model, single=single).items():
                if name not in out:
                    out[name] = np.empty((len(mine), *values.shape[1:]), values.dtype)
                out[name][mine] = values
        return out
