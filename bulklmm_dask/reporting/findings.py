"""What a report tells of a result, found in a few passes over its blocks."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
import xarray as xr

from bulklmm_dask.lmm.statistics import neg_log10_p
from bulklmm_dask.results.cis import WINDOW
from bulklmm_dask.results.hits import find_hits
from bulklmm_dask.results.hotspots import hotspots
from bulklmm_dask.results.maxima import max_lod
from bulklmm_dask.results.peaks import find_peaks
from bulklmm_dask.results.pvalue_counts import pvalue_counts
from bulklmm_dask.results.thresholds import adjusted_p, thresholds
from bulklmm_dask.storage.encoding import text

N_CURVES = 4
ALPHA = 0.05
# Effects of more genotypes would make the table too wide to be read.
_MOST_EFFECTS = 8
_PAIR = ("variants", "traits")
_MAP = ("variant_contig", "variant_position", "contig_id")


@dataclass(frozen=True)
class Findings:
    """What was found in a result.

    Attributes
    ----------
    loci : DataFrame
        The peaks above the threshold; without a marker map the highest hit of each trait above it.
    top : DataFrame
        The highest of them, with all that the result has of the pair.
    counts : DataFrame
        Of `pvalue_counts`.
    hotspots : DataFrame or None
        Of `hotspots`; None without a marker map.
    window : float or None
        Width of their windows.
    highest : Series or None
        The row of `max_lod` with the highest LOD, where there is one but not above the threshold.
    curves : Dataset or None
        The LODs of the traits with the highest peaks, in memory; None without a marker map.
    levels : Dataset or None
        Thresholds of these traits from their permutations.
    """

    loci: pd.DataFrame
    top: pd.DataFrame
    counts: pd.DataFrame
    hotspots: pd.DataFrame | None
    window: float | None
    highest: pd.Series | None
    curves: xr.Dataset | None
    levels: xr.Dataset | None


def has_map(result: xr.Dataset) -> bool:
    """Whether at least one marker has a place."""
    known = all(name in result for name in _MAP)
    return known and bool(np.isfinite(result["variant_position"].values.astype(np.float64)).any())


def find(result: xr.Dataset, perm: xr.Dataset | None, *, threshold: float, n_top: int) -> Findings:
    """Find what a report tells; each of peaks, p-values and curves is one pass over the result."""
    placed = has_map(result)
    if placed:
        loci = find_peaks(result, threshold=threshold)
    else:
        bare = result.drop_vars(["trait_contig", "trait_position"], errors="ignore")
        loci = find_hits(bare, threshold=threshold, top=1)
        loci = loci[loci["lod"] > threshold]
    if perm is not None:
        loci = adjusted_p(perm, loci)
    best = loci.sort_values("lod", ascending=False, kind="stable")
    window = WINDOW.get(str(result["variant_position"].attrs.get("units"))) if placed else None
    curves = _curves(result, best) if placed else None
    levels = None
    if perm is not None and curves is not None:
        levels = thresholds(_of_traits(perm, list(curves["traits"].values)), ALPHA)
    return Findings(
        loci=loci,
        top=_told(result, best.head(n_top).reset_index(drop=True)),
        counts=pvalue_counts(result),
        hotspots=None if window is None else hotspots(loci, result, window=window),
        window=window,
        highest=_highest(result) if loci.empty else None,
        curves=curves,
        levels=levels,
    )


def _highest(result: xr.Dataset) -> pd.Series | None:
    best = max_lod(result).nlargest(1, "lod")
    return None if best["lod"].isna().all() else best.iloc[0]


def _curves(result: xr.Dataset, best: pd.DataFrame) -> xr.Dataset | None:
    """LODs of the traits of the highest peaks; nothing else of the result."""
    names = list(dict.fromkeys(best["trait"]))[:N_CURVES]
    if not names:
        return None
    return _of_traits(result[["lod", *_MAP]], names).compute()


def _of_traits(ds: xr.Dataset, names: Sequence[str]) -> xr.Dataset:
    return ds.isel(traits=pd.Index(text(ds["traits"].values)).get_indexer(pd.Index(names)))


def _told(result: xr.Dataset, rows: pd.DataFrame) -> pd.DataFrame:
    """Add to some pairs what the result has of them, and their p-value; the others stay unread."""
    places = {
        dim: xr.DataArray(
            pd.Index(text(result[dim].values)).get_indexer(pd.Index(rows[column])), dims="rows"
        )
        for dim, column in zip(_PAIR, ("variant", "trait"), strict=True)
    }
    told = {name: result[name].isel(places) for name in _statistics(result)}
    for name, array in xr.Dataset(told).compute().data_vars.items():
        others = [dim for dim in array.dims if dim != "rows"]
        labels = [f"{name}_{label}" for label in array[others[0]].values] if others else [str(name)]
        columns = array.transpose("rows", ...).values.reshape(len(rows), len(labels)).T
        rows = rows.assign(**dict(zip(labels, columns, strict=True)))
    if "neg_log10_p" not in rows:
        freedom = rows["df"].to_numpy() if "df" in rows else 1
        rows = rows.assign(neg_log10_p=neg_log10_p(rows["lod"].to_numpy(), freedom))
    return rows


def _statistics(result: xr.Dataset) -> list[str]:
    """What the result has of every pair beside its LOD, unless it is too much for a table."""
    return [
        str(name)
        for name, array in result.data_vars.items()
        if set(_PAIR) <= set(array.dims)
        and name not in ("lod", "refined")
        and array.size <= _MOST_EFFECTS * result["lod"].size
    ]
