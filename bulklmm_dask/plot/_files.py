"""Writing pictures to files that appear whole or not at all."""

from __future__ import annotations

import os
from pathlib import PurePath
from typing import TYPE_CHECKING, cast

from bulklmm_dask.errors import InputError
from bulklmm_dask.plot._canvas import pyplot
from bulklmm_dask.plot._page import page_of
from bulklmm_dask.storage.places.location import Location
from bulklmm_dask.study.checks import whole_number
from bulklmm_dask.surface import option
from bulklmm_dask.text import named

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

FORMATS = (".png", ".pdf", ".svg", ".html")
DPI = 300
# Type 42 fonts keep text as text in a PDF, as journals require.
_SETTINGS = {"pdf.fonttype": 42}


def save(
    ax: Axes, path: str | os.PathLike[str], *, dpi: int = DPI, overwrite: bool = False
) -> None:
    """Write a picture to a file, in the format of its name: png, pdf, svg, or html.

    A page of HTML is interactive: it zooms and moves, and says what is under the pointer. It is one
    file that needs no network.

    Parameters
    ----------
    ax : Axes
        What a function of this module returned, or any axes of a figure.
    path : path
        File to write; it appears when it is complete.
    dpi : int
        Dots per inch, of a pdf, svg or html only for parts with very many points.
    overwrite : bool
        Whether to replace an existing file.

    Raises
    ------
    InputError
        If the name ends in another way, or `dpi` is below 1.
    StoreError
        If the file exists or cannot be written; then nothing is left behind.

    Examples
    --------
    >>> ax = blmm.plot.lod(blmm.scan(ds), "trait06")
    >>> blmm.plot.save(ax, "lod.pdf")
    >>> blmm.plot.save(ax, "lod.html")
    """
    require_picture(path)
    whole_number(dpi, option("dpi"), 1)
    Location.of(path).require_free_file(overwrite=overwrite)
    write(cast("Figure", ax.figure), path, dpi)


def require_picture(path: str | os.PathLike[str]) -> None:
    """Raise InputError unless the name of a file is that of a picture."""
    if PurePath(path).suffix.lower() not in FORMATS:
        raise InputError(
            f"{named(path)} is not a picture; end its name with {' or '.join(FORMATS)}"
        )


def write(figure: Figure, path: str | os.PathLike[str], dpi: int) -> None:
    """Write a figure; if this fails an existing file stays as it was."""
    place = Location.of(path)
    if PurePath(path).suffix.lower() == ".html":
        place.write_text(page_of(figure, dpi))
        return
    with place.appearing_file() as partial, pyplot().rc_context(_SETTINGS):
        figure.savefig(partial, dpi=dpi)


def keep(ax: Axes, path: str | os.PathLike[str], dpi: int = DPI) -> None:
    """Write the figure of a picture in the format of the file's suffix, and close the figure."""
    figure = cast("Figure", ax.figure)
    try:
        write(figure, path, dpi)
    finally:
        pyplot().close(figure)
