"""Places on the genome that many traits have loci at: counts in a sliding window."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
import xarray as xr

from bulklmm_dask.errors import InputError
from bulklmm_dask.results.streams import number, require_map
from bulklmm_dask.storage.encoding import text
from bulklmm_dask.text import listing
from bulklmm_dask.typing import Array


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
        A study or result, for its marker map. With it all of the genome is covered, and counts are
        given at every marker unless a step is; without it only the contigs with findings are, from
        the first of them to the last.
    window : float
        Width of the window, in the unit of the positions; findings at its edges count.
    step : float, optional
        Distance between the centres of windows, which lie at its multiples. By default the centres
        are the markers of ``study``, as in R/qtl2's ``calc_hotspots``; without it half a window
        apart.
    baseline : DataFrame, optional
        From `hotspot_baseline`, with the same window, step and threshold: what chance alone gives.
        Needs ``study``.
    alpha : float
        Probability of more traits than ``attrs["threshold"]`` in any window by chance.

    Returns
    -------
    DataFrame
        One row a window, by contig and position: ``contig``, ``position`` (its centre), ``traits``
        (different ones with a finding in the window) and ``findings`` (R/qtl2's ``num_qtl``).
        Hits count every marker of a locus: use peaks, or ``traits``. With a baseline of N data sets
        also ``p_adjusted``, (1 + count) / (1 + N), with count the data sets that have a window of
        as many traits anywhere; ``attrs["threshold"]``, the count that is exceeded where
        ``p_adjusted`` is at most alpha; and ``attrs["alpha"]``.

    Raises
    ------
    InputError
        If a column or a position is missing, a contig is not in the study, a width is not
        positive, the baseline has other windows, or is too small for alpha.
    """
    absent = [name for name in ("trait", "contig", "position") if name not in findings]
    if absent:
        raise InputError(
            f"the findings have no column {absent[0]!r}; give what find_hits or find_peaks returns"
        )
    if findings["position"].isna().any():
        raise InputError(
            f"{int(findings['position'].isna().sum())} of the findings have no position; hotspots "
            "need a marker map"
        )
    width = _positive(window, "window")
    if baseline is not None:
        _require_same(baseline, findings, study, {"window": width, "step": step})
    contig = text(findings["contig"])
    position = findings["position"].to_numpy(np.float64)
    trait = pd.factorize(findings["trait"])[0]
    tables = []
    for name, centres in _centres(contig, position, study, width, step).items():
        mine = contig == name
        tables.append(
            pd.DataFrame(
                {
                    "contig": np.full(centres.size, name, dtype=object),
                    "position": centres,
                    "traits": _traits_within(trait[mine], position[mine], centres, width),
                    "findings": _within(position[mine], position[mine], centres, width),
                }
            )
        )
    counts = pd.concat(tables, ignore_index=True) if tables else _empty()
    return counts if baseline is None else _compared(counts, baseline, alpha)


def _require_same(
    baseline: pd.DataFrame, findings: pd.DataFrame, study: xr.Dataset | None, mine: dict[str, Any]
) -> None:
    """Raise InputError where a baseline does not count what is counted here."""
    if not isinstance(baseline, pd.DataFrame) or {"traits"} - set(baseline) or not baseline.attrs:
        raise InputError("baseline should be what hotspot_baseline gives, with its attrs")
    if study is None:
        raise InputError("a baseline is of all of the genome: give the study with it")
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
    """Add how often chance gives as many traits anywhere, and what it gives with `alpha`."""
    highest = np.sort(baseline["traits"].to_numpy())
    total = 1 + highest.size
    level = number(alpha, "alpha", 0.0, 1.0)
    # The lowest rank whose count is exceeded by too few others.
    rank = int(np.ceil((1.0 - level) * total - 1e-9))
    if not 1 <= rank <= highest.size:
        raise InputError(
            f"alpha is {alpha!r}; a baseline of {highest.size} gives levels from {1 / total:.3g} "
            "to below 1"
        )
    as_many = highest.size - np.searchsorted(highest, counts["traits"])
    out = counts.assign(p_adjusted=(1 + as_many) / total)
    out.attrs.update(threshold=int(highest[rank - 1]), alpha=level)
    return out


def _positive(value: object, what: str) -> float:
    found = number(value, what, 0.0)
    if found == 0.0 or np.isinf(found):
        raise InputError(f"{what} is {value!r}; it should be positive and finite")
    return found


def _centres(
    contig: npt.NDArray[Any],
    position: Array,
    study: xr.Dataset | None,
    width: float,
    step: float | None,
) -> dict[str, Array]:
    """Centres of the windows of every contig, in order."""
    if study is None:
        apart = width / 2 if step is None else _positive(step, "step")
        names = list(dict.fromkeys(contig))
        return {name: _multiples(position[contig == name], apart) for name in names}
    require_map(study, "hotspots")
    of_marker = study["variant_contig"].values
    place = study["variant_position"].values.astype(np.float64)
    names = list(text(study["contig_id"].values))
    unknown = [name for name in dict.fromkeys(contig) if name not in names]
    if unknown:
        raise InputError(
            f"the findings lie on contigs that are not in the study: {listing(unknown)}"
        )
    out = {}
    for index, name in enumerate(names):
        markers = np.unique(place[(of_marker == index) & ~np.isnan(place)])
        if markers.size:
            out[name] = markers if step is None else _multiples(markers, _positive(step, "step"))
    return out


def _multiples(position: Array, step: float) -> Array:
    """Multiples of a step that cover the positions."""
    first, last = np.floor(position.min() / step), np.ceil(position.max() / step)
    return np.arange(first, last + 1) * step


def _within(starts: Array, ends: Array, centres: Array, width: float) -> npt.NDArray[np.intp]:
    """Number of stretches, half a window longer at each end, that a centre lies in."""
    begun = np.searchsorted(np.sort(starts - width / 2), centres, side="right")
    over = np.searchsorted(np.sort(ends + width / 2), centres, side="left")
    return begun - over


def _traits_within(
    trait: npt.NDArray[np.intp], position: Array, centres: Array, width: float
) -> npt.NDArray[np.intp]:
    """Number of different traits: findings of one that windows share are one stretch."""
    order = np.lexsort((position, trait))
    trait, position = trait[order], position[order]
    apart = (np.diff(trait) != 0) | (np.diff(position) > width)
    first = np.concatenate([[True], apart])[: trait.size]
    last = np.concatenate([apart, [True]])[-trait.size :] if trait.size else first
    return _within(position[first], position[last], centres, width)


def _empty() -> pd.DataFrame:
    columns = {"contig": object, "position": np.float64, "traits": np.intp, "findings": np.intp}
    return pd.DataFrame({name: np.empty(0, kind) for name, kind in columns.items()})
