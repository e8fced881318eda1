"""A study from arrays: samples are matched by name and values are checked.

Every reader calls `create_dataset`, so that all formats share its checks and their messages.
"""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
import xarray as xr

from bulklmm_dask.storage.labels.coordinates import arranged
from bulklmm_dask.storage.labels.encoding import text
from bulklmm_dask.storage.labels.variables import NAMES
from bulklmm_dask.study.calls import put_calls
from bulklmm_dask.study.checks import require_some
from bulklmm_dask.study.columns import put_covariates, put_strains, put_traits
from bulklmm_dask.study.labelled import (
    NamesLike,
    as_argument,
    match_numbers,
    name_samples,
    say_by_order,
)
from bulklmm_dask.study.markers import put_map
from bulklmm_dask.study.matching import match_samples, strains_of
from bulklmm_dask.study.metadata import coded_frame
from bulklmm_dask.study.schema import validate
from bulklmm_dask.study.warn import say


def create_dataset(
    genotypes: Any,
    traits: Any,
    *,
    covariates: Any = None,
    contigs: NamesLike | None = None,
    positions: Sequence[float] | np.ndarray | None = None,
    position_unit: str = "Mb",
    sample_ids: NamesLike | None = None,
    variant_ids: NamesLike | None = None,
    trait_ids: NamesLike | None = None,
    covariate_ids: NamesLike | None = None,
    alleles: Sequence[str] | Sequence[tuple[str, str]] | np.ndarray | None = None,
    strains: NamesLike | Mapping[Hashable, Hashable] | pd.Series | None = None,
    maximum: int | None = None,
    codes: Mapping[float, float | None] | None = None,
) -> xr.Dataset:
    """Make a study from arrays.

    Where genotypes and traits both carry sample names (the index of a DataFrame, a coordinate of
    a DataArray, or `sample_ids`), samples are matched by name, in the order of the traits.
    Otherwise row i of one belongs to row i of the other, and the lengths must agree. The numbers
    0, 1, 2, ... that pandas gives to rows without names are no names; a frame that was sorted
    keeps them, and is matched by them where the other frame has the same numbers. Frames whose
    numbers differ are refused.

    Parameters
    ----------
    genotypes : array, DataFrame or DataArray, shape (samples, variants[, genotypes])
        Dosages of the counted allele, or the probability of each genotype; NaN where there is no
        call. Dask arrays stay lazy: their values are not looked at; missing calls are counted, and
        said, when the study is saved or its kinship computed.
    traits : array, DataFrame or DataArray, shape (samples, traits)
        Trait values, NaN where missing.
    covariates : array, DataFrame or DataArray, shape (samples, covariates), optional
        Numbers, NaN where missing; an intercept is added by the scan. Columns of text in a
        DataFrame become 0 and 1, or indicator columns for three texts or more.
    contigs : sequence, shape (variants,), optional
        The chromosome of each variant, by name.
    positions : sequence of numbers, shape (variants,), optional
        Position on the chromosome, in `position_unit`.
    position_unit : {"Mb", "bp", "cM"}
        Unit of `positions`.
    sample_ids : sequence, optional
        Sample names, for whichever of the tables carries none.
    variant_ids, trait_ids, covariate_ids : sequence, optional
        Names; by default those of the tables, else variant1, trait1, covariate1 and so on.
    alleles : sequence, shape (2,) or (variants, 2), optional
        Allele names; the last one is the allele that dosages count.
    strains : sequence, mapping or Series, optional
        The inbred strain of each sample, in the order of the traits or by sample name. Where the
        rows of `genotypes` are strains, every sample takes the genotypes of its strain.
    maximum : {1, 2}, optional
        The dosage of two counted alleles. By default 2 if any dosage exceeds 1, else 1; lazy
        genotypes are taken as 0..2, with a StudyWarning. Genotypes 1 and 2 throughout, or -1 and
        1, are taken as codes of two homozygotes and become 0 and 1, with a StudyWarning, unless
        `maximum` or `codes` is given.
    codes : mapping, optional
        What numbers in `genotypes` stand for, as in ``{1: 0, 2: 1, 9: None}``: value to dosage,
        None where it stands for a missing genotype.

    Returns
    -------
    Dataset
        The study. Three-dimensional genotypes give call_genotype_probability and, where there
        are two genotypes, call_dosage too: the probability of the second.

    Raises
    ------
    InputError
        If no sample is common to both sides, covariates are of nobody in the study, names occur
        twice, a value is infinite, not a number or outside its range, or shapes do not agree.

    Warns
    -----
    StudyWarning
        For samples and markers dropped, and for missing genotypes, traits and covariates.

    Examples
    --------
    From tables that name their samples; they are matched by name, in the order of the traits:

    >>> genotypes = pd.DataFrame(
    ...     {"m1": [0, 1, 2, 1], "m2": [2, 1, 0, 0]}, index=["a", "b", "c", "d"]
    ... )
    >>> weights = pd.DataFrame({"weight": [20.1, 22.5, 19.8, 21.0]}, index=["d", "c", "b", "a"])
    >>> study = blmm.create_dataset(
    ...     genotypes, weights, contigs=["1", "1"], positions=[3.5, 20.0], position_unit="Mb"
    ... )
    >>> study.call_dosage.to_pandas()
    samples     d    c    b    a
    variants
    m1        1.0  2.0  1.0  0.0
    m2        0.0  0.0  1.0  2.0

    From arrays, where row i of both is one sample:

    >>> rng = np.random.default_rng(1)
    >>> study = blmm.create_dataset(
    ...     genotypes=rng.integers(0, 3, size=(80, 300)), traits=rng.normal(size=(80, 5))
    ... )
    >>> study.call_dosage.shape, study.sample_trait.shape
    ((300, 80), (80, 5))
    """
    calls = as_argument(genotypes, "genotypes", ("samples", "variants", "genotypes"), variant_ids)
    values = as_argument(traits, "traits", ("samples", "traits"), trait_ids)
    require_some("traits", values.data.sizes["samples"], values.data.sizes["traits"])
    extra = None
    if isinstance(covariates, pd.Series):
        covariates = covariates.to_frame()
    if isinstance(covariates, pd.DataFrame):
        covariates, notes = coded_frame(covariates)
        for note in notes:
            say(f"covariate {note}; for another coding give numbers")
    if covariates is not None:
        extra = as_argument(covariates, "covariates", ("samples", "covariates"), covariate_ids)
    tables = [table for table in (calls, values, extra) if table is not None]
    match_numbers(tables)
    name_samples(sample_ids, tables)

    strain_of = None if strains is None else strains_of(strains, values)
    rows, calls_rows = match_samples(calls, values, strain_of)
    names = values.names or [f"sample{i + 1}" for i in range(values.data.sizes["samples"])]
    if not values.names and calls.names and strain_of is None:
        names = calls.names

    ds = xr.Dataset()
    ds["sample_id"] = ("samples", text(names[i] for i in rows))
    put_traits(ds, values, rows)
    if strain_of is not None:
        put_strains(ds, [strain_of[i] for i in rows])
    if extra is not None:
        if extra.names is None and values.names is not None:
            say_by_order(extra, values)
        put_covariates(ds, extra, names, rows)
    ds["variant_id"] = ("variants", text(calls.labels))
    put_map(ds, contigs, positions, position_unit, alleles)
    ds = put_calls(ds, calls.data, calls_rows, maximum, codes)
    return arranged(
        validate(ds.assign_coords({dim: ds[name].values for dim, name in NAMES.items()}))
    )
