"""The arrays of a result: names, dimensions, shapes and dtypes, for stores and for lazy results."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from bulklmm_dask.lmm.options import ModelOptions
from bulklmm_dask.lmm.statistics import statistics, trait_statistics
from bulklmm_dask.storage.result import Field


def pair_fields(
    model: ModelOptions, n_variants: int, n_traits: int, *, single: bool
) -> dict[str, Field]:
    """The arrays of every pair, (variants, traits, ...)."""
    return {
        name: Field(
            ("variants", "traits", *kind.dims),
            (n_variants, n_traits, *kind.shape),
            kind.dtype,
        )
        for name, kind in statistics(model, single=single).items()
    }


def trait_fields(relations: int | None, n_traits: int) -> dict[str, Field]:
    """The arrays of every trait, (traits,) or with a kinship for each contig (contigs, traits)."""
    return {
        name: Field((*kind.dims, "traits"), (*kind.shape, n_traits), kind.dtype)
        for name, kind in trait_statistics(relations).items()
    }


def columns_of(fields: Mapping[str, Field], arrays: Mapping[str, Any]) -> dict[str, Any]:
    """Arrays with the dimensions of their fields, as `package` takes them."""
    return {name: (fields[name].dims, array) for name, array in arrays.items()}
