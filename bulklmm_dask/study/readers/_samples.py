"""Tables of samples that complete genotypes: traits, covariates, strains and labels."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeAlias

import pandas as pd
import xarray as xr

from bulklmm_dask.errors import InputError
from bulklmm_dask.storage.labels.coordinates import arranged
from bulklmm_dask.storage.places.location import Location
from bulklmm_dask.study.checks import is_absent, require_some
from bulklmm_dask.study.create import create_dataset
from bulklmm_dask.study.labelled import entries, index_names
from bulklmm_dask.study.readers._metadata import Labels, attach, split_covariates
from bulklmm_dask.study.readers._places import TraitPlaces, attach_places, read_trait_places
from bulklmm_dask.study.readers._traits import Source, TraitSource, names_of_columns, table_of
from bulklmm_dask.study.schema import locate, require_unique
from bulklmm_dask.study.tables.headers import find_column
from bulklmm_dask.study.tables.read import read_text
from bulklmm_dask.study.tables.table import Table, text_table
from bulklmm_dask.study.tables.tablefile import open_table
from bulklmm_dask.surface import option
from bulklmm_dask.text import listing

Covariates: TypeAlias = "str | Path | pd.DataFrame | Sequence[str] | None"
Strains: TypeAlias = "str | Path | pd.DataFrame | None"

# Accepted names of the columns of a strain table; case and punctuation are ignored.
_SAMPLE = ("sample", "sampleid", "individual", "mouse", "animal", "id")
_STRAIN = ("strain", "strainid", "line")


@dataclass
class SampleTables:
    """Traits, covariates and strains by sample name, and places of the traits.

    Labels become sample_<column>.
    """

    traits: Table
    covariates: pd.DataFrame | None = None
    strains: pd.Series | None = None
    labels: Labels = field(default_factory=dict)
    places: TraitPlaces | None = None

    def study(
        self,
        genotypes: Any,
        placed: pd.DataFrame | None,
        unit: str = "Mb",
        *,
        label: str | None = None,
        **options: Any,
    ) -> xr.Dataset:
        """Make the study of these samples.

        `placed` has the columns `contig` and `position` in the order of the genotypes, and
        perhaps `genetic` (cM); `label` is the file of the genotypes, for messages; `options` go to
        create_dataset.
        """
        traits = self.traits
        require_some(traits.label, len(traits.rows), len(traits.columns))
        try:
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
        except InputError as error:
            files = [f"genotypes: {label}"] if label else []
            files.append(f"traits: {traits.label}")
            raise InputError(f"{error} ({'; '.join(files)})") from error
        if placed is not None and "genetic" in placed:
            genetic = placed["genetic"].reindex(ds["variant_id"].values).to_numpy()
            ds.coords["variant_genetic_position"] = ("variants", genetic, {"units": "cM"})
        for column, by_name in self.labels.items():
            attach(ds, "samples", column, by_name)
        return arranged(attach_places(ds, self.places))


def read_samples(
    traits: Source,
    covariates: Covariates,
    strains: Strains,
    genotyped: Iterable[str] = (),
    trait_positions: Source | None = None,
    named_by: Sequence[str] = ("covariates", "sample_strain"),
) -> SampleTables:
    """Read traits, covariates and strains of samples.

    Parameters
    ----------
    traits : path or DataFrame
        Samples x traits or traits x samples, a table as `read_csv` takes it, or an expression table
        in BED format.
    covariates : path, DataFrame or sequence of str, optional
        Samples x covariates, or names of columns of the traits.
    strains : path, str or DataFrame, optional
        A table of sample and strain, or the name of a column of the traits.
    genotyped : iterable of str
        Names of samples known from the genotypes: they tell which side of a table is the samples.
    trait_positions : path or DataFrame, optional
        Trait, contig and position; goes before the places that an expression table gives.
    named_by : sequence of str
        Arguments of the reader that may name columns of the traits, for messages.
    """
    listed = None if _is_column_name(strains) else _strain_table(strains)
    known = {*genotyped, *(() if listed is None else listed.index)}
    source = TraitSource(traits, known, named_by)
    named = _columns_among(source.features, covariates)
    column = strains if isinstance(strains, str) and strains in source.features else None
    if column is not None:
        named.append(column)
    elif listed is None:
        listed = _strain_table(strains, source.features)
    table, places = source.read(list(dict.fromkeys(named)))
    require_some(table.label, len(table.rows), len(table.columns))
    if trait_positions is not None:
        places = read_trait_places(trait_positions)
    numbers, labels = _covariates(table, covariates)
    if column is not None:
        listed = pd.Series(table.text[column], index=table.rows, dtype=object)
    return SampleTables(table, numbers, listed, labels, places)


def _columns_among(columns: list[str], covariates: Covariates) -> list[str]:
    """Names of the covariates that are columns of the trait table; none if they are a table."""
    if covariates is None or isinstance(covariates, Path | pd.DataFrame):
        return []
    if isinstance(covariates, str):
        return [covariates] if covariates in columns else []
    named = [str(name) for name in entries(covariates, option("covariates"))]
    what = "the trait table has no column {} for covariates"
    locate(columns, named, what, f"it has {listing(columns)}")
    return named


def _covariates(traits: Table, covariates: Covariates) -> tuple[pd.DataFrame | None, Labels]:
    if covariates is None:
        return None, {}
    named = _columns_among(list(traits.text), covariates)
    if named or not isinstance(covariates, str | Path | pd.DataFrame):
        cells = {column: traits.text[column] for column in named}
        return split_covariates(text_table(traits.label, traits.rows, cells), traits.rows)
    return read_covariates(covariates, traits.rows)


def read_covariates(source: Source, samples: Sequence[str]) -> tuple[pd.DataFrame | None, Labels]:
    """Read covariates and labels of the samples of a study, by name, either way round."""
    if isinstance(source, pd.DataFrame):
        names = [str(column) for column in source.columns]
        table = table_of(source, "the covariates", names)
        return split_covariates(text_table(table.label, table.rows, table.text), samples)
    file = open_table(source)
    file.refuse_row_of(samples)
    table = read_text(file)
    if not table.columns:
        raise InputError(
            f"{table.label} has no covariates, only names of {len(table.rows)} samples"
        )
    return split_covariates(table, samples)


def _is_column_name(strains: Strains) -> bool:
    """Whether strains are named by text that may be a column of the traits, or no file."""
    return isinstance(strains, str) and not Location.of(strains).is_file()


def _strain_table(strains: Strains, features: Sequence[str] = ()) -> pd.Series | None:
    """Read the strain of every sample, by sample name, from a table."""
    if strains is None:
        return None
    if isinstance(strains, pd.DataFrame):
        unnamed = index_names(strains.index, "the strains") is None
        label, frame = "sample_strain", strains.reset_index(drop=unnamed)
        names = names_of_columns(frame, label)
        columns = {name: list(frame.iloc[:, i]) for i, name in enumerate(names)}
    else:
        if not Location.of(strains).is_file():
            raise InputError(
                f"{option('sample_strain')} is {str(strains)!r}, which is neither a file nor a "
                f"column of the trait table; its columns are {listing(features)}"
            )
        table = read_text(open_table(strains))
        label, columns = table.label, table.by_column(names=True)
    sample = find_column(columns, _SAMPLE) or next(iter(columns), "")
    strain = find_column(columns, _STRAIN)
    if strain is None or strain == sample:
        raise InputError(
            f"{label} has the columns {listing(columns)}; it should have a column called strain "
            "beside the samples"
        )
    names = [str(name) for name in columns[sample]]
    require_unique(names, f"the samples of {label}", "give each sample one strain")
    cells = [None if is_absent(cell) else str(cell) for cell in columns[strain]]
    return pd.Series(cells, index=names, dtype=object)
