"""Options of pictures for thresholds: numbers, or the levels of permutations."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import wraps
from pathlib import Path
from typing import Any

import click
import xarray as xr

from bulklmm_dask.cli._base import PATH, conflict, numbers
from bulklmm_dask.results.thresholds import thresholds
from bulklmm_dask.storage.results.result import open_result
from bulklmm_dask.study.schema import select
from bulklmm_dask.text import named

alpha_option = click.option(
    "--alpha",
    callback=numbers,
    default="0.1,0.05",
    show_default=True,
    metavar="LEVELS",
    help="Levels of the thresholds to draw, with commas between.",
)


@dataclass(frozen=True)
class Levels:
    """Thresholds that are asked for.

    Attributes
    ----------
    threshold : list of float or None
        Their values.
    perm : path or None
        Permutations that give them.
    alpha : list of float
        Levels at which these do.
    """

    threshold: list[float] | None
    perm: Path | None
    alpha: list[float]

    def __post_init__(self) -> None:
        if self.threshold is not None and self.perm is not None:
            values = ",".join(f"{level:g}" for level in self.threshold)
            raise conflict(f"--threshold {values}", f"--perm {named(self.perm)}", "choose one")

    def of(self, traits: Sequence[str]) -> list[float] | xr.Dataset | None:
        """Thresholds of some traits, as pictures take them; None for those of the result."""
        if self.perm is None:
            return self.threshold
        return thresholds(select(open_result(self.perm), "traits", list(traits)), self.alpha)


def level_options(metavar: str, text: str) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Add the options for thresholds, which the function gets as its argument `levels`."""
    options = (
        click.option("--threshold", callback=numbers, metavar=metavar, help=text),
        click.option(
            "--perm",
            type=PATH,
            metavar="PERM",
            help="Permutation store from 'bulklmm permute'; draws thresholds.",
        ),
        alpha_option,
    )

    def add(function: Callable[..., Any]) -> Callable[..., Any]:
        @wraps(function)
        def command(
            *, threshold: list[float] | None, perm: Path | None, alpha: list[float], **given: Any
        ) -> Any:
            return function(levels=Levels(threshold, perm, alpha), **given)

        made: Callable[..., Any] = command
        for option in reversed(options):
            made = option(made)
        return made

    return add
