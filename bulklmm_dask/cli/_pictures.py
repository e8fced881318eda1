"""What commands that draw have in common: the file of the picture, and how it comes to be."""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from bulklmm_dask.cli._base import (
    PATH,
    Command,
    did,
    examples,
    overwrite_option,
    require_new,
    say,
    wrote,
)
from bulklmm_dask.plot._files import DPI, keep
from bulklmm_dask.plot._files import require_picture as require_format
from bulklmm_dask.text import named

if TYPE_CHECKING:
    from matplotlib.axes import Axes

contig_option = click.option("--contig", metavar="NAME", help="Draw this chromosome only.")


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


def picture(name: str, short_help: str, *lines: str) -> Callable[[Callable[..., Axes]], Any]:
    """Turn a drawing function into a command that writes the axes it returns to --out.

    `lines` are its examples.
    """

    def make(draw: Callable[..., Axes]) -> click.Command:
        @wraps(draw)
        def command(*, out: Path, dpi: int, overwrite: bool, **options: Any) -> None:
            require_picture(out, overwrite=overwrite)
            write_picture(draw(**options), out, dpi)

        add = click.command(name, cls=Command, short_help=short_help, epilog=examples(*lines))
        return add(out_options(command))

    return make


def require_picture(path: Path, *, overwrite: bool) -> None:
    """Raise InputError, before any work, unless a picture can be written there."""
    require_format(path)
    require_new(path, overwrite=overwrite)


def write_picture(ax: Axes, path: Path, dpi: int = DPI) -> None:
    """Write a picture and report its path."""
    keep(ax, path, dpi)
    did(format=path.suffix[1:], dpi=dpi)
    wrote(path)
    say(f"picture written to {named(path)}")
