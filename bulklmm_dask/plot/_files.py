"""Writing pictures to files that appear whole or not at all."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, cast

from bulklmm_dask.plot._canvas import pyplot
from bulklmm_dask.storage.places.location import Location

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

# Type 42 fonts keep text as text in a PDF, as journals require.
_SETTINGS = {"pdf.fonttype": 42}


def keep(ax: Axes, path: Path, dpi: int) -> None:
    """Write the figure of a picture in the format of the file's suffix, and close the figure.

    If this fails an existing file stays as it was.
    """
    plt = pyplot()
    figure = cast("Figure", ax.figure)
    try:
        with Location.of(path).appearing_file() as partial, plt.rc_context(_SETTINGS):
            figure.savefig(partial, dpi=dpi)
    finally:
        plt.close(figure)
