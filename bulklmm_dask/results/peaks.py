"""Peaks of LOD curves with intervals, by the rules of R/qtl2's find_peaks, lod_int, bayes_int."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import pandas as pd
import xarray as xr

from bulklmm_dask.engine.blockwise import Block, gathered
from bulklmm_dask.errors import InputError
from bulklmm_dask.results.checks import require_map, require_result
from bulklmm_dask.results.cis import as_labels, is_cis, with_trait_places
from bulklmm_dask.results.intervals import (
    bayes_ends,
    lod_ends,
    peaks_of,
    rows_of,
    tied_position,
    to_markers,
)
from bulklmm_dask.results.lowest_lod import Threshold, lowest_lod
from bulklmm_dask.results.pairs import as_table, blocks, described, h2_of, joined
from bulklmm_dask.results.runs import highest_of_runs
from bulklmm_dask.storage.encoding import text
from bulklmm_dask.study.checks import number
from bulklmm_dask.study.contigs import locate_contigs
from bulklmm_dask.study.schema import locate
from bulklmm_dask.study.warn import say
from bulklmm_dask.surface import either, option
from bulklmm_dask.text import counted
from bulklmm_dask.typing import Array, Columns, Flags, Index, Names

DROP, THRESHOLD = 1.5, 3.0
# Names that R/qtl2 gives to the positions it inserts between markers.
_PSEUDOMARKER = r"c.+\.loc-*[0-9]+(\.[0-9]+)*"
# Markers of a block, unless a contig has more.
_MARKERS = 2048
# LODs of peaks' curves that are held together.
_TOGETHER = 1 << 20


@dataclass(frozen=True)
class _Rules:
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


def find_peaks(
    result: xr.Dataset,
    *,
    threshold: Threshold = THRESHOLD,
    peakdrop: float | None = None,
    drop: float | None = DROP,
    prob: float | None = None,
    expand2markers: bool = True,
    trait_positions: pd.DataFrame | None = None,
    cis_window: float | None = None,
) -> pd.DataFrame:
    """Peaks of every trait on every contig, with intervals, as in R/qtl2's ``find_peaks``.

    The LODs of one contig, or of several small ones, and one chunk of traits are held at a time,
    and every block is computed once.

    Parameters
    ----------
    result : Dataset
        A result of ``scan`` or ``open_result`` with a marker map.
    threshold : float, Series, mapping, DataArray or Dataset
        LOD that a peak exceeds: one number; one for each trait, by name; what `thresholds` returns
        for one level; or a DataArray with ``traits``, ``contigs`` or both, such as another
        threshold for the X chromosome.
    peakdrop : float, optional
        Look for several peaks on a contig, between which the LOD falls by more than this below the
        lower of the two. Without it each contig has its highest peak only.
    drop : float or None
        LOD support intervals: all markers whose LOD is within ``drop`` of the peak, and the next
        marker on either side. At most ``peakdrop``. None for no intervals.
    prob : float, optional
        Bayes credible intervals of this probability, instead of ``drop``.
    expand2markers : bool
        Move the ends of intervals outwards from R/qtl2's pseudomarkers (named like c1.loc5) to
        the next markers.
    trait_positions : DataFrame, optional
        Positions of the traits on the genome (for example of their genes): columns ``trait`` (or
        the index), ``contig`` (1, chr1, Chr1 and 01 are the same) and ``position`` in the unit of
        the markers. By default the result's ``trait_contig`` and ``trait_position``, if it has
        them.
    cis_window : float, optional
        Largest distance between a trait and a cis peak; 5 Mb or 5 cM by default.

    Returns
    -------
    DataFrame
        One row for each peak, by trait, contig and position: ``trait``, ``contig``, ``position``
        (the mean position of the markers that share the highest LOD; without intervals, as in
        R/qtl2, only of those with no lower LOD between them), ``variant`` (the first of them),
        ``lod``; with intervals ``ci_lo``, ``ci_hi`` (positions) and ``ci_lo_variant``,
        ``ci_hi_variant``; ``h2`` (that of the contig in a scan that leaves one chromosome out);
        where positions of traits are known, ``cis`` (NA for a trait of unknown position); and
        ``effect_allele``, ``other_allele``, ``frequency`` and ``n`` as in `find_hits`, of
        ``variant``.

    Raises
    ------
    InputError
        If there is no marker map, or an option cannot be used.

    Warns
    -----
    StudyWarning
        For traits whose threshold is NaN, markers of unknown position, traits on contigs that the
        result does not have, and traits whose positions have another unit than the markers'.

    Examples
    --------
    >>> result = blmm.scan(ds)
    >>> peaks = blmm.find_peaks(result, threshold=4, drop=1.5)
    >>> peaks[["trait", "contig", "position", "lod", "ci_lo", "ci_hi", "cis"]].round(1)
         trait contig  position  lod  ci_lo  ci_hi    cis
    0  trait06      2      54.2  6.3   36.5   80.8   True
    1  trait08      3       0.1  6.3    0.1   32.3   True
    2  trait10      2      54.2  6.0   36.5   80.8  False
    3  trait11      3      33.4  4.3   32.3   35.5  False
    4  trait12      1     184.3  4.3  167.1  192.1  False

    Each trait against its own threshold from permutations:

    >>> perm = blmm.permute(ds, n_permutations=200, seed=1)
    >>> len(blmm.find_peaks(result, threshold=blmm.thresholds(perm, alpha=0.05)))
    6
    """
    result = require_result(result, "find_peaks")
    whole = _by_contig(result, "find_peaks")
    rules = _rules(peakdrop, drop, prob, expand2markers)
    whole["threshold"] = lowest_lod(result, threshold)
    whole = with_trait_places(whole, result, trait_positions, cis_window)
    return _table(whole, rules, text(result["contig_id"].values))


def lod_interval(
    result: xr.Dataset,
    trait: str,
    contig: str,
    *,
    drop: float = DROP,
    threshold: float = 0.0,
    peakdrop: float | None = None,
    expand2markers: bool = True,
) -> pd.DataFrame:
    """LOD support interval of one trait on one contig, as R/qtl2's ``lod_int``.

    It holds all markers whose LOD is within `drop` of the peak's, and ends at the next marker on
    either side (Broman et al. 2019).

    Parameters
    ----------
    result : Dataset
        A result of ``scan`` or ``open_result`` with a marker map.
    trait, contig : str
        Their names.
    drop, threshold, peakdrop, expand2markers
        As for `find_peaks`.

    Returns
    -------
    DataFrame
        One row for each peak, with the columns of `find_peaks`.

    Raises
    ------
    InputError
        If the result has no such trait or contig, or an option cannot be used.

    Warns
    -----
    StudyWarning
        For markers of unknown position.

    Examples
    --------
    >>> result = blmm.scan(ds)
    >>> interval = blmm.lod_interval(result, "trait11", "3", drop=1.5)
    >>> interval[["position", "lod", "ci_lo", "ci_hi"]].round(1)
       position  lod  ci_lo  ci_hi
    0      33.4  4.3   32.3   35.5
    """
    rules = _rules(peakdrop, drop, None, expand2markers)
    return _of_one(result, trait, contig, threshold, rules, "lod_interval")


def bayes_interval(
    result: xr.Dataset,
    trait: str,
    contig: str,
    *,
    prob: float = 0.95,
    threshold: float = 0.0,
    peakdrop: float | None = None,
    expand2markers: bool = True,
) -> pd.DataFrame:
    """Bayes credible interval of one trait on one contig, as R/qtl2's ``bayes_int``.

    Each marker has the weight 10^LOD times its width, half the distance between its neighbours.
    Markers are taken by falling LOD until they hold the share `prob` of all weight, and the
    interval spans them (Sen and Churchill 2001; Broman et al. 2019).

    Parameters
    ----------
    result : Dataset
        A result of ``scan`` or ``open_result`` with a marker map.
    trait, contig : str
        Their names.
    prob, threshold, peakdrop, expand2markers
        As for `find_peaks`.

    Returns
    -------
    DataFrame
        One row for each peak, with the columns of `find_peaks`.

    Raises
    ------
    InputError
        If the result has no such trait or contig, or an option cannot be used.

    Warns
    -----
    StudyWarning
        For markers of unknown position.

    Examples
    --------
    >>> result = blmm.scan(ds)
    >>> interval = blmm.bayes_interval(result, "trait11", "3", prob=0.99)
    >>> interval[["position", "lod", "ci_lo", "ci_hi"]].round(1)
       position  lod  ci_lo  ci_hi
    0      33.4  4.3   32.3   35.5
    """
    rules = _rules(peakdrop, None, prob, expand2markers)
    return _of_one(result, trait, contig, threshold, rules, "bayes_interval")


def _rules(peakdrop: float | None, drop: float | None, prob: float | None, expand: bool) -> _Rules:
    """Check the options of a search for peaks."""
    between = np.inf if peakdrop is None else number(peakdrop, option("peakdrop"), 0.0)
    if prob is not None:
        if drop not in (None, DROP):
            raise InputError(
                f"{option('drop')} is {drop!r} and {option('prob')} is {prob!r}; give one of them"
            )
        return _Rules(between, None, number(prob, option("prob"), 0.0, 1.0), expand)
    if drop is None:
        return _Rules(between, None, None, expand)
    within = number(drop, option("drop"), 0.0)
    if within > between:
        raise InputError(
            f"{option('drop')} is {drop:g}, more than {option('peakdrop')}, {peakdrop:g}: the "
            f"intervals of two peaks would overlap; lower {option('drop')} or raise "
            f"{option('peakdrop')}"
        )
    return _Rules(between, within, None, expand)


def _of_one(
    result: xr.Dataset, trait: str, contig: str, threshold: float, rules: _Rules, caller: str
) -> pd.DataFrame:
    """Peaks of one trait on one contig."""
    result = require_result(result, caller)
    require_map(result, caller)
    column = locate(result["traits"].values, [trait], "no trait {} here")
    (index,) = locate_contigs(result["contig_id"].values, [contig], "no contig {} here")
    mine = np.flatnonzero(result["variant_contig"].values == index)
    if not mine.size:
        raise InputError(f"contig {contig!r} has no markers in this result")
    one = result.isel(traits=column, variants=mine)
    whole = _by_contig(one, caller)
    whole["threshold"] = lowest_lod(result, threshold)
    return _table(whole, rules, text(result["contig_id"].values))


def _by_contig(result: xr.Dataset, caller: str) -> xr.Dataset:
    """Arrange a result in blocks of whole contigs, its markers by position."""
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
    whole = blocks(result, ["lod"])
    if not np.array_equal(placed, np.arange(order.size)):
        whole = whole.isel(variants=placed)
    sizes = np.unique(contig[placed], return_counts=True)[1]
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


def _table(whole: xr.Dataset, rules: _Rules, contigs: Names) -> pd.DataFrame:
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


def _sift(block: Block, *, rules: _Rules, contigs: Names) -> Columns:
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
    rules: _Rules,
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
