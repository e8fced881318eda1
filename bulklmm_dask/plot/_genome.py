"""The genome along an axis: contigs side by side, their lengths to scale."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import numpy as np
import pandas as pd
import xarray as xr

from bulklmm_dask.errors import InputError
from bulklmm_dask.plot._canvas import NORMAL, RULE, SHADE, SMALL

if TYPE_CHECKING:
    from matplotlib.axes import Axes


@dataclass(frozen=True)
class Genome:
    """Contigs laid side by side to scale: a place is ``offset[contig] + position``."""

    names: list[str]
    edges: np.ndarray
    offset: np.ndarray

    def place(self, contig: np.ndarray, position: np.ndarray) -> np.ndarray:
        return self.offset[contig] + position


def require_traits(ds: xr.Dataset, names: list[str]) -> None:
    unknown = pd.Index(names).difference(pd.Index(ds["traits"].values))
    if len(unknown):
        first = ", ".join(repr(str(name)) for name in ds["traits"].values[:3])
        raise InputError(f"no trait {unknown[0]!r} here; the names are like {first}")


def layout(ds: xr.Dataset) -> Genome:
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
    return Genome(
        names=[str(name) for name in ds["contig_id"].values],
        edges=edges,
        offset=edges[:-1] - extent["min"].to_numpy(),
    )


def contig_index(genome: Genome, names: pd.Series) -> np.ndarray:
    index = pd.Index(genome.names).get_indexer(pd.Index(names))
    if (index < 0).any():
        raise InputError(f"contig {names[index < 0].iloc[0]!r} is not in the study")
    return index


def along(genome: Genome, result: xr.Dataset, curve: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Coordinates of one curve in genome order, broken (NaN) between the contigs."""
    contig = result["variant_contig"].values
    x = genome.place(contig, result["variant_position"].values)
    order = np.lexsort((x, contig))
    breaks = np.flatnonzero(np.diff(contig[order])) + 1
    return np.insert(x[order], breaks, np.nan), np.insert(curve[order], breaks, np.nan)


def chromosomes(ax: Axes, genome: Genome, axis: Literal["x", "y"], *, shade: bool = False) -> None:
    """Name the chromosomes along an axis; shade every other one, or rule between them."""
    span, line = (ax.axvspan, ax.axvline) if axis == "x" else (ax.axhspan, ax.axhline)
    pairs = list(zip(genome.edges[:-1], genome.edges[1:], strict=True))
    for low, high in pairs[1::2] if shade else ():
        span(low, high, color=SHADE, linewidth=0, zorder=0)
    for edge in () if shade else genome.edges[1:-1]:
        line(edge, color=RULE, linewidth=0.5, zorder=0)
    centres = [(low + high) / 2 for low, high in pairs]
    ax.set(**{f"{axis}lim": (0, genome.edges[-1]), f"{axis}ticks": centres})
    ax.set(**{f"{axis}ticklabels": _spaced(ax, genome, centres)})
    ax.tick_params(axis=axis, length=0)
    if axis == "x":
        ax.set_xlabel("Chromosome", fontsize=NORMAL)


def _spaced(ax: Axes, genome: Genome, centres: list[float]) -> list[str]:
    """Names of the chromosomes, those left out that would run into the one before."""
    inches = ax.get_window_extent().width / ax.figure.dpi
    letter = 0.0088 * SMALL / inches * genome.edges[-1]
    labels, free = [], -np.inf
    for name, centre in zip(genome.names, centres, strict=True):
        half = letter * len(name) / 2
        fits = centre - half >= free
        labels.append(name if fits else "")
        free = centre + half + letter / 5 if fits else free
    return labels
