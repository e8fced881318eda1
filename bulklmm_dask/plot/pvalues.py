"""p-values: along the genome, and against those that chance alone gives."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import xarray as xr
from scipy.special import betaincinv, chdtri

from bulklmm_dask.errors import InputError
from bulklmm_dask.lmm.statistics import neg_log10_p
from bulklmm_dask.plot._canvas import (
    COLOURS,
    GREY,
    MANY,
    NORMAL,
    RULE,
    axes,
    distinct,
    legend_above,
    name_levels,
    say_empty,
    tidy,
)
from bulklmm_dask.plot._genome import draw_stage, staged
from bulklmm_dask.plot._levels import common, draw_levels, levels_of
from bulklmm_dask.results.checks import require_result
from bulklmm_dask.results.pvalue_counts import pvalue_counts
from bulklmm_dask.study.schema import require_names

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_WIDE, _SQUARE = (7.2, 2.5), (3.4, 3.4)  # inches
_LABEL = r"$-\log_{10}\,p$"
# Height of the QQ picture at most, as a multiple of its width in -log10 p.
_STEEPEST = 3.0
# Ranks at which the band is computed.
_RANKS = 300


def manhattan(
    result: xr.Dataset,
    trait: str,
    *,
    threshold: float | Sequence[float] | None = None,
    contig: str | None = None,
    ax: Axes | None = None,
) -> Axes:
    """Draw -log10 p of one trait along the genome, or along one chromosome: a point a marker.

    Parameters
    ----------
    result : Dataset
        A result of ``scan`` or ``open_result`` with a marker map. Its ``neg_log10_p`` is drawn or,
        where it has none, that of its LODs (chi-square with ``df`` degrees of freedom, else one).
    trait : str
        Its name.
    threshold : float or sequence of float, optional
        Values of -log10 p at which to draw dashed lines.
    contig : str, optional
        One chromosome only, with ticks where its markers are.
    ax : Axes, optional
        Where to draw; a figure of its own if not given.

    Returns
    -------
    Axes
        Chromosomes to scale side by side (x), in two colours in turn, and -log10 p (y). Of many
        markers at the same place of the picture one is drawn.

    Raises
    ------
    InputError
        If the trait or contig is not in the result, it has no marker map, or matplotlib is absent.
    """
    require_names(require_result(result, "plot.manhattan"), "traits", [trait])
    shown, genome = staged(result, contig)
    levels = levels_of(threshold, [trait], genome, contig)
    one = shown.sel(traits=trait)
    if "neg_log10_p" in one:
        values = one["neg_log10_p"].values.astype(np.float64)
    else:
        values = neg_log10_p(one["lod"].values, one["df"].values if "df" in one else 1)
    ax = axes(ax, _WIDE)
    draw_stage(ax, shown, genome, contig, curves=False)
    where = shown["variant_contig"].values
    x = genome.place(where, shown["variant_position"].values)
    known = np.isfinite(values) & np.isfinite(x)
    turn = np.cumsum(np.diff(genome.edges) > 0) if contig is None else np.ones(len(genome.names))
    for side, colour in enumerate((COLOURS[-1], COLOURS[0])):
        mine = np.flatnonzero(known & (turn[where] % 2 == side))
        if mine.size:
            mine = mine[distinct(x[mine], values[mine])]
            style: dict[str, Any] = {"linewidths": 0, "rasterized": known.sum() > MANY, "zorder": 3}
            ax.scatter(x[mine], values[mine], s=4, color=colour, **style)
    draw_levels(ax, levels, genome, {})
    least = max([1.0, *(level.top for level in levels)])
    ax.set_ylim(0, 1.06 * float(np.max(values[known], initial=least)))
    ax.set_ylabel(_LABEL, fontsize=NORMAL)
    ax.set_title(trait, loc="left", fontsize=NORMAL)
    tidy(ax)
    name_levels(ax, common(levels))
    if not known.any():
        say_empty(ax, "no p-values")
    return ax


def qq(counts: pd.DataFrame | xr.Dataset, *, ax: Axes | None = None) -> Axes:
    """Draw observed against expected -log10 p of all tests.

    Parameters
    ----------
    counts : DataFrame or Dataset
        What ``pvalue_counts`` returns: ``neg_log10_p``, the lower ends of bins, and ``count``. Or a
        result, whose p-values are then counted block by block.
    ax : Axes, optional
        Where to draw; a figure of its own if not given.

    Returns
    -------
    Axes
        Expected (x) and observed (y) -log10 p, a point a bin: the smallest value of the bin, whose
        rank all higher ones give. The band holds 95% of the values of each rank (a Beta
        distribution) if the tests are independent, which those of neighbouring markers are not.
        The legend tells lambda, the ratio of the median chi-square (of one degree of freedom) to
        the expected one. Values more than three times as high as any expected are triangles at the
        upper edge.

    Raises
    ------
    InputError
        If the columns are not there, no p-value is, or matplotlib is absent.
    """
    if isinstance(counts, xr.Dataset):
        counts = pvalue_counts(counts)
    absent = [name for name in ("neg_log10_p", "count") if name not in counts.columns]
    if absent:
        raise InputError(f"there is no column {absent[0]!r}; give what pvalue_counts returns")
    counts = counts[counts["count"] > 0].sort_values("neg_log10_p")
    if counts.empty:
        raise InputError("there are no p-values: the counts are all zero")
    observed = counts["neg_log10_p"].to_numpy(np.float64)
    rank = np.cumsum(counts["count"].to_numpy(np.float64)[::-1])[::-1]
    tests = rank[0]
    expected = -np.log10(rank / (tests + 1.0))
    ax = axes(ax, _SQUARE)
    ranks = np.unique(np.geomspace(1.0, tests, _RANKS).round())
    place = -np.log10(ranks / (tests + 1.0))
    ends = [-np.log10(betaincinv(ranks, tests + 1.0 - ranks, q)) for q in (0.975, 0.025)]
    ax.fill_between(place, *ends, color=RULE, linewidth=0, label="95% band, independent tests")
    ax.plot([0, place[0]], [0, place[0]], color=GREY, linewidth=0.8, zorder=2)
    highest = float(ends[1].max())
    _draw_observed(ax, expected, observed, rank, highest)
    ax.set_xlabel(f"Expected {_LABEL}", fontsize=NORMAL)
    ax.set_ylabel(f"Observed {_LABEL}", fontsize=NORMAL)
    tidy(ax)
    legend_above(ax)
    return ax


def _draw_observed(
    ax: Axes, expected: np.ndarray, observed: np.ndarray, rank: np.ndarray, highest: float
) -> None:
    """Points of a QQ picture, which has room for the band's highest, and those far beyond."""
    widest = max(float(expected.max()), 0.1)
    limit = max(_STEEPEST * widest, highest)
    inside = observed <= limit
    label = f"{int(rank[0]):,} tests, λ = {_inflation(observed, rank):.3f}"
    style: dict[str, Any] = {"color": COLOURS[0], "linewidths": 0, "zorder": 3}
    style["rasterized"] = observed.size > MANY
    ax.scatter(expected[inside], observed[inside], s=6, label=label, **style)
    height = limit
    if inside.all():
        height = max(float(observed.max()), highest)
    else:
        beyond = f"{int(rank[~inside][0]):,} beyond, up to {observed.max():.0f}"
        top = np.full((~inside).sum(), limit)
        ax.scatter(expected[~inside], top, s=12, marker="^", label=beyond, **style)
    ax.set_xlim(0, 1.04 * widest)
    ax.set_ylim(0, 1.04 * height)


def _inflation(observed: np.ndarray, rank: np.ndarray) -> float:
    """Median chi-square of one degree of freedom over the expected one.

    `observed` ascends, and `rank` values are at least as high.
    """
    middle = np.interp(-0.5 * (rank[0] + 1.0), -rank, observed)
    return float(chdtri(1, 10.0**-middle) / chdtri(1, 0.5))
