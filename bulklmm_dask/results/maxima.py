"""The highest LOD score of every trait, on the whole genome or on every contig."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import xarray as xr

from bulklmm_dask.engine.blockwise import Block, gathered
from bulklmm_dask.errors import InputError
from bulklmm_dask.results.checks import require_result
from bulklmm_dask.results.pairs import (
    ALLELES,
    as_table,
    blocks,
    described,
    frequency_of,
    h2_of,
    joined,
)
from bulklmm_dask.results.summarised import summary_behind
from bulklmm_dask.storage.labels.coordinates import PAIR
from bulklmm_dask.storage.labels.encoding import text
from bulklmm_dask.storage.proof.frequency import of_pairs
from bulklmm_dask.storage.summaries.stored import Maxima
from bulklmm_dask.storage.summaries.summarise import highest_of_groups
from bulklmm_dask.study.checks import require_by
from bulklmm_dask.surface import either
from bulklmm_dask.typing import Array, By, Columns, Index


def max_lod(result: xr.Dataset, *, by: By | None = None) -> pd.DataFrame:
    """Highest LOD of every trait and its marker.

    Each block of a lazy result is computed once and reduced at once; the matrix of LODs is never
    held in memory. Of what `open_result` gives, only the summary of the store is read.

    Parameters
    ----------
    result : Dataset
        A result of ``scan`` or ``open_result``: ``lod`` (variants, traits), ``h2`` (traits) or
        (contigs, traits) and, where the study has a marker map, ``variant_contig``, ``contig_id``
        and ``variant_position``.
    by : None or "contig"
        One row for each trait, or for each trait and contig.

    Returns
    -------
    DataFrame
        Columns ``trait``, ``variant``, ``contig``, ``position`` (in the study's unit), ``lod`` and
        ``h2``, then ``effect_allele``, ``other_allele``, ``frequency`` and ``n`` as in `find_hits`,
        in the order of the result's traits and contigs. Among equal LODs the first marker is given.
        A trait without LODs (see ``trait_status``) has NaN for its LOD and position and no marker.
        Without a marker map the contig is empty and the position NaN.

    Raises
    ------
    InputError
        If ``by`` is neither, or is "contig" and the result has no contigs; or if ``result`` has no
        LODs.

    Examples
    --------
    >>> result = blmm.scan(ds)
    >>> best = blmm.max_lod(result)
    >>> best.nlargest(3, "lod").iloc[:, :6].round(2)
         trait     variant contig  position   lod    h2
    5  trait06  2:54233555      2     54.23  6.35  0.59
    7  trait08    3:112488      3      0.11  6.34  0.83
    9  trait10  2:54233555      2     54.23  5.96  0.64

    The same on each contig:

    >>> by_contig = blmm.max_lod(result, by="contig")
    >>> by_contig[by_contig.trait == "trait06"].iloc[:, :6].round(2)
          trait     variant contig  position   lod    h2
    15  trait06   1:1071927      1      1.07  0.25  0.59
    16  trait06  2:54233555      2     54.23  6.35  0.59
    17  trait06  3:35516348      3     35.52  0.52  0.59
    """
    require_by(by)
    if isinstance(result, xr.Dataset) and "traits" in result.coords and not result["traits"].ndim:
        result = result.expand_dims("traits")  # one trait was selected by its name
    result = require_result(result, "max_lod")
    if by == "contig" and "variant_contig" not in result:
        raise InputError(
            "the result has no variant_contig, so there is no maximum by contig; "
            f"give the study a marker map, or {either('use by=None', 'leave --by out')}"
        )
    whole = blocks(result, ["lod"])
    contig = whole["contig"].values if by else np.zeros(result.sizes["variants"], dtype=np.int64)
    groups, group = np.unique(contig, return_inverse=True)
    beside = whole[[name for name, v in whole.variables.items() if set(v.dims) != set(PAIR)]]
    if summary := summary_behind(result, by_contig=by is not None):
        of_segments = np.searchsorted(groups, summary.segments.contig) if by else None
        parts = [
            _of_summary(found, of_segments, groups.size, whole["frequency"], beside)
            for found in summary.maxima()
        ]
    else:
        parts = gathered(
            whole.assign(group=("variants", group)),
            _sift,
            _gather,
            sift_with={},
            gather_with={"count": groups.size},
            beside=beside,
        )
    contigs = result["contig_id"].values if "variant_contig" in result else text([""])
    columns = joined(parts)
    columns["contig"] = np.where(columns["variant"] == "", "", text(contigs)[columns["contig"]])
    return as_table(columns)


def _sift(block: Block) -> Columns:
    """Maximum of every trait of a block in each group of markers that the block reaches.

    Returns arrays (groups, traits): the LOD, -inf where there is none, with index and frequency of
    its marker; and ``group`` (groups,).
    """
    lod, row = block["lod"].values, block["row"].values
    group, best, where = highest_of_groups(lod, block["group"].values)
    frequency = frequency_of(block, where, np.arange(lod.shape[1])[None])
    return {
        "group": group,
        "lod": np.where(np.isnan(best), -np.inf, best),
        "row": row[where],
        "frequency": np.broadcast_to(frequency, best.shape),
    }


def _gather(parts: list[Columns], chunk: int, *, beside: Any, count: int) -> Columns:
    """Columns of the table for a chunk of traits, trait by trait."""
    shape = (count, parts[0]["lod"].shape[1])
    best, where = np.full(shape, -np.inf), np.zeros(shape, dtype=np.int64)
    frequency = np.full(shape, np.nan, dtype=np.float32)
    for part in parts:
        group = part["group"]
        higher = part["lod"] > best[group]
        for out, name in ((best, "lod"), (where, "row"), (frequency, "frequency")):
            out[group] = np.where(higher, part[name], out[group])
    return _columns(best, where, frequency, beside)


def _of_summary(
    found: Maxima,
    of_segments: Index | None,
    count: int,
    frequency: xr.DataArray,
    beside: xr.Dataset,
) -> Columns:
    """Columns of the table for some traits from the summary of a store.

    `of_segments` has the group of each segment; None for one group of all.
    """
    shape = (count, found.highest.shape[1])
    best, where = np.full(shape, -np.inf), np.zeros(shape, dtype=np.int64)
    for group in range(count):
        mine = slice(None) if of_segments is None else of_segments == group
        some, rows = found.highest[mine], found.row[mine]
        highest = np.fmax.reduce(some, axis=0)
        known = ~np.isnan(highest)
        best[group, known] = highest[known]
        first = np.where(some == highest, rows, np.iinfo(rows.dtype).max).min(axis=0)
        where[group, known] = first[known]
    beside = beside.isel(traits=found.traits)
    if frequency.ndim == 1:
        return _columns(best, where, frequency.values[where], beside)
    traits = np.arange(found.traits.start, found.traits.stop)
    return _columns(best, where, of_pairs(frequency.variable, where, traits), beside)


def _columns(best: Array, where: Index, frequency: Any, beside: Any) -> Columns:
    """Columns of a table, from arrays (groups, traits), -inf where there is no LOD."""
    j, group = (index.ravel() for index in np.indices(best.shape[::-1]))
    i, lod, frequency = where[group, j], best[group, j], frequency[group, j]
    none = np.isneginf(lod)
    h2 = h2_of(beside, i, j)
    by_contig = "h2" in beside and beside["h2"].ndim == 2
    rest = described(beside, i, j, np.where(none, np.nan, frequency))
    return {
        "trait": beside["trait"].values[j],
        "variant": np.where(none, "", beside["variant"].values[i]),
        "contig": beside["contig"].values[i],
        "position": np.where(none, np.nan, beside["position"].values[i]),
        "lod": np.where(none, np.nan, lod),
        "h2": np.where(none, np.nan, h2) if by_contig else h2,
        **rest,
        **{name: np.where(none, np.nan, rest[name]) for name in ALLELES},
    }
