"""Shares of several random effects: stacked over traits, and one against another."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
import xarray as xr

from bulklmm_dask.errors import InputError
from bulklmm_dask.plot._canvas import (
    COLOURS,
    GREY,
    MANY,
    NORMAL,
    SMALL,
    axes,
    labelled,
    legend_above,
    named,
    tidy,
)
from bulklmm_dask.plot._shares import Shares, shares_of
from bulklmm_dask.plot._told import Points, tell
from bulklmm_dask.study.checks import require_choice
from bulklmm_dask.surface import option
from bulklmm_dask.text import counted, listing

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_SIZE = (7.2, 2.8)  # inches
_SQUARE = (3.6, 3.6)
_NAMED = 40  # traits up to which they are named
_LAST = "0.82"  # colour of the last component, the residual
_EXPLAINED, _GIVEN = "explained", "traits"


def shares(
    result: xr.Dataset | pd.DataFrame, *, order: str = _EXPLAINED, ax: Axes | None = None
) -> Axes:
    """Draw the shares of the variance of every trait as stacked bars, sorted.

    Parameters
    ----------
    result : Dataset or DataFrame
        What ``heritability`` or ``scan`` returns for several kernels, with ``h2`` over components
        and traits; or a table with the columns ``trait``, ``component`` and ``h2``, as the command
        writes it.
    order : str
        ``"explained"``: by all that the kernels explain, most first; ``"traits"``: as in the
        result; or the name of a component, by its share.
    ax : Axes, optional
        Where to draw; a new figure if not given.

    Returns
    -------
    Axes
        Traits (x) and shares (y), the kernels from below in their order, the residual last. The
        legend has the mean share of each. Traits that could not be fitted are left out, and counted
        in the label of x.

    Raises
    ------
    InputError
        If there are no shares of several components, there is no component of this name, or
        matplotlib is not installed.

    Examples
    --------
    >>> ds["sample_cage"] = ("samples", [f"cage{i % 24}" for i in range(120)])
    >>> estimates = blmm.heritability(ds, kinship={"additive": "kinship", "cage": "cage"})
    >>> ax = blmm.plot.shares(estimates)
    >>> ax.get_legend_handles_labels()[1]
    ['additive, mean 0.55', 'cage, mean 0.01', 'residual, mean 0.44']
    >>> ax.figure.savefig("shares.png")
    """
    found = shares_of(result)
    arranged = _arranged(found, order)
    n = len(found.traits)
    ax = axes(ax, _SIZE)
    edges = np.arange(n + 1.0)
    values = np.maximum(found.values[:, arranged], 0.0)
    tops = np.cumsum(values, axis=0)
    for k, name in enumerate(found.components):
        last = k == len(found.components) - 1
        bottom = tops[k - 1] if k else np.zeros(n)
        drawn = ax.stairs(
            tops[k],
            edges,
            baseline=bottom,
            fill=True,
            color=_LAST if last else COLOURS[k % len(COLOURS)],
            linewidth=0,
            rasterized=n > MANY,
            label=labelled(f"{name}, mean {values[k].mean():.2f}"),
        )
        if n <= MANY:
            words = partial(_words_of_bars, found, arranged, k)
            tell(ax, Points(drawn, edges[:-1] + 0.5, (bottom + tops[k]) / 2.0, words))
    ax.set(xlim=(0, n), ylim=(0, 1))
    ax.set_ylabel("Share of the variance", fontsize=NORMAL)
    _name_traits(ax, found, arranged, order)
    tidy(ax)
    legend_above(ax, across=True)
    return ax


def _arranged(found: Shares, order: str) -> np.ndarray:
    """Order of the traits."""
    if order == _GIVEN:
        return np.arange(len(found.traits))
    if order == _EXPLAINED:
        return np.argsort(found.values[-1], kind="stable")
    if not isinstance(order, str) or order not in found.components:
        require_choice(order, option("order"), (_EXPLAINED, _GIVEN, *found.components))
    return np.argsort(-found.of(order), kind="stable")


def _name_traits(ax: Axes, found: Shares, arranged: np.ndarray, order: str) -> None:
    """Name the traits along the x axis, or count them."""
    n = len(found.traits)
    lost = f"; {found.left_out:,} without shares" if found.left_out else ""
    if n <= _NAMED:
        names = [named(found.traits[i]) for i in arranged]
        ax.set_xticks(np.arange(n) + 0.5, names, rotation=90, fontsize=SMALL)
        ax.tick_params(axis="x", length=0)
        ax.vlines(np.arange(1, n), 0, 1, color="white", linewidth=1.0)
        if lost:
            ax.set_xlabel(f"{counted(n, 'trait')}{lost}", fontsize=NORMAL)
        return
    how = {_EXPLAINED: ", by the share that is explained", _GIVEN: ""}
    by = how.get(order, f", by the share of {named(order)}")
    ax.set_xticks([])
    ax.set_xlabel(f"{counted(n, 'trait')}{by}{lost}", fontsize=NORMAL)


def _words_of_bars(found: Shares, arranged: np.ndarray, k: int) -> list[str]:
    """What is said of the bars of a component."""
    name, values = found.components[k], found.values[k]
    return [f"{found.traits[i]}\n{name}: {values[i]:.3f}" for i in arranged]


def share_pairs(
    result: xr.Dataset | pd.DataFrame,
    *,
    x: str | None = None,
    y: str | None = None,
    ax: Axes | None = None,
) -> Axes:
    """Draw the shares of two components against each other, a point for each trait.

    Parameters
    ----------
    result : Dataset or DataFrame
        As for ``shares``.
    x, y : str, optional
        Names of the components; by default the first two.
    ax : Axes, optional
        Where to draw; a new figure if not given.

    Returns
    -------
    Axes
        Shares of `x` and of `y`. The two cannot sum to more than one: that line is dashed.

    Raises
    ------
    InputError
        If there are no shares of several components, the two are one or there is no component of a
        name, or matplotlib is not installed.

    Examples
    --------
    >>> ds["sample_cage"] = ("samples", [f"cage{i % 24}" for i in range(120)])
    >>> estimates = blmm.heritability(ds, kinship={"additive": "kinship", "cage": "cage"})
    >>> ax = blmm.plot.share_pairs(estimates)
    >>> ax.get_xlabel(), ax.get_ylabel()
    ('Share of additive', 'Share of cage')
    >>> ax.figure.savefig("pairs.png")
    """
    found = shares_of(result)
    first, second = _two(found, x, y)
    across, up = found.of(first), found.of(second)
    ax = axes(ax, _SQUARE)
    ax.plot([0, 1], [1, 0], color=GREY, linewidth=0.8, linestyle=(0, (4, 3)), zorder=2)
    n = len(across)
    points = ax.scatter(
        across,
        up,
        s=10 if n <= 1000 else 4,
        alpha=0.8 if n <= 1000 else 0.4,
        color=COLOURS[0],
        linewidths=0,
        rasterized=n > MANY,
        zorder=3,
    )
    tell(ax, Points(points, across, up, partial(_words_of_pairs, found, first, second)))
    ax.set(xlim=(-0.02, 1.02), ylim=(-0.02, 1.02))
    ax.set_aspect("equal")
    ax.set_xlabel(f"Share of {named(first)}", fontsize=NORMAL)
    ax.set_ylabel(f"Share of {named(second)}", fontsize=NORMAL)
    lost = f"; {found.left_out:,} without shares" if found.left_out else ""
    ax.set_title(f"{counted(n, 'trait')}{lost}", loc="left", fontsize=NORMAL)
    tidy(ax)
    return ax


def _two(found: Shares, x: str | None, y: str | None) -> tuple[str, str]:
    """The two components to draw: those named, else the first ones that are not."""
    asked = [name for name in (x, y) if name is not None]
    for name in asked:
        found.of(name)
    others = [name for name in found.components if name not in asked]
    first = others.pop(0) if x is None else x
    second = (others or [first])[0] if y is None else y
    if first == second:
        raise InputError(
            f"both shares are those of {first!r}; choose two of {listing(found.components, 10)}"
        )
    return first, second


def _words_of_pairs(found: Shares, first: str, second: str) -> list[str]:
    """What is said of the points of two components."""
    rows = zip(found.traits, found.of(first), found.of(second), strict=True)
    return [f"{trait}\n{first}: {a:.3f}, {second}: {b:.3f}" for trait, a, b in rows]
