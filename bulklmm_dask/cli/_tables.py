"""Reading and writing the tables of commands."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import click
import pandas as pd

from bulklmm_dask.cli._base import (
    PATH,
    Function,
    did,
    overwrite_option,
    require_new,
    say,
    show,
    wrote,
)
from bulklmm_dask.cli._table_files import (
    DIGITS,
    PARQUET,
    SEPARATORS,
    TableFormat,
    without_noise,
    write_table_file,
)
from bulklmm_dask.cli._voice import is_json
from bulklmm_dask.errors import InputError
from bulklmm_dask.storage.places.location import Location
from bulklmm_dask.study.tables.dialects import Dialect
from bulklmm_dask.study.tables.frame import read_frame
from bulklmm_dask.study.tables.tablefile import TableFile
from bulklmm_dask.text import counted, named, printable

_STDOUT = ("-", "/dev/stdout", "/dev/fd/1", "/proc/self/fd/1")
_NAMES, _NUMBERS = ("trait", "variant", "contig", "component"), ("position", "lod", "h2")


def table_option(flag: str, *names: str, text: str = "Write the table here") -> Any:
    """Make the option for the file of a table."""
    return click.option(
        flag,
        *names,
        metavar="TABLE",
        type=PATH,
        help=f"{text}: .csv, .tsv, also with .gz, .bz2, .xz or .zst behind, or .parquet; - is "
        "standard output.",
    )


def out_option(function: Function) -> Function:
    """Add the options for the file of a table."""
    option = table_option("--out", text="Write the table here instead of showing it")
    return option(overwrite_option(function))


def require_table(out: Path | None, *, overwrite: bool) -> None:
    """Raise an error, before any work, unless a table can be written there."""
    if out is None:
        return
    if is_stdout(out):
        if is_json():
            raise click.UsageError(
                f"--out {out} and --json both write to standard output: leave one of them out"
            )
        return
    if not Location.of(out).is_special():
        require_new(out, overwrite=overwrite)
    TableFormat.of(out).require_library()


def is_stdout(out: Path | None) -> bool:
    """Tell whether a table goes to standard output by its name, - or that of its device."""
    return str(out) in _STDOUT


def read_table(path: Path, made_by: str = "'bulklmm peaks' or 'bulklmm hits'") -> pd.DataFrame:
    """Read a table of hits or peaks; names stay text, even if they look like numbers.

    Its ``attrs["source"]`` is the file, for messages.
    """
    place = Location.of(path).recovered()
    if not place.exists():
        raise InputError(f"there is no {place}; {made_by} writes one")
    table = _parquet(place) if place.suffix == PARQUET else _text(place)
    table.attrs["source"] = str(place)
    return table


def _text(place: Location) -> pd.DataFrame:
    """A table of text, written as `write_table_file` does."""
    try:
        separator = TableFormat.of(str(place)).separator
    except InputError:  # whoever wrote it, the name is no hint
        separator = SEPARATORS[""]
    dialect = Dialect(separator, missing=frozenset(), comment="")
    return read_frame(TableFile.at(place, dialect), _NAMES, _NUMBERS)


def _parquet(place: Location) -> pd.DataFrame:
    try:
        with place.at_hand() as files:
            return pd.read_parquet(files.path)
    except Exception as error:  # damaged files fail in many ways
        raise InputError(f"{place} cannot be read as a table ({error}); make it again") from error


def give_table(table: pd.DataFrame, out: Path | None) -> None:
    """Write a table to a file, or as CSV to standard output; aligned if that is a terminal.

    A file keeps names as they are; what is shown has their control characters as escapes.
    """
    did(rows=len(table), columns=[str(name) for name in table])
    if out is not None:
        write_table(table, out)
        return
    if is_json():
        did(table=_records(table))
        return
    shown = without_noise(table).rename(columns=_shown).map(_shown)
    if sys.stdout.isatty():
        show(shown.to_string(index=False, float_format="{:.4g}".format))
    else:
        show(shown.to_csv(index=False).removesuffix("\n"))


def _records(table: pd.DataFrame) -> list[dict[str, Any]]:
    """Rows as objects; what is missing is null."""
    table = without_noise(table)
    columns = {
        str(name): [None if missing else cell for cell, missing in zip(cells, gaps, strict=True)]
        for name, cells, gaps in ((one, table[one].array, table[one].isna()) for one in table)
    }
    return [dict(zip(columns, row, strict=True)) for row in zip(*columns.values(), strict=True)]


def _shown(cell: object) -> object:
    return printable(cell) if isinstance(cell, str) else cell


def write_table(table: pd.DataFrame, out: Path, digits: int = DIGITS) -> None:
    """Write a table, without its index, and report its number of rows."""
    if is_stdout(out):
        click.echo(without_noise(table, digits).to_csv(index=False), nl=False)
        return
    write_table_file(table, out, digits)
    wrote(out)
    say(f"{counted(len(table), 'row')} written to {named(out)}")
