"""BIMBAM mean genotypes, as GEMMA reads them, with its phenotypes, annotation and covariates."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pandas as pd
import xarray as xr

from bulklmm_dask.errors import InputError
from bulklmm_dask.storage.labels.coordinates import arranged
from bulklmm_dask.storage.places.location import Location
from bulklmm_dask.study.checks import refuse_outside
from bulklmm_dask.study.coding import say_never_below_one
from bulklmm_dask.study.create import create_dataset
from bulklmm_dask.study.gaps import without_mark
from bulklmm_dask.study.ranges import lazy
from bulklmm_dask.study.readers import _scratch
from bulklmm_dask.study.readers._markers import place_markers
from bulklmm_dask.study.readers._places import attach_places, read_trait_places
from bulklmm_dask.study.readers._traits import Source
from bulklmm_dask.study.tables.dialects import blanks
from bulklmm_dask.study.tables.headers import numbered
from bulklmm_dask.study.tables.records import Records
from bulklmm_dask.study.tables.tablefile import TableFile
from bulklmm_dask.study.warn import say
from bulklmm_dask.text import counted

_MISSING = frozenset({"NA", "NaN", "nan"})
_UNPLACED = _MISSING | {"-9"}
_DIALECT = blanks(_MISSING, commas=True)
_BEFORE = 3  # variant and two alleles


def read_bimbam(
    genotypes: str | Path,
    phenotypes: str | Path | pd.DataFrame,
    *,
    annotation: str | Path | None = None,
    covariates: str | Path | None = None,
    trait_positions: Source | None = None,
) -> xr.Dataset:
    """Read a study from BIMBAM mean genotypes, as GEMMA takes them.

    Fields of all files stand between commas, blanks or tabs; files may be packed; NA is missing;
    no file has a header, and none names the samples: row i of the phenotypes, row i of the
    covariates and genotype i of every variant are one sample. The genotypes are read once, line
    by line, into a temporary file, from which they are used.

    Parameters
    ----------
    genotypes : path
        A line for every variant: its name, two alleles, and the dosage 0..2 of the first of them
        in every sample.
    phenotypes : path or DataFrame
        A line for every sample, a column for every trait. A DataFrame has names besides: its
        columns, and the samples as its index.
    annotation : path, optional
        A line for every variant: name, position in bp, chromosome, and perhaps cM. Variants that
        it does not place are dropped.
    covariates : path, optional
        A line for every sample. Columns of nothing but ones are GEMMA's intercept; every scan
        has one, so they are dropped.
    trait_positions : path or DataFrame, optional
        Trait, contig and position, as in `read_csv`.

    Returns
    -------
    Dataset
        The study; variant_allele holds the counted allele, the first of the file, last.

    Raises
    ------
    InputError
        If a file is missing, cut short or malformed, with its line.

    Warns
    -----
    StudyWarning
        For missing genotypes, for variants dropped, and for the intercept.

    Examples
    --------
    >>> from pathlib import Path
    >>> _ = Path("geno.txt").write_text('''rs1, A, G, 0, 1, 2
    ... rs2, C, T, 1.9, 1, 0.1
    ... ''')
    >>> _ = Path("pheno.txt").write_text('''20.1
    ... 22.5
    ... 19.8
    ... ''')
    >>> _ = Path("anno.txt").write_text('''rs1, 3500000, 1
    ... rs2, 20000000, 1
    ... ''')
    >>> study = blmm.read_bimbam("geno.txt", "pheno.txt", annotation="anno.txt")
    >>> study.call_dosage.to_pandas()
    samples   sample1  sample2  sample3
    variants
    rs1           0.0      1.0      2.0
    rs2           1.9      1.0      0.1
    >>> study.variant_position.values
    array([ 3500000., 20000000.])
    """
    traits = phenotypes if isinstance(phenotypes, pd.DataFrame) else _phenotypes(phenotypes)
    file, alleles = TableFile.at(genotypes, _DIALECT), dict[str, tuple[str, str]]()
    with file.records() as records:
        variants, scratch = _scratch.keep(_dosages(records, len(traits), alleles), file.label)
    placed = None
    if annotation is not None:
        index, placed = place_markers(
            variants, _annotation(annotation), file.label, str(Location.of(annotation))
        )
        variants, scratch = list(placed.index), scratch.take(index)
    ds = create_dataset(
        lazy(scratch, variants, None),
        traits,
        covariates=None if covariates is None else _covariates(covariates, len(traits)),
        contigs=None if placed is None else placed["contig"].to_numpy(),
        positions=None if placed is None else placed["position"].to_numpy(),
        position_unit="bp",
        alleles=[alleles[name] for name in variants],
        maximum=2,
    )
    if placed is not None and placed["genetic"].notna().any():
        genetic = placed["genetic"].to_numpy()
        ds.coords["variant_genetic_position"] = ("variants", genetic, {"units": "cM"})
    places = None if trait_positions is None else read_trait_places(trait_positions)
    return without_mark(arranged(attach_places(ds, places))).assign_attrs(source=file.name)


def _dosages(
    records: Records, samples: int, alleles: dict[str, tuple[str, str]]
) -> Iterator[tuple[str, npt.NDArray[np.float32]]]:
    """Yield each variant and its dosages; put its alleles, the counted one last, into `alleles`."""
    names = [f"sample{i + 1}" for i in range(samples)]
    low, high = np.inf, -np.inf
    for fields in records:
        found = len(fields) - _BEFORE
        if found != samples:
            raise InputError(
                f"{records.here}: {counted(max(found, 0), 'genotype')} after the name and two "
                f"alleles, but the phenotypes have {counted(samples, 'sample')}; the file may be "
                "cut short, or belong to other phenotypes"
            )
        name, counted_allele, other = fields[:_BEFORE]
        if name in alleles:
            raise InputError(
                f"{records.here}: variant {name!r} stands in the file twice; rename one"
            )
        values = records.numbers(fields[_BEFORE:], "genotype").astype(np.float32)
        try:
            refuse_outside(values[None, :], 2, [name], names)
        except InputError as error:
            raise InputError(f"{records.here}: {error}") from None
        low = np.fmin.reduce(values, initial=low)
        high = np.fmax.reduce(values, initial=high)
        alleles[name] = (other, counted_allele)
        yield name, values
    say_never_below_one(low, high, records.label)


def _phenotypes(path: str | Path) -> pd.DataFrame:
    table, _ = _table(path, "phenotype")
    return pd.DataFrame(table, columns=numbered(table.shape[1], "phenotype"))


def _covariates(path: str | Path, samples: int) -> pd.DataFrame | None:
    """Covariates without the intercept that GEMMA wants in the file."""
    table, label = _table(path, "covariate")
    if len(table) != samples:
        raise InputError(
            f"{label} has covariates of {counted(len(table), 'sample')}, but the phenotypes are of "
            f"{counted(samples, 'sample')}; give a line for each, in the same order"
        )
    frame = pd.DataFrame(table, columns=[f"covariate{i + 1}" for i in range(table.shape[1])])
    ones = (table == 1).all(axis=0)
    if ones.any():
        say(
            f"{label}: {counted(int(ones.sum()), 'column')} of ones, GEMMA's intercept, dropped: "
            "a scan always has its own"
        )
    return None if ones.all() else frame.loc[:, ~ones]


def _table(path: str | Path, what: str) -> tuple[npt.NDArray[np.float64], str]:
    """Read numbers, a line for every sample, and name the file for messages."""
    file, values = TableFile.at(path, _DIALECT), list[npt.NDArray[np.float64]]()
    with file.records() as records:
        for fields in records:
            if values:
                records.expect(fields, len(values[0]), f"as many {what}s as in line 1")
            values.append(records.numbers(fields, what))
    if not values:
        raise InputError(f"{file.label} is empty; it should have a line for every sample")
    return np.stack(values), file.label


def _annotation(path: str | Path) -> pd.DataFrame:
    """Contig, position and cM by variant."""
    file = TableFile.at(path, blanks(_UNPLACED, commas=True))
    names, contigs, positions = [], [], []
    with file.records() as records:
        for fields in records:
            known = "variant, bp, chromosome, and perhaps cM"
            records.expect(fields, min(max(len(fields), 3), 4), known)
            names.append(fields[0])
            contigs.append(file.dialect.text(fields[2]))
            positions.append(records.numbers([fields[1], *(fields[3:4] or ["NA"])], "position"))
    if not names:
        raise InputError(f"{file.label} is empty; it should have a line for every variant")
    position, genetic = np.array(positions).T
    frame = {"contig": contigs, "position": position, "genetic": genetic}
    return pd.DataFrame(frame, index=names)
