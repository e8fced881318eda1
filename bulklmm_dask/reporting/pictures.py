"""Pictures of a report: SVG that the page contains as data, with many points as pixels."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from io import BytesIO
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

import numpy as np
import pandas as pd
import xarray as xr

from bulklmm_dask import plot
from bulklmm_dask.plot._canvas import COLOURS, NORMAL, label_of, tidy
from bulklmm_dask.reporting.findings import Findings
from bulklmm_dask.results.cis import has_trait_places, same_unit
from bulklmm_dask.storage.labels.shares import of_kernels
from bulklmm_dask.text import counted, position_text

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_DPI = 160
_WIDE = 7.6  # inches
_HALF = (3.7, 3.2)
_BINS = 50
# Characters that need no escape in a data URL. (Base64 would be longer, and would encode the pixels
# inside an SVG twice.)
_PLAIN = " !$()*+,-./:;=?@_~"


@dataclass(frozen=True)
class Picture:
    """A picture as the page shows it.

    Attributes
    ----------
    source : str
        Data URL with the whole picture.
    alt, caption : str
        Text for readers who do not see it, and text below it.
    wide : bool
        Whether it takes the full width of the page.
    """

    source: str
    alt: str
    caption: str
    wide: bool


def heritabilities(result: xr.Dataset) -> Picture | None:
    """Histogram of h2 over the traits; of its mean over contigs where each contig is left out."""
    if "h2" not in result or result.attrs.get("kinship") == "none":
        return None
    h2 = of_kernels(result["h2"]).transpose(..., "traits").values.astype(np.float64)
    of_contigs = h2.ndim == 2
    if of_contigs:
        known = np.isfinite(h2).any(axis=0)
        h2 = np.nanmean(h2[:, known], axis=0)
    h2 = h2[np.isfinite(h2)]
    if not h2.size:
        return None

    def draw(axes: list[Axes]) -> None:
        (ax,) = axes
        ax.hist(h2, bins=_BINS, range=(0, 1), color=COLOURS[0], rwidth=0.92)
        ax.set_xlim(-0.01, 1.01)
        ax.set_xlabel(f"Heritability {label_of('h2')}", fontsize=NORMAL)
        ax.set_ylabel("Traits", fontsize=NORMAL)
        tidy(ax)

    low, middle, high = np.quantile(h2, [0.25, 0.5, 0.75])
    what = "The mean over the chromosomes left out. " if of_contigs else ""
    if "components" in result["h2"].dims:
        what += "The shares of all kernels together. "
    return Picture(
        source=_drawn(draw, _HALF),
        alt=f"Histogram of the heritability of {counted(h2.size, 'trait')}",
        caption=f"{what}Median {middle:.2f}, quartiles {low:.2f} and {high:.2f}; "
        f"{counted(int((h2 < 0.01).sum()), 'trait')} below 0.01.",
        wide=False,
    )


def quantiles(findings: Findings) -> Picture | None:
    """Observed against expected p-values of all tests."""
    if not findings.counts["count"].any():
        return None
    return Picture(
        source=_drawn(lambda axes: plot.qq(findings.counts, ax=axes[0]), _HALF),
        alt="Quantiles of all p-values against those expected by chance",
        caption="Tests of neighbouring markers are not independent, so the points vary more than "
        "the band shows. Loci raise the highest points.",
        wide=False,
    )


def loci_map(findings: Findings, result: xr.Dataset, threshold: float) -> Picture:
    """Map of all peaks: positions of markers against positions of traits."""
    placed = _with_usable_places(result)
    against = "against the position of the trait" if "trait_contig" in placed else "for every trait"
    return Picture(
        source=_drawn(
            lambda axes: plot.eqtl(findings.loci, placed, threshold=threshold, ax=axes[0]),
            (_WIDE, 6.2),
        ),
        alt=f"Map of {counted(len(findings.loci), 'peak')} on the genome",
        caption=f"{counted(len(findings.loci), 'peak')} above LOD {threshold:g}, "
        f"the highest of each chromosome {against}.",
        wide=True,
    )


def hotspot_profile(findings: Findings, result: xr.Dataset, unit: str) -> Picture:
    """Number of traits with a peak along the genome."""
    counts = findings.hotspots
    assert counts is not None
    return Picture(
        source=_drawn(lambda axes: plot.hotspots(counts, result, ax=axes[0]), (_WIDE, 2.5)),
        alt="Number of traits with a peak, along the genome",
        caption=f"Traits with a peak in a window of {findings.window:g} {unit} around "
        "each marker. " + _summits(counts, float(findings.window or 0.0), unit),
        wide=True,
    )


def curves(findings: Findings, threshold: float) -> Picture:
    """LOD curves of the traits with the highest peaks, one picture below the other."""
    values = findings.curves
    assert values is not None
    names = [str(name) for name in values["traits"].values]

    def draw(axes: list[Axes]) -> None:
        for ax, name in zip(axes, names, strict=True):
            one: Any = threshold
            if findings.levels is not None:
                one = findings.levels.sel(traits=[name])
            mine = findings.loci[findings.loci["trait"] == name]
            plot.lod(values.sel(traits=[name]), name, threshold=one, intervals=mine, ax=ax)

    line = (
        f"dashed is LOD {threshold:g}"
        if findings.levels is None
        else "dashed is the genome-wide threshold from the permutations of the trait (0.05)"
    )
    return Picture(
        source=_drawn(draw, (_WIDE, 2.2 * len(names)), len(names)),
        alt=f"LOD curves of {', '.join(names)}",
        caption=f"The {counted(len(names), 'trait')} with the highest peaks; {line}, bars are the "
        "1.5-LOD intervals.",
        wide=True,
    )


def _with_usable_places(result: xr.Dataset) -> xr.Dataset:
    """Drop the positions of traits unless they are numbers in the unit of the markers."""
    if has_trait_places(result) and same_unit(result):
        return result
    return result.drop_vars(["trait_contig", "trait_position"], errors="ignore")


def _summits(counts: pd.DataFrame, window: float, unit: str, most: int = 3) -> str:
    """Describe the windows with the most traits, except those that overlap a higher one."""
    kept: list[tuple[str, float, int]] = []
    columns = ["contig", "position", "traits"]
    ordered = counts.sort_values("traits", ascending=False, kind="stable")
    for contig, position, traits in ordered[columns].itertuples(index=False):
        if len(kept) == most or traits < 2:
            break
        if all(contig != other or abs(position - at) > window for other, at, _ in kept):
            kept.append((contig, position, traits))
    parts = [
        f"chromosome {contig} at {position_text(position, unit)} {unit} ({traits:,} traits)"
        for contig, position, traits in kept
    ]
    return f"Highest: {'; '.join(parts)}." if parts else ""


def _drawn(
    draw: Callable[[list[Any]], object],
    size: tuple[float, float],
    rows: int = 1,
) -> str:
    """Draw on axes below each other, without pyplot; return the picture as a data URL."""
    import matplotlib as mpl
    from matplotlib.figure import Figure

    out = BytesIO()
    with mpl.rc_context({"svg.hashsalt": "report"}):
        figure = Figure(figsize=size, layout="constrained")
        draw(list(figure.subplots(rows, squeeze=False).ravel()))
        figure.savefig(out, format="svg", dpi=_DPI, metadata={"Date": None})
    return "data:image/svg+xml," + quote(out.getvalue(), safe=_PLAIN)
