"""eQTL map: the positions of loci against the positions of their traits."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import xarray as xr

from bulklmm_dask.errors import InputError
from bulklmm_dask.plot._canvas import (
    COLOURS,
    GREY,
    NORMAL,
    axes,
    coloured_points,
    count_up,
    legend_above,
    named,
    say_empty,
    tidy,
    top_of_scale,
)
from bulklmm_dask.plot._genome import chromosomes, contig_index, layout, place_words
from bulklmm_dask.plot._told import Points, tell
from bulklmm_dask.results.checks import require_map, require_table
from bulklmm_dask.results.cis import WINDOW, has_trait_places
from bulklmm_dask.study.checks import LARGEST, number
from bulklmm_dask.study.schema import positions
from bulklmm_dask.surface import option
from bulklmm_dask.text import counted

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.collections import PathCollection

_SIZE = (6.6, 5.6)  # inches
_AREA = (4.0, 26.0)  # square points, of loci at the threshold and at the top of the scale
# Codes of loci, their names and colours, in the order in which they are drawn.
_KINDS = ((0, "trans", COLOURS[0]), (-1, "not known", GREY), (1, "cis", COLOURS[1]))
_CODES = {"True": 1, "False": 0}  # of a column cis, as find_peaks and its CSV file have it


def eqtl(
    maxima: pd.DataFrame,
    study: xr.Dataset,
    *,
    threshold: float = 5,
    cis_window: float | None = None,
    ax: Axes | None = None,
) -> Axes:
    """Draw the loci of all traits: position of the marker against position of the trait.

    Parameters
    ----------
    maxima : DataFrame
        Rows with ``trait``, ``contig``, ``position`` and ``lod``, as ``max_lod`` returns them. A
        column ``cis`` says which loci are near their trait, unless `cis_window` is given.
    study : Dataset
        The study or its result, for the marker map. With ``trait_contig`` (index into
        ``contig_id``) and ``trait_position`` the traits are at their positions on the genome,
        otherwise in their order.
    threshold : float
        Lowest LOD to draw.
    cis_window : float, optional
        Largest distance of a cis locus from its trait, in the unit of the positions; 5 Mb or 5 cM
        if not given.
    ax : Axes, optional
        Where to draw; a new figure if not given.

    Returns
    -------
    Axes
        One point for each row. Where it is known which loci are cis, these have one colour and
        trans loci another, and the area of a point grows with its LOD; otherwise the colour is that
        of the LOD. Both scales end at the 95th percentile. The title counts the loci.

    Raises
    ------
    InputError
        If there is no marker map, a trait or contig is not in the study, the trait positions have
        another unit than the markers', `cis_window` is given without positions of traits, or
        matplotlib is not installed.

    Examples
    --------
    >>> best = blmm.max_lod(blmm.scan(ds))
    >>> ax = blmm.plot.eqtl(best, ds, threshold=4)
    >>> ax.get_xlabel(), ax.get_ylabel()
    ('Marker position (chromosome)', 'Trait position (chromosome)')
    >>> ax.get_legend().get_title().get_text()
    '5 loci with a LOD of 4 or more; cis within 5 Mb'
    >>> ax.figure.savefig("map.png")
    """
    columns = ("trait", "contig", "position", "lod")
    remedy = "give what max_lod, find_peaks or find_hits returns"
    table = require_table(maxima, columns, "the findings have", remedy, numbers=columns[2:])
    hits = table[table["lod"] >= number(threshold, option("threshold"), -LARGEST, LARGEST)]
    hits = hits.sort_values("lod", kind="stable")
    study = require_map(study, "plot.eqtl")
    placed = has_trait_places(study)
    genome = layout(study, of_traits=placed)
    contig, position = contig_index(genome, hits["contig"]), hits["position"].to_numpy()
    order = positions(study, "traits", hits["trait"])
    cis, meaning = _cis(hits, study.isel(traits=order), contig, cis_window)
    ax = axes(ax, _SIZE)
    chromosomes(ax, genome, "x")
    if placed:
        chromosomes(ax, genome, "y")
        home, place = study["trait_contig"].values[order], study["trait_position"].values[order]
        known = (home >= 0) & (home < len(genome.names))
        y = genome.place(np.where(known, home, 0), np.where(known, place, np.nan))
        ax.set_ylabel("Trait position (chromosome)", fontsize=NORMAL)
    else:
        y = order.astype(np.float64)
        ax.set_ylim(0, study.sizes["traits"])
        count_up(ax)
        ax.set_ylabel("Trait (in order)", fontsize=NORMAL)
    ax.set_xlabel("Marker position (chromosome)", fontsize=NORMAL)
    tidy(ax)
    if hits.empty:
        say_empty(ax, f"no LOD of {threshold:g} or more")
        return ax
    x, lods = genome.place(contig, position), hits["lod"].to_numpy()
    drawn = np.flatnonzero(~np.isnan(y))
    title = _title(len(drawn), threshold, len(hits) - len(drawn))
    if not drawn.size:
        say_empty(ax, "the place of no trait is known")
        return ax
    if cis is None:
        groups = [(drawn, coloured_points(ax, x[drawn], y[drawn], lods[drawn], threshold))]
        ax.set_title(title, loc="left", fontsize=NORMAL)
    else:
        groups = _kinds_of_points(ax, x, y, lods, cis, drawn, threshold)
        legend_above(ax, title=title + meaning, across=True)
    unit = study["variant_position"].attrs.get("units", "")
    for mine, points in groups:
        words = partial(_words, hits.iloc[mine], unit, None if cis is None else cis[mine])
        tell(ax, Points(points, x[mine], y[mine], words))
    return ax


def _cis(
    hits: pd.DataFrame, traits: xr.Dataset, contig: np.ndarray, window: float | None
) -> tuple[np.ndarray | None, str]:
    """Codes of the loci (1 cis, 0 trans, -1 not known) and what cis means; None if none is known.

    `traits` (one for each locus) may have positions; without `window` a column ``cis`` is taken.
    """
    near = None if window is None else number(window, option("cis_window"), 0.0)
    if near is None and "cis" in hits:
        return hits["cis"].astype(str).map(_CODES).fillna(-1).to_numpy(np.int64), ""
    unit = str(traits["variant_position"].attrs.get("units", ""))
    if not has_trait_places(traits):
        if near is not None:
            raise InputError(
                f"{option('cis_window')} is {window!r}, but the study has no positions of traits; "
                "give it trait_contig and trait_position"
            )
        return None, ""
    if near is None and unit not in WINDOW:
        return None, ""
    near = WINDOW[unit] if near is None else near
    home, place = traits["trait_contig"].values, traits["trait_position"].values
    close = (home == contig) & (np.abs(place - hits["position"].to_numpy()) <= near)
    known = (home != -1) & ~np.isnan(place)
    shown, unit = (near / 1e6, "Mb") if unit == "bp" else (near, unit)
    return np.where(known, close, -1), f"; cis within {shown:g} {named(unit)}".rstrip()


def _title(number: int, threshold: float, lost: int) -> str:
    """How many loci are drawn, and how many could not be."""
    loci = "locus" if number == 1 else "loci"
    left = f"; {counted(lost, 'other')} of traits of unknown place" if lost else ""
    return f"{number:,} {loci} with a LOD of {threshold:g} or more{left}"


def _kinds_of_points(
    ax: Axes,
    x: np.ndarray,
    y: np.ndarray,
    lods: np.ndarray,
    cis: np.ndarray,
    drawn: np.ndarray,
    threshold: float,
) -> list[tuple[np.ndarray, PathCollection]]:
    """Draw cis and trans loci in their colours, areas by LOD; return which were drawn together."""
    low = max(threshold, float(lods[drawn].min()))
    top = top_of_scale(lods[drawn], low)
    share = np.clip((lods - low) / (top - low), 0.0, 1.0)
    area = _AREA[0] + share * (_AREA[1] - _AREA[0])
    groups = []
    for code, name, colour in _KINDS:
        mine = drawn[cis[drawn] == code]
        if mine.size:
            label = f"{name}: {mine.size:,}"
            style: dict[str, Any] = {"linewidths": 0, "alpha": 0.7, "rasterized": True, "zorder": 3}
            points = ax.scatter(x[mine], y[mine], area[mine], color=colour, label=label, **style)
            groups.append((mine, points))
    high = float(lods[drawn].max()) > top
    for size, label in zip(
        _AREA, (f"LOD {low:.3g}", f"LOD {top:.3g}" + (" or more" if high else "")), strict=True
    ):
        ax.scatter([], [], size, color=GREY, linewidths=0, label=label)
    return groups


def _words(hits: pd.DataFrame, unit: str, cis: np.ndarray | None) -> list[str]:
    """What is said of every locus."""
    markers = hits["variant"] if "variant" in hits else [""] * len(hits)
    rows = zip(hits["trait"], markers, hits["contig"], hits["position"], hits["lod"], strict=True)
    names = {code: f", {name}" for code, name, _ in _KINDS} | {-1: ""}
    kinds = [""] * len(hits) if cis is None else [names[int(code)] for code in cis]
    return [
        f"{trait}\n{marker} {place_words(contig, at, unit)}\nLOD {lod:.2f}{kind}"
        for (trait, marker, contig, at, lod), kind in zip(rows, kinds, strict=True)
    ]
