"""A result as blocks: its arrays beside what names their variants and traits, and its checks."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt
import pandas as pd
import xarray as xr

from bulklmm_dask.engine.blockwise import Block
from bulklmm_dask.errors import InputError
from bulklmm_dask.storage.encoding import text
from bulklmm_dask.study.warn import say
from bulklmm_dask.text import counted, listing
from bulklmm_dask.typing import Columns

Threshold: TypeAlias = "float | pd.Series | Mapping[str, float] | xr.DataArray"

_PAIR = ("variants", "traits")
# Blocks that a result in memory is looked through in.
_BLOCK = {"variants": 2048, "traits": 4096}


def require_result(result: Any, caller: str) -> xr.Dataset:
    """Raise InputError unless this is a result with LODs of variants and traits."""
    if not isinstance(result, xr.Dataset) or "lod" not in result:
        raise InputError(f"{caller} needs the Dataset that scan or open_result gives, with its lod")
    for dim in _PAIR:
        if dim not in result["lod"].dims:
            raise InputError(
                f"the result has lost its dimension {dim!r}, for one name was selected; select "
                f"with a list instead: result.sel({dim}=[name])"
            )
    if not result["lod"].size:
        raise InputError(f"the result has no LODs: its sizes are {dict(result['lod'].sizes)}")
    return result


def require_map(result: xr.Dataset, caller: str) -> None:
    """Raise InputError unless the markers have places on contigs."""
    for name in ("variant_contig", "contig_id", "variant_position"):
        if name not in result:
            raise InputError(
                f"the result has no {name}, which {caller} needs; give the study a marker map"
            )


def number(value: object, what: str, low: float, high: float = np.inf) -> float:
    """Give `value` as a float, or raise InputError where it is none from low to high."""
    try:
        found = float(value)  # type: ignore[arg-type]
    except (TypeError, ValueError):
        found = np.nan
    if not low <= found <= high:
        limit = f"from {low:g} on" if high == np.inf else f"from {low:g} to {high:g}"
        raise InputError(f"{what} is {value!r}; it should be a number {limit}")
    return found


def thresholds(result: xr.Dataset, threshold: Threshold) -> xr.Variable:
    """Lowest LODs as a variable of no dimension, or of contigs, traits or both.

    One a trait, as a mapping or a Series by name; or a DataArray with ``traits``, ``contigs`` or
    both, matched by name.
    """
    if isinstance(threshold, Mapping):
        threshold = pd.Series(threshold, dtype=np.float64)
    if isinstance(threshold, pd.Series):
        threshold = xr.DataArray(threshold.to_numpy(), {"traits": text(threshold.index)}, "traits")
    if not isinstance(threshold, xr.DataArray):
        return xr.Variable((), number(threshold, "threshold", -np.inf))
    if not set(threshold.dims) <= {"contigs", "traits"}:
        level = "; select one level with .sel(alpha=...)" if "alpha" in threshold.dims else ""
        raise InputError(
            f"threshold has dimensions {threshold.dims}; they should be traits, contigs or both"
            + level
        )
    for dim in threshold.dims:
        names = text((result["contig_id"] if dim == "contigs" else result["traits"]).values)
        known = set(text(threshold[dim].values)) if dim in threshold.coords else set()
        absent = [name for name in names if name not in known]
        if absent:
            raise InputError(f"threshold lacks {len(absent)} of the {dim}: {listing(absent)}")
        threshold = threshold.assign_coords({dim: text(threshold[dim].values)}).sel({dim: names})
    values = threshold.transpose(..., "traits", missing_dims="ignore").variable.astype(np.float64)
    unknown = values.isnull()
    if "traits" in values.dims:
        _tell_without(result, unknown.any([dim for dim in values.dims if dim != "traits"]).values)
        return values.fillna(np.inf)
    if bool(unknown.any()):
        raise InputError("threshold holds NaN; give every contig a number, inf for none")
    return values


def _tell_without(result: xr.Dataset, unknown: npt.NDArray[np.bool_]) -> None:
    """Say which traits give nothing for want of a threshold, but not of those without LODs."""
    if "trait_status" in result:
        unknown = unknown & np.isin(result["trait_status"].values, ["ok", "unbounded"])
    if unknown.any():
        lost, names = counted(int(unknown.sum()), "trait"), result["traits"].values[unknown]
        say(f"{lost} without a threshold (NaN) give nothing: {listing(names)}")


def blocks(result: xr.Dataset, wanted: list[str]) -> xr.Dataset:
    """The wanted arrays of every pair beside all that names their variants and traits.

    Without coordinates, so that every block carries nothing but its own part: ``trait`` and
    ``column`` (traits); ``variant``, ``row``, ``contig`` (an index, -1 without a map) and
    ``position`` (variants); ``h2``.
    """
    size = result["lod"].sizes
    parts = {name: result[name].transpose(*_PAIR, ...).variable for name in wanted}
    if "h2" in result:
        parts["h2"] = result["h2"].transpose(..., "traits").variable
    for name, dim in (("variant", "variants"), ("trait", "traits")):
        parts[name] = xr.Variable(dim, text(result[dim].values), fastpath=True)
    parts["row"] = xr.Variable("variants", np.arange(size["variants"]))
    parts["column"] = xr.Variable("traits", np.arange(size["traits"]))
    contig, position = np.full(size["variants"], -1), np.full(size["variants"], np.nan)
    if "variant_contig" in result:
        contig = result["variant_contig"].values
    if "variant_position" in result:
        position = result["variant_position"].values
    parts["contig"] = xr.Variable("variants", contig)
    parts["position"] = xr.Variable("variants", position.astype(np.float64))
    whole = xr.Dataset(parts)
    chunked = {name for name in wanted if whole[name].chunks is not None}
    if not chunked:
        cut = {dim: min(size[dim], _BLOCK[dim]) for dim in _PAIR}
        whole = whole.assign({name: whole[name].chunk(cut) for name in wanted})
    return whole.unify_chunks()


def h2_of(block: xr.Dataset | Block, i: npt.NDArray[Any], j: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """Heritability of pairs (i, j) of a block: of the trait, or of the trait and the contig."""
    if "h2" not in block:
        return np.full(i.size, np.nan)
    h2 = block["h2"].values
    return h2[j] if h2.ndim == 1 else h2[block["contig"].values[i], j]


def joined(parts: list[Columns]) -> Columns:
    """Columns of several blocks, one below the other."""
    return {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}
