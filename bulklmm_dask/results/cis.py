"""Which loci lie near the position of their trait on the genome (cis), and which do not (trans)."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
import xarray as xr

from bulklmm_dask.engine.blockwise import Block
from bulklmm_dask.errors import InputError, OptionError
from bulklmm_dask.results.checks import require_map, require_table
from bulklmm_dask.results.form import require_places_form
from bulklmm_dask.storage.labels.encoding import text
from bulklmm_dask.study.checks import LARGEST_MB, number
from bulklmm_dask.study.contigs import ABSENT, match_contigs
from bulklmm_dask.study.schema import require_unique
from bulklmm_dask.study.warn import say
from bulklmm_dask.surface import option
from bulklmm_dask.text import counted, listing
from bulklmm_dask.typing import Array, Index, Names

# Default largest distance of a cis locus from its trait, by unit of position.
WINDOW = {"Mb": 5.0, "bp": 5e6, "cM": 5.0}
# Contigs of traits: of unknown position, or on a contig that the result does not have.
_UNKNOWN, _ELSEWHERE = -1, -2


def with_trait_places(
    whole: xr.Dataset, result: xr.Dataset, table: pd.DataFrame | None, window: float | None
) -> xr.Dataset:
    """Add what `is_cis` needs to the blocks of a result, if positions of its traits are known.

    Parameters
    ----------
    whole : Dataset
        From `blocks`.
    result : Dataset
        May have ``trait_contig`` (index into ``contig_id``) and ``trait_position``.
    table : DataFrame or None
        Positions to be used instead: columns ``trait`` (or the index), ``contig``, ``position``.
    window : float or None
        Largest distance of a cis locus from its trait; 5 Mb or 5 cM by default.
    """
    near = None if window is None else number(window, option("cis_window"), 0.0)
    known = table is not None or has_trait_places(result)
    if not known:
        if near is not None:
            raise OptionError(
                f"{option('cis_window')} is {window!r}, but the places of the traits are not "
                f"known: give {option('trait_positions')}, a table of trait, contig and position"
            )
        return whole
    require_map(result, "a cis label")
    if table is None:
        require_places_form(result)
    unit = result["variant_position"].attrs.get("units")
    if table is None and not same_unit(result):
        other = f"trait_position is in {result['trait_position'].attrs.get('units')}"
        if near is not None:
            raise InputError(f"{other}, but variant_position in {unit}; convert one of them")
        say(f"{other}, but variant_position in {unit}: no locus is called cis; convert one of them")
        return whole
    if near is None and unit not in WINDOW:
        raise InputError(
            f"the unit of variant_position is {unit!r}, not known; give {option('cis_window')}"
        )
    if table is None:
        contig = result["trait_contig"].values
        position = result["trait_position"].values.astype(np.float64)
    else:
        contig, position = _listed(result, table)
    return whole.assign(
        trait_contig=("traits", np.where(np.isnan(position), _UNKNOWN, contig)),
        trait_position=("traits", position),
        cis_window=((), WINDOW[str(unit)] if near is None else near),
    )


def has_trait_places(result: xr.Dataset) -> bool:
    """Whether traits have positions: variables of the right kind, not notes of the same name."""
    kinds = {"trait_contig": "iu", "trait_position": "iuf"}
    return all(name in result and result[name].dtype.kind in kinds[name] for name in kinds)


def same_unit(result: xr.Dataset) -> bool:
    """Whether positions of traits and of markers have the same unit."""
    units = [result[name].attrs.get("units") for name in ("trait_position", "variant_position")]
    return units[0] == units[1]


def _listed(result: xr.Dataset, table: Any) -> tuple[Index, Array]:
    """Contig and position of every trait of the result from a table."""
    label = getattr(table, "attrs", {}).get("source", option("trait_positions"))
    if isinstance(table, pd.DataFrame) and list(table.columns).count("trait") == 1:
        table = table.set_index("trait")
    table = require_table(
        table,
        ("contig", "position"),
        f"{label} has",
        "give trait, contig and position",
        numbers=("position",),
    )
    names = text(table.index)
    require_unique(names, f"the traits of {label}", "keep one place for each")
    placed = table.set_axis(names).reindex(text(result["traits"].values))
    contig = np.full(len(placed), _UNKNOWN)
    named = np.flatnonzero(placed["contig"].notna())
    wanted = text(placed["contig"].iloc[named])
    contigs = text(result["contig_id"].values)
    at = match_contigs(contigs, wanted, "the result")
    contig[named] = np.where(at == ABSENT, _ELSEWHERE, at)
    _say_elsewhere(label, wanted[at == ABSENT], contigs)
    if not len(set(names) & set(placed.index)):
        say(
            f"{label} has no trait of the result: its traits are like {listing(names, 3)}, those "
            f"of the result like {listing(placed.index, 3)}; no locus is called cis"
        )
    unit = result["variant_position"].attrs.get("units")
    return contig, _in_unit(label, placed["position"].to_numpy(np.float64), unit)


def _in_unit(label: str, position: Array, unit: object) -> Array:
    """Positions in the unit of the result; those no chromosome reaches in Mb are taken as bp."""
    largest = float(np.fmax.reduce(position, initial=0))
    if unit not in ("Mb", "cM") or largest <= LARGEST_MB:
        return position
    reach = f"{label} has positions up to {largest:,.0f}, but those of the result are in {unit}"
    if unit == "cM":
        raise InputError(f"{reach}; give the positions of the traits in cM")
    say(f"{reach}: they are taken as bp; give them in Mb if they are something else")
    return position / 1e6


def _say_elsewhere(label: str, names: Names, contigs: Names) -> None:
    """Say which contigs of traits the result does not have."""
    if len(names):
        say(
            f"{label} puts {counted(len(names), 'trait')} on contigs that the result does not "
            f"have: {listing(dict.fromkeys(names))}; their loci count as trans. Rename these "
            f"contigs if they are among those of the result, which are like {listing(contigs, 3)}"
        )


def is_cis(
    block: xr.Dataset | Block, contig: Index | int, position: Array, j: Index
) -> dict[str, npt.NDArray[np.int8]]:
    """Column ``cis`` of loci of the traits `j` of a block: 1, 0, or -1 where it is not known.

    No column where `with_trait_places` has added nothing.
    """
    if "cis_window" not in block:
        return {}
    home, place = block["trait_contig"].values[j], block["trait_position"].values[j]
    near = (home == contig) & (np.abs(place - position) <= float(block["cis_window"]))
    return {"cis": np.where(home == _UNKNOWN, -1, near).astype(np.int8)}


def as_labels(codes: npt.NDArray[np.int8]) -> Any:
    """Codes of `is_cis` as True, False and NA."""
    return pd.arrays.BooleanArray(codes == 1, codes < 0)
