"""Peaks of LOD curves with intervals, by the rules of R/qtl2's find_peaks, lod_int, bayes_int."""

from __future__ import annotations

import numpy as np
import pandas as pd
import xarray as xr

from bulklmm_dask.errors import InputError, OptionError
from bulklmm_dask.results.checks import require_map, require_result
from bulklmm_dask.results.cis import with_trait_places
from bulklmm_dask.results.lowest_lod import Threshold, lowest_lod
from bulklmm_dask.results.pairs import blocks
from bulklmm_dask.results.peak_search import Rules, by_contig, peaks_table, placed_markers
from bulklmm_dask.results.summarised import chosen, narrowed
from bulklmm_dask.storage.labels.encoding import text
from bulklmm_dask.study.checks import number
from bulklmm_dask.study.contigs import locate_contigs
from bulklmm_dask.study.schema import locate
from bulklmm_dask.surface import option

DROP, THRESHOLD = 1.5, 3.0


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
    and every block is computed once. Of what `open_result` gives, only the contigs of some traits
    are read, those that can have a peak by the summary of the store.

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
    placed = placed_markers(result, "find_peaks")
    rules = _rules(peakdrop, drop, prob, expand2markers)
    lowest = lowest_lod(result, threshold)
    whole = blocks(result, ["lod"]).assign(threshold=lowest)
    whole = with_trait_places(whole, result, trait_positions, cis_window)
    choice = chosen(result, lowest, whole_contigs=True)
    if choice is not None:
        whole = narrowed(whole, result, choice)
    return peaks_table(by_contig(whole, placed), rules, text(result["contig_id"].values))


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


def _rules(peakdrop: float | None, drop: float | None, prob: float | None, expand: bool) -> Rules:
    """Check the options of a search for peaks."""
    between = np.inf if peakdrop is None else number(peakdrop, option("peakdrop"), 0.0)
    if prob is not None:
        if drop not in (None, DROP):
            raise OptionError(
                f"{option('drop', drop)} and {option('prob', prob)} exclude each other; choose one"
            )
        return Rules(between, None, number(prob, option("prob"), 0.0, 1.0), expand)
    if drop is None:
        return Rules(between, None, None, expand)
    within = number(drop, option("drop"), 0.0)
    if within > between:
        raise OptionError(
            f"{option('drop', within)} is more than {option('peakdrop', between)}: intervals of "
            f"two peaks would overlap; lower {option('drop')} or raise {option('peakdrop')}"
        )
    return Rules(between, within, None, expand)


def _of_one(
    result: xr.Dataset, trait: str, contig: str, threshold: float, rules: Rules, caller: str
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
    whole = blocks(one, ["lod"]).assign(threshold=lowest_lod(result, threshold))
    whole = by_contig(whole, placed_markers(one, caller))
    return peaks_table(whole, rules, text(result["contig_id"].values))
