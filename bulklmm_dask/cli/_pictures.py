"""Options of the commands that draw: the file of the picture and its resolution."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from bulklmm_dask.cli._base import PATH, overwrite_option, require_new, say
from bulklmm_dask.errors import InputError
from bulklmm_dask.plot._files import keep
from bulklmm_dask.text import named

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_DPI = 300
_PICTURES = (".png", ".pdf", ".svg")


def out_options(function: Callable[..., Any]) -> Callable[..., Any]:
    """Add the options for the file of the picture."""
    for option in (
        click.option(
            "--dpi",
            type=click.IntRange(36, 2400),
            default=_DPI,
            show_default=True,
            help="Dots per inch; in a pdf or svg only for parts with very many points.",
        ),
        click.option(
            "--out",
            type=PATH,
            metavar="PICTURE",
            required=True,
            help="File to write: png, pdf or svg.",
        ),
        overwrite_option,
    ):
        function = option(function)
    return function


def require_picture(path: Path, *, overwrite: bool) -> None:
    """Raise InputError, before any work, unless a picture can be written there."""
    if path.suffix.lower() not in _PICTURES:
        raise InputError(
            f"{named(path)} is not a picture; end its name with {' or '.join(_PICTURES)}"
        )
    require_new(path, overwrite=overwrite)


def write_picture(ax: Axes, path: Path, dpi: int = _DPI) -> None:
    """Write a picture and report its path."""
    keep(ax, path, dpi)
    say(f"picture written to {named(path)}")
