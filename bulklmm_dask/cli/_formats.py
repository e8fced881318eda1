"""The format of a source of `bulklmm import`, and a check of the options given with it."""

from __future__ import annotations

import textwrap
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import click
import xarray as xr

from bulklmm_dask.cli._sources import table_or_columns
from bulklmm_dask.study.readers.guess import guess_format
from bulklmm_dask.study.readers.registry import READERS
from bulklmm_dask.text import named

_WIDTH = 80  # columns of a help text
_TABLES = (".csv", ".csv.gz", ".tsv", ".tsv.gz", ".txt", ".txt.gz")


def format_lines() -> str:
    """List the formats and their sources, as lines of a help text."""
    width = max(map(len, READERS)) + 1
    lines = [f"{'FORMAT':<{width}}SOURCE"]
    for name, reader in READERS.items():
        for number, line in enumerate(textwrap.wrap(reader.description, _WIDTH - width)):
            lines.append(f"{'' if number else name:<{width}}{line}")
    return "\n".join(lines)


def read(name: str | None, source: Path, given: Mapping[str, Any]) -> xr.Dataset:
    """Read `source` in the format `name`, or a guessed one; `given` maps flags to values."""
    name = name or _guess(source, given)
    reader = READERS[name]
    if wrong := [option for option in given if option not in reader.options]:
        others = [one for one, other in READERS.items() if set(wrong) <= other.options.keys()]
        raise click.UsageError(
            f"{' and '.join(wrong)} go{'es' * (len(wrong) == 1)} with "
            f"{' or '.join(others) or 'different formats'}, not with {name}, as which "
            f"{named(source)} is read"
        )
    if reader.needed is not None and reader.needed not in given:
        raise click.UsageError(
            f"{named(source)} is read as {name}: add {reader.needed} with its table"
        )
    values = {reader.options[option]: value for option, value in given.items()}
    if reader.covariates_by_column and "covariates" in values:
        values["covariates"] = table_or_columns(values["covariates"])
    return reader.read(source, **values)


def _guess(source: Path, given: Mapping[str, Any]) -> str:
    if "--genotypes" in given:
        return "csv"
    found = guess_format(source)
    if found is not None:
        return found
    if source.name.endswith(_TABLES) and "--traits" not in given:
        raise click.UsageError(
            f"{named(source)} looks like a table of traits: add --genotypes with theirs, or name "
            f"its format ({', '.join(READERS)}) before it"
        )
    raise click.UsageError(
        f"the format of {named(source)} cannot be told; name it before the source, one of "
        f"{', '.join(READERS)}"
    )
