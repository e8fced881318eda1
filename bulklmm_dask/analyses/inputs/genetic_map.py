"""Positions at which genotypes of a cross are computed: markers, and positions between them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import xarray as xr

from bulklmm_dask.crosses.maps import AT_MARKER, between, grid, pseudomarker_names
from bulklmm_dask.errors import InputError
from bulklmm_dask.study.checks import number, real_numbers
from bulklmm_dask.study.contigs import locate_contigs
from bulklmm_dask.surface import option
from bulklmm_dask.text import counted, listing
from bulklmm_dask.typing import Array, Index

# Decimals of the names of positions that are given: one, as in R/qtl2.
_STEP_OF_GIVEN = 0.1


@dataclass(frozen=True)
class ContigMap:
    """Positions on one contig, ascending.

    Attributes
    ----------
    contig : int
        Its number.
    names : list of str
        Names of markers and of positions between them.
    genetic : array (positions,)
        In cM.
    physical : array (positions,)
        In the unit of variant_position.
    marker : array (positions,) of int
        Number of the marker in the study, -1 for none.
    """

    contig: int
    names: list[str]
    genetic: Array
    physical: Array
    marker: Index


def genetic_map(
    ds: xr.Dataset, step: float, positions: Mapping[str, Sequence[float]] | None
) -> list[ContigMap]:
    """Lay out the positions of every contig that has markers.

    Raises
    ------
    InputError
        If the study has no genetic positions for all markers, or an option cannot be used.
    """
    genetic = _genetic_positions(ds)
    physical = ds["variant_position"].values.astype(np.float64)
    codes, contigs = ds["variant_contig"].values, ds["contig_id"].values.tolist()
    names = ds["variant_id"].values.tolist()
    step = number(step, option("step"), 0)
    if 0 < step <= AT_MARKER or not np.isfinite(step):
        raise InputError(
            f"{option('step')} is {step:g} cM; give more than {AT_MARKER:g}, or 0 for markers only"
        )
    given = _given(positions, contigs)
    maps = []
    for contig in np.unique(codes):
        rows = np.flatnonzero(codes == contig)
        rows = rows[np.argsort(genetic[rows], kind="stable")]
        at = genetic[rows]
        new = np.empty(0)
        if given is not None:
            new = between(at, given.get(int(contig), new))
        elif step:
            new = between(at, grid(at, step))
        place = np.searchsorted(at, new)
        new_names = pseudomarker_names(contigs[contig], new, _STEP_OF_GIVEN if given else step or 1)
        maps.append(
            ContigMap(
                int(contig),
                np.insert(np.array([names[i] for i in rows], object), place, new_names).tolist(),
                np.insert(at, place, new),
                np.insert(physical[rows], place, _interpolated(new, at, physical[rows])),
                np.insert(rows, place, -1),
            )
        )
    return maps


def _genetic_positions(ds: xr.Dataset) -> Array:
    """Positions of the markers in cM."""
    if "variant_contig" not in ds or "variant_position" not in ds:
        raise InputError("the study has no map; give positions of the markers in cM (gmap)")
    unit = ds["variant_position"].attrs.get("units")
    if "variant_genetic_position" in ds:
        found = ds["variant_genetic_position"].values.astype(np.float64)
    elif unit == "cM":
        found = ds["variant_position"].values.astype(np.float64)
    else:
        raise InputError(
            f"the study has positions in {unit}, and none in cM (variant_genetic_position), on "
            "which recombination depends; give a genetic map (gmap)"
        )
    absent = ~np.isfinite(found)
    if absent.any():
        raise InputError(
            f"{counted(int(absent.sum()), 'marker')} of {len(found)} have no genetic position: "
            f"{listing(ds['variant_id'].values[absent])}; give it, or leave them out"
        )
    return found


def _given(
    positions: Mapping[str, Sequence[float]] | None, contigs: list[str]
) -> dict[int, Array] | None:
    if positions is None:
        return None
    if not isinstance(positions, Mapping):
        raise InputError(
            f"positions is a {type(positions).__name__}; give a mapping of contigs to positions in "
            "cM, as in {'1': [3.5, 20]}"
        )
    numbers = locate_contigs(contigs, positions, "positions name the contig {}")
    found = {}
    for contig, name in zip(numbers, positions, strict=True):
        what = f"positions of contig {str(name)!r}"
        values = real_numbers(positions[name], what, "give numbers in cM").ravel()
        if not np.isfinite(values).all():
            raise InputError(f"{what} are not all finite; give numbers in cM")
        found[int(contig)] = values
    return found


def _interpolated(new: Array, genetic: Array, physical: Array) -> Array:
    """Physical positions by those of the markers beside, beyond them by the contig's mean rate."""
    width = genetic[-1] - genetic[0]
    rate = (physical[-1] - physical[0]) / width if width > 0 else 0.0
    beyond = np.minimum(new - genetic[0], 0) + np.maximum(new - genetic[-1], 0)
    return np.asarray(np.interp(new, genetic, physical) + rate * beyond)
