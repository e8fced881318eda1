"""Pairs of a marker and a trait with a high LOD, one row each, without holding the others."""

from __future__ import annotations

import os
from importlib.util import find_spec
from pathlib import Path
from typing import Any, overload

import numpy as np
import numpy.typing as npt
import pandas as pd
import xarray as xr

from bulklmm_dask.data.folders import appearing, explained
from bulklmm_dask.data.schema import text
from bulklmm_dask.errors import InputError, StoreError
from bulklmm_dask.results.cis import as_labels, is_cis, with_trait_places
from bulklmm_dask.results.streams import (
    Columns,
    Threshold,
    blocks,
    gathered,
    h2_of,
    joined,
    require_result,
    thresholds,
)

_TEXT = ("trait", "variant", "contig")
# Variants of which the highest LOD is looked at first.
_SLAB = 16
_PART = "part-{:05d}.parquet"


@overload
def find_hits(
    result: xr.Dataset,
    *,
    threshold: Threshold | None = None,
    top: int | None = None,
    store: None = None,
    overwrite: bool = False,
    trait_positions: pd.DataFrame | None = None,
    cis_window: float | None = None,
) -> pd.DataFrame: ...


@overload
def find_hits(
    result: xr.Dataset,
    *,
    threshold: Threshold | None = None,
    top: int | None = None,
    store: str | os.PathLike[str],
    overwrite: bool = False,
    trait_positions: pd.DataFrame | None = None,
    cis_window: float | None = None,
) -> int: ...


def find_hits(
    result: xr.Dataset,
    *,
    threshold: Threshold | None = None,
    top: int | None = None,
    store: str | os.PathLike[str] | None = None,
    overwrite: bool = False,
    trait_positions: pd.DataFrame | None = None,
    cis_window: float | None = None,
) -> pd.DataFrame | int:
    """Pairs of a marker and a trait whose LOD is high.

    Every block of the result is computed once, with all that is told of its pairs, and given up
    once its hits are taken: a scan of which only the hits are kept needs no store of its LODs.

    Parameters
    ----------
    result : Dataset
        A result of ``scan`` or ``open_result``.
    threshold : float, Series, mapping or DataArray
        The lowest LOD of a hit. One number; one a trait, by name; or a DataArray with ``traits``,
        ``contigs`` or both.
    top : int, optional
        At most so many hits of each trait, the highest; of equal LODs the first marker counts.
        Give a threshold, ``top`` or both.
    store : path, optional
        Write the hits into a folder of Parquet files, one for each chunk of traits, instead of
        returning them: they need not fit into memory. The folder appears when it is complete;
        workers on other machines must see it under the same path. Needs pyarrow.
    overwrite : bool
        Whether to replace a folder of Parquet files of that name.
    trait_positions, cis_window
        As for `find_peaks`.

    Returns
    -------
    DataFrame or int
        One row a hit, in the order of the result's traits and, within a trait, of falling LOD:
        ``trait``, ``variant``, ``contig``, ``position`` (in the study's unit), ``lod``, ``h2`` (of
        the contig where one was left out), then all else that the result has of every pair, such
        as ``h2_alt``, ``beta``, ``se``, ``neg_log10_p``, ``explained`` and ``df`` (what a pair has
        several of, under one name each: ``beta_AA``); and ``cis`` where the places of traits are
        known. Without a marker map the contig is empty and the position NaN. With ``store`` the
        number of hits written.

    Raises
    ------
    InputError
        If neither a threshold nor ``top`` is given, or an option cannot be used.
    StoreError
        If the folder exists already or cannot be written; then nothing is left behind.
    """
    require_result(result, "find_hits")
    if threshold is None and top is None:
        raise InputError(
            "find_hits would give every pair: give threshold=5, or top=10 for the highest of "
            "each trait, or both"
        )
    if top is not None and (not isinstance(top, int | np.integer) or top < 1):
        raise InputError(f"top is {top!r}; it should be a whole number from 1 on")
    pairs = [
        str(name)
        for name, variable in result.data_vars.items()
        if {"variants", "traits"} <= set(variable.dims)
    ]
    whole = blocks(result, pairs)
    whole["threshold"] = thresholds(result, -np.inf if threshold is None else threshold)
    whole = with_trait_places(whole, result, trait_positions, cis_window)
    contigs = text(result["contig_id"].values) if "variant_contig" in result else text([""])
    names = {name: _names_of(result, name) for name in pairs if name != "lod"}
    sift_with = {"top": top, "contigs": contigs, "names": names}
    if store is None:
        tables = gathered(whole, _sift, _gather, sift_with=sift_with, gather_with={"top": top})
        return pd.concat(tables, ignore_index=True)
    target = Path(store).expanduser().absolute()
    _require_free(target, overwrite)
    with appearing(target) as partial:
        counts = gathered(
            whole, _sift, _write, sift_with=sift_with, gather_with={"top": top, "folder": partial}
        )
        if any(counts):
            for chunk in np.flatnonzero(np.array(counts) == 0):
                (partial / _PART.format(chunk)).unlink()
    return int(sum(counts))


def _require_free(target: Path, overwrite: bool) -> None:
    """Raise, before any work, where Parquet files cannot be written to a new folder."""
    if find_spec("pyarrow") is None:
        raise InputError(
            "store writes Parquet files, which needs pyarrow, and it is not installed; install it "
            "with: pip install pyarrow, or leave store out"
        )
    if not target.exists():
        return
    if not overwrite:
        raise StoreError(f"{target} exists; choose another name, or replace it with overwrite=True")
    if not target.is_dir() or any(file.suffix != ".parquet" for file in target.iterdir()):
        raise StoreError(f"{target} is no folder of Parquet files only; it is not replaced")


def _names_of(result: xr.Dataset, name: str) -> list[str]:
    """Columns that a statistic of pairs takes: its own name, or one for each of several values."""
    others = [dim for dim in result[name].dims if dim not in ("variants", "traits")]
    if not others:
        return [name]
    (dim,) = others
    return [f"{name}_{label}" for label in result[dim].values]


def _sift(
    block: xr.Dataset, *, top: int | None, contigs: npt.NDArray[Any], names: dict[str, list[str]]
) -> Columns:
    """Hits of one block."""
    lod = block["lod"].values
    i, j = _chosen(lod, _lowest(block, lod), top)
    contig, position = block["contig"].values[i], block["position"].values[i]
    out = {
        "trait": block["trait"].values[j],
        "variant": block["variant"].values[i],
        "contig": contigs[contig],
        "position": position,
        "lod": lod[i, j],
        "h2": h2_of(block, i, j),
    }
    for name, columns in names.items():
        values = block[name].values[i, j].reshape(i.size, len(columns))
        out |= dict(zip(columns, values.T, strict=True))
    return {
        **out,
        **is_cis(block, contig, position, j),
        "_row": block["row"].values[i],
        "_column": block["column"].values[j],
    }


def _lowest(block: xr.Dataset, lod: npt.NDArray[np.floating]) -> npt.NDArray[Any]:
    """Threshold of the pairs of a block, of their own dtype: comparing is then without a copy."""
    threshold = block["threshold"]
    values = threshold.values.astype(lod.dtype)
    if "contigs" not in threshold.dims:
        return values
    of_variant = values[block["contig"].values]
    return of_variant if of_variant.ndim == 2 else of_variant[:, None]


def _chosen(
    lod: npt.NDArray[np.floating], lowest: npt.NDArray[Any], top: int | None
) -> tuple[npt.NDArray[np.intp], npt.NDArray[np.intp]]:
    """Rows and columns of the hits of a block."""
    if top is not None and top < len(lod) and not np.isfinite(lowest).any():
        lowest = _bound(lod, top)
    i, j = np.divmod(np.flatnonzero(lod >= lowest), lod.shape[1])
    if top is None:
        return i, j
    order = _highest(lod[i, j], i, j, top)
    return i[order], j[order]


def _bound(lod: npt.NDArray[np.floating], top: int) -> npt.NDArray[Any]:
    """LOD of each trait that at least `top` of its variants reach, and few more than those.

    The maxima of slabs of variants are all of different variants; to find them is cheaper than to
    sort every column.
    """
    width = max(1, min(_SLAB, len(lod) // (2 * top)))
    maxima = np.fmax.reduceat(lod, np.arange(0, len(lod), width), axis=0)
    maxima[np.isnan(maxima)] = -np.inf
    return np.partition(maxima, len(maxima) - top, axis=0)[len(maxima) - top]


def _highest(
    lod: npt.NDArray[Any], row: npt.NDArray[Any], column: npt.NDArray[Any], top: int | None
) -> npt.NDArray[np.intp]:
    """Order by trait and falling LOD, no more than `top` of a trait."""
    order = np.lexsort((row, -lod, column))
    if top is None:
        return order
    sorted_column = column[order]
    rank = np.arange(order.size) - np.searchsorted(sorted_column, sorted_column)
    return order[rank < top]


def _gather(parts: list[Columns], chunk: int, *, top: int | None) -> pd.DataFrame:
    """Table of the hits of a chunk of traits."""
    found = joined(parts)
    order = _highest(found["lod"], found.pop("_row"), found.pop("_column"), top)
    columns: dict[str, Any] = {name: values[order] for name, values in found.items()}
    if "cis" in columns:
        columns["cis"] = as_labels(columns["cis"])
    return pd.DataFrame(columns).astype(dict.fromkeys(_TEXT, "str"))


def _write(parts: list[Columns], chunk: int, *, top: int | None, folder: Path) -> int:
    table = _gather(parts, chunk, top=top)
    with explained(folder):
        table.to_parquet(folder / _PART.format(chunk), engine="pyarrow", index=False)
    return len(table)
