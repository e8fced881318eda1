"""Which loci lie near the traits' own places on the genome (cis), and which do not (trans)."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
import xarray as xr

from bulklmm_dask.engine.blockwise import Block
from bulklmm_dask.errors import InputError
from bulklmm_dask.results.streams import number, require_map
from bulklmm_dask.storage.encoding import text
from bulklmm_dask.study.schema import require_unique
from bulklmm_dask.study.warn import say

# Largest distance that is cis unless another is given, in the units that positions may have.
WINDOW = {"Mb": 5.0, "bp": 5e6, "cM": 5.0}
_UNKNOWN, _ELSEWHERE = -1, -2


def with_trait_places(
    whole: xr.Dataset, result: xr.Dataset, table: pd.DataFrame | None, window: float | None
) -> xr.Dataset:
    """Add what `is_cis` needs to the blocks of a result, if the places of its traits are known.

    Parameters
    ----------
    whole : Dataset
        From `blocks`.
    result : Dataset
        Perhaps with ``trait_contig`` (index into ``contig_id``) and ``trait_position``.
    table : DataFrame or None
        Columns ``trait`` (or the index), ``contig`` and ``position``, instead.
    window : float or None
        Largest distance of a cis locus; 5 Mb or 5 cM by default.
    """
    known = table is not None or _has_places(result)
    if not known:
        if window is not None:
            raise InputError(
                f"cis_window is {window!r}, but the places of the traits are not known: give "
                "trait_positions, a table of trait, contig and position"
            )
        return whole
    require_map(result, "a cis label")
    unit = result["variant_position"].attrs.get("units")
    if table is None and result["trait_position"].attrs.get("units") != unit:
        other = f"trait_position is in {result['trait_position'].attrs.get('units')}"
        if window is not None:
            raise InputError(f"{other}, but variant_position in {unit}; convert one of them")
        say(f"{other}, but variant_position in {unit}: no locus is called cis; convert one of them")
        return whole
    if window is None and unit not in WINDOW:
        raise InputError(f"the unit of variant_position is {unit!r}, not known; give cis_window")
    if table is None:
        contig = result["trait_contig"].values
        position = result["trait_position"].values.astype(np.float64)
    else:
        contig, position = _listed(result, table)
    near = WINDOW[str(unit)] if window is None else number(window, "cis_window", 0.0)
    return whole.assign(
        trait_contig=("traits", np.where(np.isnan(position), _UNKNOWN, contig)),
        trait_position=("traits", position),
        cis_window=((), near),
    )


def _has_places(result: xr.Dataset) -> bool:
    """Whether the traits have places: numbers, not notes of these names that came with a study."""
    kinds = {"trait_contig": "iu", "trait_position": "iuf"}
    return all(name in result and result[name].dtype.kind in kinds[name] for name in kinds)


def _listed(result: xr.Dataset, table: pd.DataFrame) -> tuple[npt.NDArray[Any], npt.NDArray[Any]]:
    if "trait" in table.columns:
        table = table.set_index("trait")
    absent = [name for name in ("contig", "position") if name not in table.columns]
    if absent:
        raise InputError(
            f"trait_positions has no column {absent[0]!r}; it should have trait, contig, position"
        )
    names = text(table.index)
    require_unique(names, "the traits of trait_positions", "keep one place for each")
    contigs = {name: i for i, name in enumerate(text(result["contig_id"].values))}
    placed = table.set_axis(names).reindex(text(result["traits"].values))
    index = [
        _UNKNOWN if pd.isna(name) else contigs.get(str(name), _ELSEWHERE)
        for name in placed["contig"]
    ]
    position = pd.to_numeric(placed["position"], errors="coerce").to_numpy(
        np.float64, na_value=np.nan
    )
    return np.array(index), position


def is_cis(
    block: xr.Dataset | Block, contig: Any, position: Any, j: npt.NDArray[Any]
) -> dict[str, Any]:
    """Column ``cis`` of loci of the traits `j` of a block: 1, 0, or -1 where it is not known.

    Nothing where the block says nothing of its traits' places.
    """
    if "cis_window" not in block:
        return {}
    home, place = block["trait_contig"].values[j], block["trait_position"].values[j]
    near = (home == contig) & (np.abs(place - position) <= float(block["cis_window"]))
    return {"cis": np.where(home == _UNKNOWN, -1, near).astype(np.int8)}


def as_labels(codes: npt.NDArray[np.int8]) -> Any:
    """Codes of `is_cis` as True, False and NA."""
    return pd.arrays.BooleanArray(codes == 1, codes < 0)
