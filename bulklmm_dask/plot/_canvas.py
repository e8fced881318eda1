"""What all pictures share: axes, colours that everyone can tell apart, letters, legends."""

from __future__ import annotations

from types import ModuleType
from typing import TYPE_CHECKING

import numpy as np

from bulklmm_dask.errors import InputError

if TYPE_CHECKING:
    from matplotlib.axes import Axes

# Okabe and Ito's colours, which colour-blind readers can tell apart, darkest first.
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#000000", "#E69F00", "#56B4E9")
DASHES = ("-", "--", ":", "-.")
SHADE = "0.945"
RULE = "0.88"
SMALL, NORMAL = 7, 8  # points


def pyplot() -> ModuleType:
    try:
        import matplotlib.pyplot as plt
    except ImportError as error:
        raise InputError(
            "pictures need matplotlib, which is not installed; "
            "install it with: pip install bulklmm-dask[plot]"
        ) from error
    return plt


def axes(ax: Axes | None, size: tuple[float, float]) -> Axes:
    return pyplot().subplots(figsize=size, layout="constrained")[1] if ax is None else ax


def coloured_points(
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
    bar.set_label("LOD score", fontsize=NORMAL)
    bar.ax.tick_params(labelsize=SMALL, width=0.6, length=2.5)
    bar.outline.set_linewidth(0.6)


def legend_above(ax: Axes, *, title: str | None = None, ncols: int = 1) -> None:
    """Name the curves above the picture, where they hide nothing."""
    ax.legend(
        loc="lower left",
        bbox_to_anchor=(0, 1),
        borderaxespad=0.2,
        borderpad=0,
        ncols=ncols,
        fontsize=SMALL,
        frameon=False,
        handlelength=1.6,
        columnspacing=1.4,
        title=title,
        title_fontsize=NORMAL,
        alignment="left",
    )


def tidy(ax: Axes) -> None:
    ax.spines[["top", "right"]].set_visible(False)
    ax.spines[["left", "bottom"]].set_linewidth(0.6)
    ax.tick_params(labelsize=SMALL, width=0.6)
