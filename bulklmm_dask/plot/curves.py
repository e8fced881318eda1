"""LOD curves along the genome."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import cycle, product
from typing import TYPE_CHECKING

import numpy as np
import xarray as xr

from bulklmm_dask.plot._canvas import COLOURS, DASHES, NORMAL, axes, legend_above, tidy
from bulklmm_dask.plot._genome import along, chromosomes, layout, require_traits

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_SIZE = (7.2, 2.5)  # inches


def lod(
    result: xr.Dataset,
    traits: str | Sequence[str],
    *,
    threshold: float | None = None,
    ax: Axes | None = None,
) -> Axes:
    """Draw the LOD curves of some traits along the genome.

    Parameters
    ----------
    result : Dataset
        A result of ``scan`` or ``open_result`` with a marker map; only the LODs of the traits
        asked for are computed.
    traits : str or sequence of str
        One or several names of traits.
    threshold : float, optional
        A LOD at which to draw a dashed line.
    ax : Axes, optional
        Where to draw; a figure of its own if not given.

    Returns
    -------
    Axes
        Chromosomes to scale side by side (x) and LOD scores (y).

    Raises
    ------
    InputError
        If a trait is not in the result, the result has no marker map, or matplotlib is absent.
    """
    names = [traits] if isinstance(traits, str) else list(traits)
    require_traits(result, names)
    genome = layout(result)
    ax = axes(ax, _SIZE)
    chromosomes(ax, genome, "x", shade=True)
    curves = result["lod"].sel(traits=names).transpose("traits", "variants").values
    styles = cycle(product(DASHES, COLOURS))
    for name, curve, (dash, colour) in zip(names, curves, styles, strict=False):
        x, y = along(genome, result, curve)
        ax.plot(x, y, dash, color=colour, linewidth=0.9, label=name, zorder=3)
    if threshold is not None:
        ax.axhline(threshold, color="0.35", linewidth=0.8, linestyle=(0, (4, 3)), zorder=2)
    top = np.fmax.reduce(curves, axis=None, initial=max(1.0, threshold or 0.0))
    ax.set_ylim(min(0.0, np.fmin.reduce(curves, axis=None, initial=0.0)), 1.06 * top)
    ax.set_ylabel("LOD score", fontsize=NORMAL)
    tidy(ax)
    if len(names) == 1:
        ax.set_title(names[0], loc="left", fontsize=NORMAL)
    else:
        legend_above(ax, ncols=5)
    return ax
