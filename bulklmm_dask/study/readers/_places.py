"""Places of traits on the genome, such as those of genes: read from a table, kept in a study."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
import xarray as xr

from bulklmm_dask.errors import InputError
from bulklmm_dask.storage.labels.encoding import text
from bulklmm_dask.storage.places.location import Location
from bulklmm_dask.study.checks import LARGEST_MB, is_absent
from bulklmm_dask.study.contigs import ABSENT, match_contigs
from bulklmm_dask.study.readers._expression import is_expression, read_places
from bulklmm_dask.study.readers._markers import guess_unit, named_positions
from bulklmm_dask.study.schema import require_unique, unknown_names
from bulklmm_dask.study.tables.headers import find_column
from bulklmm_dask.study.tables.read import read_columns, read_text
from bulklmm_dask.study.tables.table import Table
from bulklmm_dask.study.tables.tablefile import open_table
from bulklmm_dask.study.warn import say
from bulklmm_dask.surface import option
from bulklmm_dask.text import counted, listing

# Accepted names of the column of traits; case and punctuation are ignored.
_TRAIT = (
    *("trait", "traitid", "gene", "geneid", "genename", "phenotype", "phenotypeid", "probe"),
    *("probeid", "feature", "featureid", "symbol", "name", "id"),
)
_SCALE = {"bp": 1.0, "Mb": 1e6}


@dataclass(frozen=True)
class TraitPlaces:
    """Where traits lie.

    Attributes
    ----------
    label : str
        The file or argument, for messages.
    frame : DataFrame
        By trait: ``contig`` (empty where unknown) and ``position`` (NaN where unknown).
    unit : str or None
        Unit of the positions; None is that of the study.
    """

    label: str
    frame: pd.DataFrame
    unit: str | None

    def in_unit(self, unit: str | None) -> tuple[np.ndarray, str | None]:
        """Positions in `unit`, if they can be converted, and the unit that they have then."""
        position = self.frame["position"].to_numpy(np.float64)
        if self.unit is None or unit is None or self.unit == unit:
            return position, unit or self.unit
        if {self.unit, unit} <= _SCALE.keys():
            return position * _SCALE[self.unit] / _SCALE[unit], unit
        return position, self.unit

    def as_table(self, unit: str | None) -> pd.DataFrame:
        """Columns trait, contig and position in `unit`, as `find_peaks` takes them."""
        position, found = self.in_unit(unit)
        if found != unit:
            raise InputError(
                f"{self.label} has positions in {found}, but the markers are in {unit}; give the "
                f"positions of the traits in {unit}"
            )
        contig = self.frame["contig"].where(self.frame["contig"] != "", None)
        table = pd.DataFrame({"contig": contig, "position": position})
        table = table.rename_axis("trait").reset_index()
        table.attrs["source"] = self.label
        return table


def read_trait_places(source: str | Path | Location | pd.DataFrame) -> TraitPlaces:
    """Read the places of traits: columns of trait, contig and position, or a BED table."""
    if isinstance(source, pd.DataFrame):
        table = _table_of(source)
    else:
        file = open_table(source)
        if is_expression(read_columns(file)):
            return TraitPlaces(file.label, read_places(file), "bp")
        table = read_text(file)
    columns = table.by_column(names=True)
    traits = columns[find_column(columns, _TRAIT) or table.corner]
    require_unique(traits, f"the traits of {table.label}", "keep one place for each")
    contigs, positions, column = named_positions(table, traits, "trait")
    unit, values = next(iter(positions.items()))
    if unit is None and np.fmax.reduce(values, initial=0) > LARGEST_MB:
        unit = guess_unit(values, table.label, column, "positions in the unit of the markers")
    frame = pd.DataFrame({"contig": contigs, "position": values}, index=traits)
    return TraitPlaces(table.label, frame, unit)


def _table_of(frame: pd.DataFrame) -> Table:
    """A DataFrame of places as a table of text; its index names the traits, or a column trait."""
    if "trait" in frame:
        frame = frame.set_index("trait")
    cells = frame.astype(object).where(frame.notna(), "").map(str).to_numpy(object)
    columns = [str(column) for column in frame.columns]
    return Table(option("trait_positions"), "trait", list(map(str, frame.index)), columns, cells)


def attach_places(ds: xr.Dataset, places: TraitPlaces | None) -> xr.Dataset:
    """Put the places of its traits into a study: ``trait_contig`` and ``trait_position``.

    A trait without a place, or on a contig without markers, has the contig -1 and the position
    NaN; it is neither cis nor trans.
    """
    if places is None:
        return ds
    if "variant_contig" not in ds or "variant_position" not in ds:
        say(
            f"{places.label} gives positions of traits, but the study has no marker map to compare "
            f"them with; they are left out: give a map ({option('variant_map')}, with BIMBAM files "
            f"{option('annotation')}) too"
        )
        return ds
    traits = [str(name) for name in ds["trait_id"].values]
    _say_unplaced(traits, places)
    position, unit = places.in_unit(ds["variant_position"].attrs.get("units"))
    frame = places.frame.assign(position=position).reindex(traits)
    contigs = ["" if is_absent(name) else str(name) for name in frame["contig"]]
    at = match_contigs(ds["contig_id"].values, contigs, "the study")
    elsewhere = sorted({name for name, i in zip(contigs, at, strict=True) if name and i == ABSENT})
    if elsewhere:
        count = sum(name in elsewhere for name in contigs)
        say(
            f"{places.label} puts {counted(count, 'trait')} on contigs without markers: "
            f"{listing(elsewhere)}; these traits have no position in the study, whose contigs are "
            f"like {listing(ds['contig_id'].values, 3)}"
        )
    known = (at != ABSENT) & frame["position"].notna().to_numpy()
    return ds.assign(
        trait_contig=("traits", np.where(known, at, -1)),
        trait_position=(
            "traits",
            np.where(known, frame["position"].to_numpy(np.float64), np.nan),
            {"units": unit} if unit else {},
        ),
    )


def _say_unplaced(traits: Sequence[str], places: TraitPlaces) -> None:
    """Say which traits have no place; InputError if none has one."""
    names = list(text(places.frame.index))
    unplaced = unknown_names(names, traits)
    if len(unplaced) == len(traits):
        raise InputError(
            f"{places.label} has the position of no trait of the study: its traits are like "
            f"{listing(names, 3) or 'none'}, those of the study like {listing(traits, 3)}; use the "
            f"same names in both, or leave {option('trait_positions')} out"
        )
    if unplaced:
        say(
            f"{places.label} has no position of {len(unplaced)} of {len(traits)} traits: "
            f"{listing(unplaced)}; their loci are neither cis nor trans"
        )
