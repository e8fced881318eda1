"""eQTL map: the positions of loci against the positions of their traits."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
import xarray as xr

from bulklmm_dask.plot._canvas import NORMAL, axes, coloured_points, count_up, say_empty, tidy
from bulklmm_dask.plot._genome import chromosomes, contig_index, layout
from bulklmm_dask.results.checks import require_map, require_table
from bulklmm_dask.results.cis import has_trait_places
from bulklmm_dask.study.checks import LARGEST, number
from bulklmm_dask.study.schema import positions
from bulklmm_dask.surface import option

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_SIZE = (6.6, 5.4)  # inches


def eqtl(
    maxima: pd.DataFrame,
    study: xr.Dataset,
    *,
    threshold: float = 5,
    ax: Axes | None = None,
) -> Axes:
    """Draw the loci of all traits: position of the marker against position of the trait.

    Parameters
    ----------
    maxima : DataFrame
        Rows with ``trait``, ``contig``, ``position`` and ``lod``, as ``max_lod`` returns them.
    study : Dataset
        The study or its result, for the marker map. With ``trait_contig`` (index into
        ``contig_id``) and ``trait_position`` the traits are at their positions on the genome,
        otherwise in their order.
    threshold : float
        Lowest LOD to draw.
    ax : Axes, optional
        Where to draw; a new figure if not given.

    Returns
    -------
    Axes
        One point for each row, coloured by its LOD; the colour scale ends at the 95th percentile.

    Raises
    ------
    InputError
        If there is no marker map, a trait or contig is not in the study, the trait positions have
        another unit than the markers', or matplotlib is not installed.

    Examples
    --------
    >>> best = blmm.max_lod(blmm.scan(ds))
    >>> ax = blmm.plot.eqtl(best, ds, threshold=4)
    >>> ax.get_xlabel(), ax.get_ylabel()
    ('Marker position (chromosome)', 'Trait position (chromosome)')
    >>> ax.figure.savefig("map.png")
    """
    columns = ("trait", "contig", "position", "lod")
    remedy = "give what max_lod, find_peaks or find_hits returns"
    table = require_table(maxima, columns, "the findings have", remedy, numbers=columns[2:])
    hits = table[table["lod"] >= number(threshold, option("threshold"), -LARGEST, LARGEST)]
    hits = hits.sort_values("lod", kind="stable")
    study = require_map(study, "plot.eqtl")
    placed = has_trait_places(study)
    genome = layout(study, of_traits=placed)
    x = genome.place(contig_index(genome, hits["contig"]), hits["position"].to_numpy())
    ax = axes(ax, _SIZE)
    chromosomes(ax, genome, "x")
    order = positions(study, "traits", hits["trait"])
    if placed:
        chromosomes(ax, genome, "y")
        home, place = study["trait_contig"].values[order], study["trait_position"].values[order]
        known = (home >= 0) & (home < len(genome.names))
        y = genome.place(np.where(known, home, 0), np.where(known, place, np.nan))
        ax.set_ylabel("Trait position (chromosome)", fontsize=NORMAL)
    else:
        y = order
        ax.set_ylim(0, study.sizes["traits"])
        count_up(ax)
        ax.set_ylabel("Trait (in order)", fontsize=NORMAL)
    ax.set_xlabel("Marker position (chromosome)", fontsize=NORMAL)
    tidy(ax)
    if hits.empty:
        say_empty(ax, f"no LOD of {threshold:g} or more")
    else:
        coloured_points(ax, x, y, hits["lod"].to_numpy(), threshold)
    return ax
