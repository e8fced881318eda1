"""PLINK file sets: genotypes in .bed, variants in .bim, people in .fam."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import IO

import numpy as np
import numpy.typing as npt
import pandas as pd
import xarray as xr
from bed_reader import open_bed

from bulklmm_dask.errors import InputError
from bulklmm_dask.storage.places.location import Location
from bulklmm_dask.study.files import reading
from bulklmm_dask.study.metadata import say_available
from bulklmm_dask.study.ranges import lazy
from bulklmm_dask.study.readers._markers import map_frame, name_variants
from bulklmm_dask.study.readers._people import (
    People,
    by_family,
    own_phenotypes,
    read_covariates,
    read_fam,
    read_phenotypes,
)
from bulklmm_dask.study.readers._places import read_trait_places
from bulklmm_dask.study.readers._samples import SampleTables, read_samples
from bulklmm_dask.study.readers._traits import Source
from bulklmm_dask.study.tables.dialects import blanks
from bulklmm_dask.study.tables.tablefile import TableFile
from bulklmm_dask.study.warn import say
from bulklmm_dask.text import counted

_MAGIC = b"\x6c\x1b"
_BY_VARIANT, _BY_SAMPLE = b"\x01", b"\x00"
_HEADER = 3
_LOOKED_AT = 1000  # variants whose unused bits are looked at
_CALLS = np.array([2.0, np.nan, 1.0, 0.0], np.float32)  # copies of A1 by the two bits of a call
# Copies of A1 in the four calls of each byte, the lowest bits first; one number of 16 bytes.
_FOUR_CALLS = (
    _CALLS[np.arange(256)[:, None] >> np.array([0, 2, 4, 6]) & 3].view(np.complex128).reshape(256)
)
_BYTES = 2**16  # bytes that are decoded at a time


def read_plink(
    path: str | Path,
    *,
    phenotypes: Source | None = None,
    covariates: Source | None = None,
    trait_positions: Source | None = None,
) -> xr.Dataset:
    """Read a study from PLINK files; the genotypes stay in the .bed file until they are used.

    Parameters
    ----------
    path : path
        The .bed file, or the name that the .bed, .bim and .fam files share.
    phenotypes : path or DataFrame, optional
        Lines of family id, sample id and phenotypes between blanks, with a header (FID IID ...,
        or #IID ... with the sample id alone) or without; -9 and NA are missing. Both ids must be
        those of the .fam file, where a family 0 or equal to the sample id is none; rows of other
        people are left out. A table named .csv or .tsv whose header does not begin with FID and
        IID, or a DataFrame, goes by sample name instead. By default the file of the same name that
        ends in .pheno, or the columns of the .fam file from 6 on, as GEMMA counts them.
    covariates : path or DataFrame, optional
        The same for covariates; by default the file that ends in .covar, if there is one. Text
        becomes columns of 0 and 1, as in `read_csv`.
    trait_positions : path or DataFrame, optional
        Trait, contig and position, as in `read_csv`.

    Returns
    -------
    Dataset
        The study, with dosages 0..2 of A1, PLINK's allele 1 (column 5 of the .bim file):
        variant_allele holds A2 and A1, the counted allele last. variant_position is in bp;
        variant_genetic_position (cM) is there where the .bim file has it. Samples go by their own
        id, or by family and own id where that is not unique; variants that share an id get their
        alleles, place or a number added to it.

    Raises
    ------
    InputError
        If a file is missing, malformed or cut short, with its line, or size and variant.

    Warns
    -----
    StudyWarning
        For samples dropped, rows of tables whose sample id is of another family, samples and
        variants that had to be named, and the value 0 of phenotypes coded 1 and 2, which means
        missing. Missing calls are counted, and said, when the study is saved or its kinship
        computed.

    Examples
    --------
    >>> from bed_reader import to_bed
    >>> to_bed(
    ...     "mice.bed",
    ...     [[0, 2], [1, 1], [2, 0]],  # samples x variants: copies of allele 1
    ...     properties={
    ...         "iid": ["a", "b", "c"],
    ...         "sid": ["rs1", "rs2"],
    ...         "chromosome": ["1", "1"],
    ...         "bp_position": [3500000, 20000000],
    ...         "allele_1": ["G", "T"],
    ...         "allele_2": ["A", "C"],
    ...     },
    ... )
    >>> weights = pd.DataFrame({"weight": [20.1, 22.5, 19.8]}, index=["a", "b", "c"])
    >>> study = blmm.read_plink("mice.bed", phenotypes=weights)
    >>> study.call_dosage.to_pandas()
    samples     a    b    c
    variants
    rs1       0.0  1.0  2.0
    rs2       2.0  1.0  0.0
    """
    bed, bim, fam = (_beside(path, ending) for ending in (".bed", ".bim", ".fam"))
    people = read_fam(fam)
    placed, alleles = _read_bim(bim)
    _check_size(bed, people, list(placed.index))
    source = Bed(str(bed), str(bed.local.absolute()), len(people.names), len(placed))
    genotypes = lazy(source, list(placed.index), people.names)
    samples = _samples(bed, people, phenotypes, covariates)
    if trait_positions is not None:
        samples.places = read_trait_places(trait_positions)
    ds = samples.study(genotypes, placed, "bp", alleles=alleles, maximum=2)
    say_available(people.label, people.labels)
    return ds.assign_attrs(source=bed.name)


@dataclass(frozen=True)
class Bed:
    """Dosages of A1 in a .bed file, called `label` in messages."""

    label: str
    path: str
    samples: int
    variants: int
    step: int = 1

    @property
    def shape(self) -> tuple[int, int]:
        """Variants and samples."""
        return self.variants, self.samples

    def read(self, start: int, stop: int) -> npt.NDArray[np.float32]:
        """Read a range of variants, missing calls as NaN."""
        with reading(self.label), Path(self.path).open("rb") as stream:
            if stream.read(_HEADER) == _MAGIC + _BY_VARIANT:
                return self._decoded(stream, start, stop)
        options = {"iid_count": self.samples, "sid_count": self.variants, "count_A1": True}
        with reading(self.label):
            try:
                with open_bed(self.path, **options, num_threads=1) as bed:
                    return bed.read(np.s_[:, start:stop], dtype="float32", order="F").T
            except ValueError as error:
                raise InputError(
                    f"{self.label}, variants {start + 1} to {stop}: {error}; fetch or make it again"
                ) from error

    def _decoded(self, stream: IO[bytes], start: int, stop: int) -> npt.NDArray[np.float32]:
        """Decode a range of variants of a file that goes by variant."""
        row = -(-self.samples // 4)
        out = np.empty((stop - start, self.samples), np.float32)
        stream.seek(_HEADER + start * row)
        step = max(1, _BYTES // max(row, 1))
        for first in range(0, len(out), step):
            part = out[first : first + step]
            packed = np.frombuffer(stream.read(len(part) * row), np.uint8)
            if len(packed) < len(part) * row:
                raise InputError(
                    f"{self.label}, variants {start + 1} to {stop}: the file ends before the last "
                    "of them; fetch or make it again"
                )
            calls = _FOUR_CALLS.take(packed).view(np.float32).reshape(len(part), -1)
            part[...] = calls[:, : self.samples]
        return out


def _beside(path: str | Path | Location, ending: str) -> Location:
    """Give the file of the set that has this ending."""
    place = Location.of(path)
    known = place.suffix.lower() in (".bed", ".bim", ".fam")
    return place.beside / ((place.local.stem if known else place.name) + ending)


def _read_bim(path: Location) -> tuple[pd.DataFrame, list[tuple[str, str]]]:
    """Contig and position by variant, and the alleles A2 and A1."""
    contigs, ids, positions, alleles = [], [], [], []
    with TableFile.at(path, blanks(frozenset())).records() as records:
        for fields in records:
            records.expect(fields, 6, "chromosome, variant, cM, bp, allele 1, allele 2")
            contigs.append(fields[0])
            ids.append(fields[1])
            positions.append(records.numbers(fields[2:4], "position"))
            alleles.append((fields[5], fields[4]))
    if not ids:
        raise InputError(f"{path} is empty; it should have a line for every variant")
    genetic, position = np.array(positions).T
    names = name_variants(ids, contigs, position, alleles, str(path))
    placed = map_frame(names, contigs, position)
    if genetic.any():
        placed["genetic"] = genetic
    return placed, alleles


def _check_size(bed: Location, people: People, variants: list[str]) -> None:
    """Compare the length of the .bed file with the numbers of samples and variants."""
    bed.require_file()
    with reading(str(bed)), bed.open() as stream:
        head = stream.read(_HEADER)
    if head[:2] != _MAGIC or head[2:] not in (_BY_VARIANT, _BY_SAMPLE):
        raise InputError(
            f"{bed} starts with the bytes {head.hex(' ')!r}, a .bed file with '6c 1b 01'; "
            "it is no PLINK 1 file: make it with plink --make-bed"
        )
    inner, outer = len(people.names), len(variants)
    if head[2:] == _BY_SAMPLE:
        inner, outer = outer, inner
    size, row = bed.size(), -(-inner // 4)
    if size == _HEADER + row * outer:
        if head[2:] == _BY_VARIANT and inner % 4:
            _say_more_samples(bed, people, variants, row)
        return
    whole, of = (size - _HEADER) // row, "variant" if head[2:] == _BY_VARIANT else "sample"
    raise InputError(
        f"{bed} has {size:,} bytes, but {counted(len(people.names), 'sample')} in {people.label} "
        f"and {counted(len(variants), 'variant')} in {_beside(bed, '.bim')} need "
        f"{_HEADER + row * outer:,}; it holds {counted(whole, of)} in full, so it is cut short or "
        "belongs to other files: fetch or make it again"
    )


def _say_more_samples(bed: Location, people: People, variants: list[str], row: int) -> None:
    """Warn if the bits that fill up the last byte of a variant, zeros by the format, are not.

    A lost line of the .fam file leaves the size of the .bed file as it was, unless the number of
    samples was a multiple of four.
    """
    count = len(people.names)
    used = 2 * (count % 4)
    with reading(str(bed)), bed.open() as stream:
        for number, variant in enumerate(variants[:_LOOKED_AT], 1):
            stream.seek(_HEADER + number * row - 1)
            if stream.read(1)[0] >> used:
                say(
                    f"{bed}: variant {variant!r} holds genotypes beyond those of the "
                    f"{counted(count, 'sample')} in {people.label}; if a line of that file is "
                    "lost, all samples after it have the genotypes of another: compare it with the "
                    "file that the .bed file was made with"
                )
                return


def _samples(
    bed: Location, people: People, phenotypes: Source | None, covariates: Source | None
) -> SampleTables:
    """Phenotypes and covariates, given or beside the .bed file."""
    if phenotypes is None and (beside := _beside(bed, ".pheno")).is_file():
        phenotypes = beside
    if covariates is None and (beside := _beside(bed, ".covar")).is_file():
        covariates = beside
    if phenotypes is None:
        samples = SampleTables(own_phenotypes(people))
    elif (file := by_family(phenotypes)) is not None:
        samples = SampleTables(read_phenotypes(file, people))
    else:
        samples = read_samples(phenotypes, None, None, people.names, named_by=())
    if covariates is not None:
        samples.covariates, samples.labels = read_covariates(covariates, people)
    samples.labels |= people.labels
    return samples
