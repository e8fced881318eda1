"""p-values of traits along the genome: of one scan, or of two in a mirror."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np
import xarray as xr

from bulklmm_dask.errors import InputError
from bulklmm_dask.lmm.statistics import neg_log10_p
from bulklmm_dask.plot._canvas import (
    COLOURS,
    GREY,
    MANY,
    NORMAL,
    axes,
    distinct,
    label_of,
    name_levels,
    named,
    say_empty,
    tidy,
)
from bulklmm_dask.plot._genome import Genome, draw_stage, marker_words, place_words, staged
from bulklmm_dask.plot._levels import (
    Level,
    Threshold,
    common,
    draw_levels,
    in_p_values,
    kept_threshold,
    levels_of,
)
from bulklmm_dask.plot._told import Points, tell
from bulklmm_dask.results.checks import require_map, require_result
from bulklmm_dask.study.checks import refuse_huge
from bulklmm_dask.study.schema import require_unique, select
from bulklmm_dask.surface import either
from bulklmm_dask.text import counted, listing

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_WIDE, _MIRRORED = (7.2, 2.5), (7.2, 4.0)  # inches
# Options by which two scans of a trait are told apart.
_OPTIONS = ("method", "kinship", "loco", "reml", "covariates", "interaction", "condition")
_CLOSE = 1e-6  # relative difference of positions that are the same


def manhattan(
    result: xr.Dataset,
    trait: str,
    *,
    threshold: Threshold | None = None,
    contig: str | None = None,
    ax: Axes | None = None,
) -> Axes:
    """Draw -log10 p of one trait along the genome or one chromosome, a point for each marker.

    Parameters
    ----------
    result : Dataset
        A result of ``scan`` or ``open_result`` with a marker map. Its ``neg_log10_p`` is drawn; if
        it has none, p is computed from the LODs (chi-square with ``df`` degrees of freedom, or 1).
    trait : str
        Its name.
    threshold : float, sequence of float, or Dataset, optional
        Values of -log10 p of dashed lines; or LODs, drawn at their p, as `lod` takes them: what
        ``thresholds`` or ``permute`` returns. If not given, those that the result keeps are drawn.
    contig : str, optional
        Draw this chromosome only.
    ax : Axes, optional
        Where to draw; a new figure if not given.

    Returns
    -------
    Axes
        Chromosomes to scale side by side (x), in two alternating colours, and -log10 p (y). Of many
        markers at the same point of the picture one is drawn.

    Raises
    ------
    InputError
        If the trait or contig is not in the result, it has no marker map, or matplotlib is not
        installed.

    Examples
    --------
    >>> result = blmm.scan(ds)
    >>> ax = blmm.plot.manhattan(result, "trait06", threshold=5)
    >>> ax.get_xlabel()
    'Chromosome'
    >>> ax.figure.savefig("manhattan.png")
    """
    result = require_result(result, "plot.manhattan")
    result = select(result, "traits", [trait])
    shown, genome = staged(result, contig)
    one = shown.isel(traits=0)
    values, levels = _p_values(one, trait), _levels(one, trait, threshold, genome, contig)
    ax = axes(ax, _WIDE)
    draw_stage(ax, shown, genome, contig, curves=False)
    known = _draw_points(ax, one, genome, contig, values, trait)
    draw_levels(ax, levels, genome, {})
    ax.set_ylim(0, _top(values[known], levels))
    ax.set_ylabel(label_of("neg_log10_p"), fontsize=NORMAL)
    ax.set_title(named(trait), loc="left", fontsize=NORMAL)
    tidy(ax)
    name_levels(ax, common(levels).items())
    if not known.any():
        say_empty(ax, "no p-values")
    return ax


def miami(
    upper: xr.Dataset,
    lower: xr.Dataset,
    trait: str,
    *,
    lower_trait: str | None = None,
    labels: tuple[str, str] | None = None,
    threshold: Threshold | None = None,
    contig: str | None = None,
    ax: Axes | None = None,
) -> Axes:
    """Draw -log10 p of two scans: one upwards, the other downwards, on the same scale.

    Parameters
    ----------
    upper, lower : Dataset
        Results of ``scan`` or ``open_result`` of the same markers, in any order; such as scans by
        two methods, with and without a covariate, or of two tissues.
    trait : str
        Its name, in both results.
    lower_trait : str, optional
        Name of the trait in `lower`, where that is another one.
    labels : (str, str), optional
        What is written beside the upper and the lower half; by default the names of the traits
        where they differ, else the options of the scans that do, such as "method null-exact" and
        "method alt-exact", else "upper" and "lower".
    threshold : float, sequence of float, or Dataset, optional
        As in `manhattan`, in both halves. If not given, each half has those that its result keeps.
    contig : str, optional
        Draw this chromosome only.
    ax : Axes, optional
        Where to draw; a new figure if not given.

    Returns
    -------
    Axes
        Chromosomes to scale side by side (x) and -log10 p (y), which grows in both directions from
        the line in the middle.

    Raises
    ------
    InputError
        If a trait or contig is not in a result, the results have other markers or other maps, or
        matplotlib is not installed.

    Examples
    --------
    Without and with relatives in the model:

    >>> plain = blmm.scan(ds, kinship=None)
    >>> ax = blmm.plot.miami(blmm.scan(ds), plain, "trait06", labels=("mixed model", "regression"))
    >>> ax.get_xlabel()
    'Chromosome'
    >>> ax.figure.savefig("miami.png")
    """
    upper, lower = (require_result(one, "plot.miami") for one in (upper, lower))
    traits = (trait, trait if lower_trait is None else lower_trait)
    upper, lower = (
        select(one, "traits", [name]) for one, name in zip((upper, lower), traits, strict=True)
    )
    lower = _on_the_same_map(upper, lower)
    words = labels or (traits if traits[0] != traits[1] else _apart(upper, lower))
    if isinstance(words, str) or len(words) != 2:
        raise InputError(f"labels is {labels!r}; give two, of the upper and of the lower half")
    shown, genome = staged(upper, contig)
    halves = [shown.isel(traits=0), staged(lower, contig)[0].isel(traits=0)]
    given = list(zip(halves, traits, strict=True))
    values = [_p_values(one, name) for one, name in given]
    levels = [_levels(one, name, threshold, genome, contig) for one, name in given]
    ax = axes(ax, _MIRRORED)
    draw_stage(ax, shown, genome, contig, curves=False)
    top = 0.0
    for sign, (one, name), p, lines in zip((1.0, -1.0), given, values, levels, strict=True):
        known = _draw_points(ax, one, genome, contig, p, name, sign=sign)
        flipped = [replace(line, values=sign * line.values) for line in lines]
        draw_levels(ax, flipped, genome, {})
        top = max(top, _top(p[known], lines))
    ax.set_ylim(-top, top)
    ax.axhline(0, color=GREY, linewidth=0.6, zorder=2)
    ax.yaxis.set_major_formatter(lambda value, _: f"{abs(value):g}")
    ax.set_ylabel(label_of("neg_log10_p"), fontsize=NORMAL)
    if traits[0] == traits[1]:
        ax.set_title(named(trait), loc="left", fontsize=NORMAL)
    tidy(ax)
    for height, word, side in zip((0.985, 0.015), words, ("top", "bottom"), strict=True):
        place: dict[str, Any] = {"transform": ax.transAxes, "ha": "right", "va": side}
        box = {"facecolor": "white", "alpha": 0.8, "linewidth": 0, "pad": 1.5}
        ax.text(0.995, height, named(word), fontsize=NORMAL, bbox=box, zorder=5, **place)
    below = [(name, -value) for name, value in common(levels[1]).items()]
    name_levels(ax, [*common(levels[0]).items(), *below])
    if not any(np.isfinite(p).any() for p in values):
        say_empty(ax, "no p-values")
    return ax


def _apart(upper: xr.Dataset, lower: xr.Dataset) -> tuple[str, str]:
    """Words that tell two results of a trait apart: the options that differ."""
    values = [{name: _in_words(one.attrs.get(name)) for name in _OPTIONS} for one in (upper, lower)]
    differ = [name for name in _OPTIONS if values[0][name] != values[1][name]]
    if not differ:
        return "upper", "lower"
    first, second = (", ".join(f"{name} {of[name]}" for name in differ) for of in values)
    return first, second


def _in_words(value: object) -> str:
    """An option of a scan: none where it is off, empty or not known."""
    if isinstance(value, list | tuple):
        return listing(value)
    return "yes" if value == 1 else str(value or "none")


def _on_the_same_map(upper: xr.Dataset, lower: xr.Dataset) -> xr.Dataset:
    """The lower result with the markers of the upper one, in their order; or InputError."""
    for one in (upper, lower):
        if "variants" not in one.indexes:
            raise InputError(
                "a result has no names of markers, by which two are compared; scan a study that "
                "has variant_id"
            )
    names, others = upper.indexes["variants"], lower.indexes["variants"]
    for index, which in ((names, "upper"), (others, "lower")):
        require_unique(map(str, index), f"the markers of the {which} result", "give each once")
    absent, more = names[~names.isin(others)], others[~others.isin(names)]
    if len(absent) or len(more):
        parts = [
            f"{counted(len(only), 'marker')} only in the {which} result: {listing(only, 3)}"
            for only, which in ((absent, "upper"), (more, "lower"))
            if len(only)
        ]
        raise InputError(
            f"the two results have other markers, {'; '.join(parts)}; "
            + either(
                "select those of both: result.sel(variants=names)",
                "scan the same markers twice",
            )
        )
    lower = lower.isel(variants=others.get_indexer(names))
    maps = [require_map(one, "plot.miami") for one in (upper, lower)]
    contigs = [one["contig_id"].values[one["variant_contig"].values] for one in maps]
    places = [one["variant_position"].values.astype(np.float64) for one in maps]
    units = [str(one["variant_position"].attrs.get("units", "")) for one in maps]
    if units[0] != units[1]:
        raise InputError(
            f"positions are in {units[0] or 'no unit'} in the upper result, in "
            f"{units[1] or 'no unit'} in the lower one; convert one of them"
        )
    close = np.isclose(places[0], places[1], rtol=_CLOSE, atol=0.0, equal_nan=True)
    same = close & (contigs[0].astype(str) == contigs[1].astype(str))
    if not same.all():
        first = int(np.flatnonzero(~same)[0])
        at = [
            place_words(on[first], place[first], units[0])
            for on, place in zip(contigs, places, strict=True)
        ]
        raise InputError(
            f"{counted(int((~same).sum()), 'marker')} of the two results at other places, the "
            f"first {names[first]!r}: {at[0]} and {at[1]}; scan with one marker map"
        )
    return lower


def _p_values(one: xr.Dataset, trait: str) -> np.ndarray:
    """-log10 p of a trait at every marker, from the result or from its LODs."""
    if "neg_log10_p" in one:
        values = one["neg_log10_p"].values.astype(np.float64)
    else:
        values = neg_log10_p(one["lod"].values, _freedom(one))
    refuse_huge(values, f"the p-values of trait {trait!r}", "scan it again")
    return values


def _freedom(one: xr.Dataset) -> np.ndarray:
    """Degrees of freedom of the tests of a trait."""
    return one["df"].values if "df" in one else np.ones(1, dtype=int)


def _levels(
    one: xr.Dataset,
    trait: str,
    threshold: Threshold | None,
    genome: Genome,
    contig: str | None,
) -> list[Level]:
    """Thresholds as -log10 p: numbers are, what was found by permutations are LODs."""
    given = kept_threshold(one) if threshold is None else threshold
    levels = levels_of(given, [trait], genome, contig)
    of_lods = threshold is None or isinstance(threshold, xr.Dataset | xr.DataArray)
    return in_p_values(levels, _freedom(one)) if of_lods else levels


def _draw_points(
    ax: Axes,
    one: xr.Dataset,
    genome: Genome,
    contig: str | None,
    values: np.ndarray,
    trait: str,
    *,
    sign: float = 1.0,
) -> np.ndarray:
    """Draw a point for each marker, in two colours in turn; return which could be drawn."""
    where = one["variant_contig"].values
    x = genome.place(where, one["variant_position"].values)
    known = np.isfinite(values) & np.isfinite(x)
    turn = np.cumsum(np.diff(genome.edges) > 0) if contig is None else np.ones(len(genome.names))
    for side, colour in enumerate((COLOURS[-1], COLOURS[0])):
        mine = np.flatnonzero(known & (turn[where] % 2 == side))
        if mine.size:
            mine = mine[distinct(x[mine], values[mine])]
            style: dict[str, Any] = {"linewidths": 0, "rasterized": known.sum() > MANY, "zorder": 3}
            points = ax.scatter(x[mine], sign * values[mine], s=4, color=colour, **style)
            words = partial(_words, one, mine, values[mine], trait)
            tell(ax, Points(points, x[mine], sign * values[mine], words))
    return known


def _words(one: xr.Dataset, mine: np.ndarray, values: np.ndarray, trait: str) -> list[str]:
    """What is said of the markers at these positions."""
    markers = marker_words(one.isel(variants=mine))
    return [f"{trait}\n{of}\n-log10 p {p:.2f}" for of, p in zip(markers, values, strict=True)]


def _top(values: np.ndarray, levels: list[Level]) -> float:
    """Upper end of the axis of p-values."""
    return 1.06 * float(np.max(values, initial=max([1.0, *(level.top for level in levels)])))
