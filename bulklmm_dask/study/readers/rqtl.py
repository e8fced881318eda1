"""Crosses in the format of R/qtl (version 1): csv, csvr, csvs and csvsr."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pandas as pd
import xarray as xr

from bulklmm_dask.crosses.types import is_cross
from bulklmm_dask.errors import InputError
from bulklmm_dask.storage.labels.encoding import text
from bulklmm_dask.storage.places.location import Location
from bulklmm_dask.study.cross import put_cross
from bulklmm_dask.study.readers._codes import Meaning, kind_of_cross, read_codes
from bulklmm_dask.study.readers._crosses import NOTHING, dosages, on_x, with_placeholders
from bulklmm_dask.study.readers._head import Head, find_head
from bulklmm_dask.study.readers._markers import map_frame, place_markers
from bulklmm_dask.study.readers._phenotypes import DIRECTION, ID, SEX, Phenotypes, phenotypes_of
from bulklmm_dask.study.readers._raw import whole_number
from bulklmm_dask.study.readers._samples import Covariates, SampleTables, read_samples
from bulklmm_dask.study.readers._sheet import Sheet, holds, read_sheet
from bulklmm_dask.study.readers._traits import Source
from bulklmm_dask.study.tables.calls import Calls
from bulklmm_dask.study.warn import say
from bulklmm_dask.surface import option
from bulklmm_dask.text import counted, listing


def read_rqtl(
    file: str | Path,
    cross: str | None = None,
    *,
    traits: Source | None = None,
    covariates: Covariates = None,
    calls: Sequence[str] | None = None,
    trait_positions: Source | None = None,
) -> xr.Dataset:
    """Read a cross of two founders in R/qtl's format (version 1).

    A line of names, a line of chromosomes that is empty for the phenotypes, perhaps a line of
    positions in cM, and a line for each individual (csv), or the same turned (csvr).

    Parameters
    ----------
    file : path
        The file, or the one of the genotypes (csvs, csvsr), whose first column names individuals.
    cross : {"bc", "f2", "riself", "risib", "dh", "haploid", "bcsft"}, optional
        The kind of cross; by default told from the calls on the autosomes, and said: A and H a
        backcross, A and B inbred lines, others an intercross.
    traits : path or DataFrame, optional
        The file of the phenotypes (csvs, csvsr), with a column that is called as the first of the
        genotypes, or any table of traits, as in `read_csv`. By default the phenotypes in `file`;
        beside a file whose name ends in gen, the one whose name ends in phe instead.
    covariates : path, DataFrame or sequence of str, optional
        Samples x covariates, or names of phenotypes.
    calls : sequence of str, optional
        The calls of AA, AB, BB, not BB and not AA, as many as there are, or the two of a cross of
        two genotypes (R/qtl's `genotypes`). By default they are told from those that occur: A, H,
        B, D and C; pairs of letters as R/qtl writes them (CC, CB, BB); or 1 to 5.
    trait_positions : path or DataFrame, optional
        Trait, contig and position, as in `read_csv`.

    Returns
    -------
    Dataset
        The study, with dosages 0..1 of allele B: 1 for a homozygote, in a backcross for the
        heterozygote, and for the one X of males that carry it. Samples are named by a phenotype
        id, else numbered from 1. Phenotypes of numbers are traits; sex, pgm (the direction of the
        cross) and phenotypes of text are metadata of the samples, sample_<name>: a scan takes them
        as covariates by name. Positions are in cM.

    Raises
    ------
    InputError
        If a file is missing or malformed, with its line and field; if it cannot be told what calls
        mean; or if the cross has more than two founders.

    Warns
    -----
    StudyWarning
        For the kind of cross, if it was told from the calls; for calls that are not known, tell
        the genotype only in part, or are impossible on the X for a sex, which are taken as missing;
        for positions that are not in the file.

    Examples
    --------
    >>> from pathlib import Path
    >>> _ = Path("cross.csv").write_text('''weight,id,D1M1,D1M2,DXM1
    ... ,,1,1,X
    ... ,,0,12.5,3
    ... 20.1,a,A,H,H
    ... 22.5,b,H,B,B
    ... 19.8,c,B,A,A
    ... ''')
    >>> study = blmm.read_rqtl("cross.csv", "f2")
    >>> study.call_dosage.to_pandas()
    samples     a    b    c
    variants
    D1M1      0.0  0.5  1.0
    D1M2      0.5  1.0  0.0
    DXM1      0.5  1.0  0.0
    """
    sheet, head = find_head(read_sheet(file))
    key, markers = sheet.cells[0][0], sheet.cells[0][head.markers :]
    apart = _beside(Path(file), key, head) if traits is None else traits
    ids = key if apart is not None and head.markers == 1 else None
    if len(sheet.cells) == head.line:
        raise InputError(
            f"{sheet.label} has no individual below its {counted(head.line, 'line')} of names and "
            "places; it may be cut short: fetch or make it again"
        )
    own = phenotypes_of(sheet, head.line, range(head.markers), ids)
    samples = _samples(own, key, apart, covariates, trait_positions)
    genotypes, meaning, kind = _genotypes(sheet, head, calls, cross)
    sexes = samples.labels.get(SEX, {})
    values = dosages(
        genotypes,
        kind,
        None if head.contigs is None else on_x(head.contigs),
        [sexes.get(name, "") for name in own.names],
        (markers, own.names),
        sheet.label,
    )
    if is_cross(kind):
        values = with_placeholders(values, genotypes)
    placed, placed_markers = None, markers
    if head.contigs is not None:
        frame = map_frame(markers, head.contigs, head.positions)
        index, placed = place_markers(markers, frame, sheet.label, sheet.label)
        values, placed_markers = values[index], list(placed.index)
    found = xr.DataArray(
        values.T,
        dims=("samples", "variants"),
        coords={"samples": text(own.names), "variants": text(placed_markers)},
    )
    ds = samples.study(found, placed, "cM", alleles=list(meaning.alleles), maximum=1)
    if is_cross(kind):
        directions = samples.labels.get(DIRECTION, {})
        numbers = {name: [whole_number(cell)] for name, cell in directions.items()}
        ds = put_cross(ds, genotypes, (markers, own.names), None, meaning.alleles, numbers)
    return ds.assign_attrs({"source": Location.of(file).name, "crosstype": kind} | _x_of(head))


def _x_of(head: Head) -> dict[str, str]:
    """The name of the X chromosome, if there is one, as an attribute."""
    names = list(dict.fromkeys(head.contigs or []))
    found = [name for name, is_x in zip(names, on_x(names), strict=True) if is_x]
    return {"x_chr": found[0]} if found else {}


def _samples(
    own: Phenotypes,
    key: str,
    apart: Source | None,
    covariates: Covariates,
    trait_positions: Source | None,
) -> SampleTables:
    """Traits, covariates and labels of the individuals: their own, or those in another file.

    `key` is the phenotype that names individuals in the other file, if that is one of R/qtl.
    """
    used = own
    if apart is not None:
        if own.numbers:
            say(
                f"{own.label}: its own traits ({listing(own.numbers)}) are left aside, for others "
                f"are given; leave {option('traits')} out to have them"
            )
        if isinstance(apart, pd.DataFrame) or not holds(apart, key):
            samples = read_samples(
                apart, covariates, None, own.names, trait_positions, named_by=("covariates",)
            )
            samples.labels = own.labels | samples.labels
            return samples
        sheet = read_sheet(apart)
        sheet = sheet if key in sheet.cells[0] else sheet.turned()
        used = phenotypes_of(sheet, 1, range(len(sheet.cells[0])), key)
    named = [covariates] if isinstance(covariates, str) else covariates
    chosen = {}
    if isinstance(named, Sequence):
        chosen = {str(name): used.cells[str(name)] for name in named if str(name) in used.cells}
    if not used.numbers.keys() - chosen.keys():
        raise InputError(
            f"{used.label} holds no traits: no phenotype of numbers beside "
            f"{listing([*chosen, *used.labels]) or 'the names'}; give a table of them with "
            f"{option('traits')}"
        )
    frame = pd.DataFrame(used.numbers | chosen, index=pd.Index(used.names, name=ID))
    samples = read_samples(frame, covariates, None, (), trait_positions)
    samples.labels = own.labels | used.labels | samples.labels
    return samples


def _beside(file: Path, key: str, head: Head) -> Path | None:
    """The file of phenotypes beside one of genotypes, by the names that R/qtl gives to both."""
    if head.markers != 1 or not file.stem.endswith("gen"):
        return None
    found = file.with_name(file.stem.removesuffix("gen") + "phe" + file.suffix)
    return found if Location.of(found).is_file() and holds(found, key) else None


def _genotypes(
    sheet: Sheet, head: Head, given: Sequence[str] | None, cross: str | None
) -> tuple[npt.NDArray[np.uint8], Meaning, str]:
    """Genotypes (markers, individuals), what the calls mean, and the kind of cross."""
    calls = Calls()
    missing = calls[""]
    codes = np.array(
        [
            [calls[call] for call in sheet.column(at, head.line)]
            for at in range(head.markers, len(sheet.cells[0]))
        ],
        dtype=np.uint8,
    ).reshape(len(sheet.cells[0]) - head.markers, -1)
    times = np.bincount(codes.ravel(), minlength=len(calls))
    counts = {call: int(times[code]) for call, code in calls.items() if code != missing}
    if not counts:
        raise InputError(f"{sheet.label} has no call at any of its {len(codes)} markers")
    meaning = read_codes(counts, given, cross, sheet.label)
    genotype_of = np.array([meaning.of.get(call, NOTHING) for call in calls], dtype=np.uint8)
    genotypes = genotype_of[codes]
    autosomal = genotypes
    if head.contigs is not None and not (x := on_x(head.contigs)).all():
        autosomal = genotypes[~x]
    return genotypes, meaning, kind_of_cross(cross, set(autosomal.ravel()), meaning, sheet.label)
