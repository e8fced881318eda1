"""The highest LOD score of every trait, on the whole genome or on every contig."""

from __future__ import annotations

import numpy as np
import pandas as pd
import xarray as xr

from bulklmm_dask.errors import InputError
from bulklmm_dask.results.checks import require_result
from bulklmm_dask.storage.encoding import text
from bulklmm_dask.study.checks import require_by
from bulklmm_dask.typing import Array, By, Index


def max_lod(result: xr.Dataset, *, by: By | None = None) -> pd.DataFrame:
    """Highest LOD of every trait and its marker.

    Each block of a lazy result is computed once and reduced at once; the matrix of LODs is never
    held in memory.

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
        ``h2``, in the order of the result's traits and contigs. Among equal LODs the first marker
        is given. A trait without LODs (see ``trait_status``) has NaN for its LOD and position and
        no marker. Without a marker map the contig is empty and the position NaN.

    Raises
    ------
    InputError
        If ``by`` is neither, or is "contig" and the result has no contigs; or if ``result`` has no
        LODs.

    Examples
    --------
    >>> result = blmm.scan(ds)
    >>> best = blmm.max_lod(result)
    >>> best.nlargest(3, "lod").round(2)
         trait     variant contig  position   lod    h2
    5  trait06  2:54233555      2     54.23  6.35  0.59
    7  trait08    3:112488      3      0.11  6.34  0.83
    9  trait10  2:54233555      2     54.23  5.96  0.64

    The same on each contig:

    >>> blmm.max_lod(result, by="contig").query("trait == 'trait06'").round(2)
          trait     variant contig  position   lod    h2
    15  trait06   1:1071927      1      1.07  0.25  0.59
    16  trait06  2:54233555      2     54.23  6.35  0.59
    17  trait06  3:35516348      3     35.52  0.52  0.59
    """
    require_by(by)
    if isinstance(result, xr.Dataset) and "lod" in result and "traits" not in result.dims:
        # One trait was selected by name.
        with_dim = {name: result[name].expand_dims("traits", -1) for name in ("lod", "h2")}
        result = result.drop_vars("traits").assign(with_dim)
    result = require_result(result, "max_lod")
    if by == "contig" and "variant_contig" not in result:
        raise InputError(
            "the result has no variant_contig, so there is no maximum by contig; "
            "give the study a marker map, or use by=None"
        )
    groups = _contig_members(result) if by else [np.arange(result.sizes["variants"])]
    lod, where, h2 = _maxima(result, groups)
    where = where.T.ravel()
    trait = np.repeat(np.arange(h2.shape[-1]), len(groups))
    if h2.ndim == 1:
        h2 = h2[trait]
    else:  # one for each contig left out: take that of the marker's contig
        h2 = np.where(where < 0, np.nan, h2[result["variant_contig"].values[where], trait])
    return _table(result, lod.T.ravel(), where, h2)


def _contig_members(result: xr.Dataset) -> list[Index]:
    """Indices of the markers of each contig that has markers."""
    contig = result["variant_contig"].values
    return [np.flatnonzero(contig == c) for c in np.unique(contig)]


def _maxima(result: xr.Dataset, groups: list[Index]) -> tuple[Array, Index, Array]:
    """Maximum and index of its marker (groups, traits), NaN and -1 where there is no LOD; and h2.

    One call computes all of them, so that every block and every null model is computed once.
    """
    finite = result["lod"].fillna(-np.inf)
    parts = {"h2": result["h2"]}
    for number, members in enumerate(groups):
        block = finite.isel(variants=_as_slice(members))
        parts[f"lod_{number}"] = block.max("variants", skipna=False)
        parts[f"where_{number}"] = block.argmax("variants", skipna=False)
    computed = xr.Dataset(parts).compute()
    best = np.stack([computed[f"lod_{i}"].values for i in range(len(groups))])
    where = np.stack([g[computed[f"where_{i}"].values] for i, g in enumerate(groups)])
    none = np.isneginf(best)
    return np.where(none, np.nan, best), np.where(none, -1, where), computed["h2"].values


def _as_slice(members: Index) -> slice | Index:
    """Consecutive indices as a slice, which takes views of blocks instead of copies."""
    first, last = int(members[0]), int(members[-1])
    return slice(first, last + 1) if last - first + 1 == members.size else members


def _table(result: xr.Dataset, lod: Array, where: Index, h2: Array) -> pd.DataFrame:
    """Make the table: the rows of the first trait, then those of the second, and so on."""
    found = where >= 0
    variant, contig = np.full(lod.size, "", object), np.full(lod.size, "", object)
    position = np.full(lod.size, np.nan)
    variant[found] = result["variants"].values[where[found]]
    if "variant_contig" in result:
        contig[found] = result["contig_id"].values[result["variant_contig"].values[where[found]]]
    if "variant_position" in result:
        position[found] = result["variant_position"].values[where[found]]
    trait = np.repeat(text(result["traits"].values), lod.size // result.sizes["traits"])
    return pd.DataFrame(
        {
            "trait": trait,
            "variant": variant,
            "contig": contig,
            "position": position,
            "lod": lod,
            "h2": h2,
        }
    )
