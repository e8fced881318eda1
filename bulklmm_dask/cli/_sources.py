"""Studies and kinships named on the command line."""

from __future__ import annotations

from pathlib import Path

import xarray as xr

from bulklmm_dask.analyses.kinship import kinship
from bulklmm_dask.analyses.options import KINSHIP_METHODS
from bulklmm_dask.cli._base import names, say
from bulklmm_dask.errors import InputError, StoreError
from bulklmm_dask.storage.labels.variables import LOCO
from bulklmm_dask.storage.places.location import Location
from bulklmm_dask.storage.proof.attributes import attributes_of
from bulklmm_dask.storage.proof.stamp import KIND, STUDY
from bulklmm_dask.storage.proof.unstamped import is_unstamped
from bulklmm_dask.storage.results.result import open_result
from bulklmm_dask.study.io import open_dataset
from bulklmm_dask.study.kinship_store import open_kinship
from bulklmm_dask.study.kinships import read_kinship
from bulklmm_dask.study.readers.guess import guess_format
from bulklmm_dask.study.readers.registry import read_alone
from bulklmm_dask.text import counted, named


def open_source(path: str | Path) -> xr.Dataset:
    """Open a Zarr study, or read files that hold a whole study: R/qtl2's or PLINK's."""
    place = Location.of(path).opened()
    if place.is_file() or (place.is_folder() and not place.is_store()):
        name = guess_format(path)
        if name == "vcf-zarr" or not is_unstamped(place):
            return read_alone(path, name)
    return open_dataset(place)


def open_source_or_result(path: str | Path) -> xr.Dataset:
    """Open a study, as `open_source` does, or a result; what is neither is taken for a result."""
    place = Location.of(path).opened()
    if is_unstamped(place):
        if guess_format(place) == "vcf-zarr":
            return open_source(path)
        try:
            return open_result(place)
        except StoreError:
            return open_source(path)
    if place.is_store():
        is_study = attributes_of(place).get(KIND) == STUDY
    else:
        is_study = (place.is_file() or place.is_folder()) and guess_format(place) is not None
    return open_source(path) if is_study else open_result(place)


def scan_in_words(ds: xr.Dataset) -> str:
    """Size of the scan of a study."""
    return (
        f"{counted(ds.sizes['traits'], 'trait')} x {counted(ds.sizes['variants'], 'marker')}, "
        f"{counted(ds.sizes['samples'], 'sample')}"
    )


def kinship_of(ds: xr.Dataset, name: str, *, loco: bool = False) -> str | xr.DataArray | None:
    """Kinship for a name: a variable of the study, none, a method, a table, or a store."""
    if name == "none":
        return None
    stored = LOCO if loco and name == "kinship" and LOCO in ds else name
    if stored in ds and (ds[stored].ndim == 3 or not loco):
        return name
    if name in KINSHIP_METHODS:
        return kinship(ds, method=name, loco=loco)
    if Location.of(name).opened().is_store():
        found = open_kinship(name)
        size = counted(found.sizes["samples_0"], "sample")
        say(f"the kinship is that of {size} in {named(name)}, which keeps its eigenvectors")
        return found
    if loco:
        raise InputError(
            f"the study has no kinship {name!r} by chromosome: compute it with 'bulklmm kinship "
            f"--loco', or choose one of {', '.join(KINSHIP_METHODS)}"
        )
    if Location.of(name).is_file():
        return read_kinship(name, ds)
    raise InputError(
        f"the study has no kinship {name!r}, and there is no such table or store: compute it with "
        f"'bulklmm kinship', or choose one of {', '.join(KINSHIP_METHODS)}, a table, a store or "
        "none"
    )


def table_or_columns(value: str) -> Path | list[str]:
    """Path of a table if there is such a file, else names of columns."""
    return Path(value) if Location.of(value).is_file() else names(value)
