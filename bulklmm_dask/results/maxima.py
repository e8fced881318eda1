"""The highest LOD score of every trait, on the whole genome or on every contig."""

from __future__ import annotations

import numpy as np
import pandas as pd
import xarray as xr

from bulklmm_dask.errors import InputError
from bulklmm_dask.storage.encoding import text


def max_lod(result: xr.Dataset, *, by: str | None = None) -> pd.DataFrame:
    """Highest LOD of every trait and the marker it stands at.

    The blocks of a lazy result are computed once, each reduced as soon as it is there; the matrix
    of LODs is never held.

    Parameters
    ----------
    result : Dataset
        A result of ``scan`` or ``open_result``: ``lod`` (variants, traits), ``h2`` (traits) or
        (contigs, traits) and, where the study has a marker map, ``variant_contig``, ``contig_id``
        and ``variant_position``.
    by : None or "contig"
        One row a trait, or one row a trait and contig.

    Returns
    -------
    DataFrame
        Columns ``trait``, ``variant``, ``contig``, ``position`` (in the study's unit), ``lod`` and
        ``h2``, in the order of the result's traits and contigs. Of equal LODs the first marker
        counts. A trait without LODs (see ``trait_status``) has NaN for its LOD and position and
        no marker. Without a marker map the contig is empty and the position NaN.

    Raises
    ------
    InputError
        If ``by`` is something else, or "contig" and the result has no contigs; or if ``result``
        has no LODs.
    """
    if by not in (None, "contig"):
        raise InputError(f"by is {by!r}; it must be None or 'contig'")
    if not isinstance(result, xr.Dataset) or "lod" not in result:
        raise InputError("max_lod needs the Dataset that scan or open_result gives, with its lod")
    if "traits" not in result.dims:  # one trait selected
        sides = {"lod": result["lod"].expand_dims("traits", -1)}
        sides["h2"] = result["h2"].expand_dims("traits", -1)
        result = result.drop_vars("traits").assign(sides)
    if not result["lod"].size:
        raise InputError(f"the result has no LODs: its sizes are {dict(result['lod'].sizes)}")
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
    else:  # one a contig: that of the marker's
        h2 = np.where(where < 0, np.nan, h2[result["variant_contig"].values[where], trait])
    return _table(result, lod.T.ravel(), where, h2)


def _contig_members(result: xr.Dataset) -> list[np.ndarray]:
    """List the indices of the markers of every contig that has some."""
    contig = result["variant_contig"].values
    return [np.flatnonzero(contig == c) for c in np.unique(contig)]


def _maxima(
    result: xr.Dataset, groups: list[np.ndarray]
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Maximum and its marker's index (groups, traits), NaN and -1 where there is no LOD; and h2.

    All is computed together, so that every block and every null model is computed once.
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


def _as_slice(members: np.ndarray) -> slice | np.ndarray:
    """Neighbouring indices as a slice, which takes views of blocks instead of copies."""
    first, last = int(members[0]), int(members[-1])
    return slice(first, last + 1) if last - first + 1 == members.size else members


def _table(result: xr.Dataset, lod: np.ndarray, where: np.ndarray, h2: np.ndarray) -> pd.DataFrame:
    """Lay out the rows: all groups of the first trait, then those of the second, and so on."""
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
