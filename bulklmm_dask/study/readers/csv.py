"""Studies in delimited tables: traits, genotypes, marker map, covariates and strains."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import xarray as xr

from bulklmm_dask.errors import InputError
from bulklmm_dask.study.coding import as_dosages
from bulklmm_dask.study.readers._markers import place_markers, read_map_or_none
from bulklmm_dask.study.readers._orientation import samples_in_columns
from bulklmm_dask.study.readers._pairs import keep_first_of_pairs
from bulklmm_dask.study.readers._samples import Covariates, SampleTables, Strains, read_samples
from bulklmm_dask.study.readers._traits import Source
from bulklmm_dask.study.tables.numbers import CellError, floats
from bulklmm_dask.study.tables.read import read_numbers
from bulklmm_dask.study.tables.table import Table
from bulklmm_dask.study.tables.tablefile import open_table
from bulklmm_dask.study.warn import say
from bulklmm_dask.surface import option
from bulklmm_dask.text import MISSING, listing


def read_csv(
    traits: Source,
    genotypes: str | Path,
    *,
    variant_map: str | Path | None = None,
    covariates: Covariates = None,
    sample_strain: Strains = None,
    maximum: int | None = None,
    codes: Mapping[float, float | None] | None = None,
    complementary: bool | None = None,
    position_unit: str | None = None,
    trait_positions: Source | None = None,
) -> xr.Dataset:
    """Read a study from delimited tables (comma, tab, semicolon or blanks; plain or packed).

    In every table the first row names the columns and the first column names the rows. Empty
    cells, NA, NaN, NULL, - and . are missing; lines above the header that start with # are
    comments.

    Parameters
    ----------
    traits : path or DataFrame
        Samples x traits or traits x samples, numbers: told apart by the names of samples in the
        genotypes. Or an expression table in BED format (#chr start end phenotype_id samples), as
        FastQTL and tensorQTL take it; it gives the positions of the traits too: start + 1, in bp.
    genotypes : path
        Dosages or probabilities, samples x markers or markers x samples: told apart by the
        names of samples, strains and markers. Without sample names (as BulkLMM writes them) the
        rows must be those of the trait table.
    variant_map : path, optional
        Marker, chromosome and position; columns are found by name. Mb goes before bp before cM
        as variant_position; cM is kept as variant_genetic_position beside the others.
    covariates : path, DataFrame or sequence of str, optional
        Samples x covariates, or covariates x samples as tensorQTL has them, or names of columns of
        the trait table. Numbers are one covariate, two texts become 0 and 1, three or more an
        indicator column ``name[text]`` for each but the first; a column in which texts hardly
        repeat is kept as sample_<column>.
    sample_strain : path, str or DataFrame, optional
        The strain of every sample, where genotypes are those of strains: a table of sample and
        strain, or the name of a column of the trait table.
    maximum : {1, 2}, optional
        The dosage of two counted alleles; by default 2 if any dosage exceeds 1, else 1. Genotypes
        1 and 2 throughout, or -1 and 1, are taken as codes of two homozygotes and become 0 and 1,
        with a StudyWarning, unless `maximum` or `codes` is given.
    codes : mapping, optional
        What the numbers of the genotype table stand for, as in ``{1: 0, 2: 1, 9: None}``: value
        to dosage, None where it stands for a missing genotype.
    complementary : bool, optional
        Whether every marker is written twice, as p and 1 - p, of which the first is kept. By
        default that is seen from names and values.
    position_unit : {"Mb", "bp", "cM"}, optional
        Unit of a map column that is only called position.
    trait_positions : path or DataFrame, optional
        Where the traits lie: columns of trait (or the first), contig and position, found by name as
        in a map, or a BED table. `find_peaks` and `find_hits` then tell cis from trans.

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

    Examples
    --------
    >>> from pathlib import Path
    >>> _ = Path("traits.csv").write_text('''mouse,weight,length,age
    ... a,20.1,9.2,61
    ... b,22.5,9.9,70
    ... c,19.8,9.0,63
    ... ''')
    >>> _ = Path("genotypes.csv").write_text('''mouse,m1,m2
    ... a,0,2
    ... b,1,1
    ... c,2,0
    ... ''')
    >>> _ = Path("map.csv").write_text('''marker,chr,Mb
    ... m1,1,3.5
    ... m2,1,20.0
    ... ''')
    >>> study = blmm.read_csv(
    ...     "traits.csv", "genotypes.csv", variant_map="map.csv", covariates=["age"]
    ... )
    >>> study.sample_trait.to_pandas()
    traits   weight  length
    samples
    a          20.1     9.2
    b          22.5     9.9
    c          19.8     9.0
    >>> study.sample_covariate.to_pandas()
    covariates   age
    samples
    a           61.0
    b           70.0
    c           63.0
    >>> study.call_dosage.to_pandas()
    samples     a    b    c
    variants
    m1        0.0  1.0  2.0
    m2        2.0  1.0  0.0
    """
    table = read_numbers(open_table(genotypes))
    either_way = (*table.rows, *table.columns)
    samples = read_samples(traits, covariates, sample_strain, either_way, trait_positions)
    marker_map, unit = read_map_or_none(variant_map, position_unit)
    known = set() if marker_map is None else set(marker_map.index)
    calls, alleles = _upright(table, samples, known, complementary)
    if marker_map is not None:
        index, marker_map = place_markers(
            calls.columns, marker_map, calls.label, marker_map.attrs["source"]
        )
        calls = replace(calls, columns=list(marker_map.index), values=calls.values[:, index])
    values, maximum = as_dosages(calls.values, maximum, codes, calls.label)
    ds = samples.study(
        pd.DataFrame(values, index=calls.rows, columns=calls.columns, copy=False),
        marker_map,
        unit,
        label=calls.label,
        alleles=alleles,
        maximum=maximum,
    )
    files = [genotypes] if isinstance(traits, pd.DataFrame) else [traits, genotypes]
    return ds.assign_attrs(source=", ".join(Path(str(file)).name for file in files))


def _upright(
    table: Table,
    samples: SampleTables,
    markers: Collection[str],
    complementary: bool | None,
) -> tuple[Table, list[str] | None]:
    """Give genotypes as (samples or strains, markers), one column for each marker."""
    traits, strains = samples.traits, samples.strains
    names = set(traits.rows) if strains is None else {*traits.rows, *strains.dropna()}
    oriented = _oriented(table, names, markers) or _named_by_position(table, traits)
    if oriented is None:
        raise InputError(
            f"{table.label}: it cannot be told which side is the samples. Its columns are "
            f"{listing(table.columns, 3)}, its rows {listing(table.rows, 3)}, the samples of the "
            f"traits {listing(traits.rows, 3)}; use the same names, or name the strains of the "
            f"samples in {option('sample_strain')}"
        )
    return keep_first_of_pairs(oriented, complementary, markers)


def _oriented(table: Table, names: Collection[str], markers: Collection[str]) -> Table | None:
    """Transpose a table if need be, so that its rows are samples; None if its names do not tell."""
    turned = samples_in_columns(table.rows, table.columns, names)
    if turned is None:
        turned = samples_in_columns(table.columns, table.rows, markers)
    if turned is None:
        return None
    return table.T if turned else table


def _named_by_position(table: Table, traits: Table) -> Table | None:
    """Name the rows of a table without names, as BulkLMM writes it, after those of the traits."""
    if len(table.rows) != len(traits.rows) or not set(traits.rows).isdisjoint(table.columns):
        return None
    try:
        first = np.array(floats(table.rows, MISSING | {""}))
    except CellError:
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
