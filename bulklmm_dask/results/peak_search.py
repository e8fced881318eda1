"""The search for peaks: contig by contig in blocks of curves, each block computed once."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import pandas as pd
import xarray as xr

from bulklmm_dask.engine.blockwise import Block, gathered
from bulklmm_dask.errors import InputError
from bulklmm_dask.results.checks import require_map
from bulklmm_dask.results.cis import as_labels, is_cis
from bulklmm_dask.results.intervals import (
    bayes_ends,
    lod_ends,
    peaks_of,
    rows_of,
    tied_position,
    to_markers,
)
from bulklmm_dask.results.pairs import as_table, described, h2_of, joined
from bulklmm_dask.storage.summaries.highest import highest_of_runs
from bulklmm_dask.study.warn import say
from bulklmm_dask.surface import either
from bulklmm_dask.text import counted
from bulklmm_dask.typing import Array, Columns, Flags, Index, Names

# Names that R/qtl2 gives to the positions it inserts between markers.
_PSEUDOMARKER = r"c.+\.loc-*[0-9]+(\.[0-9]+)*"
# Markers of a block, unless a contig has more.
_MARKERS = 2048
# LODs of peaks' curves that are held together.
_TOGETHER = 1 << 20


@dataclass(frozen=True)
class Rules:
    """Which maxima of a curve are peaks, and which interval each is given.

    Attributes
    ----------
    peakdrop : float
        How far the LOD falls between two peaks, below the lower one; infinite for one peak a curve.
    drop, prob : float or None
        Drop of LOD support intervals or probability of Bayes intervals; both None for no intervals.
    expand : bool
        Whether intervals end at markers, not at R/qtl2's pseudomarkers.
    """

    peakdrop: float
    drop: float | None
    prob: float | None
    expand: bool

    @property
    def intervals(self) -> bool:
        """Whether peaks are given intervals."""
        return self.drop is not None or self.prob is not None


def placed_markers(result: xr.Dataset, caller: str) -> Index:
    """Indices of the markers of known position, by contig and position."""
    require_map(result, caller)
    contig = result["variant_contig"].values
    position = result["variant_position"].values.astype(np.float64)
    order = np.lexsort((position, contig))
    placed = order[~np.isnan(position[order])]
    if placed.size < order.size:
        lost = counted(order.size - placed.size, "marker")
        say(f"{either(caller, 'the search')} leaves out {lost} of unknown position")
    if not placed.size:
        raise InputError("no marker of the result has a position; give the study a marker map")
    return placed


def by_contig(whole: xr.Dataset, placed: Index) -> xr.Dataset:
    """Arrange the blocks of a result by whole contigs, and its markers as they are `placed`."""
    if not np.array_equal(placed, np.arange(whole.sizes["variants"])):
        whole = whole.isel(variants=placed)
    sizes = np.unique(whole["contig"].values, return_counts=True)[1]
    cut = _whole_contigs(sizes)
    lazy = [
        name for name, each in whole.variables.items() if each.chunks and "variants" in each.dims
    ]
    return whole.assign({name: whole[name].chunk(variants=cut) for name in lazy}).unify_chunks()


def _whole_contigs(sizes: Index) -> tuple[int, ...]:
    """Sizes of blocks that hold whole contigs: several small ones together."""
    ends = np.cumsum(sizes)
    block = (ends - 1) // _MARKERS
    block = np.where(sizes >= _MARKERS, -np.arange(1, sizes.size + 1), block)
    last = np.flatnonzero(np.diff(block, append=block[-1] + 1))
    return tuple(np.diff(ends[last], prepend=0).tolist())


def peaks_table(whole: xr.Dataset, rules: Rules, contigs: Names) -> pd.DataFrame:
    """Find the peaks of all blocks."""
    parts = gathered(
        whole,
        _sift,
        _gather,
        sift_with={"rules": rules, "contigs": contigs},
        gather_with={},
    )
    columns = joined(parts)
    if "cis" in columns:
        columns["cis"] = as_labels(columns["cis"])
    return as_table(columns)


def _sift(block: Block, *, rules: Rules, contigs: Names) -> Columns:
    """Peaks of the curves of some contigs and one chunk of traits."""
    lod, contig = block["lod"].values, block["contig"].values
    starts = np.flatnonzero(np.diff(contig, prepend=contig[0] - 1))
    ends = np.append(starts[1:], contig.size)
    threshold = _threshold(block, contig[starts])
    high = highest_of_runs(lod, starts) > threshold
    # The first contig stands for all where there is no peak: it gives the columns.
    chosen = np.flatnonzero(high.any(axis=1)) if high.any() else np.zeros(1, dtype=np.int64)
    marker = _markers(block) if rules.expand and rules.intervals else None
    found = joined(
        [
            part
            for c in chosen.tolist()
            for part in _of_contig(
                block, slice(starts[c], ends[c]), high[c], threshold[c], rules, marker
            )
        ]
    )
    top, curve, position = (found[name] for name in ("top", "curve", "position"))
    names, places = block["variant"].values, block["position"].values
    intervals = [name for name in ("ci_lo", "ci_hi") if name in found]
    return {
        "trait": block["trait"].values[curve],
        "contig": contigs[contig[top]],
        "position": position,
        "variant": names[top],
        "lod": lod[top, curve],
        **{name: places[found[name]] for name in intervals},
        **{f"{name}_variant": names[found[name]] for name in intervals},
        "h2": h2_of(block, top, curve),
        **is_cis(block, contig[top], position, curve),
        **described(block, top, curve),
        "_column": block["column"].values[curve],
        "_contig": contig[top],
    }


def _threshold(block: Block, contigs: Index) -> Array:
    """Threshold of each contig and trait of a block, (contigs, traits)."""
    found = block["threshold"]
    values = found.values
    if "contigs" in found.dims:
        values = values[contigs] if values.ndim == 2 else values[contigs][:, None]
    return np.broadcast_to(values, (contigs.size, block["lod"].shape[1]))


def _markers(block: Block) -> Flags:
    """Which positions of a block are markers, not R/qtl2's pseudomarkers."""
    names = pd.Series(block["variant"].values, dtype=object)
    return ~names.str.fullmatch(_PSEUDOMARKER).to_numpy(bool)


def _of_contig(
    block: Block,
    rows: slice,
    high: Flags,
    threshold: Array,
    rules: Rules,
    marker: Flags | None,
) -> Iterator[Columns]:
    """Peaks of some curves on one contig, and the ends of their intervals, as rows of the block."""
    lod, position = block["lod"].values[rows], block["position"].values[rows]
    peaks = peaks_of(lod, high, threshold, rules.peakdrop)
    together = max(1, _TOGETHER // len(lod))
    for at in range(0, max(1, peaks.top.size), together):
        some = peaks.take(slice(at, at + together))
        curves = rows_of(lod, some)
        found = {
            "top": some.top + rows.start,
            "curve": some.curve,
            "position": tied_position(curves, some, position, adjacent=not rules.intervals),
        }
        if rules.intervals:
            if rules.prob is not None:
                ends = bayes_ends(curves, some, position, rules.prob)
            else:
                assert rules.drop is not None
                ends = lod_ends(curves, some, rules.drop)
            if marker is not None:
                ends = to_markers(*ends, marker[rows])
            found |= {
                name: end + rows.start for name, end in zip(("ci_lo", "ci_hi"), ends, strict=True)
            }
        yield found


def _gather(parts: list[Columns], chunk: int) -> Columns:
    """Peaks of a chunk of traits in order of trait, contig and position."""
    found = joined(parts)
    column, contig = found.pop("_column"), found.pop("_contig")
    order = np.lexsort((found["position"], contig, column))
    return {name: values[order] for name, values in found.items()}
