"""Heatmap: the LODs of very many traits along the genome."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import TYPE_CHECKING, Literal

import numpy as np
import xarray as xr

from bulklmm_dask.plot._canvas import (
    HEAT,
    NORMAL,
    RULE,
    SMALL,
    axes,
    colour_bar,
    count_up,
    extension,
    label_of,
    named,
    tidy,
)
from bulklmm_dask.plot._genome import Genome, chromosomes, layout, place_words
from bulklmm_dask.plot._told import Cells, names_of_runs, tell
from bulklmm_dask.results.checks import require_result
from bulklmm_dask.results.downsampled import highest_lods
from bulklmm_dask.storage.summaries.highest import highest_of_runs
from bulklmm_dask.study.checks import require_choice
from bulklmm_dask.study.schema import select

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_WIDTH, _HEIGHT, _EACH = 7.2, (2.0, 5.0), 0.17  # inches
# Most columns and rows of cells: fewer than pixels, so that no high LOD is lost.
_COLUMNS, _ROWS = 500, 400
_NAMED = 40  # traits up to which rows are named
_ORDERS = ("peak", "traits")


def heatmap(
    result: xr.Dataset,
    *,
    traits: Sequence[str] | None = None,
    order: Literal["peak", "traits"] = "peak",
    ax: Axes | None = None,
) -> Axes:
    """Draw the LODs of very many traits along the genome as colours.

    Each block of a lazy result is computed once and reduced at once to the highest LOD in every
    cell of the picture. Memory needed: 2 bytes for each trait and each of some 500 columns.

    Parameters
    ----------
    result : Dataset
        A result of ``scan`` or ``open_result`` with a marker map.
    traits : sequence of str, optional
        Names of the traits to draw; all if not given.
    order : {"peak", "traits"}
        Sort the rows by the position of each trait's highest LOD, or keep the order of the traits.
    ax : Axes, optional
        Where to draw; a new figure if not given.

    Returns
    -------
    Axes
        Chromosomes to scale side by side (x) and traits (y), the first at the bottom, as in the map
        of `eqtl`. A cell shows the highest LOD of its markers and, with more traits than rows, of
        its traits. Colours range from the median of the cells, which keeps noise pale, to the 95th
        percentile of the rows' highest cells.

    Raises
    ------
    InputError
        If `order` is neither, a trait is not in the result, it has no marker map, or matplotlib is
        not installed.

    Examples
    --------
    >>> result = blmm.scan(ds)
    >>> ax = blmm.plot.heatmap(result)
    >>> ax.get_xlabel()
    'Chromosome'
    >>> ax.figure.savefig("heatmap.png")
    """
    require_choice(order, "order", _ORDERS)
    result = require_result(result, "plot.heatmap")
    if traits is not None:
        result = require_result(select(result, "traits", traits), "plot.heatmap")
    genome = layout(result)
    edges = _columns(genome)
    lods = _highest(result, genome, edges)
    names = result["traits"].values
    if order == "peak":
        by_peak = _by_peak(lods)
        lods, names = lods[by_peak], names[by_peak]
    m = len(lods)
    starts = np.linspace(0, m, min(m, _ROWS) + 1).astype(int)
    image = highest_of_runs(lods, starts[:-1]).astype(np.float32)
    low, top = _range(image)
    height = np.clip(1.0 + _EACH * result.sizes["traits"], *_HEIGHT)
    ax = axes(ax, (_WIDTH, float(height)))
    chromosomes(ax, genome, "x", rule="0.6")
    drawn = ax.pcolorfast(edges, starts, np.ma.masked_invalid(image), cmap=HEAT, vmin=low, vmax=top)
    drawn.set_zorder(-1)  # below the lines between the chromosomes
    ax.set_facecolor(RULE)
    tidy(ax)
    _name_rows(ax, names, order)
    unit = result["variant_position"].attrs.get("units", "")
    columns, rows = partial(_places, genome, edges, unit), partial(names_of_runs, names, starts)
    tell(ax, Cells(drawn, edges, starts, columns, rows, image, label_of("lod")))
    colour_bar(ax, drawn, label_of("lod"), extend=extension(image, low, top))
    return ax


def _places(genome: Genome, edges: np.ndarray, unit: str) -> list[str]:
    """Name the place of the middle of every column."""
    middle = (edges[:-1] + edges[1:]) / 2.0
    contig = np.clip(np.searchsorted(genome.edges, middle, side="right") - 1, 0, None)
    at = (middle - genome.offset[contig]) / genome.scale
    return [
        place_words(genome.names[on], place, unit) for on, place in zip(contig, at, strict=True)
    ]


def _columns(genome: Genome) -> np.ndarray:
    """Edges of the columns; each column lies on one contig, unless there are too many contigs."""
    width = np.diff(genome.edges)
    if (width > 0).sum() > _COLUMNS / 2:
        return np.linspace(0.0, genome.edges[-1], _COLUMNS + 1)
    counts = np.ceil(_COLUMNS * width / genome.edges[-1]).astype(int)
    parts = [
        np.linspace(low, low + wide, count, endpoint=False)
        for low, wide, count in zip(genome.edges, width, counts, strict=False)
    ]
    return np.concatenate([*parts, genome.edges[-1:]])


def _highest(result: xr.Dataset, genome: Genome, edges: np.ndarray) -> np.ndarray:
    """Highest LOD of every trait in every column, (traits, columns) in half precision."""
    x = genome.place(result["variant_contig"].values, result["variant_position"].values)
    n_columns = len(edges) - 1
    column = np.clip(np.searchsorted(edges, x, side="right") - 1, 0, n_columns - 1)
    column[np.isnan(x)] = -1
    return highest_lods(result, column, n_columns)[:, _nearest(x, column, edges)]


def _nearest(x: np.ndarray, column: np.ndarray, edges: np.ndarray) -> np.ndarray:
    """For each column the column of the nearest marker; itself if it has markers."""
    known = np.flatnonzero(~np.isnan(x))
    order = known[np.argsort(x[known])]
    middle = (edges[:-1] + edges[1:]) / 2
    after = np.clip(np.searchsorted(x[order], middle), 1, max(order.size - 1, 1))
    before = order[after - 1]
    after = order[np.minimum(after, order.size - 1)]
    closer = np.abs(x[before] - middle) <= np.abs(x[after] - middle)
    source = column[np.where(closer, before, after)]
    own = np.unique(column[known])
    source[own] = own
    return source


def _range(image: np.ndarray) -> tuple[float, float]:
    """Lowest and highest LOD of the colour scale."""
    known = image[~np.isnan(image)]
    if not known.size:
        return 0.0, 1.0
    highest = np.fmax.reduce(image, axis=1)
    low = float(np.median(known))
    return low, max(low + 1.0, float(np.nanpercentile(highest, 95)))


def _by_peak(lods: np.ndarray) -> np.ndarray:
    """Order of the traits by the column of their highest LOD; traits without LODs come last."""
    none = np.isnan(lods).all(axis=1)
    peak = np.where(np.isnan(lods), np.float16(-np.inf), lods).argmax(axis=1)
    return np.lexsort((peak, none))


def _name_rows(ax: Axes, names: np.ndarray, order: str) -> None:
    """Label the rows with their traits, or the axis with their number."""
    if len(names) <= _NAMED:
        ax.set_yticks(np.arange(len(names)) + 0.5, list(map(named, names)), fontsize=SMALL)
        ax.tick_params(axis="y", length=0)
        return
    how = "by the position of their highest LOD" if order == "peak" else "in order"
    count_up(ax)
    ax.set_ylabel(f"{len(names):,} traits, {how}", fontsize=NORMAL)
