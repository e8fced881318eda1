"""Reading and writing the tables of commands."""

from __future__ import annotations

import sys
from pathlib import Path

import click
import pandas as pd

from bulklmm_dask.cli._base import PATH, Function, overwrite_option, say, show
from bulklmm_dask.errors import InputError
from bulklmm_dask.storage.places.location import Location
from bulklmm_dask.study.tables.dialects import Dialect
from bulklmm_dask.study.tables.frame import read_frame
from bulklmm_dask.study.tables.tablefile import TableFile
from bulklmm_dask.text import counted, named, printable

PARQUET = ".parquet"
_DIALECT = Dialect(missing=frozenset(), comment="")  # as to_csv writes it
_NAMES, _NUMBERS = ("trait", "variant", "contig"), ("position", "lod", "h2")


def out_option(function: Function) -> Function:
    """Add the options for the file of a table."""
    option = click.option(
        "--out",
        metavar="CSV",
        type=PATH,
        help="Write a CSV table here instead of showing it.",
    )
    return option(overwrite_option(function))


def read_table(path: Path) -> pd.DataFrame:
    """Read a table of hits or peaks; names stay text, even if they look like numbers.

    Its ``attrs["source"]`` is the file, for messages.
    """
    place = Location.of(path).recovered()
    if not place.exists():
        raise InputError(f"there is no {place}; 'bulklmm peaks' or 'bulklmm hits' writes one")
    table = _parquet(place) if place.suffix == PARQUET else _csv(place)
    table.attrs["source"] = str(place)
    return table


def _csv(place: Location) -> pd.DataFrame:
    return read_frame(TableFile.at(place, _DIALECT), _NAMES, _NUMBERS)


def _parquet(place: Location) -> pd.DataFrame:
    try:
        with place.at_hand() as files:
            return pd.read_parquet(files.path)
    except Exception as error:  # damaged files fail in many ways
        raise InputError(f"{place} cannot be read as a table ({error}); make it again") from error


def give_table(table: pd.DataFrame, out: Path | None) -> None:
    """Write a table as CSV to a file or to standard output; aligned if that is a terminal.

    A file keeps names as they are; what is shown has their control characters as escapes.
    """
    if out is not None:
        write_csv(table, out, index=False)
        return
    shown = table.rename(columns=_shown).map(_shown)
    if sys.stdout.isatty():
        show(shown.to_string(index=False, float_format="{:.4g}".format))
    else:
        show(shown.to_csv(index=False).removesuffix("\n"))


def _shown(cell: object) -> object:
    return printable(cell) if isinstance(cell, str) else cell


def write_csv(table: pd.DataFrame, out: Path, *, index: bool) -> None:
    """Write a table as CSV, complete or not at all, and report its number of rows."""
    with Location.of(out).appearing_file() as partial:
        table.to_csv(partial, index=index)
    say(f"{counted(len(table), 'row')} written to {named(out)}")
