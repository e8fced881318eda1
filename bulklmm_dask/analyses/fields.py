"""The arrays of a result, from the table of statistics: dimensions, shapes, dtypes, attributes."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from bulklmm_dask.engine.frequency import lazy_frequencies
from bulklmm_dask.engine.patterns import missing_patterns
from bulklmm_dask.engine.study import Measurements, Study
from bulklmm_dask.lmm.options import ModelOptions
from bulklmm_dask.lmm.statistics import (
    OF_PAIRS,
    OF_TRAITS,
    OF_VARIANTS,
    Statistic,
    statistics,
    trait_statistics,
)
from bulklmm_dask.storage.labels.coordinates import FREQUENCY
from bulklmm_dask.storage.labels.layout import Field
from bulklmm_dask.storage.proof.frequency import OF_PATTERNS, PATTERN


def pair_fields(
    model: ModelOptions,
    n_variants: int,
    n_traits: int,
    *,
    single: bool,
    effect_unit: str | None = None,
) -> dict[str, Field]:
    """Fields with one value per pair, (variants, traits, ...).

    `effect_unit` says in words what one unit of the genotype is, for the units of effects.
    """
    attrs = attributes_of(OF_PAIRS)
    for row in OF_PAIRS:
        if effect_unit is not None and "effects" in row.extra:
            attrs[row.name]["units"] = f"{row.unit}, {effect_unit}"
    return {
        name: Field(
            ("variants", "traits", *kind.dims),
            (n_variants, n_traits, *kind.shape),
            kind.dtype,
            attrs[name],
        )
        for name, kind in statistics(model, single=single).items()
    }


def trait_fields(measured: Measurements, n_traits: int) -> dict[str, Field]:
    """Fields with one value per trait, (traits,), or with LOCO kinships (contigs, traits).

    Of several kernels, shares have a dimension ``components`` before that of the traits.
    """
    attrs = attributes_of(OF_TRAITS)
    return {
        name: Field((*kind.dims, "traits"), (*kind.shape, n_traits), kind.dtype, attrs[name])
        for name, kind in trait_statistics(measured.relations, len(measured.components)).items()
    }


def frequency_columns(study: Study, genotypes: Any) -> dict[str, tuple[Any, ...]]:
    """Frequencies of the effect allele, lazy, as `package` takes them; none for probabilities.

    Where all traits were measured on the same samples it is one variable (variants,). Otherwise
    there is one column for each pattern of missing values, which `with_derived` gives the traits.
    `genotypes` are those of the study as a dask array, in chunks of markers.
    """
    if genotypes.ndim > 2:
        return {}
    patterns = missing_patterns(study.measured)
    values = lazy_frequencies(genotypes, study.genotypes.maximum, patterns)
    attrs = attributes_of(OF_VARIANTS)[FREQUENCY]
    if patterns.used.shape[1] == 1:
        return {FREQUENCY: ("variants", values[:, 0].rechunk(-1), attrs)}
    return {
        OF_PATTERNS: (("variants", "patterns"), values, attrs),
        PATTERN: ("traits", patterns.of_trait),
    }


def attributes_of(rows: Iterable[Statistic]) -> dict[str, dict[str, str]]:
    """``long_name`` and ``units`` of each statistic, by its name."""
    return {row.name: row.attrs() for row in rows}


def columns_of(fields: Mapping[str, Field], arrays: Mapping[str, Any]) -> dict[str, Any]:
    """Arrays with the dimensions and attributes of their fields, as `package` takes them."""
    return {name: (fields[name].dims, array, fields[name].attrs) for name, array in arrays.items()}
