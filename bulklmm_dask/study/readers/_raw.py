"""What a raw cross in R/qtl2's format has beside its dosages: calls, founders and cross_info."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from string import ascii_uppercase

import numpy as np
import numpy.typing as npt

from bulklmm_dask.crosses.types import Cross
from bulklmm_dask.errors import InputError
from bulklmm_dask.study.files import Archive, Folder
from bulklmm_dask.study.readers._control import Control
from bulklmm_dask.study.readers._crosses import AA, BB, NOTHING
from bulklmm_dask.study.schema import require_unique
from bulklmm_dask.study.tables.calls import Calls
from bulklmm_dask.study.tables.read import read_calls, read_text
from bulklmm_dask.study.tables.table import Table, bind
from bulklmm_dask.study.tables.tablefile import TableFile
from bulklmm_dask.study.warn import say
from bulklmm_dask.text import counted, listing

_UNKNOWN = -1  # a number in cross_info that is missing or no whole number
_LARGEST = 10**9


def founder_letters(control: Control, cross: Cross) -> list[str]:
    """Letters of the founders: ``alleles`` of the control file, or A, B, C, ..."""
    letters = control.listed("alleles") or list(ascii_uppercase)
    if len(letters) < cross.founders:
        raise InputError(
            f"{control.label}: alleles names {counted(len(letters), 'founder')}, but a "
            f"{cross.name} has {cross.founders}; name each of them"
        )
    return letters[: cross.founders]


def founder_calls(
    files: Folder | Archive, control: Control, cross: Cross, variants: Sequence[str]
) -> npt.NDArray[np.uint8]:
    """Alleles of the founders (variants, founders): 1, 3, or 0 where unknown or heterozygous."""
    names = control.listed("founder_geno")
    wanted = cross.founders + cross.tester
    if not names:
        raise InputError(
            f"{control.label} lists no founder_geno, without which the calls of a {cross.name} do "
            f"not tell its {wanted} founders; add the table of their genotypes"
        )
    calls = Calls()
    read = partial(read_calls, calls=calls)
    tables = [read(TableFile(files, name, control.dialect)) for name in names]
    if control.is_transposed("founder_geno"):
        tables = [table.T for table in tables]
    table = bind(tables, calls[""])
    require_unique(table.columns, f"the markers of {table.label}", "keep one of each")
    if len(table.rows) != wanted:
        raise InputError(
            f"{table.label} has {counted(len(table.rows), 'founder')} ({listing(table.rows)}), but "
            f"a {cross.name} has {wanted}; give one row for each, in the order of their letters, "
            "or set founder_geno_transposed"
        )
    allele_of = np.array([_allele(call.strip(), control) for call in calls], dtype=np.uint8)
    found = {marker: at for at, marker in enumerate(table.columns)}
    absent = [marker for marker in variants if marker not in found]
    if absent:
        say(
            f"{table.label} lacks {len(absent)} of {len(variants)} markers, which tell nothing of "
            f"the founders: {listing(absent)}"
        )
    out = np.zeros((len(variants), wanted), dtype=np.uint8)
    rows = [at for at, marker in enumerate(variants) if marker in found]
    columns = [found[variants[at]] for at in rows]
    out[rows] = allele_of[table.values[:, columns]].T
    return out


def _allele(call: str, control: Control) -> int:
    code = control.codes.get(call, NOTHING)
    return code if code in (AA, BB) and call not in control.dialect.missing else NOTHING


def marker_alleles(control: Control) -> list[str]:
    """Names of the two alleles of markers whose calls are not those of founders."""
    by_code = {code: call for call, code in reversed(control.codes.items())}
    names = [by_code.get(AA, "A"), by_code.get(BB, "B")]
    return names if len(set(names)) == 2 else ["A", "B"]


def cross_numbers(
    files: Folder | Archive, control: Control, covar: Table | None
) -> dict[str, list[int]]:
    """Numbers in cross_info by sample, -1 for what is no whole number."""
    name, column, codes = control.source_of("cross_info")
    table = read_text(TableFile(files, name, control.dialect)) if name else covar
    if table is None or not (name or column):
        return {}
    wanted = list(table.columns) if name else [str(column)]
    at = [table.columns.index(one) for one in wanted]
    return {
        row: [whole_number(codes.get(cell, cell)) for cell in cells]
        for row, cells in zip(table.rows, table.values[:, at], strict=True)
    }


def whole_number(cell: str) -> int:
    """A number of cross_info; -1 for what is none."""
    try:
        found = int(cell)
    except ValueError:
        return _UNKNOWN
    return found if abs(found) <= _LARGEST else _UNKNOWN
