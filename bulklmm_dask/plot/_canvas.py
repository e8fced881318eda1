"""Shared by all pictures: axes, colours for colour-blind readers, text sizes, legends."""

from __future__ import annotations

import re
from collections.abc import Iterable
from contextlib import suppress
from types import ModuleType
from typing import TYPE_CHECKING, Any

import numpy as np

from bulklmm_dask.errors import InputError
from bulklmm_dask.lmm.statistics import row_of
from bulklmm_dask.study.warn import say_once
from bulklmm_dask.surface import either

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.collections import PathCollection
    from matplotlib.ft2font import FT2Font

# Okabe and Ito's colours, which colour-blind readers can distinguish, darkest first.
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#000000", "#E69F00", "#56B4E9")
DASHES = ("-", "--", ":", "-.")
HEAT = "magma_r"  # from light to dark, for matrices
GREY = "0.35"
SHADE = "0.945"
RULE = "0.88"
SMALL, NORMAL = 7, 8  # points
_LONGEST, _HEAD, _TAIL = 50, 32, 12  # letters of a name in a picture
BESIDE = "beside"  # gid of texts that move with the heights beside which they stand
MANY = 20_000  # more marks than this are stored as pixels in a PDF or SVG

_POINT = 1 / 72  # inches
_LETTER = 0.64 * SMALL * _POINT  # inches, the width of a digit
_GRID = (4000, 1500)  # columns and rows of cells: points within one cell look the same


def pyplot() -> ModuleType:
    """Import matplotlib.pyplot, or raise InputError with the command that installs it."""
    try:
        import matplotlib.pyplot as plt
    except ImportError as error:
        raise InputError(
            "pictures need matplotlib, which is not installed; "
            "install it with: pip install matplotlib"
        ) from error
    return plt


def axes(ax: Axes | None, size: tuple[float, float]) -> Axes:
    """Give the axes of the user, or those of a new figure of this size in inches."""
    return pyplot().subplots(figsize=size, layout="constrained")[1] if ax is None else ax


def inches(ax: Axes) -> tuple[float, float]:
    """Width and height of the axes in inches; approximate, because the layout comes later."""
    extent = ax.get_window_extent()
    return float(extent.width / ax.figure.dpi), float(extent.height / ax.figure.dpi)


def named(name: object) -> str:
    """Give a name from data as matplotlib draws it letter by letter.

    A dollar would begin a formula, a line break or another control character would not be seen,
    a letter that the font lacks would be an empty box, and a long name would leave no room for the
    picture: its middle is left out. Every picture passes the names of traits, markers, samples,
    contigs, genotypes and units through here, once.
    """
    shown = "".join(c if _is_drawn(c) else c.encode("unicode_escape").decode() for c in str(name))
    if len(shown) > _LONGEST:
        shown = f"{shown[:_HEAD]} ... {shown[-_TAIL:]}"
    return shown.replace("$", r"\$")


def _is_drawn(letter: str) -> bool:
    """Whether a letter can be seen and the fonts of the picture have it; says so where not."""
    if letter.isascii() or not letter.isprintable():
        return letter.isprintable()
    fonts = _fonts()
    if any(font.get_char_index(ord(letter)) for font in fonts):
        return True
    known = ", ".join(font.family_name for font in fonts)
    remedy = either(
        "choose a font that has them in matplotlib.rcParams['font.family']",
        "name a font that has them as font.family in a file matplotlibrc",
    )
    say_once(
        f"letters of {known}",
        f"names have letters that the font {known} lacks, the first {letter!r}: they are drawn as "
        f"codes, such as \\u4e2d; {remedy}",
    )
    return False


def _fonts() -> list[FT2Font]:
    """The fonts that matplotlib looks for a letter in, in its order."""
    from matplotlib.font_manager import FontProperties, findfont, get_font

    found = []
    for family in FontProperties().get_family():
        with suppress(ValueError):  # no font of this family is installed
            font = findfont(FontProperties(family=family), fallback_to_default=False)
            found.append(get_font(font))
    return found or [get_font(findfont(FontProperties()))]


def labelled(name: object) -> str:
    """Give a name for a legend, which leaves out labels that begin with an underscore."""
    shown = named(name)
    return f" {shown}" if shown.startswith("_") else shown


def text_size(name: str) -> tuple[float, float]:
    """Approximate width and height of a small label in inches."""
    plain = re.sub(r"(?<!\\)\$.*?(?<!\\)\$", "a", name).replace(r"\$", "$")
    return _LETTER * len(plain), SMALL * _POINT


def colour_bar(ax: Axes, coloured: Any, label: str, *, extend: str = "neither") -> None:
    """Add a colour bar; `extend` is matplotlib's, from `extension`."""
    bar = ax.figure.colorbar(coloured, ax=ax, extend=extend, shrink=0.6, aspect=25)
    bar.set_label(label, fontsize=NORMAL)
    bar.ax.tick_params(labelsize=SMALL, width=0.6, length=2.5)
    bar.outline.set_linewidth(0.6)


def extension(values: np.ndarray, low: float, high: float) -> str:
    """Which ends of a colour bar have values beyond them, as matplotlib's ``extend``."""
    beyond = (
        bool(np.nanmin(values, initial=low) < low),
        bool(np.nanmax(values, initial=high) > high),
    )
    return {(True, True): "both", (True, False): "min", (False, True): "max"}.get(beyond, "neither")


def _dark_enough(name: str) -> Any:
    """Colour map without its lightest colours, so that points stand out from white."""
    from matplotlib import colormaps
    from matplotlib.colors import ListedColormap

    return ListedColormap(colormaps[name](np.linspace(0.12, 1.0, 256)))


def coloured_points(
    ax: Axes, x: np.ndarray, y: np.ndarray, lods: np.ndarray, threshold: float
) -> PathCollection:
    """Draw points coloured by LOD, from the threshold to the 95th percentile, with a colour bar."""
    top = top_of_scale(lods, threshold)
    points = ax.scatter(
        x,
        y,
        c=lods,
        s=5,
        cmap=_dark_enough("viridis_r"),
        vmin=threshold,
        vmax=top,
        linewidths=0,
        rasterized=True,
        zorder=3,
    )
    colour_bar(ax, points, label_of("lod"), extend=extension(lods, threshold, top))
    return points


def top_of_scale(lods: np.ndarray, threshold: float) -> float:
    """Upper end of a scale of LODs that begins at the threshold: the 95th percentile."""
    return max(float(np.percentile(lods, 95)), threshold + 1)


def distinct(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Indices of points that look like all of them: one point for each cell of the picture."""
    if x.size <= MANY:
        return np.arange(x.size)
    cell = np.zeros(x.size, dtype=np.int64)
    for values, number in zip((x, y), _GRID, strict=True):
        low, high = float(np.min(values)), float(np.max(values))
        share = (values - low) / ((high - low) or 1.0)
        cell = cell * number + np.minimum(share * number, number - 1).astype(np.int64)
    return np.sort(np.unique(cell, return_index=True)[1])


def name_levels(ax: Axes, levels: Iterable[tuple[str, float]]) -> None:
    """Label heights at the right end of the picture, moved apart where labels would overlap."""
    low, high = ax.get_ylim()
    gap = 1.15 * text_size("")[1] / inches(ax)[1]
    place: dict[str, Any] = {"transform": ax.transAxes, "va": "center", "ha": "left"}
    named = sorted(levels, key=lambda level: level[1])
    at = [(value - low) / (high - low) for _, value in named]
    for _ in named:
        for i in range(len(at) - 1):
            middle, half = (at[i] + at[i + 1]) / 2, max(at[i + 1] - at[i], gap) / 2
            at[i : i + 2] = middle - half, middle + half
    for (name, _), y in zip(named, at, strict=True):
        ax.text(1.008, y, name, fontsize=SMALL, color=GREY, gid=BESIDE, **place)


def legend_above(ax: Axes, *, title: str | None = None, across: bool = False) -> float:
    """Put the legend above the picture, where it hides nothing, in one column or `across`.

    Returns its approximate height in inches.
    """
    names = ax.get_legend_handles_labels()[1]
    longest = max(text_size(text)[0] for text in names)
    columns = max(1, int(inches(ax)[0] / (longest + 0.45))) if across else 1
    ax.legend(
        loc="lower left",
        bbox_to_anchor=(0, 1),
        borderaxespad=0.2,
        borderpad=0,
        ncols=columns,
        fontsize=SMALL,
        frameon=False,
        handlelength=1.6,
        columnspacing=1.4,
        title=title,
        title_fontsize=NORMAL,
        alignment="left",
    )
    return -(-len(names) // columns) * 1.5 * text_size("")[1]


def label_of(name: str) -> str:
    """Label of a statistic, its subscript as mathtext: few fonts have subscript digits."""
    row = row_of(name)
    assert row is not None
    return row.label.replace("\u2081\u2080", "$_{10}$")


def at_level(alpha: float) -> str:
    """Label of a threshold."""
    return rf"$\alpha$ = {alpha:g}"


def say_empty(ax: Axes, words: str) -> None:
    """Write in the middle of a picture why nothing is drawn."""
    place: dict[str, Any] = {"transform": ax.transAxes, "ha": "center", "va": "center"}
    ax.text(0.5, 0.5, words, fontsize=NORMAL, **place)


def count_up(ax: Axes) -> None:
    """Label the ticks of y with whole numbers, such as 1,000."""
    from matplotlib.ticker import MaxNLocator

    ax.yaxis.set_major_locator(MaxNLocator("auto", steps=[1, 2, 2.5, 5, 10], integer=True))
    ax.yaxis.set_major_formatter("{x:,.0f}")


def tidy(ax: Axes) -> None:
    """Remove the upper and right border and thin the others."""
    ax.spines[["top", "right"]].set_visible(False)
    ax.spines[["left", "bottom"]].set_linewidth(0.6)
    ax.tick_params(labelsize=SMALL, width=0.6)
