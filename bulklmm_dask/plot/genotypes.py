"""The values of a trait by the genotype of the samples at one marker."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np
import xarray as xr
from scipy.special import stdtrit

from bulklmm_dask.errors import InputError
from bulklmm_dask.plot._canvas import (
    COLOURS,
    MANY,
    NORMAL,
    SMALL,
    axes,
    inches,
    named,
    say_empty,
    text_size,
    tidy,
)
from bulklmm_dask.plot._genome import place_words
from bulklmm_dask.plot._told import Points, tell
from bulklmm_dask.results.checks import has_map
from bulklmm_dask.storage.labels.restored import require_contigs, restored
from bulklmm_dask.storage.labels.variables import VARIABLES
from bulklmm_dask.study.alleles import effect_allele
from bulklmm_dask.study.checks import refuse_huge, refuse_outside
from bulklmm_dask.study.schema import (
    maximum_of,
    require_form,
    select,
)
from bulklmm_dask.text import counted

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.collections import PathCollection

_HEIGHT, _MARGIN, _EACH, _WIDEST = 3.0, 1.2, 0.75, 7.2  # inches
_JITTER = 0.5  # width of a cloud of points, as a share of the distance between genotypes
_GOLDEN = (5.0**0.5 - 1.0) / 2.0  # its multiples, modulo 1, spread points evenly
# Dosages are taken for genotypes where this share of the samples is within _NEAR copies of 0, 1, 2.
_NEAR, _SHARE = 0.2, 0.95
_USED = (
    *("sample_trait", "call_dosage", "call_genotype_probability", "genotype_id", "variant_allele"),
    *("variant_contig", "variant_position", "contig_id"),
)

# Which samples, their points, and where these are in the direction of x.
_Cloud: TypeAlias = "tuple[np.ndarray, PathCollection, np.ndarray]"


@dataclass(frozen=True)
class _Genotypes:
    """Genotype of every sample: an index into `names`, or without names a dosage; NaN unknown."""

    value: np.ndarray
    names: list[str] | None


def effects(study: xr.Dataset, trait: str, variant: str, *, ax: Axes | None = None) -> Axes:
    """Draw the trait of every sample by its genotype at a marker, with means and 95% intervals.

    Parameters
    ----------
    study : Dataset
        A study. Genotypes are the most probable ones of ``call_genotype_probability``, if more
        probable than 0.5. Without it, dosages are rounded to 0, 1 and 2 copies if nearly all are
        close to these; otherwise they are drawn as they are, with the regression line. Genotypes
        are written by the alleles of ``variant_allele`` where it names two, such as BB, BD and DD.
    trait, variant : str
        Their names.
    ax : Axes, optional
        Where to draw; a new figure if not given.

    Returns
    -------
    Axes
        Genotypes that occur (x) and values of the trait (y), not adjusted for covariates or
        kinship; the intervals (Student's t) assume independent samples. Samples without value or
        genotype are left out, and counted in the label of x; of dosages it says what 1 is.

    Raises
    ------
    InputError
        If the trait or marker is not in the study, or matplotlib is not installed.

    Examples
    --------
    >>> ax = blmm.plot.effects(ds, "trait06", "2:54233555")
    >>> print(ax.get_xlabel())
    Genotype at 2:54233555 (chr 2, 54.23 Mb)
    120 samples
    >>> ax.figure.savefig("effects.png")
    """
    for name in ("sample_trait", "sample_id"):
        if not isinstance(study, xr.Dataset) or name not in study.variables:
            raise InputError(f"there is no {name}: effects are drawn from a study, not a result")
    study = restored(study)
    require_form(study, {name: VARIABLES[name] for name in _USED}, turned=True)
    require_contigs(study)
    values = select(study["sample_trait"], "traits", [trait]).isel(traits=0).values
    refuse_huge(values, f"the values of trait {trait!r}", "give them in another unit")
    here = select(study, "variants", [variant]).isel(variants=0)
    genotypes = _genotypes(here)
    measured, called = ~np.isnan(values), ~np.isnan(genotypes.value)
    used = measured & called
    y, x = values[used], genotypes.value[used]
    classes = np.unique(x) if genotypes.names else np.arange(4)
    ax = axes(ax, (min(_WIDEST, _MARGIN + _EACH * max(3, classes.size)), _HEIGHT))
    names = here["samples"].values[used] if "samples" in here.coords else np.flatnonzero(used)
    if genotypes.names is None:
        called_as = [f"dosage {dosage:.3g}" for dosage in x]
        points = _draw_line(ax, x, y)
        _name_dosages(ax, here, x)
    else:
        called_as = [genotypes.names[int(number)] for number in x]
        points = _draw_classes(
            ax, x, y, {int(number): named(genotypes.names[int(number)]) for number in classes}
        )
    for mine, cloud, across in points:
        words = partial(_words, names[mine], [called_as[i] for i in mine], y[mine])
        tell(ax, Points(cloud, across, y[mine], words))
    missing = {"trait value": (~measured).sum(), "genotype": (measured & ~called).sum()}
    lost = [f"{number:,} without {what}" for what, number in missing.items() if number]
    kind = "Genotype" if genotypes.names else "Dosage"
    label = f"{kind} at {named(_place(here, variant))}\n{counted(int(used.sum()), 'sample')}"
    label += f"; {' and '.join(lost)}" if lost else ""
    label += "" if genotypes.names else f"\n{_unit_of(here)}"
    ax.set_xlabel(label, fontsize=NORMAL)
    ax.set_ylabel("Trait value", fontsize=NORMAL)
    ax.set_title(named(trait), loc="left", fontsize=NORMAL)
    tidy(ax)
    if not used.any():
        ax.set(xticks=[], yticks=[])
        say_empty(ax, "no sample has both")
    return ax


def _genotypes(here: xr.Dataset) -> _Genotypes:
    """Genotypes of all samples at one marker, or their dosages where these are not genotypes."""
    if "call_genotype_probability" in here:
        p = here["call_genotype_probability"].transpose("samples", "genotypes").values
        _refuse_outside(here, p, 1)
        best = np.argmax(np.nan_to_num(p, nan=-1.0), axis=1)
        sure = p[np.arange(len(p)), best] > 0.5
        known = here["genotype_id"].values if "genotype_id" in here else range(1, p.shape[1] + 1)
        return _Genotypes(np.where(sure, best, np.nan), [str(name) for name in known])
    if "call_dosage" not in here:
        raise InputError("there is no call_dosage: effects are drawn from a study with genotypes")
    dosage, maximum = here["call_dosage"].values.astype(np.float64), maximum_of(here["call_dosage"])
    _refuse_outside(here, dosage, maximum)
    copies = dosage * (2.0 / maximum)
    near = np.abs(copies - np.round(copies)) <= _NEAR
    if near.sum() < _SHARE * (~np.isnan(copies)).sum():
        return _Genotypes(dosage, None)
    return _Genotypes(np.round(copies), _of_copies(here))


def _refuse_outside(here: xr.Dataset, calls: np.ndarray, maximum: int) -> None:
    """Raise InputError for a genotype of the marker outside its range."""
    refuse_outside(
        calls[None], maximum, [str(here["variants"].values)], here["samples"].values.tolist()
    )


def _of_copies(here: xr.Dataset) -> list[str]:
    """Names of the genotypes with 0, 1 and 2 copies of the counted allele, or their dosages."""
    return _letters(here) or [
        f"{0.5 * maximum_of(here['call_dosage']) * copies:g}" for copies in range(3)
    ]


def _letters(here: xr.Dataset) -> list[str]:
    """Genotypes with 0, 1 and 2 copies of the counted allele by their alleles; none if unknown."""
    known = here["variant_allele"].values if "variant_allele" in here else ()
    alleles = [str(name) for name in known if str(name)]
    if len(alleles) != 2:
        return []
    between = "" if max(map(len, alleles)) == 1 else "/"
    (one, two) = alleles
    return [between.join(pair) for pair in ((one, one), (one, two), (two, two))]


def _name_dosages(ax: Axes, here: xr.Dataset, x: np.ndarray) -> None:
    """Write the genotype beside the dosages of 0, 1 and 2 copies, if alleles have names."""
    letters, copy = _letters(here), 0.5 * maximum_of(here["call_dosage"])
    if not letters:
        return
    at = [(copy * copies, name) for copies, name in enumerate(letters)]
    margin = 0.1 * copy
    low, high = x.min(initial=at[-1][0]), x.max(initial=0.0)
    shown = [(place, name) for place, name in at if low - margin <= place <= high + margin]
    ticks = sorted({place for place, _ in shown} | {0.5 * copy * step for step in range(5)})
    inside = [tick for tick in ticks if low - margin <= tick <= high + margin]
    names = dict(shown)
    labels = [f"{tick:g}" + (f"\n{named(names[tick])}" if tick in names else "") for tick in inside]
    ax.set_xticks(inside, labels, fontsize=SMALL)


def _words(samples: np.ndarray, genotypes: list[str], values: np.ndarray) -> list[str]:
    """What is said of every sample."""
    rows = zip(samples, genotypes, values, strict=True)
    return [f"{sample}\n{genotype}\n{value:.4g}" for sample, genotype, value in rows]


def _unit_of(here: xr.Dataset) -> str:
    """Say what a dosage of 1 is; the slope of the line is the effect of one."""
    names = here["variant_allele"].values if "variant_allele" in here else ()
    allele = named(effect_allele(names)) or "the effect allele"
    copies = "a copy" if maximum_of(here["call_dosage"]) == 2 else "two copies"
    return f"A dosage of 1 is {copies} of {allele}"


def _place(here: xr.Dataset, variant: str) -> str:
    """Name of the marker with its position, if that is known."""
    if not has_map(here):
        return variant
    contig = here["contig_id"].values[int(here["variant_contig"])]
    unit = here["variant_position"].attrs.get("units", "")
    return f"{variant} ({place_words(contig, float(here['variant_position']), unit)})"


def _draw_classes(ax: Axes, x: np.ndarray, y: np.ndarray, names: dict[int, str]) -> list[_Cloud]:
    """Draw a cloud of points for each genotype, with its mean and interval."""
    clouds, groups = [], []
    for place, number in enumerate(names):
        mine = np.flatnonzero(x == number)
        group = y[mine]
        rank = np.argsort(np.argsort(group, kind="stable"))
        across = place + _JITTER * ((rank * _GOLDEN) % 1.0 - 0.5)
        clouds.append((mine, _draw_points(ax, across, group), across))
        groups.append(group)
    size = np.array([group.size for group in groups])
    mean = np.array([group.mean() for group in groups])
    several = np.maximum(size - 1, 1)
    spread = np.array([group.std(ddof=1) if group.size > 1 else np.nan for group in groups])
    half = stdtrit(several, 0.975) * spread / np.sqrt(size)
    bars: dict[str, Any] = {
        "color": "black",
        "elinewidth": 1.1,
        "capsize": 3,
        "capthick": 1.1,
        "zorder": 4,
    }
    ax.errorbar(np.arange(size.size), mean, half, fmt="_", markersize=16, **bars)
    room = inches(ax)[0] / max(size.size, 1)
    sizes = [f"n = {number:,}" for number in size]
    long = max([text_size(name)[0] for name in (*names.values(), *sizes)], default=0.0) > room
    joint = ", " if long else "\n"
    labels = [joint.join(pair) for pair in zip(names.values(), sizes, strict=True)]
    ax.set_xticks(np.arange(size.size), labels, rotation=90 if long else 0, fontsize=SMALL)
    ax.set_xlim(-0.6, max(size.size, 1) - 0.4)
    return clouds


def _draw_line(ax: Axes, x: np.ndarray, y: np.ndarray) -> list[_Cloud]:
    """Draw points at their dosages, and the regression line."""
    points = _draw_points(ax, x, y)
    if np.unique(x).size > 1:
        ends = np.array([x.min(), x.max()])
        slope, at_zero = np.polyfit(x, y, 1)
        ax.plot(ends, at_zero + slope * ends, color="black", linewidth=1.1, zorder=4)
    return [(np.arange(x.size), points, x)]


def _draw_points(ax: Axes, x: np.ndarray, y: np.ndarray) -> PathCollection:
    style: dict[str, Any] = {
        "linewidths": 0,
        "alpha": 0.75,
        "rasterized": x.size > MANY,
        "zorder": 3,
    }
    return ax.scatter(x, y, s=9, color=COLOURS[-1], **style)
