"""Tables of samples that complete genotypes: traits, covariates, strains and labels."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeAlias

import pandas as pd
import xarray as xr

from bulklmm_dask.errors import InputError
from bulklmm_dask.storage.location import Location
from bulklmm_dask.study.create import create_dataset
from bulklmm_dask.study.readers._metadata import attach, split_covariates
from bulklmm_dask.study.readers.tables import (
    Table,
    find_column,
    open_table,
    read_columns,
    read_numbers,
    read_text,
)
from bulklmm_dask.study.schema import locate
from bulklmm_dask.text import listing

Source: TypeAlias = "str | Path | pd.DataFrame"
Covariates: TypeAlias = "str | Path | pd.DataFrame | Sequence[str] | None"
Strains: TypeAlias = "str | Path | pd.DataFrame | None"
Labels: TypeAlias = "dict[str, dict[str, str]]"

# Accepted names of the columns of a strain table; case and punctuation are ignored.
_SAMPLE = ("sample", "sampleid", "individual", "mouse", "animal", "id")
_STRAIN = ("strain", "strainid", "line")


@dataclass
class SampleTables:
    """Traits, covariates and strains by sample name; labels become sample_<column>."""

    traits: Table
    covariates: pd.DataFrame | None = None
    strains: pd.Series | None = None
    labels: Labels = field(default_factory=dict)

    def study(
        self, genotypes: Any, placed: pd.DataFrame | None, unit: str = "Mb", **options: Any
    ) -> xr.Dataset:
        """Make the study of these samples.

        `placed` has the columns `contig` and `position` in the order of the genotypes, and
        perhaps `genetic` (cM); `options` go to create_dataset.
        """
        traits = self.traits
        ds = create_dataset(
            genotypes,
            pd.DataFrame(traits.values, index=traits.rows, columns=traits.columns, copy=False),
            covariates=self.covariates,
            strains=self.strains,
            contigs=None if placed is None else placed["contig"].to_numpy(),
            positions=None if placed is None else placed["position"].to_numpy(),
            position_unit=unit,
            **options,
        )
        if placed is not None and "genetic" in placed:
            genetic = placed["genetic"].reindex(ds["variant_id"].values).to_numpy()
            ds["variant_genetic_position"] = ("variants", genetic, {"units": "cM"})
        for column, by_name in self.labels.items():
            attach(ds, "samples", column, by_name)
        return ds


def read_samples(traits: Source, covariates: Covariates, strains: Strains) -> SampleTables:
    """Read traits, covariates and strains of samples.

    Parameters
    ----------
    traits : path or DataFrame
        Samples x traits; a table as `read_csv` takes it.
    covariates : path, DataFrame or sequence of str, optional
        Samples x covariates, or names of columns of the traits.
    strains : path, str or DataFrame, optional
        A table of sample and strain, or the name of a column of the traits.
    """
    table = _read_traits(traits, covariates, strains)
    numbers, labels = _covariates(table, covariates)
    return SampleTables(table, numbers, _strains(table, strains), labels)


def _columns_among(columns: list[str], covariates: Covariates) -> list[str]:
    """Names of the covariates that are columns of the trait table; none if they are a table."""
    if covariates is None or isinstance(covariates, Path | pd.DataFrame):
        return []
    if isinstance(covariates, str):
        return [covariates] if covariates in columns else []
    named = [str(name) for name in covariates]
    what = "the trait table has no column {} for covariates"
    locate(columns, named, what, f"it has {listing(columns)}")
    return named


def _read_traits(traits: Source, covariates: Covariates, strains: Strains) -> Table:
    if isinstance(traits, pd.DataFrame):
        columns = [str(column) for column in traits.columns]
    else:
        file = open_table(traits)
        columns = read_columns(file)[1:]
    text_columns = _columns_among(columns, covariates)
    if isinstance(strains, str) and strains in columns:
        text_columns = [*text_columns, strains]
    text_columns = list(dict.fromkeys(text_columns))
    if isinstance(traits, pd.DataFrame):
        table = _table_of(traits, "the traits", text_columns)
    else:
        try:
            table = read_numbers(file, text_columns)
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


def _table_of(frame: pd.DataFrame, label: str, text_columns: Sequence[str]) -> Table:
    """Turn a DataFrame, whose index names the samples, into a Table."""
    if isinstance(frame.index, pd.RangeIndex):
        raise InputError(
            f"{label} carry no sample names, only the numbers that pandas gives to rows; make the "
            "names the index: frame.set_index('sample')"
        )
    frame = frame.set_axis([str(column) for column in frame.columns], axis=1)
    texts = {column: _cells(frame[column]) for column in text_columns}
    rest = frame.drop(columns=list(text_columns))
    rows = [str(name) for name in rest.index]
    return Table(label, "", rows, list(rest.columns), rest.to_numpy(), texts)


def _cells(column: pd.Series) -> list[str]:
    return ["" if pd.isna(cell) else str(cell) for cell in column]


def _covariates(traits: Table, covariates: Covariates) -> tuple[pd.DataFrame | None, Labels]:
    if covariates is None:
        return None, {}
    named = _columns_among(list(traits.text), covariates)
    if named or not isinstance(covariates, str | Path | pd.DataFrame):
        return split_covariates(traits.rows, {column: traits.text[column] for column in named})
    return read_covariates(covariates)


def read_covariates(source: Source) -> tuple[pd.DataFrame | None, Labels]:
    """Read covariates and labels by sample name."""
    if isinstance(source, pd.DataFrame):
        names = [str(column) for column in source.columns]
        table = _table_of(source, "the covariates", names)
        return split_covariates(table.rows, table.text)
    table = read_text(open_table(source))
    return split_covariates(table.rows, table.by_column())


def _strains(traits: Table, strains: Strains) -> pd.Series | None:
    """Look up the strain of every sample, by sample name."""
    if strains is None:
        return None
    if isinstance(strains, str) and strains in traits.text:
        return pd.Series(traits.text[strains], index=traits.rows, dtype=object)
    if isinstance(strains, pd.DataFrame):
        numbered = isinstance(strains.index, pd.RangeIndex)
        label, frame = "sample_strain", strains.reset_index(drop=numbered)
        columns = {str(column): list(frame[column]) for column in frame}
    else:
        if not Location.of(strains).is_file():
            raise InputError(
                f"sample_strain is {str(strains)!r}, which is neither a file nor a column of "
                f"the trait table; its columns are {listing([*traits.text, *traits.columns])}"
            )
        table = read_text(open_table(strains))
        label, columns = table.label, table.by_column(names=True)
    sample = find_column(columns, _SAMPLE) or next(iter(columns))
    strain = find_column(columns, _STRAIN)
    if strain is None or strain == sample:
        raise InputError(
            f"{label} has the columns {listing(columns)}; it should have a column called strain "
            "beside the samples"
        )
    return pd.Series(columns[strain], index=columns[sample], dtype=object)
