"""An axis for the genome: contigs side by side with their lengths to scale, or one contig."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import numpy as np
import pandas as pd
import xarray as xr

from bulklmm_dask.errors import InputError
from bulklmm_dask.plot._canvas import MANY, NORMAL, RULE, SHADE, inches, named, text_size
from bulklmm_dask.results.checks import require_map
from bulklmm_dask.results.cis import same_unit
from bulklmm_dask.results.form import require_places_form
from bulklmm_dask.study.contigs import locate_contigs
from bulklmm_dask.text import position_text

if TYPE_CHECKING:
    from collections.abc import Sequence

    from matplotlib.axes import Axes

# Width of a contig with a single marker, as a share of the mean width.
_NARROW = 0.1
# Contigs up to which each has a tick, also where there is no room for its name.
_MOST_TICKS = 100


@dataclass(frozen=True)
class Genome:
    """Coordinates of contigs side by side: ``offset[contig] + scale * position``.

    Attributes
    ----------
    names : list of str
        Of the contigs.
    edges : array (contigs + 1,)
        Where contigs begin and end; only two for a picture of one contig.
    offset : array (contigs,)
    scale : float
        From the unit of positions to that of the axis.
    """

    names: list[str]
    edges: np.ndarray
    offset: np.ndarray
    scale: float = 1.0

    def place(self, contig: np.ndarray, position: np.ndarray) -> np.ndarray:
        """Coordinates of positions on contigs, which are given as indices."""
        return self.offset[contig] + self.scale * position


def layout(ds: xr.Dataset, *, of_traits: bool = False) -> Genome:
    """Lay out the contigs, each as long as its markers (and traits) reach."""
    ds = require_map(ds, "a picture of the genome")
    contig, position = ds["variant_contig"].values, ds["variant_position"].values
    if of_traits:
        require_places_form(ds)
        if not same_unit(ds):
            own, other = (ds[f"{of}_position"].attrs.get("units") for of in ("variant", "trait"))
            raise InputError(
                f"variant_position is in {own} but trait_position in {other}; convert one of them"
            )
        contig = np.concatenate([contig, ds["trait_contig"].values])
        position = np.concatenate([position, ds["trait_position"].values])
    if np.isnan(position).all():
        raise InputError("no marker has a position to be drawn at; give the study a marker map")
    extent = pd.Series(position).groupby(contig).agg(["min", "max"])
    extent = extent.reindex(range(ds["contig_id"].size))
    first = extent["min"].fillna(0.0).to_numpy()
    length = (extent["max"] - extent["min"]).to_numpy()
    with_room = np.where(length == 0, _NARROW * np.nanmean(length) or 1.0, length)
    width = np.nan_to_num(with_room)
    edges = np.concatenate([[0.0], np.cumsum(width)])
    return Genome(
        names=[str(name) for name in ds["contig_id"].values],
        edges=edges,
        offset=edges[:-1] - first + np.where(length == 0, width / 2, 0.0),
    )


def contig_index(genome: Genome, names: Sequence[str] | pd.Series) -> np.ndarray:
    """Indices of contigs by name."""
    codes, distinct = pd.factorize(pd.Series(names).astype(str), use_na_sentinel=False)
    return locate_contigs(genome.names, distinct, "contig {} is not in the study")[codes]


def staged(ds: xr.Dataset, contig: str | None) -> tuple[xr.Dataset, Genome]:
    """Select the markers of one contig, or keep all, and lay out what is shown."""
    genome = layout(ds)
    if contig is None:
        return ds, genome
    index = int(contig_index(genome, [contig])[0])
    ds = ds.isel(variants=np.flatnonzero(ds["variant_contig"].values == index))
    if not ds.sizes["variants"]:
        raise InputError(f"contig {contig!r} has no markers")
    scale = 1e-6 if ds["variant_position"].attrs.get("units") == "bp" else 1.0
    x = scale * ds["variant_position"].values
    ends = np.array([x.min(), x.max()])
    return ds, Genome(genome.names, ends, np.zeros(len(genome.names)), scale)


def draw_stage(
    ax: Axes, shown: xr.Dataset, genome: Genome, contig: str | None, *, curves: bool
) -> None:
    """Prepare the x axis for what `staged` has selected.

    Pictures with curves get shaded chromosomes, or a tick at each marker of one chromosome.
    """
    if contig is None:
        chromosomes(ax, genome, "x", shade=curves)
        return
    low, high = genome.edges
    margin = 0.01 * (high - low) or 1.0
    ax.set_xlim(low - margin, high + margin)
    if curves:
        _tick_markers(ax, genome.scale * shown["variant_position"].values)
    unit = shown["variant_position"].attrs.get("units", "")
    unit = {"bp": " (Mb)", "": ""}.get(unit, f" ({named(unit)})")
    ax.set_xlabel(f"Position on chromosome {named(contig)}{unit}", fontsize=NORMAL)


def _tick_markers(ax: Axes, x: np.ndarray) -> None:
    """Draw a short line at the position of each marker."""
    ax.plot(
        x,
        np.full(x.size, 0.012),
        "|",
        transform=ax.get_xaxis_transform(),
        color="0.55",
        markersize=4,
        markeredgewidth=0.4,
        rasterized=x.size > MANY,
        zorder=2,
        label="_markers",
    )


def along(
    genome: Genome, contig: np.ndarray, position: np.ndarray, curve: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Coordinates of one curve in genome order, with NaN between contigs to interrupt the line."""
    x = genome.place(contig, position)
    order = np.lexsort((x, contig))
    breaks = np.flatnonzero(np.diff(contig[order])) + 1
    curve = np.asarray(curve, dtype=np.float64)
    return np.insert(x[order], breaks, np.nan), np.insert(curve[order], breaks, np.nan)


def place_words(contig: object, position: float, unit: str) -> str:
    """Name a place on the genome: chr 7, 34.22 Mb; without its position where that is unknown."""
    at = position_text(float(position), unit)
    return f"chr {contig}" + (f", {at} {unit}".rstrip() if at else "")


def marker_words(shown: xr.Dataset) -> list[str]:
    """Name every marker of a result with its place."""
    contigs, unit = shown["contig_id"].values, shown["variant_position"].attrs.get("units", "")
    known = "variants" in shown.coords
    names = shown["variants"].values if known else np.arange(shown.sizes["variants"])
    places = zip(
        names, shown["variant_contig"].values, shown["variant_position"].values, strict=True
    )
    return [f"{name} ({place_words(contigs[on], at, unit)})" for name, on, at in places]


def chromosomes(
    ax: Axes,
    genome: Genome,
    axis: Literal["x", "y"],
    *,
    shade: bool = False,
    rule: str = RULE,
) -> None:
    """Label the chromosomes along an axis; shade every other one, or draw lines between them.

    All stretches of shade are one patch, and all lines one line: a genome of scaffolds has
    thousands of them.
    """
    if shade:
        _shade(ax, genome, axis)
    else:
        _rule(ax, genome, axis, rule)
    centres = (genome.edges[:-1] + genome.edges[1:]) / 2
    labels = np.array(_spaced(ax, genome, axis), dtype=object)
    if labels.size > _MOST_TICKS:
        centres, labels = centres[labels != ""], labels[labels != ""]
    ax.set(**{f"{axis}lim": (0, genome.edges[-1]), f"{axis}ticks": centres})
    ax.set(**{f"{axis}ticklabels": labels})
    ax.tick_params(axis=axis, length=0)
    if axis == "x":
        ax.set_xlabel("Chromosome", fontsize=NORMAL)


def _shade(ax: Axes, genome: Genome, axis: Literal["x", "y"]) -> None:
    """Shade every other contig that has a width, over the whole height or width of the picture."""
    from matplotlib.patches import PathPatch
    from matplotlib.path import Path

    low, high = genome.edges[:-1], genome.edges[1:]
    wide = np.flatnonzero(high > low)[1::2]
    if not wide.size:
        return
    along, across = (low[wide], high[wide]), (np.zeros(wide.size), np.ones(wide.size))
    corners = [(along[i], across[j]) for i, j in ((0, 0), (1, 0), (1, 1), (0, 1), (0, 0))]
    vertices = np.array(corners if axis == "x" else [corner[::-1] for corner in corners])
    codes = [Path.MOVETO, *[Path.LINETO] * 3, Path.CLOSEPOLY]
    path = Path(vertices.transpose(2, 0, 1).reshape(-1, 2), codes * wide.size)
    place = ax.get_xaxis_transform() if axis == "x" else ax.get_yaxis_transform()
    ax.add_patch(PathPatch(path, transform=place, facecolor=SHADE, linewidth=0, zorder=0))


def _rule(ax: Axes, genome: Genome, axis: Literal["x", "y"], colour: str) -> None:
    """Draw lines between the contigs, over the whole height or width of the picture."""
    edges = genome.edges[1:-1]
    along = np.repeat(edges, 3)
    across = np.tile([0.0, 1.0, np.nan], edges.size)
    place = ax.get_xaxis_transform() if axis == "x" else ax.get_yaxis_transform()
    data = (along, across) if axis == "x" else (across, along)
    ax.plot(*data, color=colour, linewidth=0.5, zorder=0, transform=place, label="_contigs")


def _spaced(ax: Axes, genome: Genome, axis: Literal["x", "y"]) -> list[str]:
    """Labels of the chromosomes, empty where one would overlap the label before."""
    dim = 0 if axis == "x" else 1
    scale = genome.edges[-1] / inches(ax)[dim]
    letter = text_size("i")[0] * scale
    labels, free = [], -letter
    names = map(named, genome.names)
    for name, low, high in zip(names, genome.edges[:-1], genome.edges[1:], strict=True):
        centre, half = (low + high) / 2, text_size(name)[dim] / 2 * scale
        fits = high > low and centre - half >= free
        labels.append(name if fits else "")
        free = centre + half + letter / 5 if fits else free
    return labels
