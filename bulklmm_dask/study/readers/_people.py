"""People of a PLINK file set, and the tables of phenotypes and covariates that name them."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
import pandas as pd

from bulklmm_dask.errors import InputError
from bulklmm_dask.storage.places.location import Location
from bulklmm_dask.study.readers import _samples
from bulklmm_dask.study.readers._expression import is_expression
from bulklmm_dask.study.readers._metadata import Labels, split_covariates
from bulklmm_dask.study.readers._traits import Source
from bulklmm_dask.study.schema import require_unique
from bulklmm_dask.study.tables.dialects import blanks
from bulklmm_dask.study.tables.headers import numbered
from bulklmm_dask.study.tables.numbers import CellError, floats
from bulklmm_dask.study.tables.read import read_columns
from bulklmm_dask.study.tables.records import Records
from bulklmm_dask.study.tables.table import Table, text_table
from bulklmm_dask.study.tables.tablefile import TableFile, open_table
from bulklmm_dask.study.warn import say
from bulklmm_dask.surface import option
from bulklmm_dask.text import counted, listing, named

Pair: TypeAlias = "tuple[str, str]"

_MISSING = frozenset({"-9", "NA", "NaN", "nan", "."})
_DIALECT = blanks(_MISSING)
_TABLES = {".csv", ".tsv"}
_SEXES = {"1": "male", "2": "female"}
_BEFORE = 5  # columns of a .fam file before the phenotypes
_JOINTS = ("_", ":", " ")  # between family and own id; the last is in no id, so it always serves


@dataclass(frozen=True)
class People:
    """The rows of a .fam file.

    Attributes
    ----------
    label : str
        The file, for messages.
    beside : str
        The name that a table of phenotypes beside it has.
    pairs : list of (str, str)
        Family id and own id.
    names : list of str
        Sample names, unique.
    sexes : list of str
    phenotypes : list of (int, list of str)
        Line in the file, and the cells from column 6 on, which count only if no table is given.
    """

    label: str
    beside: str
    pairs: list[Pair]
    names: list[str]
    sexes: list[str]
    phenotypes: list[tuple[int, list[str]]]

    @cached_property
    def _by_pair(self) -> dict[Pair, list[str]]:
        """Names by family and own id; family 0, or the own id again, is no family."""
        return _grouped(zip(map(_canonical, self.pairs), self.names, strict=True))

    @cached_property
    def _by_own(self) -> dict[str, list[str]]:
        """Names by own id."""
        return _grouped(zip((own for _, own in self.pairs), self.names, strict=True))

    def find(self, ids: Sequence[str], where: str) -> str | None:
        """Find the sample of (family id, own id) or (own id,); None if the file has none.

        `where` is the file and line that names it, for messages.
        """
        if len(ids) == 1:
            found = self._by_own.get(ids[0], [])
            if len(found) > 1:
                raise InputError(
                    f"{where}: the sample id {ids[0]!r} is of {len(found)} families in "
                    f"{self.label}; give family and sample id (FID and IID) in the table"
                )
        else:
            found = self._by_pair.get(_canonical((ids[0], ids[1])), [])
            if len(found) > 1:  # families 0 and a of sample a are two, where both occur
                found = [self.names[self.pairs.index((ids[0], ids[1]))]]
        return found[0] if found else None

    def has(self, own: str) -> bool:
        """Tell whether a sample of any family has this own id."""
        return own in self._by_own

    @property
    def labels(self) -> Labels:
        """Sex and family of the samples, as far as the file has them."""
        families = [family for family, _ in self.pairs]
        own = all(family in ("0", person) for family, person in self.pairs)
        found = {"sex": self.sexes if any(self.sexes) else None, "family_id": families}
        return {
            column: dict(zip(self.names, cells, strict=True))
            for column, cells in found.items()
            if cells is not None and not (column == "family_id" and own)
        }


def _canonical(pair: Pair) -> Pair:
    family, own = pair
    return ("0" if family == own else family), own


def _grouped(named: Iterable[tuple[Any, str]]) -> dict[Any, list[str]]:
    found: dict[Any, list[str]] = defaultdict(list)
    for key, name in named:
        found[key].append(name)
    return found


def read_fam(path: Location) -> People:
    """Read a .fam file; phenotypes may be several, and are not looked at yet."""
    pairs: list[Pair] = []
    sexes, phenotypes = [], []
    width = _BEFORE + 1
    with TableFile.at(path, _DIALECT).records() as records:
        for fields in records:
            width = width if pairs else max(width, len(fields))
            records.expect(fields, width, "family, sample, father, mother, sex, phenotypes")
            pairs.append((fields[0], fields[1]))
            sexes.append(_SEXES.get(fields[4], ""))
            phenotypes.append((records.number, fields[_BEFORE:]))
    if not pairs:
        raise InputError(f"{path} is empty; it should have a line for every sample")
    beside = named(Path(path.name).with_suffix(".pheno").name)
    return People(str(path), beside, pairs, _names(pairs, path), sexes, phenotypes)


def _names(pairs: Sequence[Pair], path: Location) -> list[str]:
    """Name samples by their own id, or by family and own id where that alone is not unique."""
    names = [person for _, person in pairs]
    if len(set(names)) == len(names):
        return names
    require_unique(map(" ".join, pairs), f"the samples of {path}", "rename or drop the double ones")
    joined = ([joint.join(pair) for pair in pairs] for joint in _JOINTS)
    names = next(one for one in joined if len(set(one)) == len(one))
    say(
        f"{path}: samples of several families have the same id, so all are named by family "
        f"and id: {listing(names)}"
    )
    return names


def own_phenotypes(people: People) -> Table:
    """Give the columns of the .fam file from 6 on as traits."""
    values = np.array([_numbers(people.label, *row) for row in people.phenotypes])
    values[values == -9] = np.nan
    if np.isin(values[~np.isnan(values)], 0).all():
        raise InputError(
            f"{people.label} has no phenotypes (from column 6 on it is -9 or 0 throughout), and "
            f"there is no {people.beside} beside it; give "
            f"{option('phenotypes')}, a table of them"
        )
    columns = numbered(values.shape[1], "phenotype")
    return _cases_apart(Table(people.label, "", people.names, columns, values))


def _numbers(label: str, line: int, cells: list[str]) -> list[float]:
    try:
        return floats(cells, _MISSING)
    except CellError as error:
        raise InputError(
            f"{label}, line {line}: phenotype {error.at + 1} is {error.cell!r}, which is not a "
            "number; correct it, mark it as missing (NA), or give "
            f"{option('phenotypes')}, a table that is used in place of these"
        ) from None


def read_phenotypes(file: TableFile, people: People) -> Table:
    """Read phenotypes by family and sample id, with or without a header."""
    values: list[np.ndarray] = []

    def convert(records: Records, fields: list[str]) -> None:
        values.append(records.numbers(fields, "phenotype"))

    names, columns = _read(file, people, convert, "phenotype")
    table = np.stack(values)
    table[table == -9] = np.nan
    order = _in_order(names, people.names)
    return _cases_apart(Table(file.label, "", [names[i] for i in order], columns, table[order]))


def read_covariates(source: Source, people: People) -> tuple[pd.DataFrame | None, Labels]:
    """Read covariates by family and sample id, with or without a header, or by sample name."""
    file = by_family(source)
    if file is None or _names_samples(file, people):
        return _samples.read_covariates(source, people.names)
    cells: list[list[str]] = []

    def convert(records: Records, fields: list[str]) -> None:
        cells.append(records.dialect.texts(fields))

    names, columns = _read(file, people, convert, "covariate")
    by_column = dict(zip(columns, zip(*cells, strict=True), strict=True))
    return split_covariates(text_table(file.label, names, by_column), people.names)


def by_family(source: Source) -> TableFile | None:
    """The table, if it goes by family and sample id as PLINK's do; None if by sample name.

    A table called .csv or .tsv goes by family where its header begins with FID and IID; a table of
    expression in BED format goes by sample name.
    """
    if isinstance(source, pd.DataFrame):
        return None
    if _TABLES.intersection(Path(source).suffixes[-2:]):
        file = open_table(source)
        if _id_columns(read_columns(file)) != ["FID", "IID"]:
            return None
        missing = file.dialect.missing | _MISSING | {""}
        return replace(file, dialect=replace(file.dialect, missing=missing))
    file = TableFile.at(source, _DIALECT)
    with file.records() as records:
        first = next(iter(records), [])
    return None if is_expression(first) else file


def _names_samples(file: TableFile, people: People) -> bool:
    """Tell whether a table has samples in its first column or row, and nobody by family and id."""
    with file.records() as records:
        rows = [(records.here, list(map(str.strip, fields))) for fields in records]
    if not rows or _id_columns(rows[0][1]):
        return False
    if all(len(fields) == 1 for _, fields in rows):
        return True  # separated by something else than blanks
    if any(people.find(fields[:2], here) for here, fields in rows if len(fields) > 1):
        return False
    named = {fields[0] for _, fields in rows} | set(rows[0][1][2:])
    return not named.isdisjoint(people.names)


def _id_columns(fields: Sequence[str]) -> list[str]:
    """Names of the id columns that a header begins with; none if this is no header."""
    first = [field.strip().lstrip("#").upper() for field in fields[:2]]
    return first if first == ["FID", "IID"] else first[:1] if first[:1] == ["IID"] else []


def _read(
    file: TableFile,
    people: People,
    convert: Callable[[Records, list[str]], None],
    what: str,
) -> tuple[list[str], list[str]]:
    """Read the names of samples and columns; `convert` gets the other fields of every row.

    A row of nobody in the .fam file is named by its own id, or by both with a blank between, as
    no sample is, where that id is another person's.
    """
    names: list[str] = []
    columns: list[str] = []
    strangers: list[list[str]] = []
    others: set[str] = set()
    ids = 2
    with file.records() as records:
        for record in records:
            fields = list(map(str.strip, record))
            if records.number == 1 and (header := _id_columns(fields)):
                ids, columns = len(header), fields[len(header) :]
                continue
            columns = columns or numbered(len(fields) - ids, what)
            records.expect(
                fields, ids + len(columns), f"{ids} of sample ids, {len(columns)} {what}s"
            )
            name = people.find(fields[:ids], records.here)
            if name is None:
                strangers.append(fields[:ids])
                taken = people.has(fields[ids - 1]) or fields[ids - 1] in others
                name = " ".join(fields[:ids]) if taken else fields[ids - 1]
                others.add(name)
            names.append(name)
            convert(records, fields[ids:])
    if not names or not columns:
        raise InputError(
            f"{file.label} has {len(names)} samples and {len(columns)} {what}s; each line should "
            f"be family id, sample id and the {what}s"
        )
    _check_strangers(file.label, people, strangers, len(names))
    require_unique(columns, f"the {what}s of {file.label}", "rename one")
    require_unique(names, f"the samples of {file.label}", "keep one line for each")
    return names, columns


def _check_strangers(label: str, people: People, strangers: list[list[str]], rows: int) -> None:
    """Refuse a table of which no row is in the .fam file; tell of ids under another family."""
    elsewhere = [" ".join(ids) for ids in strangers if people.has(ids[-1])]
    if len(strangers) == rows:
        known = listing((" ".join(pair) for pair in people.pairs), 3)
        raise InputError(
            f"none of the {counted(rows, 'row')} of {label} is of a sample in {people.label}: the "
            f"table has {listing(map(' '.join, strangers), 3)}, the .fam file {known}; write "
            "family and sample id as there, or begin the table with the header '#IID' and give "
            "the sample id alone"
        )
    if elsewhere:
        say(
            f"{counted(len(elsewhere), 'row')} of {label} have the sample id of {people.label} "
            f"but another family, so they are other people, and left out: {listing(elsewhere)}; "
            "begin the table with the header '#IID' and give the sample id alone, if the family "
            "does not matter"
        )


def _in_order(names: Sequence[str], wanted: Sequence[str]) -> list[int]:
    """Rows of a table in the order of the genotypes, others last: .bed is then read forwards."""
    rank = {name: i for i, name in enumerate(wanted)}
    return sorted(range(len(names)), key=lambda i: rank.get(names[i], len(rank)))


def _cases_apart(table: Table) -> Table:
    """Set 0 to missing in phenotypes coded 1 (control) and 2 (case), as PLINK does."""
    coded = (np.isnan(table.values) | np.isin(table.values, (0, 1, 2))).all(axis=0)
    coded &= (table.values == 2).any(axis=0)
    zero = (table.values == 0) & coded
    if zero.any():
        found = np.flatnonzero(zero.any(axis=0))
        say(
            f"{table.label}: {len(found)} phenotypes are coded 1 and 2 for control and case, so "
            f"their {zero.sum()} values 0 are taken as missing: "
            f"{listing(table.columns[i] for i in found)}"
        )
        table.values[zero] = np.nan
    return table
