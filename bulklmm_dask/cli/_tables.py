"""Reading and writing the tables of commands."""

from __future__ import annotations

import sys
from pathlib import Path

import click
import pandas as pd

from bulklmm_dask.cli._base import say
from bulklmm_dask.errors import InputError
from bulklmm_dask.storage.location import Location
from bulklmm_dask.study.readers.tables import Dialect, TableFile, read_frame
from bulklmm_dask.text import counted

PARQUET = ".parquet"
_DIALECT = Dialect(missing=frozenset(), comment="")  # as to_csv writes it
_NAMES, _NUMBERS = ("trait", "variant", "contig"), ("position", "lod", "h2")

out_option = click.option(
    "--out",
    metavar="CSV",
    type=click.Path(path_type=Path),
    help="Write a CSV table here instead of showing it.",
)


def read_table(path: Path) -> pd.DataFrame:
    """Read a table of hits or peaks; names stay text, even if they look like numbers."""
    if not path.exists():
        raise InputError(f"there is no {path}; bulklmm peaks or bulklmm hits writes one")
    if path.suffix != PARQUET:
        return read_frame(TableFile.at(path, _DIALECT), _NAMES, _NUMBERS)
    try:
        return pd.read_parquet(path)
    except (ValueError, ImportError) as error:
        raise InputError(f"{path} cannot be read as a table ({error})") from error


def give_table(table: pd.DataFrame, out: Path | None) -> None:
    """Write a table as CSV to a file or to standard output; aligned if that is a terminal."""
    if out is not None:
        write_csv(table, out, index=False)
    elif sys.stdout.isatty():
        click.echo(table.to_string(index=False, float_format="{:.4g}".format))
    else:
        click.echo(table.to_csv(index=False), nl=False)


def write_csv(table: pd.DataFrame, out: Path, *, index: bool) -> None:
    """Write a table as CSV, complete or not at all, and report its number of rows."""
    with Location.of(out).appearing_file() as partial:
        table.to_csv(partial, index=index)
    say(f"{counted(len(table), 'row')} written to {out}")
