"""Hits: a table of the pairs of a marker and a trait with a high LOD."""

from __future__ import annotations

import os
from dataclasses import replace
from importlib.util import find_spec
from typing import overload

import numpy as np
import pandas as pd
import xarray as xr

from bulklmm_dask.errors import InputError, OptionError, StoreError
from bulklmm_dask.results.checks import require_result
from bulklmm_dask.results.hit_search import Search
from bulklmm_dask.results.hit_tables import is_part
from bulklmm_dask.results.lowest_lod import Threshold, lowest_lod
from bulklmm_dask.results.null_maxima import NullMaxima
from bulklmm_dask.results.thresholds import adjusted_p
from bulklmm_dask.storage.places.location import Location
from bulklmm_dask.study.checks import number, whole_number
from bulklmm_dask.surface import either, option
from bulklmm_dask.text import listing


@overload
def find_hits(
    result: xr.Dataset,
    *,
    threshold: Threshold | None = None,
    fdr: float | None = None,
    top: int | None = None,
    store: None = None,
    overwrite: bool = False,
    trait_positions: pd.DataFrame | None = None,
    cis_window: float | None = None,
    perm: xr.Dataset | None = None,
) -> pd.DataFrame: ...


@overload
def find_hits(
    result: xr.Dataset,
    *,
    threshold: Threshold | None = None,
    fdr: float | None = None,
    top: int | None = None,
    store: str | os.PathLike[str],
    overwrite: bool = False,
    trait_positions: pd.DataFrame | None = None,
    cis_window: float | None = None,
    perm: xr.Dataset | None = None,
) -> int: ...


def find_hits(
    result: xr.Dataset,
    *,
    threshold: Threshold | None = None,
    fdr: float | None = None,
    top: int | None = None,
    store: str | os.PathLike[str] | None = None,
    overwrite: bool = False,
    trait_positions: pd.DataFrame | None = None,
    cis_window: float | None = None,
    perm: xr.Dataset | None = None,
) -> pd.DataFrame | int:
    """Pairs of a marker and a trait with a high LOD.

    Every block of the result is computed once, with all its statistics, and dropped as soon as its
    hits are taken: a scan of which only the hits are kept needs no store for its LODs. Of what
    `open_result` gives, only those chunks are read that can hold a hit by the summary of the store.

    Parameters
    ----------
    result : Dataset
        A result of ``scan`` or ``open_result``.
    threshold : float, Series, mapping, DataArray or Dataset
        The lowest LOD of a hit: one number; one for each trait, by name; what `thresholds` returns
        for one level; or a DataArray with ``traits``, ``contigs`` or both.
    fdr : float, optional
        Instead of a threshold: the false discovery rate of the hits, by the procedure of Benjamini
        and Hochberg (1995) over all pairs, each of which is a test (see `pvalue_counts`). It is
        exact. If more than 0.5% of all pairs are hits, it takes a second pass over the result.
    top : int, optional
        Most hits of each trait, the highest ones; among equal LODs the first marker. Give ``top``,
        a threshold or ``fdr``, or ``top`` with either.
    store : path, optional
        Folder to write the hits to as Parquet files, one for each chunk of traits, instead of
        returning them. Memory does not grow with their number: hits of blocks go into files in the
        folder, and are merged into row groups of 131,072 rows. The folder appears when it is
        complete; workers on other machines must see it under the same path. Needs pyarrow.
    overwrite : bool
        Whether to replace an existing folder of Parquet files.
    trait_positions, cis_window
        As for `find_peaks`.
    perm : Dataset, optional
        What `permute` returns, or `open_result` of its store: the columns of `adjusted_p` are
        added, in the table or in the files.

    Returns
    -------
    DataFrame or int
        One row for each hit, in the order of the result's traits and, within a trait, by falling
        LOD: ``trait``, ``variant``, ``contig``, ``position`` (in the study's unit), ``lod``, ``h2``
        (that of the contig in a scan that leaves one chromosome out); with `fdr` also ``fdr`` (the
        lowest false discovery rate at which the hit is found); then all other statistics that the
        result has, such as ``h2_alt``, ``beta``, ``se``, ``neg_log10_p``, ``explained`` and ``df``
        (effects of several genotypes in a column each: ``beta_AA``); ``cis`` where positions of
        traits are known; ``effect_allele`` and ``other_allele`` (the dosage counts the first of
        these; NaN where the study names no alleles, and where several genotypes are tested),
        ``frequency`` of the effect allele among the samples scanned, and their number ``n``; and
        with effects ``effect_unit``, what one unit of them is; with `perm` ``p_adjusted`` and
        ``p_source`` of `adjusted_p`. Without a marker map the contig is
        empty and the position NaN. With ``store`` the number of hits written.

    Raises
    ------
    InputError
        If none of a threshold, ``fdr`` and ``top`` is given, or an option cannot be used; as for
        `adjusted_p`.
    StoreError
        If the folder exists or cannot be written; then nothing is left behind.

    Warns
    -----
    StudyWarning
        For traits whose threshold is NaN, and for traits whose positions have another unit than the
        markers'.

    Notes
    -----
    A false discovery is a pair without an association. Markers of one locus are linked, and each
    of them is a discovery of its own: the rate holds for pairs, not for loci or traits
    (`trait_fdr` is a rate over traits, from permutations). It holds for positively dependent
    p-values, such as those of linked markers. Under arbitrary dependence the rate can be higher by
    the factor 1 + 1/2 + ... + 1/m, about ln m + 0.58 for m pairs (Benjamini and Yekutieli 2001):
    divide `fdr` by it.

    Examples
    --------
    All pairs with a LOD of at least 5. The scan is lazy: each block is computed once and given up.

    >>> result = blmm.scan(ds, statistics=["beta", "se"])
    >>> hits = blmm.find_hits(result, threshold=5)
    >>> hits[["trait", "variant", "lod", "beta", "se"]].round(2)
         trait     variant   lod  beta    se
    0  trait06  2:54233555  6.35 -1.12  0.20
    1  trait08    3:112488  6.34  1.06  0.19
    2  trait10  2:54233555  5.96 -1.02  0.19

    All pairs at a false discovery rate of 5%; how many, of how many traits, and the lowest LOD:

    >>> hits = blmm.find_hits(result, fdr=0.05)
    >>> len(hits), hits.trait.nunique(), round(float(hits.lod.min()), 2)
    (8, 6, 2.88)
    """
    result = require_result(result, "find_hits")
    search = Search.of(result, trait_positions, cis_window)
    if threshold is None and top is None and fdr is None:
        raise OptionError(
            f"{either('find_hits', 'this')} would give every pair: give {option('threshold', 5)}, "
            f"or {option('fdr', 0.05)}, or {option('top', 10)} for the highest of each trait; "
            f"{option('top')} goes with either"
        )
    if threshold is not None and fdr is not None:
        level = threshold if isinstance(threshold, int | float) else None
        raise OptionError(
            f"{option('threshold', level)} and {option('fdr', fdr)} exclude each other: give one "
            "of them"
        )
    if top is not None:
        top = whole_number(top, option("top"), 1)
    lowest = lowest_lod(result, -np.inf if threshold is None else threshold)
    rate = None if fdr is None else number(fdr, option("fdr"), 0.0, 1.0)
    if rate in (0.0, 1.0):
        raise OptionError(
            f"{option('fdr')} is {fdr!r}; it should lie between 0 and 1, such as 0.05"
        )
    maxima = None if perm is None else NullMaxima.of(perm, None)
    if store is None:
        tables = [part.table for part in search.run(lowest, rate, top)]
        return _with_p(maxima, pd.concat(tables, ignore_index=True))
    target = Location.of(store).opened(to_write=True)
    _require_free(target, overwrite)
    with target.appearing(_require_replaceable if overwrite else None) as partial:
        parts = replace(search, folder=partial).run(lowest, rate, top)
        if maxima is not None:
            for part in parts:
                part.change(lambda table: _with_p(maxima, table))
    return sum(part.rows for part in parts)


def _with_p(maxima: NullMaxima | None, hits: pd.DataFrame) -> pd.DataFrame:
    """Hits with their adjusted p, if there are permutations."""
    return hits if maxima is None else adjusted_p(maxima.perm, hits)


def _require_free(target: Location, overwrite: bool) -> None:
    """Raise InputError or StoreError, before any work, where Parquet files cannot be written."""
    if find_spec("pyarrow") is None:
        raise InputError(
            f"{either('store', '--out')} writes Parquet files, which needs pyarrow, and it is not "
            "installed; install it with: pip install pyarrow, or "
            + either("leave store out", "let the name of --out end with .csv")
        )
    target.require_free(overwrite=overwrite)
    if target.exists():
        _require_replaceable(target)


def _require_replaceable(target: Location) -> None:
    """Raise StoreError unless a folder holds nothing but what `find_hits` has written."""
    foreign = [name for name in target.names() if not is_part(name)] if target.is_folder() else []
    if foreign or not target.is_folder():
        what = f"holds other files ({listing(foreign)})" if foreign else "is a file"
        raise StoreError(
            f"{target} {what}, so it is not replaced; give another path, or remove it yourself"
        )
