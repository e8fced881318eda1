"""Pictures as files, which appear whole or not at all."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, cast

from bulklmm_dask.plot._canvas import pyplot
from bulklmm_dask.storage.location import Location

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

# Letters stay letters in a PDF, which journals ask for.
_SETTINGS = {"pdf.fonttype": 42}


def keep(ax: Axes, path: Path, dpi: int) -> None:
    """Write the figure of a picture, in the format that the name ends with, and close it.

    An older file stays as it was if this fails.
    """
    plt = pyplot()
    figure = cast("Figure", ax.figure)
    try:
        with Location.of(path).appearing_file() as partial, plt.rc_context(_SETTINGS):
            figure.savefig(partial, dpi=dpi)
    finally:
        plt.close(figure)
