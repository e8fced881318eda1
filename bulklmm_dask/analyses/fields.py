"""The arrays of a result, from the table of statistics: dimensions, shapes, dtypes, attributes."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from bulklmm_dask.lmm.options import ModelOptions
from bulklmm_dask.lmm.statistics import (
    OF_PAIRS,
    OF_TRAITS,
    Statistic,
    statistics,
    trait_statistics,
)
from bulklmm_dask.storage.result import Field


def pair_fields(
    model: ModelOptions, n_variants: int, n_traits: int, *, single: bool
) -> dict[str, Field]:
    """Fields with one value per pair, (variants, traits, ...)."""
    attrs = attributes_of(OF_PAIRS)
    return {
        name: Field(
            ("variants", "traits", *kind.dims),
            (n_variants, n_traits, *kind.shape),
            kind.dtype,
            attrs[name],
        )
        for name, kind in statistics(model, single=single).items()
    }


def trait_fields(relations: int | None, n_traits: int) -> dict[str, Field]:
    """Fields with one value per trait, (traits,), or with LOCO kinships (contigs, traits)."""
    attrs = attributes_of(OF_TRAITS)
    return {
        name: Field((*kind.dims, "traits"), (*kind.shape, n_traits), kind.dtype, attrs[name])
        for name, kind in trait_statistics(relations).items()
    }


def attributes_of(rows: Iterable[Statistic]) -> dict[str, dict[str, str]]:
    """``long_name`` and ``units`` of each statistic, by its name."""
    return {row.name: row.attrs() for row in rows}


def columns_of(fields: Mapping[str, Field], arrays: Mapping[str, Any]) -> dict[str, Any]:
    """Arrays with the dimensions and attributes of their fields, as `package` takes them."""
    return {name: (fields[name].dims, array, fields[name].attrs) for name, array in arrays.items()}
