"""Lines at thresholds: for all traits or each trait, on the whole genome or each contig."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np
import xarray as xr

from bulklmm_dask.errors import InputError
from bulklmm_dask.plot._canvas import GREY, at_level
from bulklmm_dask.plot._genome import Genome
from bulklmm_dask.storage.labels.restored import restored
from bulklmm_dask.storage.labels.variables import Variable
from bulklmm_dask.study.checks import number, real_numbers, refuse_huge
from bulklmm_dask.study.contigs import match_contigs
from bulklmm_dask.study.schema import require_form, require_unique, select
from bulklmm_dask.surface import option
from bulklmm_dask.text import listing

if TYPE_CHECKING:
    from matplotlib.axes import Axes

Threshold: TypeAlias = "float | Sequence[float] | xr.Dataset | xr.DataArray"
Dash: TypeAlias = tuple[int, tuple[float, float]]

_LONG: Dash = (0, (4, 3))
_SHORT: Dash = (0, (1.2, 1.6))
_LEVELS = (("traits",), ("traits", "alpha"), ("traits", "contigs"), ("traits", "alpha", "contigs"))


@dataclass(frozen=True)
class Level:
    """One threshold.

    Attributes
    ----------
    trait : str or None
        Trait that it is for; None for all traits drawn.
    label : str
    values : array (1,) or (contigs,)
        LOD on the whole genome, or on each contig; NaN for a contig without one.
    dash : tuple
        Dash pattern of matplotlib.
    is_number : bool
        Whether its label is the LOD itself, not its level.
    """

    trait: str | None
    label: str
    values: np.ndarray
    dash: Dash = _LONG
    is_number: bool = False

    @property
    def top(self) -> float:
        """Highest of the values."""
        return float(np.nanmax(self.values))


def kept_threshold(result: xr.Dataset) -> Threshold | None:
    """Thresholds that a result keeps: its variable or attribute ``threshold``."""
    if "threshold" in result.variables:
        kept = result["threshold"]  # of one trait, where one is drawn
        return (
            kept
            if "traits" in kept.dims or "traits" not in kept.coords
            else kept.expand_dims("traits")
        )
    found = result.attrs.get("threshold")
    return None if found is None else np.ravel(found).tolist()


def levels_of(
    threshold: Threshold | None, traits: list[str], genome: Genome, contig: str | None
) -> list[Level]:
    """Thresholds to draw, for some traits and one contig.

    They are numbers, what `thresholds` returns, or the permutations that it takes.
    """
    if threshold is None:
        return []
    if isinstance(threshold, xr.Dataset) and "max_lod" in threshold:
        from bulklmm_dask.results.thresholds import thresholds  # of scipy

        threshold = thresholds(select(restored(threshold), "traits", traits))
    if not isinstance(threshold, xr.Dataset | xr.DataArray):
        one = isinstance(threshold, str) or not np.ndim(threshold)
        given: Any = [threshold] if one else threshold
        values = [number(value, option("threshold"), -np.inf) for value in given]
        finite = [value for value in values if np.isfinite(value)]
        refuse_huge(np.array(finite), "the thresholds", "give LODs or -log10 p")
        return [Level(None, f"{value:.3g}", np.array([value]), is_number=True) for value in finite]
    found = threshold if isinstance(threshold, xr.DataArray) else threshold.get("threshold")
    if found is None or "traits" not in found.dims or "alpha" not in found.coords:
        raise InputError(
            "threshold is no number, and has no threshold (traits, alpha); give what "
            "bulklmm_dask.thresholds or permute returns"
        )
    form = Variable(_LEVELS, "fiu", "LODs of traits at levels alpha")
    require_form(found.to_dataset(name="threshold"), {"threshold": form}, turned=True)
    if found["alpha"].dims not in ((), ("alpha",)):
        raise InputError(
            f"alpha of threshold has dimensions {found['alpha'].dims}, not ('alpha',); give what "
            "bulklmm_dask.thresholds returns"
        )
    alphas = real_numbers(found["alpha"].values, "alpha of threshold", "give levels below 1")
    require_unique(map(str, np.atleast_1d(alphas)), "the levels of threshold", "give each once")
    found = select(found, "traits", traits)
    found = found.assign_coords(alpha=(found["alpha"].dims, alphas))
    found = found if "alpha" in found.dims else found.expand_dims("alpha")
    found = found.where(np.isfinite(found))  # infinite: none is that high, so no line
    refuse_huge(found.values, "the thresholds", "give what bulklmm_dask.thresholds returns")
    each = " each" if "contigs" in found.dims and contig is None else ""
    if "contigs" in found.dims:
        if not found.sizes["contigs"]:
            raise InputError("threshold has no contigs; give what bulklmm_dask.thresholds returns")
        wanted = genome.names if contig is None else [contig]
        at = match_contigs(found["contigs"].values, wanted, "threshold")
        found = found.isel(contigs=np.maximum(at, 0)).where(xr.DataArray(at >= 0, dims="contigs"))
    strictest = alphas.min(initial=np.inf)
    levels = [
        Level(
            trait if len(traits) > 1 else None,
            at_level(alpha) + each,
            np.atleast_1d(found.isel(traits=i, alpha=j).values.astype(np.float64)),
            _LONG if alpha == strictest else _SHORT,
        )
        for i, trait in enumerate(traits)
        for j, alpha in enumerate(found["alpha"].values)
    ]
    return [level for level in levels if np.isfinite(level.values).any()]


def in_p_values(levels: list[Level], df: np.ndarray) -> list[Level]:
    """Thresholds of LODs as -log10 p at these degrees of freedom of the markers."""
    from bulklmm_dask.lmm.statistics import neg_log10_p  # of scipy

    if not levels:
        return []
    freedom = np.unique(df[df > 0])
    if not freedom.size:  # no marker is tested
        return []
    if freedom.size > 1:
        raise InputError(
            "thresholds of LODs are no p-values where the degrees of freedom differ between "
            f"markers, here {listing(freedom.tolist())}; give {option('threshold')} as -log10 p"
        )
    return [
        replace(
            level,
            values=neg_log10_p(level.values, freedom[0]),
            label=f"LOD {level.label}" if level.is_number else level.label,
        )
        for level in levels
    ]


def draw_levels(ax: Axes, levels: list[Level], genome: Genome, colours: dict[str, str]) -> None:
    """Draw thresholds as lines across the picture, or in steps where each contig has its own."""
    for level in levels:
        style: dict[str, Any] = {
            "color": GREY if level.trait is None else colours[level.trait],
            "linewidth": 0.8,
            "linestyle": level.dash,
            "zorder": 2,
        }
        if level.values.size == 1:
            ax.axhline(float(level.values[0]), **style)
        else:
            x = np.column_stack([genome.edges[:-1], genome.edges[1:], genome.edges[1:]])
            y = np.column_stack([level.values, level.values, np.full(level.values.size, np.nan)])
            ax.plot(x.ravel(), y.ravel(), **style)


def common(levels: list[Level]) -> dict[str, float]:
    """Labels of thresholds for all traits, and their heights at the right end of the picture."""
    return {
        level.label: float(level.values[np.isfinite(level.values)][-1])
        for level in levels
        if level.trait is None
    }


def dashes(levels: list[Level]) -> dict[str, Dash]:
    """Labels and dash patterns of the levels where every trait has thresholds of its own."""
    return {level.label: level.dash for level in levels if level.trait is not None}
