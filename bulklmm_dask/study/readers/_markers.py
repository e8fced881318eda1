"""Marker maps: which markers of a genotype table have a position, and in which order they come."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd

from bulklmm_dask.errors import InputError, OptionError
from bulklmm_dask.storage.labels.encoding import text
from bulklmm_dask.study.checks import LARGEST_MB
from bulklmm_dask.study.schema import require_unique, unknown_names
from bulklmm_dask.study.tables.headers import find_column
from bulklmm_dask.study.tables.numbers import CellError, floats
from bulklmm_dask.study.tables.read import read_text
from bulklmm_dask.study.tables.table import Table
from bulklmm_dask.study.tables.tablefile import open_table
from bulklmm_dask.study.warn import say
from bulklmm_dask.surface import option
from bulklmm_dask.text import listing, without_commas

# Accepted names of the columns of a map; case and punctuation are ignored.
_MARKER = ("marker", "locus", "variant", "snp", "markerid", "variantid", "snpid", "rsid", "id")
_CONTIG = ("chr", "chromosome", "chrom", "contig")
_POSITION = {
    "Mb": ("mb", "mbp", "posmb", "positionmb"),
    "bp": ("bp", "posbp", "positionbp", "basepair", "basepairs"),
    "cM": ("cm", "poscm", "positioncm"),
}
_UNNAMED_UNIT = ("pos", "position", "variantposition", "start", "tss", "genestart")


def numeric_positions(
    cells: Sequence[str], names: Sequence[str], table: Table, noun: str = "marker"
) -> np.ndarray:
    """Turn the positions of a map into numbers, NaN where empty; InputError quotes any text.

    Commas may stand between thousands, as in 5,000,000.

    `names` are those of the rows, which are of the kind `noun`.
    """
    try:
        return np.array(floats(list(map(without_commas, cells)), frozenset({""})), dtype=np.float64)
    except CellError as error:
        raise InputError(
            f"{table.label}, {noun} {names[error.at]!r}: the position {error.cell!r}"
            f"{table.in_line(error.at)} is not a number; correct it, or mark it as missing"
        ) from None


def named_positions(
    table: Table, names: Sequence[str], noun: str
) -> tuple[list[str], dict[str | None, np.ndarray], str]:
    """Find the contig of every row of a table of text, and its position by unit.

    Returns
    -------
    contigs : list of str
    positions : dict
        Unit to positions, Mb before bp before cM; None for a column whose name tells no unit.
    column : str
        The column of positions.
    """
    columns = table.by_column(names=True)
    contig = find_column(columns, _CONTIG)
    found: dict[str | None, str | None] = {
        unit: find_column(columns, own) for unit, own in _POSITION.items()
    }
    if not any(found.values()):
        found = {None: find_column(columns, _UNNAMED_UNIT)}
    by_unit = {unit: column for unit, column in found.items() if column is not None}
    if contig is None or not by_unit:
        raise InputError(
            f"{table.label} has the columns {listing(columns)}; a map needs a {noun}, a chromosome "
            "(chr) and a position (Mb, bp, cM or position)"
        )
    positions = {
        unit: numeric_positions(columns[column], names, table, noun)
        for unit, column in by_unit.items()
    }
    return columns[contig], positions, next(iter(by_unit.values()))


def map_frame(
    markers: Sequence[str], contigs: Sequence[str] | np.ndarray, position: np.ndarray | None
) -> pd.DataFrame:
    """Contig and position of markers, indexed by their names.

    The names stay Python's own texts, over which a loop is ten times as fast as over pandas'.
    """
    index: pd.Index = pd.Index(text(markers), dtype="object")
    return pd.DataFrame({"contig": contigs, "position": position}, index=index)


def place_markers(
    markers: Sequence[str], marker_map: pd.DataFrame, genotypes: str, places: str
) -> tuple[np.ndarray, pd.DataFrame]:
    """Keep the markers that have a position on the map, in the order of the map.

    Parameters
    ----------
    markers : sequence of str
        Markers of the genotype table.
    marker_map : DataFrame
        Indexed by marker, with columns `contig` and `position` (NaN or empty where unknown) and
        any others.
    genotypes, places : str
        The file of the genotypes and that of the map, for messages.

    Returns
    -------
    index : array of int
        Which of `markers` to keep: chromosomes in the order in which the map names them,
        positions ascending within each.
    placed : DataFrame
        The rows of the map for those markers.
    """
    require_unique(marker_map.index, f"the markers of the map {places}", "keep one row for each")
    require_unique(markers, f"the markers of {genotypes}", "keep one of each")
    known = marker_map["position"].notna() & (marker_map["contig"] != "")
    placed = marker_map[known]
    where = {name: i for i, name in enumerate(markers)}
    absent = unknown_names(placed.index, markers)
    if len(absent) == len(markers):
        raise InputError(
            f"genotypes and map have no marker in common: {genotypes} has {listing(markers, 3)}, "
            f"{places} has {listing(placed.index, 3) or 'none with a position'}; use the same "
            "names in both"
        )
    if absent:
        say(
            f"{places}: {len(absent)} of {len(markers)} markers have genotypes but no position on "
            f"the map and are dropped: {listing(absent)}"
        )
    extra = unknown_names(markers, marker_map.index)
    if extra:
        say(
            f"{places}: {len(extra)} of {len(marker_map)} markers of the map have no genotypes and "
            f"are left out: {listing(extra)}"
        )
    placed = placed[[name in where for name in placed.index]]
    rank = pd.factorize(placed["contig"])[0]
    placed = placed.iloc[np.lexsort((placed["position"], rank))]
    return np.array([where[name] for name in placed.index]), placed


def read_map_or_none(path: str | Path | None, unit: str | None) -> tuple[pd.DataFrame | None, str]:
    """Read a marker map and its unit, None without a map; a unit without a map is refused."""
    if path is not None:
        return read_map(path, unit)
    if unit is not None:
        raise OptionError(
            f"{option('position_unit')} is {unit!r}, but there is no map whose positions it could "
            f"mean; pass {option('variant_map')} too, or leave {option('position_unit')} out"
        )
    return None, "Mb"


def read_map(path: str | Path, unit: str | None) -> tuple[pd.DataFrame, str]:
    """Read a marker map by marker: contig, position, perhaps genetic (cM), and the unit.

    Its ``attrs["source"]`` is the file, for messages.
    """
    table = read_text(open_table(path))
    columns = table.by_column(names=True)
    markers = columns[find_column(columns, _MARKER) or table.corner]
    require_unique(markers, f"the markers of the map {table.label}", "keep one row for each")
    contigs, positions, column = named_positions(table, markers, "marker")
    if None in positions:
        values = positions[None]
        best = unit or guess_unit(values, table.label, column, option("position_unit"))
        positions = {best: values}
    elif unit is not None and unit not in positions:
        raise InputError(
            f"{table.label} calls its positions {listing(positions)}, not {unit}; "
            f"leave {option('position_unit')} out"
        )
    best = str(next(iter(positions)))
    frame = map_frame(markers, contigs, positions[best])
    if best != "cM" and "cM" in positions:
        frame["genetic"] = positions["cM"]
    frame.attrs["source"] = table.label
    return frame, best


def guess_unit(positions: np.ndarray, label: str, column: str, remedy: str) -> str:
    """Guess the unit of positions by the largest of them, aloud; `remedy` is what can tell it."""
    largest = np.fmax.reduce(positions, initial=0)
    unit = "bp" if largest > LARGEST_MB else "Mb"
    say(
        f"{label} does not tell the unit of its column {column!r} (largest {largest:g}), which is "
        f"taken as {unit}; pass {remedy}, or call the column Mb, bp or cM"
    )
    return unit


def name_variants(
    ids: Sequence[str],
    contigs: Sequence[str],
    positions: np.ndarray,
    alleles: Sequence[tuple[str, str]],
    label: str,
) -> list[str]:
    """Give every variant a unique name: its id or contig:position, if need be with more.

    An id that is empty or a dot becomes contig:position. Names that occur more than once get the
    alleles appended, those that still do contig:position, and copies of one variant a number. A
    StudyWarning tells of each.
    """
    names = list(ids)
    unnamed = [i for i, name in enumerate(names) if name in ("", ".")]

    def place(i: int) -> str:
        return f"{contigs[i]}:{_whole(positions[i])}"

    for i in unnamed:
        names[i] = place(i)
    if unnamed:
        say(
            f"{label}: {len(unnamed)} of {len(names)} variants have no id and are named by "
            f"chromosome and position: {listing(names[i] for i in unnamed[:6])}"
        )
    twice = _shared(names)
    copies: Counter[str] = Counter()
    for more in (lambda i: ":".join(alleles[i]), place, None):
        for i in _shared(names):
            copies[names[i]] += more is None
            names[i] += f":{more(i) if more else copies[names[i]]}"
    if twice:
        say(
            f"{label}: {len(twice)} of {len(names)} variants share their name with another; their "
            "alleles are added to it, where these are the same too chromosome and position, and "
            f"to copies of one variant a number: {listing(names[i] for i in twice[:6])}"
        )
    return names


def _shared(names: Sequence[str]) -> list[int]:
    times = Counter(names)
    return [i for i, name in enumerate(names) if times[name] > 1]


def _whole(position: float) -> str:
    return f"{position:.0f}" if np.isfinite(position) else "?"
