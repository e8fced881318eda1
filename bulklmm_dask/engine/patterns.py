"""Patterns of missing values: which traits were measured on which samples."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from dask.base import tokenize

from bulklmm_dask.engine.arrays import as_dask, is_lazy, only, per_block
from bulklmm_dask.engine.study import Measurements
from bulklmm_dask.engine.watch import computed
from bulklmm_dask.typing import Array, Flags, Index

# Traits, and values (samples x traits), that are looked at together.
_TRAITS, _CELLS = 4096, 2**22


@dataclass(frozen=True)
class Patterns:
    """The patterns of a study, in the order of their first traits.

    Attributes
    ----------
    of_trait : array (traits,) of int
        Number of the pattern of every trait.
    used : array (samples, patterns) of bool
        Samples with a value and all covariates, for the traits of each pattern.
    """

    of_trait: Index
    used: Flags


def missing_patterns(measured: Measurements) -> Patterns:
    """Find the patterns of missing values; lazy traits are read once."""
    n_samples, n_traits = len(measured.sample_names), len(measured.trait_names)
    complete = measured.complete
    if is_lazy(measured.traits):
        size = max(1, min(_TRAITS, _CELLS // max(n_samples, 1)))
        sizes = tuple(min(size, n_traits - start) for start in range(0, n_traits, size))
        values = as_dask(measured.traits, (n_samples, sizes))
        name = f"missing-traits-{tokenize(values.name, complete)}"
        kind = np.dtype((np.void, -(-n_samples // 8)))
        (keys,) = computed(
            per_block(_keys_of, "t", values, "st", name=name, dtype=kind, complete=complete)
        )
    else:
        keys = _keys(np.asarray(measured.traits), complete)
    _, first, where = np.unique(keys, return_index=True, return_inverse=True)
    order = np.argsort(first, kind="stable")
    rank = np.empty_like(order)
    rank[order] = np.arange(len(order))
    distinct = keys[first[order]]
    bits = distinct.view(np.uint8).reshape(len(distinct), -1).T
    used = np.unpackbits(bits, axis=0, count=n_samples).astype(bool)
    return Patterns(rank[where.ravel()], used)


def pattern_count(measured: Measurements) -> int | None:
    """Number of patterns of missing values; None for lazy traits, which are not read."""
    if is_lazy(measured.traits):
        return None
    return missing_patterns(measured).used.shape[1]


def _keys_of(traits: Any, *, complete: Flags) -> npt.NDArray[np.void]:
    return _keys(only(traits), complete)


def _keys(traits: Array, complete: Flags) -> npt.NDArray[np.void]:
    """Samples that every trait is measured on, packed into one void item per trait."""
    missing = np.isnan(traits)
    if missing.any():
        bits = np.ascontiguousarray(np.packbits(~missing & complete[:, None], axis=0).T)
    else:
        bits = np.tile(np.packbits(complete), (traits.shape[1], 1))
    return bits.view(np.dtype((np.void, bits.shape[1])))[:, 0]
