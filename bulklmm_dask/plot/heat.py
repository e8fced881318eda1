"""LOD scores of very many traits at once, as colours."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
import xarray as xr

from bulklmm_dask.engine.blockwise import gathered
from bulklmm_dask.errors import InputError
from bulklmm_dask.plot._canvas import (
    HEAT,
    NORMAL,
    RULE,
    SMALL,
    axes,
    colour_bar,
    count_up,
    extension,
    tidy,
)
from bulklmm_dask.plot._genome import Genome, chromosomes, layout
from bulklmm_dask.results.checks import require_result
from bulklmm_dask.results.pairs import blocks
from bulklmm_dask.study.schema import require_names
from bulklmm_dask.typing import Columns

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_WIDTH, _HEIGHT, _EACH = 7.2, (2.0, 5.0), 0.17  # inches
# Fields of the picture at most: fewer than its pixels, so that no high LOD is lost.
_COLUMNS, _ROWS = 500, 400
# Traits up to which the rows are named.
_NAMED = 40
_ORDERS = ("peak", "traits")
_HIGHEST = 6e4  # that half precision holds


def heatmap(
    result: xr.Dataset,
    *,
    traits: Sequence[str] | None = None,
    order: str = "peak",
    ax: Axes | None = None,
) -> Axes:
    """Draw the LODs of very many traits along the genome as colours.

    The blocks of a lazy result are computed once, each reduced at once to the highest LOD in every
    field; held are two bytes a trait and column of the picture (some 500).

    Parameters
    ----------
    result : Dataset
        A result of ``scan`` or ``open_result`` with a marker map.
    traits : sequence of str, optional
        Names of the traits to draw; all if not given.
    order : {"peak", "traits"}
        Rows by the place of the highest LOD of each trait, or in the order given.
    ax : Axes, optional
        Where to draw; a figure of its own if not given.

    Returns
    -------
    Axes
        Chromosomes to scale side by side (x) and traits (y), the first at the bottom, as in the map
        of `eqtl`. A field shows the highest LOD of its markers and, with more traits than rows, of
        its traits. The colours go from the median of the fields, which leaves noise pale, to the
        95th percentile of the highest fields of the rows.

    Raises
    ------
    InputError
        If `order` is something else, a trait is not in the result, it has no marker map, or
        matplotlib is absent.
    """
    if order not in _ORDERS:
        raise InputError(f"order is {order!r}; it should be one of {', '.join(map(repr, _ORDERS))}")
    result = require_result(result, "plot.heatmap")
    if traits is not None:
        require_names(result, "traits", list(traits))
        result = require_result(result.sel(traits=list(traits)), "plot.heatmap")
    genome = layout(result)
    edges = _columns(genome)
    lods = _fields(result, genome, edges)
    names = result["traits"].values
    if order == "peak":
        by_peak = _by_peak(lods)
        lods, names = lods[by_peak], names[by_peak]
    m = len(lods)
    starts = np.linspace(0, m, min(m, _ROWS) + 1).astype(int)
    image = np.fmax.reduceat(lods, starts[:-1], axis=0).astype(np.float32)
    low, top = _range(image)
    height = np.clip(1.0 + _EACH * result.sizes["traits"], *_HEIGHT)
    ax = axes(ax, (_WIDTH, float(height)))
    chromosomes(ax, genome, "x", rule="0.6")
    drawn = ax.pcolorfast(edges, starts, np.ma.masked_invalid(image), cmap=HEAT, vmin=low, vmax=top)
    drawn.set_zorder(-1)  # below the lines between the chromosomes
    ax.set_facecolor(RULE)
    tidy(ax)
    _name_rows(ax, names, order)
    colour_bar(ax, drawn, "LOD score", extend=extension(image, low, top))
    return ax


def _columns(genome: Genome) -> np.ndarray:
    """Edges of the columns; each lies on one contig, unless there are too many of them."""
    width = np.diff(genome.edges)
    if (width > 0).sum() > _COLUMNS / 2:
        return np.linspace(0.0, genome.edges[-1], _COLUMNS + 1)
    counts = np.ceil(_COLUMNS * width / genome.edges[-1]).astype(int)
    parts = [
        np.linspace(low, low + wide, count, endpoint=False)
        for low, wide, count in zip(genome.edges, width, counts, strict=False)
    ]
    return np.concatenate([*parts, genome.edges[-1:]])


def _fields(result: xr.Dataset, genome: Genome, edges: np.ndarray) -> np.ndarray:
    """Highest LOD of every trait in every column, (traits, columns) in half precision."""
    x = genome.place(result["variant_contig"].values, result["variant_position"].values)
    n_columns = len(edges) - 1
    column = np.clip(np.searchsorted(edges, x, side="right") - 1, 0, n_columns - 1)
    column[np.isnan(x)] = -1
    whole = blocks(result, ["lod"])
    whole["place"] = ("variants", column)
    parts = gathered(
        whole, _highest, _put_together, sift_with={}, gather_with={"n_columns": n_columns}
    )
    return np.concatenate(parts)[:, _nearest(x, column, edges)]


def _highest(block: xr.Dataset) -> Columns:
    """Highest LOD of every trait of a block in every column that the block reaches."""
    place = block["place"].values
    order = np.argsort(place, kind="stable")
    starts = np.flatnonzero(np.diff(place[order], prepend=-2))
    lods = np.fmax.reduceat(block["lod"].values[order], starts, axis=0)
    return {"place": place[order][starts], "lod": lods}


def _put_together(parts: list[Columns], chunk: int, *, n_columns: int) -> np.ndarray:
    out = np.full((n_columns, parts[0]["lod"].shape[1]), np.nan, dtype=np.float32)
    for part in parts:
        mine = part["place"] >= 0
        place = part["place"][mine]
        out[place] = np.fmax(out[place], part["lod"][mine])
    return np.minimum(out, _HIGHEST).T.astype(np.float16)


def _nearest(x: np.ndarray, column: np.ndarray, edges: np.ndarray) -> np.ndarray:
    """For every column the one of the marker that is nearest to its middle, itself if it can."""
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
    """LODs at which the colours begin and end."""
    known = image[~np.isnan(image)]
    if not known.size:
        return 0.0, 1.0
    highest = np.fmax.reduce(image, axis=1)
    low = float(np.median(known))
    return low, max(low + 1.0, float(np.nanpercentile(highest, 95)))


def _by_peak(lods: np.ndarray) -> np.ndarray:
    """Order of the traits by the column of their highest LOD; those without any come last."""
    none = np.isnan(lods).all(axis=1)
    peak = np.where(np.isnan(lods), np.float16(-np.inf), lods).argmax(axis=1)
    return np.lexsort((peak, none))


def _name_rows(ax: Axes, names: np.ndarray, order: str) -> None:
    if len(names) <= _NAMED:
        ax.set_yticks(np.arange(len(names)) + 0.5, [str(name) for name in names], fontsize=SMALL)
        ax.tick_params(axis="y", length=0)
        return
    how = "by the place of their highest LOD" if order == "peak" else "in order"
    count_up(ax)
    ax.set_ylabel(f"{len(names):,} traits, {how}", fontsize=NORMAL)
