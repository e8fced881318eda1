"""The findings of a report, from a few passes over the blocks of a result."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd
import xarray as xr

from bulklmm_dask.lmm.statistics import neg_log10_p
from bulklmm_dask.results.checks import MAP, has_map
from bulklmm_dask.results.cis import WINDOW
from bulklmm_dask.results.hits import find_hits
from bulklmm_dask.results.hotspots import hotspots
from bulklmm_dask.results.maxima import max_lod
from bulklmm_dask.results.pairs import column_names, pair_arrays
from bulklmm_dask.results.peaks import find_peaks
from bulklmm_dask.results.pvalue_counts import pvalue_counts
from bulklmm_dask.results.thresholds import adjusted_p, thresholds
from bulklmm_dask.storage.labels.coordinates import PAIR
from bulklmm_dask.study.schema import locate, select

N_CURVES = 4
ALPHA = 0.05
# Effects of more genotypes are left out of the table, which they would make too wide.
_MOST_EFFECTS = 8


@dataclass(frozen=True)
class Findings:
    """What was found in a result.

    Attributes
    ----------
    loci : DataFrame
        Peaks above the threshold; without a marker map the highest hit of each trait above it.
    top : DataFrame
        The highest loci, with all statistics that the result has of them.
    counts : DataFrame
        From `pvalue_counts`.
    hotspots : DataFrame or None
        From the function `hotspots`; None without a marker map.
    window : float or None
        Width of the windows of hotspots.
    highest : Series or None
        Row of `max_lod` with the highest LOD, only if no LOD is above the threshold.
    curves : Dataset or None
        LODs of the traits with the highest peaks, in memory; None without a marker map.
    levels : Dataset or None
        Thresholds of these traits; None without permutations.
    """

    loci: pd.DataFrame
    top: pd.DataFrame
    counts: pd.DataFrame
    hotspots: pd.DataFrame | None
    window: float | None
    highest: pd.Series | None
    curves: xr.Dataset | None
    levels: xr.Dataset | None


def is_placed(result: xr.Dataset) -> bool:
    """Whether at least one marker has a position on a contig."""
    if not has_map(result):
        return False
    return bool(np.isfinite(result["variant_position"].values.astype(np.float64)).any())


def find(result: xr.Dataset, perm: xr.Dataset | None, *, threshold: float, n_top: int) -> Findings:
    """Search a result; peaks, p-values and curves take one pass over its blocks each."""
    placed = is_placed(result)
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
        levels = thresholds(select(perm, "traits", curves["traits"].values), ALPHA)
    return Findings(
        loci=loci,
        top=_with_statistics(result, best.head(n_top).reset_index(drop=True)),
        counts=pvalue_counts(result),
        hotspots=None if window is None else hotspots(loci, result, window=window),
        window=window,
        highest=_highest(result) if loci.empty else None,
        curves=curves,
        levels=levels,
    )


def _highest(result: xr.Dataset) -> pd.Series | None:
    """Row of `max_lod` with the highest LOD of all."""
    best = max_lod(result).nlargest(1, "lod")
    return None if best["lod"].isna().all() else best.iloc[0]


def _curves(result: xr.Dataset, best: pd.DataFrame) -> xr.Dataset | None:
    """Compute the LODs of the traits with the highest peaks."""
    names = list(dict.fromkeys(best["trait"]))[:N_CURVES]
    if not names:
        return None
    return select(result[["lod", *MAP]], "traits", names).compute()


def _with_statistics(result: xr.Dataset, rows: pd.DataFrame) -> pd.DataFrame:
    """Add the other statistics of some pairs, and their p-value; other pairs are not computed."""
    index = {
        dim: xr.DataArray(
            locate(result[dim].values, rows[column], f"no {column} {{}}"), dims="rows"
        )
        for dim, column in zip(PAIR, ("variant", "trait"), strict=True)
    }
    chosen = {name: result[name].isel(index) for name in _statistics(result)}
    for name, array in xr.Dataset(chosen).compute().data_vars.items():
        labels = column_names(result, str(name))
        columns = array.transpose("rows", ...).values.reshape(len(rows), len(labels)).T
        rows = rows.assign(**dict(zip(labels, columns, strict=True)))
    if "neg_log10_p" not in rows:
        freedom = rows["df"].to_numpy() if "df" in rows else 1
        rows = rows.assign(neg_log10_p=neg_log10_p(rows["lod"].to_numpy(), freedom))
    return rows


def _statistics(result: xr.Dataset) -> list[str]:
    """Statistics of pairs other than the LOD that fit into a table."""
    most = _MOST_EFFECTS * result["lod"].size
    return [
        name
        for name in pair_arrays(result)
        if name not in ("lod", "refined") and result[name].size <= most
    ]
