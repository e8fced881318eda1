"""Pictures of results: Dataset or DataFrame in, matplotlib Axes out.

matplotlib is the extra ``plot`` and is imported only when a picture is asked for. Nothing is shown
and no setting of matplotlib is changed; ``ax.figure.savefig(...)`` keeps a picture.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import cycle, product
from types import ModuleType
from typing import TYPE_CHECKING, Literal

import numpy as np
import pandas as pd
import xarray as xr

from bulklmm_dask.errors import InputError

if TYPE_CHECKING:
    from matplotlib.axes import Axes

# Okabe and Ito's colours, which colour-blind readers can tell apart, darkest first.
_COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#000000", "#E69F00", "#56B4E9")
_DASHES = ("-", "--", ":", "-.")
_SHADE = "0.945"
_RULE = "0.88"
_SMALL, _NORMAL = 7, 8  # points
_LOD_SIZE, _EQTL_SIZE, _PROFILE_SIZE = (7.2, 2.5), (6.2, 5.2), (4.2, 3.2)  # inches
_DEEPEST = 8.0  # nats below the null maximum that a profile shows


@dataclass(frozen=True)
class _Genome:
    """Contigs laid side by side to scale: a place is ``offset[contig] + position``."""

    names: list[str]
    edges: np.ndarray
    offset: np.ndarray

    def place(self, contig: np.ndarray, position: np.ndarray) -> np.ndarray:
        return self.offset[contig] + position


def lod(
    result: xr.Dataset,
    traits: str | Sequence[str],
    *,
    threshold: float | None = None,
    ax: Axes | None = None,
) -> Axes:
    """Draw the LOD curves of some traits along the genome.

    Parameters
    ----------
    result : Dataset
        A result of ``scan`` or ``open_result`` with a marker map; only the LODs of the traits
        asked for are computed.
    traits : str or sequence of str
        One or several names of traits.
    threshold : float, optional
        A LOD at which to draw a dashed line.
    ax : Axes, optional
        Where to draw; a figure of its own if not given.

    Returns
    -------
    Axes
        Chromosomes to scale side by side (x) and LOD scores (y).

    Raises
    ------
    InputError
        If a trait is not in the result, the result has no marker map, or matplotlib is absent.
    """
    names = [traits] if isinstance(traits, str) else list(traits)
    _require_traits(result, names)
    genome = _genome(result)
    ax = _axes(ax, _LOD_SIZE)
    _chromosomes(ax, genome, "x", shade=True)
    curves = result["lod"].sel(traits=names).transpose("traits", "variants").values
    styles = cycle(product(_DASHES, _COLOURS))
    for name, curve, (dash, colour) in zip(names, curves, styles, strict=False):
        x, y = _along(genome, result, curve)
        ax.plot(x, y, dash, color=colour, linewidth=0.9, label=name, zorder=3)
    if threshold is not None:
        ax.axhline(threshold, color="0.35", linewidth=0.8, linestyle=(0, (4, 3)), zorder=2)
    top = np.fmax.reduce(curves, axis=None, initial=max(1.0, threshold or 0.0))
    ax.set_ylim(min(0.0, np.fmin.reduce(curves, axis=None, initial=0.0)), 1.06 * top)
    ax.set_ylabel("LOD score", fontsize=_NORMAL)
    _tidy(ax)
    if len(names) == 1:
        ax.set_title(names[0], loc="left", fontsize=_NORMAL)
    else:
        _legend_above(ax, ncols=5)
    return ax


def eqtl(
    maxima: pd.DataFrame,
    study: xr.Dataset,
    *,
    threshold: float = 5,
    ax: Axes | None = None,
) -> Axes:
    """Draw where the traits' loci lie: marker position against the trait's own position.

    Parameters
    ----------
    maxima : DataFrame
        Rows with ``trait``, ``contig``, ``position`` and ``lod``, as ``max_lod`` returns them.
    study : Dataset
        The study or its result, for the marker map; with ``trait_contig`` (index into
        ``contig_id``) and ``trait_position`` the traits are placed on the genome, otherwise they
        stand in their order.
    threshold : float
        The lowest LOD to draw.
    ax : Axes, optional
        Where to draw; a figure of its own if not given.

    Returns
    -------
    Axes
        One point a row, coloured by its LOD; the colour scale ends at the 95th percentile.

    Raises
    ------
    InputError
        If there is no marker map, a trait or contig is not in the study, the trait positions have
        another unit than the markers', or matplotlib is absent.
    """
    hits = maxima[maxima["lod"] >= threshold].sort_values("lod", kind="stable")
    _require_traits(study, list(hits["trait"]))
    genome = _genome(study)
    ax = _axes(ax, _EQTL_SIZE)
    _chromosomes(ax, genome, "x")
    x = genome.place(_contig_index(genome, hits["contig"]), hits["position"].to_numpy())
    order = pd.Index(study["traits"].values).get_indexer(pd.Index(hits["trait"]))
    if "trait_contig" in study and "trait_position" in study:
        _chromosomes(ax, genome, "y")
        y = genome.place(study["trait_contig"].values, study["trait_position"].values)[order]
        ax.set_ylabel("Trait position (chromosome)", fontsize=_NORMAL)
    else:
        y = order
        ax.set_ylim(0, study.sizes["traits"])
        ax.set_ylabel("Trait (in order)", fontsize=_NORMAL)
    ax.set_xlabel("Marker position (chromosome)", fontsize=_NORMAL)
    _tidy(ax)
    if hits.empty:
        ax.text(
            0.5,
            0.5,
            f"no LOD of {threshold:g} or more",
            transform=ax.transAxes,
            ha="center",
            fontsize=_NORMAL,
        )
    else:
        _coloured_points(ax, x, y, hits["lod"].to_numpy(), threshold)
    return ax


def profile(values: xr.Dataset, *, ax: Axes | None = None) -> Axes:
    """Draw the profile log-likelihood of the heritability of a trait.

    Parameters
    ----------
    values : Dataset
        What ``bulklmm_dask.profile`` returns, with or without a marker.
    ax : Axes, optional
        Where to draw; a figure of its own if not given.

    Returns
    -------
    Axes
        Heritability (x) and log-likelihood in nats (y). Under ML both curves are relative to the
        maximum without a marker, so that the other rises LOD x ln 10 above it; under REML each is
        relative to its own maximum. Optima are marked; the 95% likelihood interval of the model
        without a marker is shaded.

    Raises
    ------
    InputError
        If this is no profile, or matplotlib is absent.
    """
    missing = [name for name in ("h2", "null", "null_h2", "null_interval") if name not in values]
    if missing:
        raise InputError(f"there is no {missing[0]} here: draw what bulklmm_dask.profile returns")
    reml = bool(values.attrs["reml"])
    heights = {
        name: values[name].values - float(values[name if reml else "null"].max())
        for name in ("null", "alternative")
        if name in values
    }
    top = max(float(height.max()) for height in heights.values())
    bottom = max(-_DEEPEST, min(float(height.min()) for height in heights.values()))
    margin = 0.06 * (top - bottom)
    ax = _axes(ax, _PROFILE_SIZE)
    for (name, height), colour in zip(heights.items(), _COLOURS, strict=False):
        best = float(values[f"{name}_h2"])
        at = int(np.argmin(np.abs(values["h2"].values - best)))
        (line,) = ax.plot(values["h2"].values, height, "-o", markevery=[at], color=colour, zorder=3)
        line.set(linewidth=1.1, markersize=4, label=_described(values, name))
        ax.vlines(best, bottom - margin, height[at], color=colour, linewidth=0.7, linestyle=":")
    low, high = values["null_interval"].values
    label = f"95% interval without a marker: {low:.2f} to {high:.2f}"
    ax.axvspan(low, high, color=_RULE, linewidth=0, zorder=0, label=label)
    ax.set(xlim=(-0.02, 1.02), ylim=(bottom - margin, top + margin))
    ax.set_xlabel("Heritability h²", fontsize=_NORMAL)
    kind, base = ("Restricted log-likelihood", "each") if reml else ("Log-likelihood", "the null")
    ax.set_ylabel(f"{kind} (nats)\nabove {base} maximum", fontsize=_NORMAL)
    _tidy(ax)
    _legend_above(ax, title=str(values.attrs["trait"]))
    return ax


def _described(values: xr.Dataset, name: str) -> str:
    """A model of a profile and its optimum, in words."""
    which = "without a marker" if name == "null" else f"with {values.attrs['variant']}"
    text = f"{which}: h² = {float(values[f'{name}_h2']):.2f}"
    if values.attrs.get(f"{name}_status") == "unbounded":
        text += " (no maximum below 1)"
    if name == "alternative" and "lod" in values:
        text += f", LOD = {float(values['lod']):.2f}"
    return text


def _pyplot() -> ModuleType:
    try:
        import matplotlib.pyplot as plt
    except ImportError as error:
        raise InputError(
            "pictures need matplotlib, which is not installed; "
            "install it with: pip install bulklmm-dask[plot]"
        ) from error
    return plt


def _axes(ax: Axes | None, size: tuple[float, float]) -> Axes:
    return _pyplot().subplots(figsize=size, layout="constrained")[1] if ax is None else ax


def _require_traits(ds: xr.Dataset, names: list[str]) -> None:
    unknown = pd.Index(names).difference(pd.Index(ds["traits"].values))
    if len(unknown):
        first = ", ".join(repr(str(name)) for name in ds["traits"].values[:3])
        raise InputError(f"no trait {unknown[0]!r} here; the names are like {first}")


def _genome(ds: xr.Dataset) -> _Genome:
    """Lay out the contigs that have markers, each as long as its markers and traits reach."""
    for name in ("variant_contig", "contig_id", "variant_position"):
        if name not in ds:
            raise InputError(f"there is no {name}: a picture of the genome needs a marker map")
    contig, position = ds["variant_contig"].values, ds["variant_position"].values
    if "trait_contig" in ds and "trait_position" in ds:
        units = [ds[name].attrs.get("units") for name in ("variant_position", "trait_position")]
        if units[0] != units[1]:
            raise InputError(
                f"variant_position is in {units[0]} but trait_position in {units[1]}; "
                "convert one of them"
            )
        contig = np.concatenate([contig, ds["trait_contig"].values])
        position = np.concatenate([position, ds["trait_position"].values])
    extent = pd.Series(position).groupby(contig).agg(["min", "max"])
    extent = extent.reindex(range(ds.sizes["contigs"]), fill_value=0.0)
    edges = np.concatenate([[0.0], np.cumsum(extent["max"] - extent["min"])])
    return _Genome(
        names=[str(name) for name in ds["contig_id"].values],
        edges=edges,
        offset=edges[:-1] - extent["min"].to_numpy(),
    )


def _contig_index(genome: _Genome, names: pd.Series) -> np.ndarray:
    index = pd.Index(genome.names).get_indexer(pd.Index(names))
    if (index < 0).any():
        raise InputError(f"contig {names[index < 0].iloc[0]!r} is not in the study")
    return index


def _along(genome: _Genome, result: xr.Dataset, curve: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Coordinates of one curve in genome order, broken (NaN) between the contigs."""
    contig = result["variant_contig"].values
    x = genome.place(contig, result["variant_position"].values)
    order = np.lexsort((x, contig))
    breaks = np.flatnonzero(np.diff(contig[order])) + 1
    return np.insert(x[order], breaks, np.nan), np.insert(curve[order], breaks, np.nan)


def _chromosomes(
    ax: Axes, genome: _Genome, axis: Literal["x", "y"], *, shade: bool = False
) -> None:
    """Name the chromosomes along an axis; shade every other one, or rule between them."""
    span, line = (ax.axvspan, ax.axvline) if axis == "x" else (ax.axhspan, ax.axhline)
    pairs = list(zip(genome.edges[:-1], genome.edges[1:], strict=True))
    for low, high in pairs[1::2] if shade else ():
        span(low, high, color=_SHADE, linewidth=0, zorder=0)
    for edge in () if shade else genome.edges[1:-1]:
        line(edge, color=_RULE, linewidth=0.5, zorder=0)
    centres = [(low + high) / 2 for low, high in pairs]
    ax.set(**{f"{axis}lim": (0, genome.edges[-1]), f"{axis}ticks": centres})
    ax.set(**{f"{axis}ticklabels": _spaced(ax, genome, centres)})
    ax.tick_params(axis=axis, length=0)
    if axis == "x":
        ax.set_xlabel("Chromosome", fontsize=_NORMAL)


def _spaced(ax: Axes, genome: _Genome, centres: list[float]) -> list[str]:
    """Names of the chromosomes, those left out that would run into the one before."""
    inches = ax.get_window_extent().width / ax.figure.dpi
    letter = 0.0088 * _SMALL / inches * genome.edges[-1]
    labels, free = [], -np.inf
    for name, centre in zip(genome.names, centres, strict=True):
        half = letter * len(name) / 2
        fits = centre - half >= free
        labels.append(name if fits else "")
        free = centre + half + letter / 5 if fits else free
    return labels


def _coloured_points(
    ax: Axes, x: np.ndarray, y: np.ndarray, lods: np.ndarray, threshold: float
) -> None:
    top = max(float(np.percentile(lods, 95)), threshold + 1)
    points = ax.scatter(
        x,
        y,
        c=lods,
        s=5,
        cmap="viridis_r",
        vmin=threshold,
        vmax=top,
        linewidths=0,
        rasterized=True,
        zorder=3,
    )
    bar = ax.figure.colorbar(
        points, ax=ax, extend="max" if lods.max() > top else "neither", shrink=0.6, aspect=25
    )
    bar.set_label("LOD score", fontsize=_NORMAL)
    bar.ax.tick_params(labelsize=_SMALL, width=0.6, length=2.5)
    bar.outline.set_linewidth(0.6)


def _legend_above(ax: Axes, *, title: str | None = None, ncols: int = 1) -> None:
    """Name the curves above the picture, where they hide nothing."""
    ax.legend(
        loc="lower left",
        bbox_to_anchor=(0, 1),
        borderaxespad=0.2,
        borderpad=0,
        ncols=ncols,
        fontsize=_SMALL,
        frameon=False,
        handlelength=1.6,
        columnspacing=1.4,
        title=title,
        title_fontsize=_NORMAL,
        alignment="left",
    )


def _tidy(ax: Axes) -> None:
    ax.spines[["top", "right"]].set_visible(False)
    ax.spines[["left", "bottom"]].set_linewidth(0.6)
    ax.tick_params(labelsize=_SMALL, width=0.6)
