"""What a store or a file of ours holds, in words."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

import xarray as xr
import zarr

from bulklmm_dask.errors import InputError, StoreError
from bulklmm_dask.storage.result import OWN, finished
from bulklmm_dask.storage.stamp import KIND, RESULT
from bulklmm_dask.study.io import open_dataset
from bulklmm_dask.study.readers.rqtl2 import read_rqtl2
from bulklmm_dask.study.schema import LOCO
from bulklmm_dask.text import counted, storage

_INTERNAL = {*OWN, "manifest"}


def describe(path: str | Path) -> str:
    """Describe a Zarr study, a result store (finished or not) or R/qtl2 files.

    Parameters
    ----------
    path : path
        What to look at. Arrays on disk are not read, apart from small ones.

    Returns
    -------
    str
        Several lines: the kind, how far it is finished, sizes, variables, options, versions.

    Raises
    ------
    InputError, StoreError
        If the path is nothing of the kind, or damaged.
    """
    place = Path(path)
    if not place.exists():
        raise InputError(f"there is no file or folder {place}; check the path")
    if place.is_file() or not (place / "zarr.json").exists():
        return _study(read_rqtl2(place), f"{place}: R/qtl2 files")
    attrs = _attributes(place)
    size = storage(sum(file.stat().st_size for file in place.rglob("*") if file.is_file()))
    if attrs.get(KIND) == RESULT:
        return _result(place, attrs, size)
    return _study(open_dataset(place), f"{place}: study, {size} on disk")


def shape_of(ds: xr.Dataset) -> str:
    """Count samples, markers, traits and covariates of a study in words."""
    samples = counted(ds.sizes["samples"], "sample")
    if "sample_strain" in ds:
        samples += f" of {counted(len(set(ds['sample_strain'].values)), 'strain')}"
    markers = counted(ds.sizes["variants"], "marker")
    if "contigs" in ds.sizes:
        markers += f" on {counted(ds.sizes['contigs'], 'chromosome')}"
    parts = [samples, markers, counted(ds.sizes["traits"], "trait")]
    if number := ds.sizes.get("covariates"):
        parts.append(counted(number, "covariate"))
    return ", ".join(parts)


def _study(ds: xr.Dataset, title: str) -> str:
    kinships = [
        f"{words}: {ds[name].attrs.get('method', 'of unknown method')}"
        for name, words in (("kinship", "kinship"), (LOCO, "kinship by chromosome"))
        if name in ds
    ] or ["kinship: none yet; make one with: bulklmm kinship"]
    lines = [title, shape_of(ds), *kinships, *_options(ds.attrs), "", *_variables(ds)]
    return "\n".join(lines)


def _result(path: Path, attrs: dict[str, Any], size: str) -> str:
    done, total = finished(path)
    state = "finished" if done == total else f"{done / total:.0%} finished: scan again to go on"
    try:
        ds = xr.open_zarr(path, consolidated=False, chunks=None)
    except Exception as error:  # whatever damaged metadata lead to
        raise StoreError(f"{path} is damaged ({error}); scan again into another store") from error
    ds = ds.drop_vars([name for name in ds.variables if str(name).startswith("manifest_")])
    traits = ds.sizes.get("traits", 0)
    if "genomes" in ds.sizes:
        what = "baseline of hotspots"
        size_of = counted(ds.sizes["permutations"], "data set") + " without loci"
    elif variants := ds.sizes.get("variants"):
        what = "result of a scan"
        size_of = f"{counted(variants, 'marker')} x {counted(traits, 'trait')}"
        size_of += f" = {variants * traits:,} tests"
    else:
        what = "maxima of permutations"
        size_of = f"{counted(ds.sizes['permutations'], 'permutation')} x {counted(traits, 'trait')}"
    block = " x ".join(f"{length:,}" for length in attrs["block"])
    lines = [
        f"{path}: {what}, {state}, {size} on disk",
        size_of,
        f"{done:,} of {counted(total, 'block')} of {block} finished",
        *_options(attrs),
    ]
    if done == total and "trait_status" in ds:
        status = Counter(ds["trait_status"].values.tolist())
        lines.append("traits: " + ", ".join(f"{n:,} {name}" for name, n in status.most_common()))
    return "\n".join([*lines, "", *_variables(ds)])


def _options(attrs: dict[str, Any]) -> list[str]:
    lists = {name: ", ".join(map(str, v)) for name, v in attrs.items() if isinstance(v, list)}
    shown = {name: value for name, value in (attrs | lists).items() if name not in _INTERNAL}
    return [f"{name}: {'none' if value == '' else value}" for name, value in shown.items()]


def _variables(ds: xr.Dataset) -> list[str]:
    """One line a variable, the largest first: name, dimensions, type, bytes in memory."""
    rows = [
        (
            str(name),
            " x ".join(f"{dim} {size:,}" for dim, size in variable.sizes.items()),
            "text" if variable.dtype.kind in "OUT" else str(variable.dtype),
            "" if variable.dtype.kind in "OUT" else storage(variable.nbytes),
        )
        for name, variable in sorted(ds.variables.items(), key=lambda item: -item[1].nbytes)
        if name not in ds.dims
    ]
    widths = [max((len(row[column]) for row in rows), default=0) for column in range(3)]
    return [
        "  ".join(cell.ljust(width) for cell, width in zip(row, [*widths, 0], strict=True)).rstrip()
        for row in rows
    ]


def _attributes(path: Path) -> dict[str, Any]:
    try:
        return dict(zarr.open_group(path, mode="r").attrs)
    except Exception as error:  # whatever damaged metadata lead to
        raise StoreError(
            f"{path} is no Zarr store, or its zarr.json is damaged: {error}"
        ) from error
