"""People of a PLINK file set, and the tables of phenotypes and covariates that name them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from bulklmm_dask.errors import InputError
from bulklmm_dask.study.readers import _samples
from bulklmm_dask.study.readers._metadata import Labels, split_covariates
from bulklmm_dask.study.readers._samples import read_samples
from bulklmm_dask.study.readers._traits import Source
from bulklmm_dask.study.readers.tables import Records, Table, TableFile, blanks, text_table
from bulklmm_dask.study.schema import require_unique
from bulklmm_dask.study.warn import say
from bulklmm_dask.text import listing

_MISSING = frozenset({"-9", "NA", "NaN", "nan", "."})
_DIALECT = blanks(_MISSING)
_BY_NAME = (".csv", ".csv.gz", ".tsv", ".tsv.gz")
_SEXES = {"1": "male", "2": "female"}


@dataclass
class People:
    """The rows of a .fam file: (family id, own id), sample name, sex and phenotype of each."""

    label: str
    pairs: list[tuple[str, str]]
    names: list[str]
    sexes: list[str]
    phenotype: np.ndarray

    def name(self, ids: Sequence[str]) -> str:
        """Give the sample name for the ids of a table: (family id, own id) or (own id,)."""
        if self.names[0] == self.pairs[0][1]:
            return ids[-1]
        return "_".join(ids)

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


def read_fam(path: Path) -> People:
    """Read a .fam file."""
    pairs, sexes, phenotypes = [], [], []
    with TableFile.at(path, _DIALECT).records() as records:
        for fields in records:
            records.expect(fields, 6, "family, sample, father, mother, sex, phenotype")
            pairs.append((fields[0], fields[1]))
            sexes.append(_SEXES.get(fields[4], ""))
            phenotypes.append(records.numbers(fields[5:], "phenotype")[0])
    if not pairs:
        raise InputError(f"{path} is empty; it should have a line for every sample")
    return People(str(path), pairs, _names(pairs, path), sexes, np.array(phenotypes))


def _names(pairs: Sequence[tuple[str, str]], path: Path) -> list[str]:
    """Name samples by their own id, or by family and own id where that alone is not unique."""
    names = [person for _, person in pairs]
    if len(set(names)) < len(names):
        names = [f"{family}_{person}" for family, person in pairs]
        say(
            f"{path}: samples of several families have the same id, so all are named by family "
            f"and id: {listing(names)}"
        )
        require_unique(names, f"the samples of {path}", "rename or drop the double ones")
    return names


def own_phenotype(people: People) -> Table:
    """Give column 6 of the .fam file as the only trait."""
    values = np.where(people.phenotype == -9, np.nan, people.phenotype)[:, None]
    if np.isin(values[~np.isnan(values)], 0).all():
        raise InputError(
            f"{people.label} has no phenotypes (its column 6 is -9 or 0 throughout), and there is "
            f"no {Path(people.label).with_suffix('.pheno').name} beside it; pass a table of them "
            "as phenotypes (--phenotypes)"
        )
    return _cases_apart(Table(people.label, "", people.names, ["phenotype"], values))


def read_phenotypes(source: Source, people: People) -> Table:
    """Read phenotypes by family and sample id, with or without a header, or by sample name."""
    if isinstance(source, pd.DataFrame) or str(source).endswith(_BY_NAME):
        return read_samples(source, None, None, people.names).traits
    values: list[np.ndarray] = []

    def convert(records: Records, fields: list[str]) -> None:
        values.append(records.numbers(fields, "phenotype"))

    file = TableFile.at(source, _DIALECT)
    names, columns = _read(file, people, convert, "phenotype")
    table = np.stack(values)
    table[table == -9] = np.nan
    order = _in_order(names, people.names)
    return _cases_apart(Table(file.label, "", [names[i] for i in order], columns, table[order]))


def read_covariates(source: Source, people: People) -> tuple[pd.DataFrame | None, Labels]:
    """Read covariates by family and sample id, with or without a header, or by sample name."""
    if isinstance(source, pd.DataFrame) or str(source).endswith(_BY_NAME):
        return _samples.read_covariates(source, people.names)
    cells: list[list[str]] = []

    def convert(records: Records, fields: list[str]) -> None:
        cells.append(list(map(records.dialect.text, fields)))

    file = TableFile.at(source, _DIALECT)
    names, columns = _read(file, people, convert, "covariate")
    by_column = dict(zip(columns, zip(*cells, strict=True), strict=True))
    return split_covariates(text_table(file.label, names, by_column), people.names)


def _read(
    file: TableFile,
    people: People,
    convert: Callable[[Records, list[str]], None],
    what: str,
) -> tuple[list[str], list[str]]:
    """Read the names of samples and columns; `convert` gets the other fields of every row."""
    names: list[str] = []
    columns: list[str] = []
    ids = 2
    with file.records() as records:
        for fields in records:
            if records.number == 1 and fields[0].lstrip("#").upper() in ("FID", "IID"):
                ids = 2 if fields[0].lstrip("#").upper() == "FID" else 1
                columns = fields[ids:]
                continue
            columns = columns or _numbered(len(fields) - ids, what)
            records.expect(
                fields, ids + len(columns), f"{ids} of sample ids, {len(columns)} {what}s"
            )
            names.append(people.name(fields[:ids]))
            convert(records, fields[ids:])
    if not names or not columns:
        raise InputError(
            f"{file.label} has {len(names)} samples and {len(columns)} {what}s; each line should "
            f"be family id, sample id and the {what}s"
        )
    require_unique(columns, f"the {what}s of {file.label}", "rename one")
    require_unique(names, f"the samples of {file.label}", "keep one line for each")
    return names, columns


def _numbered(count: int, what: str) -> list[str]:
    return [what] if count == 1 else [f"{what}{i + 1}" for i in range(count)]


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
