"""Null distribution of the highest LOD of a trait, from its permutations."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
import xarray as xr

from bulklmm_dask.plot._canvas import (
    COLOURS,
    GREY,
    NORMAL,
    at_level,
    axes,
    count_up,
    label_of,
    legend_above,
    named,
    say_empty,
    tidy,
)
from bulklmm_dask.plot._told import Points, tell
from bulklmm_dask.results.null_maxima import null_maxima
from bulklmm_dask.results.thresholds import thresholds
from bulklmm_dask.storage.labels.restored import restored
from bulklmm_dask.study.checks import LARGEST, number, refuse_huge
from bulklmm_dask.study.schema import select
from bulklmm_dask.surface import option
from bulklmm_dask.text import counted

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_SIZE = (4.2, 3.0)  # inches
_BINS = (10, 60)


def permutations(
    perm: xr.Dataset,
    trait: str,
    *,
    alpha: float | Sequence[float] = (0.10, 0.05),
    observed: float | None = None,
    ax: Axes | None = None,
) -> Axes:
    """Draw a histogram of the highest LODs that chance alone gives a trait.

    Parameters
    ----------
    perm : Dataset
        What ``permute`` returns by either method, or ``open_result`` of its store.
    trait : str
        Its name.
    alpha : float or sequence of float
        Levels of the thresholds to draw: probabilities that chance exceeds them.
    observed : float, optional
        Highest LOD of the trait in the scan, to be marked with its adjusted p.
    ax : Axes, optional
        Where to draw; a new figure if not given.

    Returns
    -------
    Axes
        Highest LOD on the genome (x) and number of permutations in each bin (y).

    Raises
    ------
    InputError
        If the trait was not permuted, there are too few permutations for `alpha`, or matplotlib is
        not installed.

    Examples
    --------
    >>> best = blmm.max_lod(blmm.scan(ds)).set_index("trait").lod
    >>> perm = blmm.permute(ds, n_permutations=200, seed=1)
    >>> ax = blmm.plot.permutations(perm, "trait02", observed=best["trait02"])
    >>> ax.get_xlabel(), ax.get_ylabel()
    ('Highest LOD score on the genome', 'Permutations')
    >>> ax.figure.savefig("permutations.png")
    """
    maxima = null_maxima(perm, trait)
    if observed is not None:
        observed = number(observed, option("observed"), -LARGEST, LARGEST)
    refuse_huge(maxima, f"the maxima of trait {trait!r}", "permute it again")
    mine = select(restored(perm), "traits", [trait])
    found = thresholds(mine, alpha)["threshold"].sortby("alpha", ascending=False)
    ax = axes(ax, _SIZE)
    ax.set_xlabel(f"Highest {label_of('lod')} on the genome", fontsize=NORMAL)
    ax.set_ylabel("Permutations", fontsize=NORMAL)
    count_up(ax)
    tidy(ax)
    if np.isnan(maxima).any():
        ax.set_title(named(trait), loc="left", fontsize=NORMAL)
        say_empty(ax, "no LODs: this trait has no null model")
        return ax
    bins = int(np.clip(np.sqrt(maxima.size), *_BINS))
    label = counted(maxima.size, "permutation")
    height, edges = np.histogram(maxima, bins=bins)
    bars = ax.stairs(height, edges, fill=True, color=COLOURS[-1], label=label)
    middle = (edges[:-1] + edges[1:]) / 2.0
    tell(ax, Points(bars, middle, height, lambda: _words(edges, height)))
    for level, value in zip(found["alpha"].values, found.values[0], strict=True):
        dash = "--" if level == found["alpha"].values[-1] else ":"
        words = f"{at_level(level)}: LOD {value:.2f}"
        ax.axvline(value, color=GREY, linewidth=0.9, linestyle=dash, label=words)
    if observed is not None:
        words = f"observed: LOD {observed:.2f}, adjusted p {_p(maxima, observed)}"
        ax.axvline(observed, color=COLOURS[1], linewidth=1.2, label=words)
    ax.set_xlim(left=0)
    legend_above(ax, title=named(trait))
    return ax


def _words(edges: np.ndarray, height: np.ndarray) -> list[str]:
    """What is said of every bin."""
    rows = zip(edges[:-1], edges[1:], height, strict=True)
    return [
        f"LOD {low:.2f} to {high:.2f}\n{counted(int(n), 'permutation')}" for low, high, n in rows
    ]


def _p(maxima: np.ndarray, value: float) -> str:
    """Adjusted p of a LOD, as `adjusted_p` counts it."""
    higher = int((maxima >= value).sum())
    return f"{'=' if higher else '≤'} {(1 + higher) / (1 + maxima.size):.2g}"
