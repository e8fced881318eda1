"""Studies in delimited tables: traits, genotypes, and what goes with them."""

from __future__ import annotations

import re
from collections.abc import Collection, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TypeAlias

import numpy as np
import pandas as pd
import xarray as xr

from bulklmm_dask.data.aloud import listing, say
from bulklmm_dask.data.create import create_dataset
from bulklmm_dask.data.readers._files import Folder
from bulklmm_dask.data.readers._markers import numeric_positions, place_markers
from bulklmm_dask.data.readers._metadata import attach, split_covariates
from bulklmm_dask.data.readers._pairs import keep_first_of_pairs
from bulklmm_dask.data.readers._tables import (
    Format,
    Table,
    read_columns,
    read_numbers,
    read_text,
)
from bulklmm_dask.errors import InputError

Covariates: TypeAlias = "str | Path | Sequence[str] | None"

_MISSING = frozenset({"NA", "NaN", "nan", "N/A", "n/a", "NULL", "null", "-", "."})

# How the columns of a map and of a strain table may be called, compared without case and signs.
_MARKER = ("marker", "locus", "variant", "snp", "markerid", "variantid", "snpid", "rsid", "id")
_CONTIG = ("chr", "chromosome", "chrom", "contig")
_POSITION = {
    "Mb": ("mb", "mbp", "posmb", "positionmb"),
    "bp": ("bp", "posbp", "positionbp", "basepair", "basepairs"),
    "cM": ("cm", "poscm", "positioncm"),
}
_UNNAMED_UNIT = ("pos", "position", "variantposition")
_SAMPLE = ("sample", "sampleid", "individual", "mouse", "animal", "id")
_STRAIN = ("strain", "strainid", "line")


def read_csv(
    traits: str | Path,
    genotypes: str | Path,
    *,
    variant_map: str | Path | None = None,
    covariates: Covariates = None,
    sample_strain: str | Path | pd.DataFrame | None = None,
    maximum: int | None = None,
    complementary: bool | None = None,
    position_unit: str | None = None,
) -> xr.Dataset:
    """Read a study from delimited tables (comma, tab or semicolon; plain or gzipped).

    In every table the first row names the columns and the first column names the rows. Empty
    cells, NA, NaN, NULL, - and . are missing; lines that start with # are comments.

    Parameters
    ----------
    traits : path
        Samples x traits, numbers.
    genotypes : path
        Dosages or probabilities, samples x markers or markers x samples: told apart by the
        names of samples, strains and markers. Without sample names (as BulkLMM writes them) the
        rows must be those of the trait table.
    variant_map : path, optional
        Marker, chromosome and position; columns are found by name. Mb goes before bp before cM
        as variant_position; cM is kept as variant_genetic_position beside the others.
    covariates : path or sequence of str, optional
        Samples x covariates, or names of columns of the trait table. Numbers are covariates, two
        different texts become 0 and 1, other text is kept as sample_<column>.
    sample_strain : path, str or DataFrame, optional
        The strain of every sample, where genotypes are those of strains: a table of sample and
        strain, or the name of a column of the trait table.
    maximum : {1, 2}, optional
        The dosage of two counted alleles; by default 2 if any dosage exceeds 1, else 1.
    complementary : bool, optional
        Whether every marker is written twice, as p and 1 - p, of which the first is kept. By
        default that is seen from names and values.
    position_unit : {"Mb", "bp", "cM"}, optional
        Unit of a map column that is only called position.

    Returns
    -------
    Dataset
        The study.

    Raises
    ------
    InputError
        If a file is missing or malformed, a cell is not a number (with file, line and column),
        or it cannot be told which side of the genotype table is the samples.

    Warns
    -----
    StudyWarning
        For everything dropped, filled in or reinterpreted.
    """
    table = _read_traits(traits, covariates, sample_strain)
    strains = _strains(table, sample_strain)
    marker_map, unit = None, "Mb"
    if variant_map is not None:
        marker_map, unit = _read_map(variant_map, position_unit)
    elif position_unit is not None:
        raise InputError(
            f"position_unit is {position_unit!r}, but there is no map whose positions it could "
            "mean; pass variant_map too, or leave position_unit out"
        )
    known = set() if marker_map is None else set(marker_map.index)
    calls, alleles = _read_genotypes(genotypes, table, strains, known, complementary)
    if marker_map is not None:
        index, marker_map = place_markers(calls.columns, marker_map)
        calls = replace(calls, columns=list(marker_map.index), values=calls.values[:, index])
    numbers, labels = _covariates(table, covariates)
    ds = create_dataset(
        pd.DataFrame(calls.values, index=calls.rows, columns=calls.columns, copy=False),
        pd.DataFrame(table.values, index=table.rows, columns=table.columns, copy=False),
        covariates=numbers,
        contigs=None if marker_map is None else marker_map["contig"].to_numpy(),
        positions=None if marker_map is None else marker_map["position"].to_numpy(),
        position_unit=unit,
        alleles=alleles,
        strains=strains,
        maximum=maximum,
    )
    if marker_map is not None and "genetic" in marker_map:
        genetic = marker_map["genetic"].reindex(ds["variant_id"].values).to_numpy()
        ds["variant_genetic_position"] = ("variants", genetic, {"units": "cM"})
    for column, by_name in labels.items():
        attach(ds, "samples", column, by_name)
    return ds.assign_attrs(source=f"{Path(traits).name}, {Path(genotypes).name}")


def _open(path: str | Path) -> tuple[Folder, str, Format]:
    """Find the separator of a table from its first line that is no comment."""
    path = Path(path).expanduser()
    files, line = Folder(path.parent), ""
    with files.open(path.name) as stream:
        line = next((line for line in stream if not line.startswith("#")), "")
    counts = {sep: line.count(sep) for sep in (",", "\t", ";")}
    return files, path.name, Format(max(counts, key=counts.__getitem__), _MISSING)


def _columns_among(columns: list[str], covariates: Covariates) -> list[str]:
    """Give the covariates that are columns of the trait table, rather than a file."""
    if covariates is None or isinstance(covariates, Path):
        return []
    if isinstance(covariates, str):
        return [covariates] if covariates in columns else []
    named = [str(name) for name in covariates]
    absent = [name for name in named if name not in columns]
    if absent:
        raise InputError(
            f"the trait table has no column {listing(absent)} for covariates; it has "
            f"{listing(columns)}"
        )
    return named


def _read_traits(traits: str | Path, covariates: Covariates, sample_strain: object) -> Table:
    files, name, form = _open(traits)
    columns = read_columns(files, name, form)[1:]
    text_columns = _columns_among(columns, covariates)
    if isinstance(sample_strain, str) and sample_strain in columns:
        text_columns = [*text_columns, sample_strain]
    try:
        table = read_numbers(files, name, form, list(dict.fromkeys(text_columns)))
    except InputError as error:
        if "is not a number" not in str(error):
            raise
        raise InputError(
            f"{error}; a column that is no trait can be named in covariates or sample_strain"
        ) from None
    if not table.rows or not table.columns:
        raise InputError(
            f"{table.label} has {len(table.rows)} samples and {len(table.columns)} traits"
        )
    return table


def _strains(traits: Table, sample_strain: object) -> pd.Series | None:
    """Look up the strain of every sample, by sample name."""
    if sample_strain is None:
        return None
    if isinstance(sample_strain, str) and sample_strain in traits.text:
        return pd.Series(traits.text[sample_strain], index=traits.rows, dtype=object)
    if isinstance(sample_strain, pd.DataFrame):
        numbered = isinstance(sample_strain.index, pd.RangeIndex)
        label, frame = "sample_strain", sample_strain.reset_index(drop=numbered)
        columns = {str(column): list(frame[column]) for column in frame}
    else:
        if not Path(str(sample_strain)).expanduser().is_file():
            raise InputError(
                f"sample_strain is {str(sample_strain)!r}, which is neither a file nor a column of "
                f"the trait table; its columns are {listing([*traits.text, *traits.columns])}"
            )
        files, name, form = _open(str(sample_strain))
        table = read_text(files, name, form)
        label, columns = table.label, _all_columns(table)
    sample = _find(columns, _SAMPLE) or next(iter(columns))
    strain = _find(columns, _STRAIN)
    if strain is None or strain == sample:
        raise InputError(
            f"{label} has the columns {listing(columns)}; it should have a column called strain "
            "beside the samples"
        )
    return pd.Series(columns[strain], index=columns[sample], dtype=object)


def _all_columns(table: Table) -> dict[str, list[str]]:
    """Give the columns of a table of text, that of the row names among them."""
    others = zip(table.columns, table.values.T, strict=True)
    return {table.corner: table.rows} | {column: list(cells) for column, cells in others}


def _find(columns: Collection[str], names: Sequence[str]) -> str | None:
    """Find the column that is called by the first of `names`, whatever its case and signs."""
    plain = {re.sub(r"[^a-z]", "", column.lower()): column for column in columns}
    return next((plain[name] for name in names if name in plain), None)


def _read_map(path: str | Path, unit: str | None) -> tuple[pd.DataFrame, str]:
    """Read a marker map: contig, position and perhaps genetic by marker, and the unit."""
    files, name, form = _open(path)
    table = read_text(files, name, form)
    columns = _all_columns(table)
    contig = _find(columns, _CONTIG)
    marker = _find(columns, _MARKER) or table.corner
    places = {one: found for one, names in _POSITION.items() if (found := _find(columns, names))}
    unnamed = _find(columns, _UNNAMED_UNIT)
    if contig is None or not (places or unnamed):
        raise InputError(
            f"{table.label} has the columns {listing(columns)}; a map needs a marker, a chromosome "
            "(chr) and a position (Mb, bp, cM or position)"
        )
    markers = columns[marker]
    numbers = {
        one: numeric_positions(columns[column], markers, table.label)
        for one, column in places.items()
    }
    if not numbers:
        values = numeric_positions(columns[str(unnamed)], markers, table.label)
        unit = unit or _guess_unit(values, table.label, str(unnamed))
        numbers = {unit: values}
    elif unit is not None and unit not in numbers:
        raise InputError(
            f"{table.label} calls its positions {listing(numbers)}, not {unit}; "
            "leave position_unit out"
        )
    best = next(iter(one for one in ("Mb", "bp", "cM") if one in numbers), str(unit))
    frame = pd.DataFrame({"contig": columns[contig], "position": numbers[best]}, index=markers)
    if best != "cM" and "cM" in numbers:
        frame["genetic"] = numbers["cM"]
    return frame, best


def _guess_unit(positions: np.ndarray, label: str, column: str) -> str:
    largest = np.fmax.reduce(positions, initial=0)
    unit = "bp" if largest > 10_000 else "Mb"
    say(
        f"{label} does not tell the unit of its column {column!r} (largest {largest:g}), which is "
        f"taken as {unit}; pass position_unit, or call the column Mb, bp or cM"
    )
    return unit


def _read_genotypes(
    path: str | Path,
    traits: Table,
    strains: pd.Series | None,
    markers: Collection[str],
    complementary: bool | None,
) -> tuple[Table, list[str] | None]:
    """Read genotypes as (samples or strains, markers), one column for each marker."""
    files, name, form = _open(path)
    table = read_numbers(files, name, form)
    names = set(traits.rows) if strains is None else {*traits.rows, *strains.dropna()}
    oriented = _oriented(table, names, markers) or _named_by_position(table, traits)
    if oriented is None:
        raise InputError(
            f"{table.label}: it cannot be told which side is the samples. Its columns are "
            f"{listing(table.columns, 3)}, its rows {listing(table.rows, 3)}, the samples of the "
            f"traits {listing(traits.rows, 3)}; use the same names, or name the strains of the "
            "samples in sample_strain"
        )
    return keep_first_of_pairs(oriented, complementary, markers)


def _oriented(table: Table, names: Collection[str], markers: Collection[str]) -> Table | None:
    """Turn a table so that its rows are the samples; None where its names do not tell.

    Names such as 1, 2, 3 may serve both sides; the side that has more of them is meant.
    """
    for known, upright, turned in ((names, table, table.T), (markers, table.T, table)):
        in_rows = sum(name in known for name in table.rows)
        in_columns = sum(name in known for name in table.columns)
        if in_rows != in_columns:
            return upright if in_rows > in_columns else turned
    return None


def _named_by_position(table: Table, traits: Table) -> Table | None:
    """Give a table without a column of names, as BulkLMM writes it, the samples of the traits."""
    if len(table.rows) != len(traits.rows) or not set(traits.rows).isdisjoint(table.columns):
        return None
    try:
        first = np.array(
            [float(name) if name not in ("", *_MISSING) else np.nan for name in table.rows]
        )
    except ValueError:
        return None
    if np.fmin.reduce(first, initial=0) < 0 or np.fmax.reduce(first, initial=0) > 2:
        return None  # numbers, but no genotypes
    say(
        f"{table.label} has no column of sample names: its {len(traits.rows)} rows are taken for "
        "those of the trait table, in the same order"
    )
    return replace(
        table,
        rows=traits.rows,
        columns=[table.corner, *table.columns],
        values=np.column_stack([first, table.values]),
    )


def _covariates(
    traits: Table, covariates: Covariates
) -> tuple[pd.DataFrame | None, dict[str, dict[str, str]]]:
    if covariates is None:
        return None, {}
    named = _columns_among(list(traits.text), covariates)
    if named or not isinstance(covariates, str | Path):
        return split_covariates(traits.rows, {column: traits.text[column] for column in named})
    files, name, form = _open(covariates)
    table = read_text(files, name, form)
    return split_covariates(table.rows, dict(zip(table.columns, table.values.T, strict=True)))
