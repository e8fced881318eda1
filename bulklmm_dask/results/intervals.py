"""Peaks of LOD curves and their intervals, for many curves of one contig at a time.

The rules are those of R/qtl2 (Broman et al. 2019): peaks with a minimum drop between them, LOD
support intervals, and Bayes credible intervals, which weight 10^LOD by the width that a marker
stands for.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from bulklmm_dask.typing import Array, Flags, Index, Real


@dataclass(frozen=True)
class Peaks:
    """Peaks of curves, ordered by curve and marker.

    Attributes
    ----------
    curve : array (peaks,)
        Index of its curve.
    top : array (peaks,)
        Index of its marker, the first of those with equal LOD.
    start, end : array (peaks,)
        Indices of the lowest markers between it and its neighbours, or of the ends of the contig.
    """

    curve: Index
    top: Index
    start: Index
    end: Index

    def take(self, which: slice) -> Peaks:
        """Give some of the peaks."""
        return Peaks(self.curve[which], self.top[which], self.start[which], self.end[which])


def peaks_of(lod: Real, high: Flags, threshold: Array, peakdrop: float) -> Peaks:
    """Find the peaks of some curves.

    Parameters
    ----------
    lod : array (markers, curves)
        LODs in order of position; NaN is passed over.
    high : array (curves,)
        Mask of the curves that exceed their threshold; no other is looked at.
    threshold : array (curves,)
        LOD that a peak exceeds, of all curves.
    peakdrop : float
        How far the LOD falls between two peaks, below the lower one; infinite for one peak a curve.
    """
    curves = np.flatnonzero(high)
    some = lod[:, curves].astype(np.float64)
    if np.isinf(peakdrop):
        top = np.where(np.isnan(some), -np.inf, some).argmax(axis=0)
        return Peaks(curves, top, np.zeros_like(top), np.full_like(top, len(lod) - 1))
    found = _several(some, threshold[curves], peakdrop)
    order = np.lexsort((found.top, found.curve))
    return Peaks(curves[found.curve[order]], found.top[order], found.start[order], found.end[order])


def _several(lod: Array, threshold: Array, peakdrop: float) -> Peaks:
    """Walk along all curves at once; a peak is final once the next one of its curve begins."""
    markers, m = lod.shape
    top, valley, start = (np.full(m, value) for value in (-1, 0, 0))
    height, low = np.zeros(m), np.zeros(m)
    final: list[tuple[Index, ...]] = []
    for i, now in enumerate(lod):
        lower = now < low
        low[lower], valley[lower] = now[lower], i
        high = now > threshold
        begun = top >= 0
        another = high & begun & (np.minimum(height, now) > low + peakdrop)
        if another.any():
            which = np.flatnonzero(another)
            final.append((which, top[which], start[which], valley[which]))
            start[which] = valley[which]
        moved = another | (high & (~begun | (now > height)))
        top[moved], valley[moved] = i, i
        height[moved], low[moved] = now[moved], now[moved]
    which = np.flatnonzero(top >= 0)
    final.append((which, top[which], start[which], np.full(which.size, markers - 1)))
    return Peaks(*(np.concatenate(part) for part in zip(*final, strict=True)))


def rows_of(lod: Real, peaks: Peaks) -> Array:
    """LODs from `start` to `end` of every peak, -inf elsewhere; (peaks, markers)."""
    marker = np.arange(len(lod))
    rows = lod[:, peaks.curve].T.astype(np.float64)
    inside = (marker >= peaks.start[:, None]) & (marker <= peaks.end[:, None])
    return np.where(inside & ~np.isnan(rows), rows, -np.inf)


def tied_position(rows: Array, peaks: Peaks, position: Array, *, adjacent: bool) -> Array:
    """Mean position of the markers that share the LOD of their peak.

    `adjacent` leaves out those that a lower LOD separates from the first of them: R/qtl2 does so
    for peaks without intervals, but not for peaks with LOD support intervals.
    """
    height = _heights(rows, peaks)
    tied = rows == height
    if adjacent:
        lower = np.isfinite(rows) & (rows < height)
        lower &= np.arange(rows.shape[1]) > peaks.top[:, None]
        tied &= np.cumsum(lower, axis=1) == 0
    return np.asarray((tied @ position) / tied.sum(axis=1))


def lod_ends(rows: Array, peaks: Peaks, drop: float) -> tuple[Index, Index]:
    """First and last marker of LOD support intervals.

    An interval holds all markers whose LOD exceeds the peak's less ``drop``, and ends at the next
    marker on either side.
    """
    above = (rows > _heights(rows, peaks) - drop) | np.isposinf(rows)
    above[np.arange(len(rows)), peaks.top] = True
    last = rows.shape[1] - 1
    left = above.argmax(axis=1) - 1
    right = last - above[:, ::-1].argmax(axis=1) + 1
    return np.maximum(left, 0), np.minimum(right, last)


def bayes_ends(rows: Array, peaks: Peaks, position: Array, prob: float) -> tuple[Index, Index]:
    """First and last marker of Bayes credible intervals.

    Markers are taken by falling LOD, among equal ones the first, until they have the share ``prob``
    of the sum of 10^LOD x width over the peak's part of the curve; the interval spans them all.
    Beside an infinite LOD all finite ones weigh nothing.
    """
    height = _heights(rows, peaks)
    below = np.subtract(rows, height, out=np.zeros_like(rows), where=rows != height)
    weight = np.power(10.0, below) * _widths(position)
    order = np.argsort(-rows, axis=1, kind="stable")
    reached = np.cumsum(np.take_along_axis(weight, order, axis=1), axis=1)
    short = (reached < prob * reached[:, -1:]).sum(axis=1)
    taken = np.arange(rows.shape[1]) <= short[:, None]
    left = np.where(taken, order, rows.shape[1]).min(axis=1)
    right = np.where(taken, order, -1).max(axis=1)
    return np.minimum(left, peaks.top), np.maximum(right, peaks.top)


def _widths(position: Array) -> Array:
    """Width of a marker: half the distance between its neighbours; at an end, to its neighbour."""
    if position.size < 2:
        return np.ones(position.size)
    inner = (position[2:] - position[:-2]) / 2
    return np.concatenate([position[1:2] - position[:1], inner, position[-1:] - position[-2:-1]])


def _heights(rows: Array, peaks: Peaks) -> Array:
    """LOD of every peak, (peaks, 1)."""
    return np.take_along_axis(rows, peaks.top[:, None], axis=1)


def to_markers(left: Index, right: Index, marker: Flags) -> tuple[Index, Index]:
    """Move ends outwards to the next true marker, or to the end of the contig without one."""
    where: Index = np.flatnonzero(marker)
    if not where.size:
        return np.zeros_like(left), np.full_like(right, marker.size - 1)
    before = np.searchsorted(where, left, side="right") - 1
    after = np.searchsorted(where, right, side="left")
    return (
        np.where(before < 0, 0, where[before]),
        np.where(after == where.size, marker.size - 1, where[np.minimum(after, where.size - 1)]),
    )
