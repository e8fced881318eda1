"""Effects of genotypes or founders along the genome."""

from __future__ import annotations

from functools import partial
from itertools import cycle, product
from typing import TYPE_CHECKING, Any, cast

import numpy as np
import xarray as xr

from bulklmm_dask.errors import InputError
from bulklmm_dask.plot._canvas import (
    COLOURS,
    DASHES,
    GREY,
    MANY,
    NORMAL,
    axes,
    labelled,
    legend_above,
    named,
    tidy,
)
from bulklmm_dask.plot._genome import along, draw_stage, marker_words, staged
from bulklmm_dask.plot._told import Points, tell
from bulklmm_dask.storage.labels.restored import restored
from bulklmm_dask.study.checks import refuse_huge
from bulklmm_dask.study.schema import select
from bulklmm_dask.surface import either

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_SIZE = (7.2, 2.5)  # inches
# The eight founders of the Collaborative Cross and the Diversity Outbred in the order A to H (AJ,
# B6, 129, NOD, NZO, CAST, PWK, WSB), in the colours of R/qtl2, made for colour-blind readers.
FOUNDERS = (
    *("#F0E442", "#555555", "#E69F00", "#0072B2"),
    *("#56B4E9", "#009E73", "#D55E00", "#CC79A7"),
)


def coefficients(
    effects: xr.Dataset, trait: str, *, contig: str | None = None, ax: Axes | None = None
) -> Axes:
    """Draw the effects of genotypes, or of founders, on a trait along the genome.

    Parameters
    ----------
    effects : Dataset
        What ``blup`` returns, or a result of ``scan`` with ``statistics="beta"`` on genotype
        probabilities.
    trait : str
        Name of the trait.
    contig : str, optional
        Draw this chromosome only, with a tick at each marker.
    ax : Axes, optional
        Where to draw; a new figure if not given.

    Returns
    -------
    Axes
        Chromosomes to scale side by side (x), or the position on one; and the effects as deviations
        from the mean of all that there are at a marker (y), a line for each genotype. Eight
        founders have the colours of the Collaborative Cross.

    Raises
    ------
    InputError
        If there are no effects of genotypes, the trait or contig is not among them, there is no
        marker map, or matplotlib is not installed.

    Examples
    --------
    >>> rng = np.random.default_rng(1)
    >>> founders = rng.dirichlet(np.full(8, 0.1), size=(80, 5))
    >>> trait = founders[:, 2] @ np.arange(8) + rng.normal(size=80)
    >>> study = blmm.create_dataset(
    ...     founders, trait[:, None], trait_ids=["weight"], contigs=["2"] * 5, positions=range(5)
    ... )
    >>> ax = blmm.plot.coefficients(blmm.blup(study, "weight", kinship=None), "weight", contig="2")
    >>> ax.get_xlabel(), ax.get_ylabel()
    ('Position on chromosome 2 (Mb)', 'Effect')
    >>> ax.figure.savefig("coefficients.png")
    """
    beta = effects["beta"] if isinstance(effects, xr.Dataset) and "beta" in effects else None
    if beta is None or "genotypes" not in beta.dims:
        raise InputError(
            "there are no effects of genotypes to draw; "
            + either(
                "blup, or scan with statistics='beta' on genotype probabilities, gives them",
                "give a study with genotype probabilities, or a scan of one with --statistics beta",
            )
        )
    effects = select(restored(effects), "traits", [trait]).isel(traits=0)
    shown, genome = staged(effects, contig)
    values = shown["beta"].transpose("genotypes", "variants").values.astype(np.float64)
    refuse_huge(values, f"the effects on trait {trait!r}", "compute them again")
    known = ~np.isnan(values)
    count = np.maximum(known.sum(axis=0), 1)
    values = values - np.where(known, values, 0.0).sum(axis=0) / count
    names = [str(name) for name in shown["genotypes"].values]
    own, ax = ax is None, axes(ax, _SIZE)
    draw_stage(ax, shown, genome, contig, curves=True)
    places = shown["variant_contig"].values, shown["variant_position"].values
    ax.axhline(0.0, color=GREY, linewidth=0.6, zorder=1)
    for name, (dash, colour), curve in zip(names, _styles(len(names)), values, strict=True):
        if np.isnan(curve).all():
            continue
        x, y = along(genome, *places, curve)
        style: dict[str, Any] = {"linewidth": 1.0, "zorder": 3, "rasterized": x.size > MANY}
        (line,) = ax.plot(x, y, dash, color=colour, label=labelled(name), **style)
        tell(ax, Points(line, genome.place(*places), curve, partial(_words, shown, name, curve)))
    ax.set_ylabel("Effect", fontsize=NORMAL)
    tidy(ax)
    if known.any():
        height = legend_above(ax, title=named(trait), across=True)
        if own:
            cast("Figure", ax.figure).set_figheight(_SIZE[1] + height)
    return ax


def _words(shown: xr.Dataset, genotype: str, curve: np.ndarray) -> list[str]:
    """What is said of the effect of a genotype at every marker."""
    markers = marker_words(shown)
    return [
        f"{genotype}\n{of}\neffect {at + 0.0:.4g}" for of, at in zip(markers, curve, strict=True)
    ]


def _styles(count: int) -> list[tuple[str, str]]:
    """Dash and colour of each line."""
    if count == len(FOUNDERS):
        return [(DASHES[0], colour) for colour in FOUNDERS]
    every = cycle(product(DASHES, COLOURS))
    return [next(every) for _ in range(count)]
