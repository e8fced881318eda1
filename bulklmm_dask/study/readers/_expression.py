"""Expression tables in BED format, as FastQTL, QTLtools and tensorQTL take them.

A row is a trait: contig, start and end (counted from 0, the end left out), its name, perhaps
strand and the like, then a value for every sample. The position of a trait is start + 1: the first
base of the interval counted from 1, where these tools put the transcription start site.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence

import numpy as np
import pandas as pd

from bulklmm_dask.errors import InputError
from bulklmm_dask.study.readers._orientation import say_others
from bulklmm_dask.study.schema import require_unique
from bulklmm_dask.study.tables.headers import letters
from bulklmm_dask.study.tables.records import Records, fields_at
from bulklmm_dask.study.tables.table import Table
from bulklmm_dask.study.tables.tablefile import TableFile
from bulklmm_dask.text import listing

_PLACE = (("chr", "chrom", "chromosome", "contig"), ("start", "chromstart"), ("end", "chromend"))
_NAME = 3  # column of the trait
# Columns that may follow the name of a trait.
_BESIDE = frozenset(
    ("gid", "geneid", "genename", "gene", "groupid", "group", "score", "strand", "symbol", "info")
)


def is_expression(columns: Sequence[str]) -> bool:
    """Tell by its header whether a table is an expression table in BED format."""
    found = [letters(column) for column in columns[:_NAME]]
    return len(columns) > _NAME and all(
        name in names for name, names in zip(found, _PLACE, strict=True)
    )


def read_expression(file: TableFile, genotyped: Collection[str] | None) -> Table:
    """Read the values, samples x traits; `genotyped` are the samples known from the genotypes."""
    names: list[str] = []
    lines: list[int] = []
    held = bytearray()
    with file.below_header() as records:
        kept = _samples(records, genotyped)
        columns = [records.columns[i] for i in kept]
        take = fields_at(kept)
        for record in records:
            names.append(_trait(record, records))
            lines.append(records.number)
            held += np.array(records.row_of_numbers(names[-1], columns, take(record))).tobytes()
    require_unique(names, f"the traits of {file.label}", "keep one row for each")
    values = np.frombuffer(held, np.float64).reshape(len(names), len(columns))
    return Table(file.label, "", columns, names, values.T)


def read_places(file: TableFile) -> pd.DataFrame:
    """Read contig and position (bp, counted from 1) by trait."""
    names, contigs, positions = [], [], []
    with file.below_header() as records:
        for record in records:
            names.append(_trait(record, records))
            contigs.append(file.dialect.text(record[0]))
            start = records.row_of_numbers(names[-1], records.columns[1:2], record[1:2])[0]
            positions.append(start + 1)
    require_unique(names, f"the traits of {file.label}", "keep one row for each")
    return pd.DataFrame({"contig": contigs, "position": positions}, index=names)


def _trait(record: list[str], records: Records) -> str:
    name = record[_NAME].strip()
    if not name:
        raise InputError(f"{records.here}: the trait has no name; name it, or remove the row")
    return name


def _samples(records: Records, genotyped: Collection[str] | None) -> list[int]:
    """Which columns are samples; others than usual ones are said to be left out."""
    known = set(genotyped or ())
    after = list(enumerate(records.columns))[_NAME + 1 :]
    beside = [i for i, name in after if name not in known and letters(name) in _BESIDE]
    others = [(i, name) for i, name in after if i not in beside]
    samples = [i for i, name in others if not known or name in known]
    unknown = [name for _, name in others if known and name not in known]
    if known and not samples:
        raise InputError(
            f"{records.label} and the genotypes have no sample in common: its columns are "
            f"{listing((name for _, name in others), 3) or 'none'}, the genotypes have "
            f"{listing(sorted(known), 3)}; use the same names in both"
        )
    say_others(unknown, len(others), records.label)
    return samples
