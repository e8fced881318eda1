"""Residual weights on the command line: their two options, and what these stand for."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import click
import pandas as pd

from bulklmm_dask.errors import InputError
from bulklmm_dask.study.readers.tables import open_table, read_columns, read_numbers

Function = Callable[..., Any]


def weight_options(function: Function) -> Function:
    """Add the options that say how exactly each sample was measured."""
    for option in (
        click.option(
            "--replicates",
            metavar="NAME|CSV",
            help="Replicates behind each sample's mean: a sample variable or covariate of the "
            "study, or a CSV table of samples and numbers.",
        ),
        click.option(
            "--weights",
            metavar="NAME|CSV",
            help="Residual weights (the root of the number of replicates) in the same way.",
        ),
    ):
        function = option(function)
    return function


def vector_of(value: str | None) -> str | pd.Series | None:
    """The name of a sample variable of the study, or values from a CSV table."""
    if value is None or not Path(value).is_file():
        return value
    file = open_table(value)
    columns = read_columns(file)
    if len(columns) != 2:
        raise InputError(
            f"{value} has {len(columns)} columns; it should have two, samples and numbers"
        )
    table = read_numbers(file)
    return pd.Series(table.values[:, 0], index=table.rows)
