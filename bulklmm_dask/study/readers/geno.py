"""GeneNetwork's .geno files: calls of inbred lines between two parents."""

from __future__ import annotations

import math
from collections import Counter, defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pandas as pd
import xarray as xr

from bulklmm_dask.errors import InputError
from bulklmm_dask.study.gaps import without_mark
from bulklmm_dask.study.ranges import lazy
from bulklmm_dask.study.readers import _scratch
from bulklmm_dask.study.readers._markers import place_markers
from bulklmm_dask.study.readers._samples import Covariates, Strains, read_samples
from bulklmm_dask.study.readers._traits import Source
from bulklmm_dask.study.schema import require_unique
from bulklmm_dask.study.tables.dialects import Dialect
from bulklmm_dask.study.tables.headers import find_column
from bulklmm_dask.study.tables.numbers import as_number
from bulklmm_dask.study.tables.records import Records
from bulklmm_dask.study.tables.tablefile import TableFile
from bulklmm_dask.study.warn import say
from bulklmm_dask.text import counted, listing

_DIALECT = Dialect("\t", frozenset({"", "NA", "NaN", "-"}), quotes=False)
# Words, in small letters, for a position that is not known.
_UNPLACED = frozenset(
    {"", "na", "nan", "n/a", "#n/a", "none", "null", "un", "unknown", "unmapped", "--"}
)
_MOST_UNLISTED = 0.25  # share of calls with other letters above which the letters must be wrong


def read_geno(
    path: str | Path,
    traits: Source,
    *,
    covariates: Covariates = None,
    sample_strain: Strains = None,
    trait_positions: Source | None = None,
) -> xr.Dataset:
    r"""Read a study from a GeneNetwork .geno file and a table of traits.

    The file has lines such as @name:BXD, @mat:B, @pat:D, @het:H and @unk:U (@ref and @alt for
    @mat and @pat), comments after #, a header Chr, Locus, cM, Mb and the lines, and a row for every
    marker, between tabs. It is read as leniently as GeneNetwork reads it: small letters are those
    of the capitals, a call of any other letter is unknown, a letter listed twice means the later
    of @mat, @pat, @het and @unk; fields without a name at the end of the header do not count, and
    a position such as x is unknown.

    Parameters
    ----------
    path : path
        The .geno file, plain or packed.
    traits : path or DataFrame
        Samples x traits, by the names of the lines.
    covariates : path, DataFrame or sequence of str, optional
        Samples x covariates, or names of columns of the traits, as in `read_csv`.
    sample_strain : path, str or DataFrame, optional
        The line of every sample, where samples of the same line are told apart.
    trait_positions : path or DataFrame, optional
        Trait, contig and position, as in `read_csv`.

    Returns
    -------
    Dataset
        The study, with dosages 0..1 of the paternal allele (@pat): 0.5 where heterozygous, NaN
        where unknown. variant_position is in Mb, with variant_genetic_position in cM beside it;
        without any Mb it is in cM.

    Raises
    ------
    InputError
        If the file is missing, cut short or malformed, with its line and column, or more than
        a quarter of its calls are of other letters than @mat, @pat, @het and @unk.

    Warns
    -----
    StudyWarning
        For markers and samples dropped, missing genotypes, letters that are not listed or listed
        twice, and positions that are no numbers.

    Examples
    --------
    >>> from pathlib import Path
    >>> lines = ["@name:BXD", "@mat:B", "@pat:D", "@het:H", "@unk:U"]
    >>> table = [
    ...     ["Chr", "Locus", "cM", "Mb", "BXD1", "BXD2", "BXD5"],
    ...     ["1", "rs1", "1.5", "3.5", "B", "D", "H"],
    ...     ["1", "rs2", "9.0", "20.0", "D", "D", "B"],
    ... ]
    >>> lines += ["\t".join(row) for row in table]
    >>> _ = Path("bxd.geno").write_text("\n".join(lines))
    >>> weights = pd.DataFrame({"weight": [20.1, 22.5, 19.8]}, index=["BXD1", "BXD2", "BXD5"])
    >>> study = blmm.read_geno("bxd.geno", weights)
    >>> study.call_dosage.to_pandas()
    samples   BXD1  BXD2  BXD5
    variants
    rs1        0.0   1.0   0.5
    rs2        1.0   1.0   0.0
    """
    file, geno = TableFile.at(path, _DIALECT), _Geno()
    with file.records() as records:
        variants, scratch = _scratch.keep(geno.calls(records), file.label)
    index, placed = place_markers(variants, geno.placed(), file.label, file.label)
    samples = read_samples(traits, covariates, sample_strain, geno.samples, trait_positions)
    ds = samples.study(
        lazy(scratch.take(index), list(placed.index), geno.samples),
        placed,
        geno.unit,
        alleles=geno.alleles,
        maximum=1,
    )
    attributes = {"source": file.name, "description": geno.entries.get("name")}
    return without_mark(ds).assign_attrs({key: value for key, value in attributes.items() if value})


@dataclass
class _Geno:
    """A .geno file; its attributes are filled while `calls` reads the file."""

    entries: dict[str, str] = field(default_factory=dict)
    samples: list[str] = field(default_factory=list)
    columns: dict[str, int] = field(default_factory=dict)
    positions: list[tuple[str, str, float, float]] = field(default_factory=list)
    dosage_of: dict[str, float] = field(default_factory=dict)
    odd: dict[str, Counter[str]] = field(default_factory=lambda: defaultdict(Counter))

    @property
    def alleles(self) -> list[str]:
        """Letters of the maternal and the paternal allele."""
        return [
            self.entries.get("mat") or self.entries["ref"],
            self.entries.get("pat") or self.entries["alt"],
        ]

    @property
    def unit(self) -> str:
        """Unit of the positions: Mb, or cM where no marker has a position in Mb."""
        return "Mb" if any(math.isfinite(mb) for *_, mb in self.positions) else "cM"

    def placed(self) -> pd.DataFrame:
        """Contig, position and cM by marker."""
        names, contigs, genetic, physical = zip(*self.positions, strict=True)
        frame = pd.DataFrame({"contig": contigs, "genetic": genetic}, index=names)
        if self.unit == "cM":
            return frame.rename(columns={"genetic": "position"})
        frame["position"] = physical
        return frame if "cM" in self.columns else frame.drop(columns="genetic")

    def calls(self, records: Records) -> Iterator[tuple[str, npt.NDArray[np.float32]]]:
        """Yield each marker and its dosages (samples,)."""
        for cells in records.filled():
            if cells[0].startswith("@"):
                key, _, value = "\t".join(cells)[1:].partition(":")
                self.entries[key.strip().lower()] = value.strip()
            elif not records.columns:
                records.columns = _without_empty_end(cells)
                self._take_header(records.columns, records)
                self.dosage_of = self._dosages(records)
            else:
                yield self._row(self._cut(cells, records), records)
        self._say_what_was_odd(records.label)

    def _take_header(self, header: list[str], records: Records) -> None:
        """Find the columns of the map; all others are inbred lines."""
        known = {"Chr": ("chr",), "Locus": ("locus", "marker"), "cM": ("cm",), "Mb": ("mb",)}
        found = {one: find_column(header[:4], names) for one, names in known.items()}
        self.columns = {one: header.index(name) for one, name in found.items() if name is not None}
        if not {"Chr", "Locus"} <= self.columns.keys() or not {"cM", "Mb"} & self.columns.keys():
            raise InputError(
                f"{records.here}: the header should be Chr, Locus, cM, Mb and the lines, between "
                f"tabs; it starts with {listing(header)}"
            )
        self.samples = header[len(self.columns) :]
        require_unique(self.samples, f"the lines of {records.label}", "rename one")
        if not self.samples or "" in self.samples:
            raise InputError(
                f"{records.here}: the header has {len(self.samples)} lines, "
                f"{self.samples.count('')} of them without a name; every column of calls needs one"
            )

    def _dosages(self, records: Records) -> dict[str, float]:
        """Dosage of each letter; of one that stands for several things the last counts."""
        absent = [
            f"@{key}"
            for key, other in (("mat", "ref"), ("pat", "alt"))
            if not (self.entries.get(key) or self.entries.get(other))
        ]
        if absent:
            raise InputError(
                f"{records.here}: no {' and '.join(absent)} above the header; add the letters of "
                "the two parents, such as @mat:B and @pat:D"
            )
        mat, pat = self.alleles
        if mat == pat:
            raise InputError(
                f"{records.label}: @mat and @pat are both {mat!r}; give each parent its own letter"
            )
        dosage_of = dict.fromkeys(_DIALECT.missing, np.nan) | {"H": 0.5, "U": np.nan}
        dosage_of |= {mat: 0.0, pat: 1.0}
        meanings = {mat: "@mat", pat: "@pat"}
        for key, dosage in (("het", 0.5), ("unk", np.nan)):
            letter = self.entries.get(key)
            if not letter:
                continue
            if letter in meanings:
                say(
                    f"{records.label}: {meanings[letter]} and @{key} are both {letter!r}, which is "
                    f"taken as @{key}, as in GeneNetwork; correct the lines if it means the other"
                )
            meanings[letter], dosage_of[letter] = f"@{key}", dosage
        return dosage_of

    def _cut(self, cells: list[str], records: Records) -> list[str]:
        """Drop empty fields beyond the header."""
        width = len(records.columns)
        return records.checked(cells[:width] + _without_empty_end(cells[width:]))

    def _row(self, cells: list[str], records: Records) -> tuple[str, npt.NDArray[np.float32]]:
        name = cells[self.columns["Locus"]]
        numbers = {one: self._position(cells, one, records) for one in ("cM", "Mb")}
        self.positions.append((name, cells[self.columns["Chr"]], numbers["cM"], numbers["Mb"]))
        calls = cells[len(self.columns) :]
        try:
            return name, np.array([self.dosage_of[call] for call in calls], dtype=np.float32)
        except KeyError:
            return name, np.array([self._dosage(call) for call in calls], dtype=np.float32)

    def _dosage(self, call: str) -> float:
        """Dosage of a call of any letter: that of the capital letter, or unknown."""
        if call in self.dosage_of:
            return self.dosage_of[call]
        same = {self.dosage_of[each] for each in (call.upper(), call.lower(), call.swapcase())
                if each in self.dosage_of}  # fmt: skip
        if len(same) == 1:
            self.odd["small"][call] += 1
            return same.pop()
        self.odd["unlisted"][call] += 1
        return np.nan

    def _position(self, cells: list[str], one: str, records: Records) -> float:
        cell = cells[self.columns[one]] if one in self.columns else ""
        number = np.nan if cell in _DIALECT.missing else as_number(cell)
        if number is not None:
            return number
        if len(cell) > 1 and cell.lower() not in _UNPLACED:
            raise InputError(
                f"{records.here}, column {one!r}: the position {cell!r} is not a number; "
                "correct it, or leave it empty"
            )
        self.odd[one][cell] += 1
        return np.nan

    def _say_what_was_odd(self, label: str) -> None:
        """Tell of letters and positions that were interpreted; refuse letters of another file."""
        listed = listing(call for call in self.dosage_of if call not in _DIALECT.missing)
        unlisted = self.odd["unlisted"].total()
        remedy = "correct them, or the lines @mat, @pat, @het and @unk"
        if unlisted > _MOST_UNLISTED * len(self.positions) * len(self.samples):
            raise InputError(
                f"{label}: {unlisted} of its {len(self.positions) * len(self.samples)} calls, such "
                f"as {listing(self.odd['unlisted'])}, are not among {listed}; {remedy}"
            )
        if unlisted:
            say(
                f"{label}: {counted(unlisted, 'call')} ({listing(self.odd['unlisted'])}) not among "
                f"{listed}: taken as unknown; {remedy}"
            )
        if small := self.odd["small"]:
            say(
                f"{label}: {counted(small.total(), 'call')} in another case ({listing(small)}) "
                f"taken as those of {listed}"
            )
        for one in ("cM", "Mb"):
            if cells := self.odd[one]:
                say(
                    f"{label}, column {one!r}: {counted(cells.total(), 'position')} "
                    f"({listing(cells)}) taken as unknown"
                )


def _without_empty_end(cells: list[str]) -> list[str]:
    """Fields without the empty ones at the end."""
    width = len(cells)
    while width and not cells[width - 1]:
        width -= 1
    return cells[:width]
