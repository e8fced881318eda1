"""GeneNetwork's .geno files: calls of inbred lines between two parents."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pandas as pd
import xarray as xr

from bulklmm_dask.errors import InputError
from bulklmm_dask.study.readers import _scratch
from bulklmm_dask.study.readers._lazy import lazy
from bulklmm_dask.study.readers._markers import place_markers
from bulklmm_dask.study.readers._samples import Covariates, Strains, read_samples
from bulklmm_dask.study.readers._traits import Source
from bulklmm_dask.study.readers.tables import Dialect, Records, TableFile, find_column
from bulklmm_dask.study.schema import require_unique
from bulklmm_dask.text import listing

_DIALECT = Dialect("\t", frozenset({"", "NA", "NaN", "-"}), quotes=False)


def read_geno(
    path: str | Path,
    traits: Source,
    *,
    covariates: Covariates = None,
    sample_strain: Strains = None,
    trait_positions: Source | None = None,
) -> xr.Dataset:
    r"""Read a study from a GeneNetwork .geno file and a table of traits.

    The file has lines such as @name:BXD, @mat:B, @pat:D, @het:H and @unk:U, comments after #, a
    header Chr, Locus, cM, Mb and the lines, and a row for every marker, between tabs.

    Parameters
    ----------
    path : path
        The .geno file, plain or packed.
    traits : path or DataFrame
        Samples x traits, by the names of the lines.
    covariates : path, DataFrame or sequence of str, optional
        Samples x covariates, or names of columns of the traits.
    sample_strain : path, str or DataFrame, optional
        The line of every sample, where samples of the same line are told apart.
    trait_positions : path or DataFrame, optional
        Trait, contig and position, as in `read_csv`.

    Returns
    -------
    Dataset
        The study, with dosages 0..1 of the paternal allele (@pat): 0.5 where heterozygous, NaN
        where unknown. variant_position is in Mb, with variant_genetic_position in cM beside it;
        without Mb it is in cM.

    Raises
    ------
    InputError
        If the file is missing, cut short or malformed, with its line and column.

    Warns
    -----
    StudyWarning
        For markers and samples dropped and for missing genotypes.

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
    index, placed = place_markers(variants, geno.placed())
    samples = read_samples(traits, covariates, sample_strain, geno.samples, trait_positions)
    ds = samples.study(
        lazy(scratch.take(index), list(placed.index), geno.samples),
        placed,
        "Mb" if "Mb" in geno.columns else "cM",
        alleles=geno.alleles,
        maximum=1,
    )
    attributes = {"source": file.name, "description": geno.entries.get("name")}
    return ds.assign_attrs({key: value for key, value in attributes.items() if value})


@dataclass
class _Geno:
    """A .geno file; its attributes are filled while `calls` reads the file."""

    entries: dict[str, str] = field(default_factory=dict)
    samples: list[str] = field(default_factory=list)
    columns: dict[str, int] = field(default_factory=dict)
    positions: list[tuple[str, str, float, float]] = field(default_factory=list)

    @property
    def alleles(self) -> list[str]:
        return [self.entries["mat"], self.entries["pat"]]

    def placed(self) -> pd.DataFrame:
        """Contig, position and cM by marker."""
        names, contigs, genetic, physical = zip(*self.positions, strict=True)
        frame = pd.DataFrame({"contig": contigs, "genetic": genetic}, index=names)
        if "Mb" not in self.columns:
            return frame.rename(columns={"genetic": "position"})
        frame["position"] = physical
        return frame if "cM" in self.columns else frame.drop(columns="genetic")

    def calls(self, records: Records) -> Iterator[tuple[str, npt.NDArray[np.float32]]]:
        """Yield each marker and its dosages (samples,)."""
        dosage_of: dict[str, float] = {}
        for cells in records.filled():
            if cells[0].startswith("@"):
                key, _, value = "\t".join(cells)[1:].partition(":")
                self.entries[key.strip().lower()] = value.strip()
            elif not records.columns:
                records.columns = cells
                self._take_header(cells, records)
                dosage_of = self._dosages(records.here)
            else:
                yield self._row(records.checked(cells), dosage_of, records)

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

    def _dosages(self, where: str) -> dict[str, float]:
        absent = [f"@{key}" for key in ("mat", "pat") if not self.entries.get(key)]
        if absent:
            raise InputError(
                f"{where}: no {' and '.join(absent)} above the header; add the letters of the two "
                "parents, such as @mat:B and @pat:D"
            )
        mat, pat = self.alleles
        het, unknown = self.entries.get("het", "H"), self.entries.get("unk", "U")
        return {
            **dict.fromkeys(_DIALECT.missing, np.nan),
            unknown: np.nan,
            het: 0.5,
            mat: 0.0,
            pat: 1.0,
        }

    def _row(
        self, cells: list[str], dosage_of: dict[str, float], records: Records
    ) -> tuple[str, npt.NDArray[np.float32]]:
        name = cells[self.columns["Locus"]]
        numbers = {one: self._position(cells, one, records) for one in ("cM", "Mb")}
        self.positions.append((name, cells[self.columns["Chr"]], numbers["cM"], numbers["Mb"]))
        calls = cells[len(self.columns) :]
        try:
            return name, np.array([dosage_of[call] for call in calls], dtype=np.float32)
        except KeyError as error:
            at = calls.index(error.args[0])
            known = [call for call in dosage_of if call not in _DIALECT.missing]
            raise InputError(
                f"{records.here} ({name!r}), column {self.samples[at]!r}: the call {calls[at]!r} "
                f"is not among {listing(known)}; correct it, or the lines @mat, @pat, @het and @unk"
            ) from None

    def _position(self, cells: list[str], one: str, records: Records) -> float:
        cell = cells[self.columns[one]] if one in self.columns else ""
        try:
            return np.nan if cell in _DIALECT.missing else float(cell)
        except ValueError:
            raise InputError(
                f"{records.here}, column {one!r}: the position {cell!r} is not a number; "
                "correct it, or leave it empty"
            ) from None
