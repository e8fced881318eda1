"""QQ plot: p-values against their expectation."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import xarray as xr
from scipy.special import betaincinv, chdtri

from bulklmm_dask.errors import InputError
from bulklmm_dask.plot._canvas import (
    COLOURS,
    GREY,
    MANY,
    NORMAL,
    RULE,
    axes,
    label_of,
    legend_above,
    tidy,
)
from bulklmm_dask.plot._told import Points, tell
from bulklmm_dask.results.checks import require_table
from bulklmm_dask.results.pvalue_counts import pvalue_counts
from bulklmm_dask.text import counted

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_SQUARE = (3.4, 3.4)  # inches
_STEEPEST = 3.0  # largest height of a QQ plot, as a multiple of its width in -log10 p
_RANKS = 300  # at which the band is computed


def qq(counts: pd.DataFrame | xr.Dataset, *, ax: Axes | None = None) -> Axes:
    """Draw observed against expected -log10 p of all tests.

    Parameters
    ----------
    counts : DataFrame or Dataset
        What ``pvalue_counts`` returns: ``neg_log10_p``, the lower edges of bins, and ``count``. Or
        a result, whose p-values are then counted block by block.
    ax : Axes, optional
        Where to draw; a new figure if not given.

    Returns
    -------
    Axes
        Expected (x) and observed (y) -log10 p, one point for each bin: its lower edge, whose rank
        is the number of tests in this and all higher bins. The band contains 95% of the values of
        each rank (a Beta distribution) if tests are independent, which those of neighbouring
        markers are not. The legend gives lambda, the ratio of the median chi-square (one degree of
        freedom) to its expectation. Values more than three times as high as the highest expected
        are drawn as triangles at the upper edge.

    Raises
    ------
    InputError
        If a column is missing, there are no p-values, or matplotlib is not installed.

    Examples
    --------
    >>> result = blmm.scan(ds)
    >>> ax = blmm.plot.qq(result)
    >>> ax.get_legend_handles_labels()[1][-1]
    '720 tests, λ = 0.694'
    >>> ax.figure.savefig("qq.png")
    """
    if isinstance(counts, xr.Dataset):
        counts = pvalue_counts(counts)
    columns = ("neg_log10_p", "count")
    remedy = "give what pvalue_counts returns"
    counts = require_table(counts, columns, "the counts have", remedy, numbers=columns)
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
    ax.set_xlabel(f"Expected {label_of('neg_log10_p')}", fontsize=NORMAL)
    ax.set_ylabel(f"Observed {label_of('neg_log10_p')}", fontsize=NORMAL)
    tidy(ax)
    legend_above(ax)
    return ax


def _draw_observed(
    ax: Axes, expected: np.ndarray, observed: np.ndarray, rank: np.ndarray, highest: float
) -> None:
    """Draw the points of a QQ plot; those above the upper edge as triangles at it.

    `rank` counts the values at least as high as `observed`; `highest` is the top of the band.
    """
    widest = max(float(expected.max()), 0.1)
    limit = max(_STEEPEST * widest, highest)
    inside = observed <= limit
    label = f"{int(rank[0]):,} tests, λ = {_inflation(observed, rank):.3f}"
    style: dict[str, Any] = {"color": COLOURS[0], "linewidths": 0, "zorder": 3}
    style["rasterized"] = observed.size > MANY
    points = ax.scatter(expected[inside], observed[inside], s=6, label=label, **style)
    tell(ax, Points(points, expected[inside], observed[inside], lambda: _words(observed, rank)))
    height = limit
    if inside.all():
        height = max(float(observed.max()), highest)
    else:
        beyond = f"{int(rank[~inside][0]):,} beyond, up to {observed.max():.0f}"
        top = np.full((~inside).sum(), limit)
        ax.scatter(expected[~inside], top, s=12, marker="^", label=beyond, **style)
    ax.set_xlim(0, 1.04 * widest)
    ax.set_ylim(0, 1.04 * height)


def _words(observed: np.ndarray, rank: np.ndarray) -> list[str]:
    """What is said of the points of a QQ plot."""
    return [
        f"-log10 p of {p:.2f} or more:\n{counted(int(number), 'test')}, expected "
        f"{rank[0] * 10.0**-p:.3g}"
        for p, number in zip(observed, rank, strict=True)
    ]


def _inflation(observed: np.ndarray, rank: np.ndarray) -> float:
    """Lambda: median chi-square of one degree of freedom over its expectation.

    `observed` ascends; `rank` counts the values that are at least as high.
    """
    middle = np.interp(-0.5 * (rank[0] + 1.0), -rank, observed)
    return float(chdtri(1, 10.0**-middle) / chdtri(1, 0.5))
