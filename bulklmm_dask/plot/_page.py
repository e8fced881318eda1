"""A figure as one page of HTML that zooms, moves, and says what is under the pointer.

The page holds the SVG that matplotlib draws, the places and words of what can be pointed at, and a
script that moves what lies in the axes. So each picture is drawn once, by the same code, for paper
and for the screen.
"""

from __future__ import annotations

import base64
import hashlib
import html
import json
from contextlib import contextmanager
from io import StringIO
from pathlib import Path
from string import Template
from typing import TYPE_CHECKING, Any

import numpy as np

from bulklmm_dask.plot._canvas import BESIDE, MANY, pyplot
from bulklmm_dask.plot._told import Cells, Points, told
from bulklmm_dask.text import printable

if TYPE_CHECKING:
    from collections.abc import Iterator

    from matplotlib.artist import Artist
    from matplotlib.axes import Axes
    from matplotlib.axis import Axis
    from matplotlib.figure import Figure

# Letters stay letters, so that they can be searched and copied.
_SETTINGS = {"svg.fonttype": "none", "svg.hashsalt": "picture"}
_NOTHING = dict.fromkeys(("Creator", "Date", "Format", "Type"))  # of what it is made with
_POINTS = 72  # of an SVG, an inch
_DIGITS = 6  # of places: a thousandth of a pixel


def page_of(figure: Figure, dpi: int) -> str:
    """The whole page of a figure."""
    figure.draw_without_rendering()  # the layout is known from now on
    main = [ax for ax in figure.axes if ax.get_label() != "<colorbar>" and ax.axison]
    with _named_for_the_script(main):
        out = StringIO()
        with pyplot().rc_context(_SETTINGS):
            figure.savefig(out, format="svg", dpi=dpi, metadata=_NOTHING)
    svg = out.getvalue()
    width, height = (float(size) * _POINTS for size in figure.get_size_inches())
    scene = [_scene(ax, number, width, height) for number, ax in enumerate(main)]
    script = _asset("picture.js")
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    return Template(_asset("page.html")).substitute(
        title=html.escape(printable(_title(figure))),
        style=_asset("picture.css"),
        svg=svg[svg.index("<svg") :],
        scene=json.dumps(scene, separators=(",", ":"), allow_nan=False).replace("<", "\\u003c"),
        script=script,
        digest=f"sha256-{digest}",
        width=f"{1.9 * width:.0f}",
    )


def _asset(name: str) -> str:
    return Path(__file__).with_name("templates").joinpath(name).read_text(encoding="utf-8")


def _title(figure: Figure) -> str:
    """What the page is called: the title of the picture, or what is along its axes."""
    for ax in figure.axes:
        legend = ax.get_legend()
        title = ax.get_title(loc="left") or (legend.get_title().get_text() if legend else "")
        if title:
            return title.replace("\\$", "$")
    words = [figure.axes[0].get_ylabel(), figure.axes[0].get_xlabel()] if figure.axes else []
    return " ".join(" ".join(words).split()) or "picture"


@contextmanager
def _named_for_the_script(main: list[Axes]) -> Iterator[None]:
    """Give what moves an id in the SVG, and points that are not too many their own marks."""
    before: list[tuple[Artist, str | None, bool]] = []

    def rename(artist: Artist, name: str) -> None:
        before.append((artist, artist.get_gid(), bool(artist.get_rasterized())))
        artist.set_gid(name)

    try:
        for number, ax in enumerate(main):
            rename(ax.xaxis, f"ax{number}-x")
            rename(ax.yaxis, f"ax{number}-y")
            for axis in (ax.xaxis, ax.yaxis):
                for at, tick in enumerate(axis.get_major_ticks()):
                    rename(tick, f"{axis.get_gid()}-tick{at}")
            for at, artist in enumerate(_inside(ax)):
                rename(artist, f"ax{number}-{_motion(artist, ax)}-{at}")
                if len(_offsets(artist)) <= MANY:
                    artist.set_rasterized(False)
        yield
    finally:
        for artist, name, raster in reversed(before):
            artist.set_gid(name)
            artist.set_rasterized(raster)


def _inside(ax: Axes) -> list[Artist]:
    """What lies in the axes and moves with its data, and the texts beside it."""
    found: list[Artist] = [*ax.collections, *ax.lines, *ax.patches, *ax.images]
    found += [text for text in ax.texts if _motion(text, ax) != "none"]
    return [artist for artist in found if _motion(artist, ax) != "none"]


def _offsets(artist: Artist) -> np.ndarray:
    """Points of a cloud; none of other artists."""
    from matplotlib.collections import PathCollection

    return np.asarray(artist.get_offsets()) if isinstance(artist, PathCollection) else np.empty(0)


def _motion(artist: Artist, ax: Axes) -> str:
    """How an artist moves: with x, y or xy, as points, as a text beside, or not at all."""
    if artist.get_gid() == BESIDE:
        return BESIDE
    if len(_offsets(artist)):
        return "points"
    x, y = artist.get_transform().contains_branch_seperately(ax.transData)
    return {(True, True): "xy", (True, False): "x", (False, True): "y"}.get((x, y), "none")


def _scene(ax: Axes, number: int, width: float, height: float) -> dict[str, Any]:
    """Where axes lie in the SVG, what they span, their ticks, and what is said of their points."""
    box = ax.get_position()
    return {
        "id": f"ax{number}",
        "box": _rounded([box.x0 * width, (1 - box.y1) * height, box.width * width,
                         box.height * height]),
        "x": _axis(ax.xaxis, ax.get_xlim()),
        "y": _axis(ax.yaxis, ax.get_ylim()),
        "told": [_points(w) if isinstance(w, Points) else _cells(w) for w in told(ax)],
    }  # fmt: skip


def _axis(axis: Axis, limits: tuple[float, float]) -> dict[str, Any]:
    """Limits and ticks of an axis, and whether its ticks are numbers, of which there are more."""
    from matplotlib.ticker import FixedLocator

    return {
        "limits": list(map(float, limits)),
        "ticks": _rounded([tick.get_loc() for tick in axis.get_major_ticks()]),
        "numbers": not isinstance(axis.get_major_locator(), FixedLocator),
        "mirrored": _is_mirrored(axis),
    }


def _is_mirrored(axis: Axis) -> bool:
    """Whether values below 0 are labelled without a sign, as in the lower half of a mirror."""
    labels = [label.get_text() for label in axis.get_ticklabels()]
    below = zip(axis.get_ticklocs(), labels, strict=False)
    return any(bool(at < 0) and label[:1].isdigit() for at, label in below)


def _points(points: Points) -> dict[str, Any]:
    shown = np.isfinite(points.x) & np.isfinite(points.y)
    words = [word for word, is_shown in zip(points.words(), shown, strict=True) if is_shown]
    return {"x": _rounded(points.x[shown]), "y": _rounded(points.y[shown]), "words": words}


def _cells(cells: Cells) -> dict[str, Any]:
    return {
        "x": _rounded(cells.x),
        "y": _rounded(cells.y),
        "columns": list(cells.columns()),
        "rows": list(cells.rows()),
        "values": [_rounded(row, 3) for row in cells.values],
        "label": cells.label,
    }


def _rounded(values: Any, digits: int = _DIGITS) -> list[float | None]:
    """Numbers with so many digits, None for NaN."""
    return [float(f"{v:.{digits}g}") if np.isfinite(v) else None for v in np.asarray(values, float)]
