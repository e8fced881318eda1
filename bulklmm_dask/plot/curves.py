"""LOD curves along the genome, with thresholds and the intervals of peaks."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from itertools import cycle, product
from typing import TYPE_CHECKING, Any, cast

import numpy as np
import pandas as pd
import xarray as xr

from bulklmm_dask.errors import InputError
from bulklmm_dask.plot._canvas import (
    COLOURS,
    DASHES,
    GREY,
    MANY,
    NORMAL,
    axes,
    label_of,
    labelled,
    legend_above,
    name_levels,
    named,
    tidy,
)
from bulklmm_dask.plot._genome import (
    Genome,
    along,
    contig_index,
    draw_stage,
    marker_words,
    staged,
)
from bulklmm_dask.plot._levels import (
    Threshold,
    common,
    dashes,
    draw_levels,
    kept_threshold,
    levels_of,
)
from bulklmm_dask.plot._told import Points, tell
from bulklmm_dask.results.checks import require_result, require_table
from bulklmm_dask.study.checks import refuse_huge
from bulklmm_dask.study.schema import select
from bulklmm_dask.text import listing

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from matplotlib.lines import Line2D

_SIZE = (7.2, 2.5)  # inches
# Height of a row of intervals, and of all rows at most, as shares of the height of the curves.
_ROW, _ROWS = 0.05, 0.3


def lod(
    result: xr.Dataset,
    traits: str | Sequence[str],
    *,
    threshold: Threshold | None = None,
    intervals: pd.DataFrame | None = None,
    contig: str | None = None,
    ax: Axes | None = None,
) -> Axes:
    """Draw the LOD curves of some traits along the genome, or along one chromosome.

    Parameters
    ----------
    result : Dataset
        A result of ``scan`` or ``open_result`` with a marker map; only the LODs of these traits are
        computed.
    traits : str or sequence of str
        Names of one or several traits.
    threshold : float, sequence of float, or Dataset, optional
        LODs of dashed lines; or what ``thresholds`` returns, to draw those of every trait, in its
        colour where there are several traits; or what ``permute`` returns, for its levels 0.1 and
        0.05. If not given, thresholds that the result keeps are drawn: its variable ``threshold``
        (``result.assign(threshold=levels.threshold)``), or the LODs in its attribute of that name;
        an empty list draws none.
    intervals : DataFrame, optional
        What ``find_peaks`` returns: intervals of these traits are drawn below the curves as bars,
        their peaks as dots.
    contig : str, optional
        Draw this chromosome only, with a tick at each marker.
    ax : Axes, optional
        Where to draw; a new figure if not given.

    Returns
    -------
    Axes
        Chromosomes to scale side by side (x), or the position on one; and LOD scores (y).

    Raises
    ------
    InputError
        If a trait or contig is not in the result, a trait has no threshold, the result has no
        marker map, the table has no intervals, or matplotlib is not installed.

    Examples
    --------
    >>> result = blmm.scan(ds)
    >>> ax = blmm.plot.lod(result, ["trait06", "trait10"], threshold=3)
    >>> ax.get_xlabel(), ax.get_ylabel()
    ('Chromosome', 'LOD score')
    >>> ax.figure.savefig("lod.png")

    One chromosome, with the intervals of the peaks below the curve:

    >>> peaks = blmm.find_peaks(result, threshold=4)
    >>> ax = blmm.plot.lod(result, "trait06", intervals=peaks, contig="2")

    The thresholds of the trait, kept with the result:

    >>> perm = blmm.permute(ds, n_permutations=100, seed=1)
    >>> result = result.assign(threshold=blmm.thresholds(perm).threshold)
    >>> ax = blmm.plot.lod(result, "trait06")
    """
    names = [traits] if isinstance(traits, str) else list(traits)
    if not names:
        raise InputError("there are no traits to draw; name one or several")
    result = require_result(result, "plot.lod")
    result = select(result, "traits", names)
    shown, genome = staged(result, contig)
    given = kept_threshold(result) if threshold is None else threshold
    levels = levels_of(given, names, genome, contig)
    rows = None if intervals is None else _of_interest(intervals, names, contig, genome)
    curves = shown["lod"].transpose("traits", "variants").values.astype(np.float64)
    refuse_huge(curves, f"the LODs of {listing(names)}", "scan these traits again")
    own, ax = ax is None, axes(ax, _SIZE)
    draw_stage(ax, shown, genome, contig, curves=True)
    places = shown["variant_contig"].values, shown["variant_position"].values
    colours = {}
    for name, curve, (dash, colour) in zip(
        names, curves, cycle(product(DASHES, COLOURS)), strict=False
    ):
        x, y = along(genome, *places, curve)
        line = _draw_curve(ax, x, y, dash, color=colour, label=labelled(name))
        words = partial(_words, shown, name, curve)
        tell(ax, Points(line, genome.place(*places), curve, words))
        colours[name] = colour
    draw_levels(ax, levels, genome, colours)
    top = np.fmax.reduce(curves, axis=None, initial=max([1.0, *(level.top for level in levels)]))
    bottom = min(0.0, np.fmin.reduce(curves, axis=None, initial=0.0))
    ax.set_ylim(bottom, 1.06 * top)
    ax.set_ylabel(label_of("lod"), fontsize=NORMAL)
    tidy(ax)
    if rows is not None:
        _draw_intervals(ax, rows, genome, colours)
    name_levels(ax, common(levels).items())
    for label, pattern in dashes(levels).items():
        ax.plot([], [], color=GREY, linewidth=0.8, linestyle=pattern, label=label)
    if len(names) == 1:
        ax.set_title(named(names[0]), loc="left", fontsize=NORMAL)
    else:
        height = legend_above(ax, across=True)
        if own:
            cast("Figure", ax.figure).set_figheight(_SIZE[1] + height)
    return ax


def _words(shown: xr.Dataset, trait: str, curve: np.ndarray) -> list[str]:
    """What is said of every marker of a curve."""
    markers = marker_words(shown)
    return [f"{trait}\n{of}\nLOD {lod:.2f}" for of, lod in zip(markers, curve, strict=True)]


def _draw_curve(ax: Axes, x: np.ndarray, y: np.ndarray, dash: str, **style: Any) -> Line2D:
    """Draw a curve; a contig with a single marker gets a dot."""
    gap = np.isnan(np.concatenate([[np.nan], y, [np.nan]]))
    alone = np.flatnonzero(gap[:-2] & gap[2:] & ~gap[1:-1]).tolist()
    many = x.size > MANY
    (line,) = ax.plot(x, y, dash, linewidth=0.9, zorder=3, rasterized=many, **style)
    if alone:
        line.set(marker="o", markersize=2.4, markeredgewidth=0, markevery=alone)
    return line


def _of_interest(
    intervals: pd.DataFrame, names: list[str], contig: str | None, genome: Genome
) -> pd.DataFrame:
    """Rows of the table for the traits and the contig that are drawn."""
    columns = ("trait", "contig", "position", "ci_lo", "ci_hi")
    intervals = require_table(
        intervals,
        columns,
        "the intervals have",
        "give what find_peaks(result, drop=1.5) returns",
        numbers=columns[2:],
    )
    rows = intervals[intervals["trait"].astype(str).isin(names)]
    where = contig_index(genome, rows["contig"])
    return rows if contig is None else rows[where == contig_index(genome, [contig])]


def _draw_intervals(ax: Axes, rows: pd.DataFrame, genome: Genome, colours: dict[str, str]) -> None:
    """Draw intervals as bars in a strip below the curves, one row for each trait."""
    low, high = ax.get_ylim()
    row = min(_ROW, _ROWS / len(colours)) * (high - low)
    ax.set_yticks([tick for tick in ax.get_yticks() if low <= tick <= high])
    ax.set_ylim(low - (len(colours) + 1) * row, high)
    ax.axhline(low, color=GREY, linewidth=0.5, zorder=1)
    ax.spines["left"].set_bounds(low, high)
    for number, (name, colour) in enumerate(colours.items(), 1):
        mine = rows[rows["trait"].astype(str) == name]
        where = contig_index(genome, mine["contig"])
        start, peak, end = (
            genome.place(where, mine[column].to_numpy(np.float64))
            for column in ("ci_lo", "position", "ci_hi")
        )
        y = np.full(len(mine), low - number * row)
        ax.hlines(y, start, end, color=colour, linewidth=1.6, zorder=3, label=f"_{name}")
        ax.plot(peak, y, "o", color=colour, markersize=2.4, markeredgewidth=0, zorder=3)
