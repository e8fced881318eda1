"""Hotspots: numbers of traits with a locus along the genome."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import xarray as xr

from bulklmm_dask.plot._canvas import (
    COLOURS,
    GREY,
    MANY,
    NORMAL,
    at_level,
    axes,
    count_up,
    name_levels,
    named,
    tidy,
)
from bulklmm_dask.plot._genome import along, chromosomes, contig_index, layout, place_words
from bulklmm_dask.plot._told import Points, tell
from bulklmm_dask.results.checks import require_table
from bulklmm_dask.study.checks import LARGEST, number
from bulklmm_dask.text import counted

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_SIZE = (7.2, 2.5)  # inches
_ATTRIBUTES = ("threshold", "alpha", "window")  # of the counts


def hotspots(counts: pd.DataFrame, study: xr.Dataset, *, ax: Axes | None = None) -> Axes:
    """Draw how many traits have a locus in each window along the genome.

    Parameters
    ----------
    counts : DataFrame
        What ``hotspots`` returns: ``contig``, ``position`` and ``traits`` of every window. A
        ``threshold`` in its ``attrs`` (the number of traits that chance exceeds with probability
        ``alpha``) is drawn as a dashed line.
    study : Dataset
        The study or its result, for the marker map.
    ax : Axes, optional
        Where to draw; a new figure if not given.

    Returns
    -------
    Axes
        Chromosomes to scale side by side (x) and numbers of traits (y).

    Raises
    ------
    InputError
        If a column is missing, a contig is not in the study, there is no marker map, or matplotlib
        is not installed.

    Examples
    --------
    >>> peaks = blmm.find_peaks(blmm.scan(ds), threshold=4)
    >>> counts = blmm.hotspots(peaks, ds, window=10)
    >>> ax = blmm.plot.hotspots(counts, ds)
    >>> print(ax.get_ylabel())
    Traits with a locus
    in a window
    >>> ax.figure.savefig("hotspots.png")
    """
    columns = ("contig", "position", "traits")
    remedy = "give what hotspots returns"
    counts = require_table(counts, columns, "the counts have", remedy, numbers=columns[1:])
    genome = layout(study)
    contig = contig_index(genome, counts["contig"])
    unit = study["variant_position"].attrs.get("units", "")
    ax = axes(ax, _SIZE)
    chromosomes(ax, genome, "x", shade=True)
    x, y = along(
        genome, contig, counts["position"].to_numpy(np.float64), counts["traits"].to_numpy()
    )
    style: dict[str, Any] = {"color": COLOURS[0], "rasterized": x.size > MANY, "zorder": 3}
    (line,) = ax.plot(x, y, linewidth=0.8, **style)
    at = counts["position"].to_numpy(np.float64), counts["traits"].to_numpy(np.float64)
    tell(ax, Points(line, genome.place(contig, at[0]), at[1], lambda: _words(counts, unit)))
    ax.fill_between(x, 0, y, linewidth=0, alpha=0.35, **style)
    threshold, alpha, window = (_attribute(counts, name) for name in _ATTRIBUTES)
    ax.set_ylim(0, 1.06 * max([1.0, threshold or 0.0, *counts["traits"]]))
    wide = "" if window is None else f" of {window:g} {named(unit)}".rstrip()
    ax.set_ylabel(f"Traits with a locus\nin a window{wide}", fontsize=NORMAL)
    count_up(ax)
    tidy(ax)
    if threshold is not None:
        ax.axhline(threshold, color=GREY, linewidth=0.8, linestyle=(0, (4, 3)), zorder=2)
        name = f"{threshold:g}" if alpha is None else at_level(alpha)
        name_levels(ax, [(name, threshold)])
    return ax


def _words(counts: pd.DataFrame, unit: str) -> list[str]:
    """What is said of every window."""
    rows = zip(counts["contig"], counts["position"], counts["traits"], strict=True)
    return [f"{place_words(c, at, unit)}\n{counted(int(n), 'trait')}" for c, at, n in rows]


def _attribute(counts: pd.DataFrame, name: str) -> float | None:
    """A number among the attributes of the counts, None if it is absent."""
    value = counts.attrs.get(name)
    return None if value is None else number(value, f"attrs[{name!r}] of the counts", 0.0, LARGEST)
