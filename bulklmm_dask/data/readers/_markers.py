"""Marker maps: which markers of a genotype table have a place, and in which order they come."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd

from bulklmm_dask.data.aloud import listing, say
from bulklmm_dask.data.schema import require_unique
from bulklmm_dask.errors import InputError


def numeric_positions(cells: Sequence[str], markers: Sequence[str], label: str) -> np.ndarray:
    """Turn the positions of a map into numbers, NaN where empty; InputError quotes other text."""
    out = np.full(len(cells), np.nan)
    for i, cell in enumerate(cells):
        try:
            out[i] = float(cell) if cell else np.nan
        except ValueError:
            raise InputError(
                f"{label}, marker {markers[i]!r}: the position {cell!r} is not a number; "
                "correct it, or mark it as missing"
            ) from None
    return out


def place_markers(
    markers: Sequence[str], marker_map: pd.DataFrame
) -> tuple[np.ndarray, pd.DataFrame]:
    """Keep the markers that the map places, in the order of the map.

    Parameters
    ----------
    markers : sequence of str
        Markers of the genotype table.
    marker_map : DataFrame
        Indexed by marker, with columns `contig` and `position` (NaN or empty where unknown) and
        any others.

    Returns
    -------
    index : array of int
        Which of `markers` to keep: chromosomes in the order in which the map names them,
        positions ascending within each.
    placed : DataFrame
        The rows of the map for those markers.
    """
    require_unique(marker_map.index, "the markers of the map", "keep one row for each")
    require_unique(markers, "the markers of the genotypes", "keep one of each")
    known = marker_map["position"].notna() & (marker_map["contig"] != "")
    placed = marker_map[known]
    where = {name: i for i, name in enumerate(markers)}
    mapped = set(placed.index)
    absent = [name for name in markers if name not in mapped]
    if len(absent) == len(markers):
        raise InputError(
            "genotypes and map have no marker in common: the genotypes have "
            f"{listing(markers, 3)}, the map {listing(placed.index, 3)}; use the same names in both"
        )
    if absent:
        say(
            f"{len(absent)} of {len(markers)} markers have genotypes but no position on the map "
            f"and are dropped: {listing(absent)}"
        )
    extra = [name for name in marker_map.index if name not in where]
    if extra:
        say(
            f"{len(extra)} of {len(marker_map)} markers of the map have no genotypes and are "
            f"left out: {listing(extra)}"
        )
    placed = placed[placed.index.isin(where)]
    rank = pd.factorize(placed["contig"])[0]
    placed = placed.iloc[np.lexsort((placed["position"], rank))]
    return np.array([where[name] for name in placed.index]), placed
