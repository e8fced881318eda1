"""Hotspots: how many traits have a locus within a window that slides along the genome."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
import xarray as xr

from bulklmm_dask.errors import InputError
from bulklmm_dask.results.checks import require_map, require_table
from bulklmm_dask.results.pairs import joined
from bulklmm_dask.storage.labels.encoding import text
from bulklmm_dask.study.checks import number
from bulklmm_dask.study.contigs import locate_contigs
from bulklmm_dask.surface import function, option
from bulklmm_dask.typing import Array, Columns, Index, Names


def hotspots(
    findings: pd.DataFrame,
    study: xr.Dataset | None = None,
    *,
    window: float,
    step: float | None = None,
    baseline: pd.DataFrame | None = None,
    alpha: float = 0.05,
) -> pd.DataFrame:
    """Count the traits with a hit or a peak in a window that slides along each contig.

    Parameters
    ----------
    findings : DataFrame
        Rows with ``trait``, ``contig`` and ``position``, from `find_hits` or `find_peaks`.
    study : Dataset, optional
        A study or result, for its marker map. With it the whole genome is covered, with a window
        at every marker unless there is a step; without it each contig with findings is covered from
        the first to the last of them.
    window : float
        Width of the window, in the unit of the positions; findings on its edges count.
    step : float, optional
        Distance between the centres of windows, which are its multiples. By default windows are
        centred on the markers of ``study``, as in R/qtl2's ``calc_hotspots``, or half a window
        apart without a study.
    baseline : DataFrame, optional
        Counts in data sets without loci, from `hotspot_baseline` with the same window, step and
        threshold. Needs ``study``.
    alpha : float
        Probability that chance gives any window more traits than ``attrs["threshold"]``.

    Returns
    -------
    DataFrame
        One row for each window, by contig and position: ``contig``, ``position`` (its centre),
        ``traits`` (number of different traits with a finding in it) and ``findings`` (number of
        findings, R/qtl2's ``num_qtl``). Hits count every marker of a locus: use peaks, or
        ``traits``. With a baseline of N data sets also ``p_adjusted`` = (1 + b) / (1 + N), where b
        of them have at least as many traits in any window; ``attrs["threshold"]``, the number of
        traits that is exceeded where ``p_adjusted`` is at most alpha; and ``attrs["alpha"]``.

    Raises
    ------
    InputError
        If a column or a position is missing, a contig is not in the study, a width is not
        positive, the baseline has other windows, or is too small for alpha.

    Examples
    --------
    >>> peaks = blmm.find_peaks(blmm.scan(ds), threshold=4)
    >>> counts = blmm.hotspots(peaks, ds, window=10)
    >>> counts.nlargest(3, "traits").round(1)
       contig  position  traits  findings
    30      2      54.2       2         2
    19      1     184.3       1         1
    20      1     185.5       1         1
    """
    findings = require_table(
        findings,
        ("trait", "contig", "position"),
        "the findings have",
        f"give a table of {function('find_hits')} or {function('find_peaks')}",
        numbers=("position", "lod"),
    )
    if findings["position"].isna().any():
        raise InputError(
            f"{int(findings['position'].isna().sum())} of the findings have no position; hotspots "
            "need a marker map"
        )
    width = _positive(window, option("window"))
    if baseline is not None:
        _require_same(baseline, findings, study, {"window": width, "step": step})
    study = None if study is None else require_map(study, "hotspots")
    contig = _contigs_of(findings, study)
    position = findings["position"].to_numpy(np.float64)
    trait = pd.factorize(findings["trait"].map(str, na_action="ignore"))[0]
    members = _members(contig)
    parts: list[Columns] = []
    for name, centres in _centres(position, members, study, width, step).items():
        mine = members.get(name, np.empty(0, dtype=np.int64))
        parts.append(
            {
                "contig": np.full(centres.size, name, dtype=object),
                "position": centres,
                "traits": _traits_within(trait[mine], position[mine], centres, width),
                "findings": _within(position[mine], position[mine], centres, width),
            }
        )
    counts = pd.DataFrame(joined(parts)) if parts else _empty()
    return counts if baseline is None else _compared(counts, baseline, alpha)


def _require_same(
    baseline: pd.DataFrame, findings: pd.DataFrame, study: xr.Dataset | None, mine: dict[str, Any]
) -> None:
    """Raise InputError where a baseline has another window, step or threshold."""
    if not isinstance(baseline, pd.DataFrame) or not {*mine, "threshold"} <= set(baseline.attrs):
        raise InputError("baseline should be what hotspot_baseline gives, with its attrs")
    if study is None:
        raise InputError("a baseline covers the whole genome: give the study with it")
    for name, value in mine.items():
        if baseline.attrs[name] != value:
            raise InputError(
                f"{name} is {value}, but {baseline.attrs[name]} in the baseline: give both the same"
            )
    least = baseline.attrs["threshold"]
    if least is not None and "lod" in findings and findings["lod"].min() < least:
        raise InputError(
            f"a finding has LOD {findings['lod'].min():.4g}, but the baseline counts peaks above "
            f"{least:g} only: give both the same threshold"
        )


def _compared(counts: pd.DataFrame, baseline: pd.DataFrame, alpha: float) -> pd.DataFrame:
    """Add adjusted p and the number of traits that chance exceeds with probability `alpha`."""
    remedy = "give what hotspot_baseline returns"
    baseline = require_table(baseline, ("traits",), "the baseline has", remedy, numbers=("traits",))
    highest = np.sort(baseline["traits"].to_numpy())
    total = 1 + highest.size
    level = number(alpha, option("alpha"), 0.0, 1.0)
    # Rank, from 1 on, of the lowest maximum that a share of at most alpha exceeds.
    rank = int(np.ceil((1.0 - level) * total - 1e-9))
    if not 1 <= rank <= highest.size:
        raise InputError(
            f"{option('alpha')} is {alpha!r}; a baseline of {highest.size} gives levels from "
            f"{1 / total:.3g} to below 1"
        )
    as_many = highest.size - np.searchsorted(highest, counts["traits"])
    out = counts.assign(p_adjusted=(1 + as_many) / total)
    out.attrs.update(threshold=int(highest[rank - 1]), alpha=level)
    return out


def _positive(value: object, what: str) -> float:
    """Give `value` as a float, or raise InputError unless it is positive and finite."""
    found = number(value, what, 0.0)
    if found == 0.0 or np.isinf(found):
        raise InputError(f"{what} is {value!r}; it should be positive and finite")
    return found


def _contigs_of(findings: pd.DataFrame, study: xr.Dataset | None) -> Names:
    """Contig of each finding, by the name that it has in the study if there is one."""
    contig = text(findings["contig"])
    if study is None:
        return contig
    names = text(study["contig_id"].values)
    what = "the findings lie on contigs that are not in the study: {}"
    return names[locate_contigs(names, contig, what, "give the study that was scanned")]


def _members(group: npt.NDArray[Any]) -> dict[Any, Index]:
    """Ascending indices of the members of each group, in the order of their first ones."""
    codes, names = pd.factorize(group)
    ends = np.cumsum(np.bincount(codes, minlength=len(names)))
    members = np.split(np.argsort(codes, kind="stable"), ends)[:-1]
    return dict(zip(names, members, strict=True))


def _centres(
    position: Array,
    members: dict[str, Index],
    study: xr.Dataset | None,
    width: float,
    step: float | None,
) -> dict[str, Array]:
    """Ascending centres of the windows of every contig."""
    if study is None:
        apart = width / 2 if step is None else _positive(step, "step")
        return {name: _multiples(position[mine], apart) for name, mine in members.items()}
    markers_of = _members(study["variant_contig"].values)
    place = study["variant_position"].values.astype(np.float64)
    out = {}
    for index, name in enumerate(text(study["contig_id"].values)):
        markers = np.unique(place[markers_of.get(index, np.empty(0, dtype=np.int64))])
        markers = markers[~np.isnan(markers)]
        if markers.size:
            out[name] = markers if step is None else _multiples(markers, _positive(step, "step"))
    return out


def _multiples(position: Array, step: float) -> Array:
    """Multiples of a step, from the last below the positions to the first above them."""
    first, last = np.floor(position.min() / step), np.ceil(position.max() / step)
    return np.arange(first, last + 1) * step


def _within(starts: Array, ends: Array, centres: Array, width: float) -> Index:
    """For each centre, how many stretches (start to end) reach into its window."""
    begun = np.searchsorted(np.sort(starts - width / 2), centres, side="right")
    over = np.searchsorted(np.sort(ends + width / 2), centres, side="left")
    return begun - over


def _traits_within(trait: Index, position: Array, centres: Array, width: float) -> Index:
    """For each centre, how many different traits have a finding in its window.

    Findings of one trait at most a window apart are one stretch, so that each trait counts once.
    """
    order = np.lexsort((position, trait))
    trait, position = trait[order], position[order]
    apart = (np.diff(trait) != 0) | (np.diff(position) > width)
    first = np.concatenate([[True], apart])[: trait.size]
    last = np.concatenate([apart, [True]])[-trait.size :] if trait.size else first
    return _within(position[first], position[last], centres, width)


def _empty() -> pd.DataFrame:
    """Counts of no window."""
    columns = {"contig": object, "position": np.float64, "traits": np.intp, "findings": np.intp}
    return pd.DataFrame({name: np.empty(0, kind) for name, kind in columns.items()})
