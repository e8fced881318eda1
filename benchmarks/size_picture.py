"""Picture of the time of a test against the sizes of a study, from the book."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from cases import NULL_EXACT

from bulklmm_dask.plot._canvas import COLOURS, GREY, NORMAL, SMALL, pyplot, tidy

if TYPE_CHECKING:
    from matplotlib.figure import Figure

PICTURE = Path(__file__).resolve().parents[1] / "docs" / "_static" / "sizes.svg"
NAMES = {"avx512": "AVX-512", "avx2": "AVX2", "baseline": "baseline", "numpy": "NumPy"}

FEW = ("patterns", "threads")  # ticks at the sizes themselves: less than a decade or two


def drawn(runs: dict[str, Any]) -> Figure:
    """An axes for each size that grows; lines of each run, and of its bare product."""
    plt = pyplot()
    points = {
        name: [one for one in runs[name]["sizes"] if one["case"] == NULL_EXACT]
        for name in NAMES
        if runs.get(name, {}).get("sizes")
    }
    sizes = list(dict.fromkeys(one["axis"] for some in points.values() for one in some))
    figure, _ = plt.subplots(
        1, len(sizes), figsize=(1.9 * len(sizes), 2.6), sharey=True, layout="constrained"
    )
    for ax, size in zip(figure.axes, sizes, strict=True):
        for name, colour in zip(points, COLOURS, strict=False):
            some = sorted(
                (one for one in points[name] if one["axis"] == size), key=lambda one: one["size"]
            )
            x = [one["size"] for one in some]
            scan = [one["ns"] for one in some]
            product = [one["ns"] / one["processor"]["median"] for one in some]
            label = NAMES.get(name, name)
            ax.plot(x, scan, "o-", color=colour, lw=1.2, ms=3, label=f"null-exact, {label}")
            ax.plot(x, product, "--", color=colour, lw=0.9, label=f"bare product, {label}")
        ax.set(xscale="log", yscale="log")
        if size in FEW:
            ticks = sorted(
                {one["size"] for some in points.values() for one in some if one["axis"] == size}
            )
            ax.set_xticks(ticks, [f"{tick:,}" for tick in ticks])
        ax.xaxis.set_minor_formatter("")
        ax.set_xlabel(size, fontsize=NORMAL)
        ax.grid(color="0.9", lw=0.5)
        tidy(ax)
    figure.axes[0].set_ylabel("ns of the processor a test", fontsize=NORMAL)
    figure.legend(
        *figure.axes[0].get_legend_handles_labels(),
        loc="outside upper left",
        ncols=4,
        frameon=False,
        fontsize=SMALL,
        labelcolor=GREY,
    )
    return figure


def write(runs: dict[str, Any], path: Path = PICTURE) -> None:
    """The same bytes for the same book: no date, and ids by a fixed salt. None without sizes."""
    if not any(run.get("sizes") for run in runs.values()):
        return
    plt = pyplot()
    with plt.rc_context({"svg.hashsalt": "sizes"}):
        figure = drawn(runs)
        figure.savefig(path, metadata={"Date": None})
    plt.close(figure)
