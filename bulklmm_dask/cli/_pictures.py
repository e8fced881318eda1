"""Options of the commands that draw: the file of the picture and its resolution."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from bulklmm_dask.cli._base import PATH, overwrite_option, require_new, say
from bulklmm_dask.plot._files import DPI, keep
from bulklmm_dask.plot._files import require_picture as require_format
from bulklmm_dask.text import named

if TYPE_CHECKING:
    from matplotlib.axes import Axes


def out_options(function: Callable[..., Any]) -> Callable[..., Any]:
    """Add the options for the file of the picture."""
    for option in (
        click.option(
            "--dpi",
            type=click.IntRange(36, 2400),
            default=DPI,
            show_default=True,
            help="Dots per inch; in a pdf, svg or html only for parts with very many points.",
        ),
        click.option(
            "--out",
            type=PATH,
            metavar="PICTURE",
            required=True,
            help="File to write: png, pdf, svg, or html to zoom and point at.",
        ),
        overwrite_option,
    ):
        function = option(function)
    return function


def require_picture(path: Path, *, overwrite: bool) -> None:
    """Raise InputError, before any work, unless a picture can be written there."""
    require_format(path)
    require_new(path, overwrite=overwrite)


def write_picture(ax: Axes, path: Path, dpi: int = DPI) -> None:
    """Write a picture and report its path."""
    keep(ax, path, dpi)
    say(f"picture written to {named(path)}")
