"""Tables of traits: samples x traits, traits x samples, or an expression table in BED format."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from pathlib import Path
from typing import TypeAlias

import pandas as pd

from bulklmm_dask.errors import InputError
from bulklmm_dask.storage.places.location import Location
from bulklmm_dask.study.checks import is_absent
from bulklmm_dask.study.labelled import index_names
from bulklmm_dask.study.readers._expression import is_expression, read_expression, read_places
from bulklmm_dask.study.readers._orientation import samples_in_columns, say_others
from bulklmm_dask.study.readers._places import TraitPlaces
from bulklmm_dask.study.schema import require_unique
from bulklmm_dask.study.tables.read import read_across, read_columns, read_names, read_numbers
from bulklmm_dask.study.tables.table import Table
from bulklmm_dask.study.tables.tablefile import TableFile, open_table
from bulklmm_dask.study.warn import say
from bulklmm_dask.surface import option

Source: TypeAlias = "str | Path | Location | pd.DataFrame"


class TraitSource:
    """A table of traits whose layout is known, and whose values are not read yet.

    Attributes
    ----------
    label : str
        The file or argument, for messages.
    features : list of str
        Names of the traits and of other columns of the samples.
    """

    def __init__(
        self, source: Source, genotyped: Collection[str] = (), named_by: Sequence[str] = ()
    ) -> None:
        """`genotyped` are names of samples that are known from elsewhere.

        `named_by` are the arguments of the reader that may name columns which are no traits.
        """
        self._named_by = named_by
        self._genotyped = set(genotyped)
        self._file: TableFile | None = None
        if isinstance(source, pd.DataFrame):
            self.label = "the traits"
            self._frame = self._upright(source)
            self.features = [str(column) for column in self._frame.columns]
            return
        self._file = open_table(source)
        self.label = self._file.label
        columns = read_columns(self._file)
        self._file.refuse_row_of(self._genotyped)
        self._is_expression = is_expression(columns)
        self._turned = False
        self.features = columns[1:]
        if self._is_expression:
            self.features = []
        elif not self._genotyped.isdisjoint(columns[1:]):
            rows = read_names(self._file)
            self._turned = bool(samples_in_columns(rows, columns[1:], self._genotyped))
            self.features = rows if self._turned else self.features

    def read(self, text: Sequence[str] = ()) -> tuple[Table, TraitPlaces | None]:
        """Read the values, and the places of the traits if the table has them.

        The features in `text` are left as text.
        """
        if self._file is None:
            return table_of(self._frame, self.label, text), None
        if self._is_expression:
            places = TraitPlaces(self.label, read_places(self._file), "bp")
            return read_expression(self._file, self._genotyped), places
        try:
            if not self._turned:
                return read_numbers(self._file, text), None
            return read_across(self._file, self._samples(read_columns(self._file)[1:]), text), None
        except InputError as error:
            if "is not a number" not in str(error):
                raise
            named = " or ".join(map(option, self._named_by))
            remedy = f"can be named in {named}" if named else "should be removed"
            raise InputError(f"{error}; a column that is no trait {remedy}") from None

    def _upright(self, frame: pd.DataFrame) -> pd.DataFrame:
        rows = [str(name) for name in frame.index]
        columns = [str(name) for name in frame.columns]
        if not samples_in_columns(rows, columns, self._genotyped):
            return frame
        self._say_turned()
        return frame.T

    def _samples(self, columns: list[str]) -> list[str]:
        """The columns of a turned table that are samples of the genotypes."""
        samples = [name for name in columns if name in self._genotyped]
        self._say_turned()
        others = [name for name in columns if name not in self._genotyped]
        say_others(others, len(columns), self.label)
        return samples

    def _say_turned(self) -> None:
        say(
            f"{self.label}: the columns are named as the samples of the genotypes, so this is read "
            "as traits x samples; exchange rows and columns if the rows are samples"
        )


def table_of(frame: pd.DataFrame, label: str, text_columns: Sequence[str]) -> Table:
    """Turn a DataFrame, whose index names the samples, into a Table."""
    rows = index_names(frame.index, label)
    if rows is None:
        raise InputError(
            f"{label} carry no sample names, only the numbers that pandas gives to rows; make the "
            "names the index: frame.set_index('sample')"
        )
    frame = frame.set_axis(names_of_columns(frame, label), axis=1)
    texts = {column: _cells(frame[column]) for column in text_columns}
    rest = frame.drop(columns=list(text_columns))
    return Table(label, "", rows, list(rest.columns), rest.to_numpy(), texts)


def names_of_columns(frame: pd.DataFrame, label: str) -> list[str]:
    """Names of the columns of a table that a caller passed, none twice."""
    names = [str(column) for column in frame.columns]
    require_unique(names, f"the columns of {label}", "rename one")
    return names


def _cells(column: pd.Series) -> list[str]:
    return ["" if is_absent(cell) else str(cell) for cell in column]
