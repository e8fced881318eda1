"""Genotype probabilities in a table: markers in rows, sample:genotype in columns."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import xarray as xr

from bulklmm_dask.errors import InputError
from bulklmm_dask.storage.labels.coordinates import arranged
from bulklmm_dask.storage.labels.encoding import text
from bulklmm_dask.study.calls import refuse_other_sums
from bulklmm_dask.study.checks import refuse_outside
from bulklmm_dask.study.gaps import without_mark
from bulklmm_dask.study.ranges import lazy
from bulklmm_dask.study.readers import _scratch
from bulklmm_dask.study.readers._markers import place_markers, read_map_or_none
from bulklmm_dask.study.readers._samples import Covariates, Strains, read_samples
from bulklmm_dask.study.readers._traits import Source
from bulklmm_dask.study.schema import require_unique
from bulklmm_dask.study.tables.read import number_rows, read_columns
from bulklmm_dask.study.tables.tablefile import open_table
from bulklmm_dask.text import listing


def read_probabilities(
    probabilities: str | Path,
    traits: Source,
    *,
    variant_map: str | Path | None = None,
    covariates: Covariates = None,
    sample_strain: Strains = None,
    position_unit: str | None = None,
    trait_positions: Source | None = None,
) -> xr.Dataset:
    """Read a study from genotype probabilities, such as R/qtl2's, exported as a table.

    In R, for the autosomes `probs` of R/qtl2's calc_genoprob, the table is::

        one <- function(p) { m <- matrix(aperm(p, c(3, 1, 2)), dim(p)[3])
            names <- c(outer(rownames(p), colnames(p), paste, sep = ":"))
            dimnames(m) <- list(dimnames(p)[[3]], names)
            m }
        write.csv(do.call(rbind, lapply(probs, one)), "probs.csv")

    The table is read once, line by line, into a temporary file, from which it is used.

    Parameters
    ----------
    probabilities : path
        Markers in rows; a column for every sample and genotype, named sample:genotype, in any
        order. Comma, tab or semicolon; plain or packed; NA where there is no call.
    traits : path or DataFrame
        Samples x traits.
    variant_map : path, optional
        Marker, chromosome and position, as in `read_csv`.
    covariates : path, DataFrame or sequence of str, optional
        Samples x covariates, or names of columns of the traits, as in `read_csv`.
    sample_strain : path, str or DataFrame, optional
        The strain of every sample, where the probabilities are those of strains.
    position_unit : {"Mb", "bp", "cM"}, optional
        Unit of a map column that is only called pos or position (R/qtl2's genetic maps: cM).
    trait_positions : path or DataFrame, optional
        Trait, contig and position, as in `read_csv`.

    Returns
    -------
    Dataset
        The study with call_genotype_probability (variants, samples, genotypes) and the names of
        the genotypes in genotype_id. Where there are two, call_dosage is the probability of the
        second.

    Raises
    ------
    InputError
        If a table is missing, cut short or malformed, with its line and column; probabilities
        must lie in 0..1 and sum to 1.

    Warns
    -----
    StudyWarning
        For markers and samples dropped and for missing genotypes.

    Examples
    --------
    >>> from pathlib import Path
    >>> _ = Path("probs.csv").write_text('''marker,a:AA,a:AB,a:BB,b:AA,b:AB,b:BB
    ... m1,0.9,0.1,0,0,0.2,0.8
    ... m2,0.5,0.5,0,0,0,1
    ... ''')
    >>> _ = Path("map.csv").write_text('''marker,chr,pos
    ... m1,1,1.5
    ... m2,1,9
    ... ''')
    >>> weights = pd.DataFrame({"weight": [20.1, 22.5]}, index=["a", "b"])
    >>> study = blmm.read_probabilities(
    ...     "probs.csv", weights, variant_map="map.csv", position_unit="cM"
    ... )
    >>> study.call_genotype_probability.sel(samples="a").to_pandas()
    genotypes   AA   AB   BB
    variants
    m1         0.9  0.1  0.0
    m2         0.5  0.5  0.0
    """
    marker_map, unit = read_map_or_none(variant_map, position_unit)
    file = open_table(probabilities)
    layout = _layout(read_columns(file)[1:], file.label)
    samples = read_samples(traits, covariates, sample_strain, layout.samples, trait_positions)
    variants, scratch = _scratch.keep(_calls(number_rows(file), layout), file.label)
    if marker_map is not None:
        index, marker_map = place_markers(
            variants, marker_map, file.label, marker_map.attrs["source"]
        )
        variants, scratch = list(marker_map.index), scratch.take(index)
    two = len(layout.genotypes) == 2
    ds = samples.study(
        lazy(scratch, variants, layout.samples),
        marker_map,
        unit,
        alleles=layout.genotypes if two else None,
        maximum=1,
    )
    names = text(layout.genotypes)
    ds = arranged(ds.assign_coords(genotypes=names, genotype_id=("genotypes", names)))
    return without_mark(ds).assign_attrs(source=file.name)


@dataclass(frozen=True)
class _Layout:
    """Which column holds which genotype of which sample."""

    samples: list[str]
    genotypes: list[str]
    column: npt.NDArray[np.int64]  # (samples, genotypes)


def _layout(columns: list[str], label: str) -> _Layout:
    pairs = [tuple(column.strip().rpartition(":")[::2]) for column in columns]
    wrong = [column for column, pair in zip(columns, pairs, strict=True) if not all(pair)]
    if wrong or not pairs:
        raise InputError(
            f"{label}, line 1: columns should be named sample:genotype, as in 1:AA; "
            f"{len(wrong)} of {len(columns)} are not: {listing(wrong)}"
        )
    require_unique(columns, f"the columns of {label}", "keep one of each")
    samples = list(dict.fromkeys(sample for sample, _ in pairs))
    genotypes = list(dict.fromkeys(genotype for _, genotype in pairs))
    where = {pair: i for i, pair in enumerate(pairs)}
    absent = [f"{s}:{g}" for s in samples for g in genotypes if (s, g) not in where]
    if absent:
        raise InputError(
            f"{label}, line 1: of {len(samples)} samples x {len(genotypes)} genotypes "
            f"({listing(genotypes, 8)}) these columns are absent: {listing(absent)}; every sample "
            "needs every genotype (export chromosomes of other genotypes apart)"
        )
    column = np.array([[where[s, g] for g in genotypes] for s in samples])
    return _Layout(samples, genotypes, column)


def _calls(
    rows: Iterator[tuple[str, str, list[float]]], layout: _Layout
) -> Iterator[tuple[str, npt.NDArray[np.float32]]]:
    """Yield each marker and its checked probabilities (samples, genotypes)."""
    for where, name, numbers in rows:
        if not name:
            raise InputError(f"{where}: the marker has no name; give it one, or remove the row")
        values = np.array(numbers, dtype=np.float32)[layout.column]
        try:
            refuse_outside(values[None], 1, [name], layout.samples)
            refuse_other_sums(values[None], [name], layout.samples)
        except InputError as error:
            raise InputError(f"{where}: {error}") from None
        yield name, values
