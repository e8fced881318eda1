"""Heritabilities of all traits on Dask: a task estimates consecutive traits, sorted by samples."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, Self

import dask.array as da
import numpy as np
import numpy.typing as npt
from dask.base import tokenize

from bulklmm_dask.engine.arrays import alone, only, per_block
from bulklmm_dask.engine.bases import lazy_bases
from bulklmm_dask.engine.patterns import missing_patterns
from bulklmm_dask.engine.study import Measurements
from bulklmm_dask.engine.tasks import TraitChunk, Traits, sample_names
from bulklmm_dask.engine.watch import computed
from bulklmm_dask.lmm.basis import Basis
from bulklmm_dask.lmm.null.heritability import estimate
from bulklmm_dask.lmm.samples import Samples
from bulklmm_dask.typing import Columns, Index, Names

# Traits per task: small tasks are dominated by scheduling, large ones leave cores idle.
_TASK = 4096
# Factoring the kinship for another pattern of missing values takes as long as this many traits.
_PATTERN = 128
# Largest number of trait values (samples x traits) in a task.
_CELLS = 2**22


def estimate_all(measured: Measurements, *, reml: bool) -> Columns:
    """Compute the columns of `lmm.null.heritability.Heritabilities` of all traits, (traits,)."""
    sorted_ = ByPattern.of(measured, task=_TASK, pattern=_PATTERN)
    (found,) = computed(_lazily(sorted_.measured, sorted_.sizes, reml))
    return sorted_.joined(found)


@dataclass(frozen=True)
class ByPattern:
    """Traits sorted by their pattern of missing values, in tasks of about equal work.

    Few patterns are then split over tasks, each of which factors its kinship again.

    Attributes
    ----------
    measured : Measurements
        The traits in the order of their patterns.
    sizes : tuple of int
        Number of traits of each task.
    back : array (traits,) of int
        Places of the traits as given among the sorted ones.
    """

    measured: Measurements
    sizes: tuple[int, ...]
    back: Index

    @classmethod
    def of(cls, measured: Measurements, *, task: int, pattern: int) -> Self:
        """Sort the traits, and cut them into tasks.

        Parameters
        ----------
        measured : Measurements
            The traits in any order.
        task : int
            Traits of one pattern in a task.
        pattern : int
            Number of traits that take as long as another pattern does.
        """
        patterns = missing_patterns(measured).of_trait
        order = np.argsort(patterns, kind="stable")
        if patterns.any():
            measured = replace(
                measured,
                traits=measured.traits[:, order],
                trait_names=measured.trait_names[order],
            )
        work = np.ones(len(patterns), dtype=np.int64)
        work[1:] += pattern * (np.diff(patterns[order]) != 0)
        number = work.cumsum() // max(1, min(task, _CELLS // len(measured.sample_names)))
        sizes = tuple(np.unique(number, return_counts=True)[1].tolist())
        return cls(measured, sizes, np.argsort(order))

    def joined(self, parts: Sequence[Columns]) -> Columns:
        """Columns (..., traits) of the tasks, joined in the order of the traits as given."""
        return {
            name: np.concatenate([part[name] for part in parts], axis=-1)[..., self.back]
            for name in parts[0]
        }


def _lazily(measured: Measurements, sizes: tuple[int, ...], reml: bool) -> da.Array:
    """Columns of the traits in chunks of these sizes, an object in place of each chunk."""
    bases = lazy_bases(measured)
    (samples,), (basis,) = bases.samples, bases.bases
    traits, names = Traits.of(measured, sizes), sample_names(measured)
    inputs = [traits.values, "st", traits.chunks, "t", names, "", samples, ""]
    inputs += [None, None] if basis is None else [basis, ""]
    token = tokenize([getattr(each, "name", each) for each in inputs], reml)
    return per_block(_estimate, "t", *inputs, name=f"heritability-{token}", reml=reml)


def _estimate(
    traits: Any,
    chunk: TraitChunk,
    names: Names,
    samples: Samples,
    basis: Basis | None,
    *,
    reml: bool,
) -> npt.NDArray[np.object_]:
    with chunk.guarded(only(traits), names) as values:
        return alone(estimate(values, samples, reml=reml, complete=basis).columns())
