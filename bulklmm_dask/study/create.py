"""A study from arrays: samples are matched by name and values are checked.

Every reader calls `create_dataset`, so that all formats share its checks and their messages.
"""

from __future__ import annotations

from collections.abc import Collection, Hashable, Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
import xarray as xr

from bulklmm_dask.errors import InputError
from bulklmm_dask.storage.coordinates import arranged
from bulklmm_dask.storage.encoding import text
from bulklmm_dask.storage.variables import NAMES
from bulklmm_dask.study.checks import (
    array_of,
    is_absent,
    is_one_of,
    real_numbers,
    refuse_infinite,
    refuse_outside,
    require_some,
)
from bulklmm_dask.study.coding import as_dosages, codes_hint
from bulklmm_dask.study.contigs import say_alike
from bulklmm_dask.study.gaps import mark_uncounted, missing_in_words
from bulklmm_dask.study.labelled import (
    Argument,
    NamesLike,
    as_argument,
    by_sample,
    by_variant,
    entries,
    match_numbers,
    name_samples,
    say_by_order,
)
from bulklmm_dask.study.metadata import coded_frame
from bulklmm_dask.study.schema import unknown_names, validate
from bulklmm_dask.study.warn import say
from bulklmm_dask.surface import either, option
from bulklmm_dask.text import counted, listing

UNITS = ("bp", "Mb", "cM")
# How far the probabilities of a call may sum off 1: files round each to a few decimals.
_SUM_TOLERANCE = 0.01
# Steps between doubles beyond this share of the range of a column are a loss: rounding to less adds
# less than 1e-5 of its variance.
_STEP = 2.5e-3
_EQUAL = 4.0  # steps
# Whole numbers of 64 bits in this range are rounded.
_WHOLE = 2.0**53, 2.0**64


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

    strain_of = None if strains is None else _strains(strains, values)
    rows, calls_rows = _match(calls, values, strain_of)
    names = values.names or [f"sample{i + 1}" for i in range(values.data.sizes["samples"])]
    if not values.names and calls.names and strain_of is None:
        names = calls.names

    ds = xr.Dataset()
    ds["sample_id"] = ("samples", text(names[i] for i in rows))
    _put_traits(ds, values, rows)
    if strain_of is not None:
        _put_strains(ds, [strain_of[i] for i in rows])
    if extra is not None:
        if extra.names is None and values.names is not None:
            say_by_order(extra, values)
        _put_covariates(ds, extra, names, rows)
    ds["variant_id"] = ("variants", text(calls.labels))
    _put_map(ds, contigs, positions, position_unit, alleles)
    ds = _put_calls(ds, calls.data, calls_rows, maximum, codes)
    return arranged(
        validate(ds.assign_coords({dim: ds[name].values for dim, name in NAMES.items()}))
    )


def _strains(strains: Any, traits: Argument) -> list[str | None]:
    """Look up the strain of each row of the traits; None where a sample is not listed."""
    found = by_sample(strains, "strains", traits)
    return [None if is_absent(name) else str(name) for name in found]


def _match(
    calls: Argument, traits: Argument, strains: list[str | None] | None
) -> tuple[list[int], list[int]]:
    """Rows of the traits to keep, and for each the row of its genotypes."""
    size, genotyped = traits.data.sizes["samples"], calls.data.sizes["samples"]
    keys: Sequence[str | None] | None = traits.names
    if strains is not None and calls.names is not None:
        by_strain = not set(strains).isdisjoint(calls.names)
        by_name = traits.names is not None and not set(traits.names).isdisjoint(calls.names)
        keys = strains if by_strain or not by_name else traits.names
    if calls.names is None or keys is None:
        if size != genotyped:
            raise InputError(
                f"the genotypes have {genotyped} samples and the traits {size}, and they cannot be "
                f"matched by name; pass {either('sample_ids, or ', '')}tables that carry sample "
                "names"
            )
        if calls.names is None and keys is not None:
            say_by_order(calls, traits)
        elif keys is None and calls.names is not None:
            say_by_order(traits, calls)
        return list(range(size)), list(range(size))
    where = {name: i for i, name in enumerate(calls.names)}
    rows = [i for i, key in enumerate(keys) if key in where]
    if not rows:
        raise InputError(
            "genotypes and traits have no sample in common: the genotypes have "
            f"{listing(calls.names, 3) or 'none'}, the traits "
            f"{listing(filter(None, keys), 3) or 'none'}; use the same names on both sides"
        )
    labels = traits.names or [f"row {i + 1}" for i in range(size)]
    kept = set(rows)
    _say_unmatched([labels[i] for i in range(size) if i not in kept], size, "traits", "genotypes")
    used = {keys[i] for i in rows}
    unused = [name for name in calls.names if name not in used]
    who = "samples" if keys is traits.names else "strains"
    _say_unmatched(unused, genotyped, "genotypes", "traits", who)
    return rows, [where[str(keys[i])] for i in rows]


def _say_unmatched(
    names: list[str], total: int, present: str, absent: str, who: str = "samples"
) -> None:
    if names:
        say(
            f"{len(names)} of {total} {who} with {present} have no {absent} "
            f"and are dropped: {listing(names)}"
        )


def _is_lazy(data: xr.DataArray) -> bool:
    return data.chunks is not None


def _put_traits(ds: xr.Dataset, traits: Argument, rows: list[int]) -> None:
    data = traits.data if len(rows) == traits.data.sizes["samples"] else traits.data[rows]
    data = data.astype(np.float64, copy=False)
    if _is_lazy(data):
        data = data.chunk(samples=-1)
    else:
        samples = ds["sample_id"].values.tolist()
        refuse_infinite(data.values, "traits", samples, traits.labels)
        empty = np.flatnonzero(np.isnan(data.values).all(axis=0))
        if empty.size:
            say(
                f"{empty.size} of {len(traits.labels)} traits have no value at all; they are kept "
                f"and get no LOD scores: {listing(traits.labels[i] for i in empty)}"
            )
        _say_rounded(data.values, "traits", traits.labels)
    ds["sample_trait"] = data
    ds["trait_id"] = ("traits", text(traits.labels))


def _say_rounded(values: np.ndarray, what: str, names: list[str]) -> None:
    """Warn of columns (samples, columns) whose values differ by few steps of doubles of their size.

    Whole numbers above 2^53 are examples: what is left of their differences is rounding.
    """
    low, high = np.fmin.reduce(values), np.fmax.reduce(values)
    size = np.fmax(np.abs(low), np.abs(high))
    with np.errstate(over="ignore"):
        width, step = high - low, np.spacing(size)
    # Values within some steps of each other are a constant, which has lost nothing; whole numbers
    # may have become one by rounding.
    varies = (width > _EQUAL * step) | ((size >= _WHOLE[0]) & (size < _WHOLE[1]))
    lost = np.flatnonzero(varies & (step > _STEP * width))
    if lost.size:
        i = lost[0]
        say(
            f"{lost.size} of {len(names)} {what} differ from sample to sample by hardly more than "
            f"doubles are rounded, so that digits are lost: {names[i]!r} runs from {low[i]:.17g} "
            f"to {high[i]:.17g} in steps of {step[i]:.3g}; subtract a constant from the numbers, "
            "or give them in another unit, before they are read"
        )


def _put_strains(ds: xr.Dataset, strains: list[str | None]) -> None:
    unknown = [
        name for name, strain in zip(ds["sample_id"].values, strains, strict=True) if not strain
    ]
    if unknown:
        raise InputError(
            f"no strain was given for {counted(len(unknown), 'sample')}: {listing(unknown)}; give "
            f"the strain of every sample, or leave {either('strains', '--strains')} out where each "
            "has its own genotypes"
        )
    ds["sample_strain"] = ("samples", text(strains))


def _put_covariates(
    ds: xr.Dataset, covariates: Argument, names: list[str], rows: list[int]
) -> None:
    values = covariates.data.astype(np.float64, copy=False).values
    if covariates.names is None:
        if len(values) != len(names):
            raise InputError(
                f"covariates has {len(values)} rows for the {len(names)} samples of the traits; "
                "give one row for each, or name the rows"
            )
        values = values[rows]
    else:
        frame = pd.DataFrame(values, index=covariates.names)
        _refuse_nobody(covariates, names)
        _say_unmatched(unknown_names(names, covariates.names), len(values), "covariates", "traits")
        values = frame.reindex(ds["sample_id"].values.tolist()).to_numpy()
    refuse_infinite(values, "covariates", ds["sample_id"].values.tolist(), covariates.labels)
    _say_rounded(values, "covariates", covariates.labels)
    labels = text(covariates.labels)
    empty = np.isnan(values).all(axis=0)
    if empty.any():
        say(
            f"{empty.sum()} of {len(labels)} covariates have no value in any sample and are "
            f"dropped: {listing(labels[empty])}"
        )
        values, labels = values[:, ~empty], labels[~empty]
    if not len(labels):
        return
    missing = np.flatnonzero(np.isnan(values).any(axis=1))
    if missing.size:
        say(
            f"{missing.size} of {len(values)} samples lack a covariate; a scan with that covariate "
            f"leaves them out: {listing(ds['sample_id'].values[missing])}"
        )
    ds["sample_covariate"] = (("samples", "covariates"), values)
    ds["covariate_id"] = ("covariates", labels)
    ds.coords["covariates"] = labels


def _refuse_nobody(covariates: Argument, samples: Sequence[str]) -> None:
    """Raise InputError if covariates are of nobody in the study."""
    if not set(samples).isdisjoint(covariates.names or samples):
        return
    turned = not set(samples).isdisjoint(covariates.labels)
    raise InputError(
        f"the covariates are of nobody in the study: they are of "
        f"{listing(covariates.names or (), 3) or 'none'}, the samples are {listing(samples, 3)}; "
        + ("its columns are: pass covariates.T" if turned else "use the same names")
    )


def _put_map(ds: xr.Dataset, contigs: Any, positions: Any, unit: str, alleles: Any) -> None:
    size, variants = ds.sizes["variants"], ds["variant_id"].values.tolist()
    contigs = by_variant(contigs, "contigs", variants)
    positions = by_variant(positions, "positions", variants)
    alleles = by_variant(alleles, "alleles", variants)
    contigs, positions = (
        None if values is None else _one_each(values, what, size)
        for values, what in ((contigs, "contigs"), (positions, "positions"))
    )
    if contigs is not None:
        labels = contigs
        _refuse_absent(np.array([is_absent(label) for label in labels]), "contig", ds)
        index, names = pd.factorize(text(labels))
        say_alike(names, "the map")
        ds["variant_contig"] = ("variants", index.astype(np.int64))
        ds["contig_id"] = ("contigs", text(names))
        ds.coords["contigs"] = text(names)
    if positions is not None:
        if not is_one_of(unit, UNITS):
            raise InputError(f"position_unit is {unit!r}; it should be one of {', '.join(UNITS)}")
        numbers = _position_numbers(positions, ds)
        _refuse_absent(~np.isfinite(numbers), "position", ds)
        ds["variant_position"] = ("variants", numbers, {"units": unit})
    if alleles is not None:
        names = array_of(alleles, "alleles").astype(object)
        if names.shape not in ((2,), (size, 2)):
            raise InputError(f"alleles has shape {names.shape}; it should be (2,) or ({size}, 2)")
        pairs = np.broadcast_to(names, (size, 2))
        ds["variant_allele"] = (("variants", "alleles"), text(pairs.ravel()).reshape(size, 2))


def _one_each(values: Any, what: str, size: int) -> Any:
    """Give the entries for the variants, as they are if they are an array; else as a list."""
    is_array = isinstance(values, np.ndarray) and values.ndim == 1
    found = values if is_array else entries(values, what)
    if len(found) != size:
        raise InputError(f"{what} has {len(found)} entries for {size} variants")
    return found


def _position_numbers(positions: Any, ds: xr.Dataset) -> np.ndarray:
    try:
        found = real_numbers(positions, "positions", "give a number for each variant")
        if found.ndim == 1:
            return found
    except InputError:
        pass
    for name, position in zip(
        ds["variant_id"].values.tolist(), entries(positions, "positions"), strict=True
    ):
        try:
            real_numbers([position], "", "").reshape(1)
        except (InputError, ValueError):
            raise InputError(
                f"the position of variant {name!r} is {position!r}, which is not a number; correct "
                "it, or drop the variant"
            ) from None
    raise InputError("positions are of different sizes; give a number for each variant")


def _refuse_absent(absent: np.ndarray, what: str, ds: xr.Dataset) -> None:
    if absent.any():
        names = ds["variant_id"].values[absent]
        raise InputError(
            f"{absent.sum()} variants have no {what}: {listing(names)}; give it, or drop them"
        )


def _put_calls(
    ds: xr.Dataset,
    data: xr.DataArray,
    rows: list[int],
    maximum: int | None,
    codes: Mapping[float, float | None] | None,
) -> xr.Dataset:
    """Add the genotypes, variants first; drop the variants without any call."""
    if maximum is not None and not is_one_of(maximum, (1, 2)):
        raise InputError(f"maximum is {maximum!r}; it should be 1 (dosages 0..1) or 2 (0..2)")
    dims = ("variants", "samples", "genotypes")[: data.ndim]
    data = data.transpose(*dims)
    if codes is not None and (_is_lazy(data) or data.ndim == 3):
        raise InputError(
            "codes says what dosages in memory stand for, but these genotypes are "
            f"{'lazy' if _is_lazy(data) else 'probabilities'}; recode them first"
        )
    if not _is_lazy(data) and data.ndim == 2:
        values, maximum = as_dosages(data.values, maximum, codes, "genotypes")
        data = data.copy(data=values)
    if rows != list(range(data.sizes["samples"])):
        data = data[:, rows]
    if _is_lazy(data):
        data = mark_uncounted(data.chunk(samples=-1))
    else:
        data = data.copy(data=np.ascontiguousarray(data.values))
        maximum = maximum if data.ndim == 2 else 1
        _refuse_outside(data.values, maximum, ds)
        if data.ndim == 3:
            refuse_other_sums(
                data.values, ds["variant_id"].values.tolist(), ds["sample_id"].values.tolist()
            )
        ds, data = _drop_uncalled(ds, data)
    if data.ndim == 3:
        ds["call_genotype_probability"] = data
        if data.sizes["genotypes"] != 2:
            return ds
        data, maximum = data[:, :, 1], 1
    if maximum is None:
        say(
            f"the genotypes are lazy and {option('maximum')} was not given: they are taken as "
            f"dosages 0..2; pass {option('maximum', 1)} if they run from 0 to 1. Codes, such as 1 "
            "and 2 for two homozygotes, are not recognised in lazy genotypes: turn them into "
            "dosages before"
        )
    ds["call_dosage"] = data.assign_attrs(maximum=maximum or 2)
    return ds


def refuse_other_sums(
    probability: np.ndarray, variants: Sequence[str], samples: Sequence[str]
) -> None:
    """Raise InputError quoting the first call whose probabilities do not sum to 1.

    `probability` has the shape (variants, samples, genotypes).
    """
    total = probability.sum(axis=2)
    wrong = np.argwhere(np.abs(total - 1) > _SUM_TOLERANCE)
    if wrong.size:
        i, j = wrong[0]
        raise InputError(
            f"genotype probabilities do not sum to 1 in {counted(len(wrong), 'call')}, the first "
            f"to {total[i, j]:g} at variant {variants[i]!r}, sample {samples[j]!r}; pass the "
            "probability of every genotype"
        )


def _refuse_outside(values: np.ndarray, maximum: int | None, ds: xr.Dataset) -> None:
    try:
        names = ds["variant_id"].values.tolist(), ds["sample_id"].values.tolist()
        refuse_outside(values, maximum or 1, *names)
    except InputError as error:
        raise InputError(f"{error}{codes_hint(values)}") from None


def _drop_uncalled(ds: xr.Dataset, data: xr.DataArray) -> tuple[xr.Dataset, xr.DataArray]:
    absent = np.isnan(data.values)
    if absent.ndim == 3:
        absent = absent.any(axis=2)
    per_variant = absent.sum(axis=1)
    uncalled = per_variant == data.sizes["samples"]
    if not absent.size:
        raise InputError(
            f"the genotypes have {data.sizes['samples']} samples and {data.sizes['variants']} "
            "variants; a study needs some of both"
        )
    if uncalled.all():
        raise InputError(f"none of the {len(uncalled)} variants has a call in the samples kept")
    if uncalled.any():
        say_uncalled(ds["variant_id"].values[uncalled], len(uncalled))
        keep = np.flatnonzero(~uncalled)
        ds, data, per_variant = ds.isel(variants=keep), data[keep], per_variant[keep]
    if per_variant.any():
        total = data.sizes["variants"] * data.sizes["samples"]
        say(missing_in_words(int(per_variant.sum()), total, int((per_variant > 0).sum())))
    return ds, data


def say_uncalled(names: Collection[str], total: int) -> None:
    """Warn which of `total` variants have no call, if any."""
    if len(names):
        say(
            f"{len(names)} of {total} variants have no call in any sample and are "
            f"dropped: {listing(names)}"
        )
