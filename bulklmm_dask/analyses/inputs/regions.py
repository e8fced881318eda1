"""Markers by name, by contig and by window, such as 7 or 7:20-40."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Set

import numpy as np
import xarray as xr

from bulklmm_dask.errors import InputError
from bulklmm_dask.storage.labels.encoding import text
from bulklmm_dask.storage.labels.portable import names_of
from bulklmm_dask.study.contigs import ABSENT, locate_contigs, match_contigs
from bulklmm_dask.surface import option
from bulklmm_dask.text import listing, without_commas
from bulklmm_dask.typing import Index

RegionsLike = str | Iterable[str]

_NUMBER = r"\d[\d,]*(?:\.\d+)?(?:[eE]\d+)?"
_WINDOW = re.compile(rf"(?P<contig>.+):(?P<start>{_NUMBER})-(?P<end>{_NUMBER})")


def markers_on(ds: xr.Dataset, contig: str) -> Index:
    """Positions of the markers of a contig."""
    if "variant_contig" not in ds:
        raise InputError(f"the study has no variant_contig, so contig {contig!r} is not known")
    (number,) = locate_contigs(
        ds["contig_id"].values, [contig], "contig {} is not in the study"
    ).tolist()
    found = np.flatnonzero(ds["variant_contig"].values == number)
    if not len(found):
        raise InputError(f"contig {contig!r} has no markers")
    return found


def markers_in(ds: xr.Dataset, regions: RegionsLike) -> Index:
    """Positions of the markers in any of some regions, ascending.

    Parameters
    ----------
    ds : Dataset
        A valid study.
    regions : str or iterable of str
        Each is the name of a marker, or of a contig, or a window ``CONTIG:START-END`` in the unit
        of ``variant_position``, ends included.

    Raises
    ------
    InputError
        If one is none of these, or holds no marker.
    """
    names = names_of(regions)
    if not names:
        raise InputError(f"{option('variants')} names no marker; leave it out for all of them")
    markers = {name: at for at, name in enumerate(text(ds["variant_id"].values).tolist())}
    contigs = set(text(ds["contig_id"].values).tolist()) if "contig_id" in ds else set()
    return np.unique(np.concatenate([_region(ds, name, markers, contigs) for name in names]))


def _region(ds: xr.Dataset, name: str, markers: Mapping[str, int], contigs: Set[str]) -> Index:
    """Positions of the markers of one region."""
    if name in markers:
        if name in contigs:
            raise InputError(
                f"{name!r} is a marker and a contig of the study; rename one of them, or give the "
                f"contig as a window, {name}:START-END"
            )
        return np.array([markers[name]])
    window = None if name in contigs else _WINDOW.fullmatch(name)
    if window is not None:
        return _in_window(ds, name, window["contig"], window["start"], window["end"])
    if not contigs or match_contigs(contigs, [name], "the study")[0] == ABSENT:
        raise InputError(
            f"{option('variants')} names {name!r}, which is no marker and no contig of the study; "
            f"its contigs are {listing(sorted(contigs)) or 'not known'}: give one of them, a "
            "window such as 7:20-40, or names of markers"
        )
    return markers_on(ds, name)


def _in_window(ds: xr.Dataset, name: str, contig: str, start: str, end: str) -> Index:
    """Positions of the markers of a window."""
    low, high = (float(without_commas(number)) for number in (start, end))
    if low > high:
        raise InputError(f"the window {name!r} ends before it starts; give the lower end first")
    own = markers_on(ds, contig)
    if "variant_position" not in ds:
        raise InputError(
            f"the study has no variant_position, so the window {name!r} is not known; give names "
            "of markers, or a contig"
        )
    at = ds["variant_position"].values[own]
    found = own[(at >= low) & (at <= high)]
    if not len(found):
        unit = ds["variant_position"].attrs.get("units", "the unit of the study")
        raise InputError(
            f"no marker lies in the window {name!r}; those of contig {contig!r} lie from "
            f"{np.nanmin(at):g} to {np.nanmax(at):g} ({unit})"
        )
    return found
