"""The lazy graph: kinship and scan as dask arrays whose blocks call the statistics."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from operator import itemgetter
from typing import Any

import dask.array as da
import numpy as np
import numpy.typing as npt
from dask.delayed import delayed

from bulklmm_dask.data.checks import refuse_infinite, refuse_outside
from bulklmm_dask.engine.blas import one_blas_thread
from bulklmm_dask.engine.plan import Plan
from bulklmm_dask.lmm.basis import Basis, make_basis
from bulklmm_dask.lmm.groups import FittedTraits, ModelOptions, fit_traits, scan_block, statistics
from bulklmm_dask.lmm.kinship import check_kinship, cross_products, finish

Array = npt.NDArray[np.float64]
Names = npt.NDArray[np.object_]

# Partial kinships are n x n each: added up in groups, so that only few are alive at a time.
_FAN_IN = 8

# What is known of every trait, with its dtype.
TRAIT_COLUMNS: dict[str, Any] = {
    "h2": np.float64,
    "sigma2": np.float64,
    "n_samples": np.int64,
    "trait_status": object,
}


@dataclass(frozen=True)
class Study:
    """The arrays of a scan, as NumPy or dask arrays; names serve the messages of errors.

    Attributes
    ----------
    dosage : array (variants, samples)
    maximum : float
        Largest possible dosage.
    traits : array (samples, traits)
    covariates : array (samples, c)
        In memory, with the intercept.
    kinship : array (samples, samples) or None
    variant_names, sample_names, trait_names : array of str
    """

    dosage: Any
    maximum: float
    traits: Any
    covariates: Array
    kinship: Any
    variant_names: Names
    sample_names: Names
    trait_names: Names


def is_lazy(array: Any) -> bool:
    """Whether an array is a dask array, whose values are not known yet."""
    return isinstance(array, da.Array)


def as_dask(array: Any, chunks: tuple[Any, ...]) -> da.Array:
    """Array as a dask array of these chunks."""
    if isinstance(array, da.Array):
        return array.rechunk(chunks)
    return da.from_array(array, chunks=chunks, name=False)


def lazy_kinship(
    dosage: Any,
    maximum: float,
    method: str,
    strains: npt.NDArray[np.int64] | None,
    variant_names: Names,
    sample_names: Names,
) -> da.Array:
    """Kinship (samples, samples) as a dask array of one chunk, accumulated over marker chunks."""
    p, n = dosage.shape
    size = dosage.chunks[0] if isinstance(dosage, da.Array) else max(1, 2**22 // max(n, 1))
    array = as_dask(dosage, (size, n))
    names = np.split(variant_names, np.cumsum(array.chunks[0])[:-1])
    parts = [
        delayed(_products)(block, method, maximum, variants, sample_names)
        for block, variants in zip(array.to_delayed().ravel(), names, strict=True)
    ]
    while len(parts) > 1:
        parts = [delayed(_add)(parts[i : i + _FAN_IN]) for i in range(0, len(parts), _FAN_IN)]
    whole = delayed(finish)(parts[0] if parts else np.zeros((n, n)), p, method, strains)
    return da.from_delayed(whole, shape=(n, n), dtype=np.float64)


def _products(dosage: Array, method: str, maximum: float, variants: Names, samples: Names) -> Array:
    refuse_outside(dosage, maximum, list(variants), list(samples))
    with one_blas_thread():
        return cross_products(dosage, method, maximum)


def _add(parts: Sequence[Array]) -> Array:
    total = parts[0].copy()
    for part in parts[1:]:
        total += part
    return total


def load_kinship(study: Study) -> tuple[Study, Any]:
    """The study with its kinship in memory, and the basis kept where it was computed.

    For a run of many graphs: none of them computes either again.
    """
    if isinstance(study.kinship, da.Array):
        study = replace(study, kinship=study.kinship.compute())
    basis = lazy_basis(study)
    return study, None if basis is None else basis.persist()


def lazy_basis(study: Study) -> Any:
    """Delayed basis of all samples, or None where a covariate is missing for some."""
    if np.isnan(study.covariates).any():
        return None
    return delayed(_basis)(_one_chunk(study.kinship), study.covariates)


def _basis(kinship: Array | None, covariates: Array) -> Basis:
    with one_blas_thread():
        checked = None if kinship is None else check_kinship(kinship, len(covariates))
        return make_basis(checked, covariates)


def _one_chunk(matrix: Any) -> Any:
    """Delayed whole of a dask array, or what is in memory as it is."""
    if isinstance(matrix, da.Array):
        return matrix.rechunk(matrix.shape).to_delayed().ravel()[0]
    return matrix


@dataclass(frozen=True)
class LazyScan:
    """A scan laid out: one delayed fit a trait chunk, and the markers cut as the plan says.

    Attributes
    ----------
    study, plan, model : Study, Plan, ModelOptions
    single : bool
        Multiply in single precision.
    dosage : dask array (variants, samples)
    fits : tuple of delayed FittedTraits
        One for each trait chunk.
    """

    study: Study
    plan: Plan
    model: ModelOptions
    single: bool
    dosage: da.Array
    fits: tuple[Any, ...]

    def options(self) -> dict[str, Any]:
        """Keyword arguments of `score_block`, besides the block's own data."""
        return {
            "sample_names": self.study.sample_names,
            "maximum": self.study.maximum,
            "model": self.model,
            "single": self.single,
        }

    def per_pair(self) -> dict[str, da.Array]:
        """Statistics of every pair, (variants, traits)."""
        scores = da.blockwise(
            score_block,
            "vt",
            self.dosage,
            "vs",
            da.from_array(self.study.variant_names, chunks=(self.plan.variant_chunks,), name=False),
            "v",
            self._fitted(),
            "t",
            **self.options(),
            concatenate=True,
            align_arrays=False,  # they are
            dtype=object,
            meta=np.empty((0, 0), dtype=object),
        )
        kinds = statistics(self.model, single=self.single)
        return {name: _part(scores, itemgetter(name), kind) for name, kind in kinds.items()}

    def per_trait(self) -> dict[str, da.Array]:
        """What is known of every trait, (traits,)."""
        columns = _part(self._fitted(), trait_columns, object)
        return {
            name: _part(columns, itemgetter(name), dtype) for name, dtype in TRAIT_COLUMNS.items()
        }

    def _fitted(self) -> da.Array:
        """Array whose chunks are FittedTraits: dask hands them on without looking inside."""
        chunks = zip(self.fits, self.plan.trait_chunks, strict=True)
        return da.concatenate(
            [da.from_delayed(fit, shape=(size,), dtype=object) for fit, size in chunks]
        )


def lazy_scan(
    study: Study, plan: Plan, options: ModelOptions, *, single: bool, basis: Any
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
    basis : delayed or Basis or None
        Of all samples, from `lazy_basis`.
    """
    n = plan.n_samples
    kinship = _one_chunk(study.kinship)
    if isinstance(kinship, np.ndarray):
        kinship = delayed(kinship)  # one node of the graph, not a copy in every task
    blocks = as_dask(study.traits, (n, plan.trait_chunks)).to_delayed().ravel()
    starts = np.cumsum((0, *plan.trait_chunks[:-1]))
    fits = tuple(
        delayed(_fit)(
            block,
            kinship,
            study.covariates,
            options,
            basis,
            study.sample_names,
            study.trait_names[start : start + size],
        )
        for block, start, size in zip(blocks, starts, plan.trait_chunks, strict=True)
    )
    dosage = as_dask(study.dosage, (plan.variant_chunks, n))
    return LazyScan(study, plan, options, single, dosage, fits)


def _part(array: da.Array, getter: Any, dtype: Any) -> da.Array:
    meta = np.empty((0,) * array.ndim, dtype=dtype)
    return da.map_blocks(getter, array, dtype=dtype, meta=meta)


def _fit(
    traits: Array,
    kinship: Array | None,
    covariates: Array,
    options: ModelOptions,
    basis: Basis | None,
    sample_names: Names,
    trait_names: Names,
) -> FittedTraits:
    refuse_infinite(traits, "sample_trait", list(sample_names), list(trait_names))
    with one_blas_thread():
        return fit_traits(np.asarray(traits, dtype=np.float64), kinship, covariates, options, basis)


def trait_columns(fitted: FittedTraits) -> dict[str, npt.NDArray[Any]]:
    """What is known of every trait of a chunk, under the names of `TRAIT_COLUMNS`."""
    return {
        "h2": fitted.h2,
        "sigma2": fitted.sigma2,
        "n_samples": fitted.n_samples,
        "trait_status": fitted.status,
    }


def score_block(
    dosage: npt.NDArray[np.floating],
    variant_names: Names,
    fitted: FittedTraits,
    *,
    sample_names: Names,
    maximum: float,
    model: ModelOptions,
    single: bool,
) -> dict[str, npt.NDArray[Any]]:
    """Statistics of every pair of a block, (variants, traits), under their names."""
    refuse_outside(dosage, maximum, list(variant_names), list(sample_names))
    with one_blas_thread():
        return scan_block(dosage, fitted, model, single=single)
