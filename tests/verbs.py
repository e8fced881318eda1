"""Verbs of xarray that users apply to studies and results, and what is seen in a picture."""

from __future__ import annotations

import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import xarray as xr

# A verb: from a Dataset, and a folder for files, to what xarray makes of it.
Verb = Callable[[xr.Dataset, Path], xr.Dataset]


def cases(verbs: dict[str, Verb], quick: str) -> list[Any]:
    """Verbs as parameters of a test, all slow but one."""
    return [
        pytest.param(verb, id=name, marks=() if name == quick else pytest.mark.slow)
        for name, verb in verbs.items()
    ]


def through_netcdf(ds: xr.Dataset, folder: Path) -> xr.Dataset:
    ds.to_netcdf(folder / "x.nc", engine="scipy")
    return xr.open_dataset(folder / "x.nc", engine="scipy")


def through_zarr(ds: xr.Dataset, folder: Path) -> xr.Dataset:
    ds.to_zarr(folder / "x3.zarr", consolidated=False)
    return xr.open_zarr(folder / "x3.zarr", consolidated=False)


def through_zarr_2(ds: xr.Dataset, folder: Path) -> xr.Dataset:
    ds.to_zarr(folder / "x2.zarr", zarr_format=2)
    return xr.open_zarr(folder / "x2.zarr")


def parts_of(ds: xr.Dataset, dim: str) -> list[xr.Dataset]:
    middle = ds.sizes[dim] // 3
    return [ds.isel({dim: slice(middle)}), ds.isel({dim: slice(middle, None)})]


def through_files(ds: xr.Dataset, folder: Path) -> xr.Dataset:
    files = [folder / f"part{number}.zarr" for number in range(2)]
    for part, file in zip(parts_of(ds, "traits"), files, strict=True):
        part.compute().to_zarr(file, consolidated=False)
    how: dict[str, Any] = {"data_vars": "minimal", "coords": "minimal", "compat": "override"}
    return xr.open_mfdataset(
        files, engine="zarr", consolidated=False, combine="nested", concat_dim="traits", **how
    )


def renamed(ds: xr.Dataset, folder: Path) -> xr.Dataset:
    """Other names of dimensions and indexes, and back."""
    ds = ds.rename(traits="gene").rename(gene="traits")
    ds = ds.swap_dims(traits="trait_id").swap_dims(trait_id="traits")
    return ds.set_index(traits="trait_id").assign_coords(trait_id=("traits", ds.traits.values))


def parted(dim: str, **how: Any) -> Verb:
    """Cut a Dataset in two along a dimension, and join the parts."""

    def verb(ds: xr.Dataset, folder: Path) -> xr.Dataset:
        return xr.concat(parts_of(ds, dim), dim, **how)

    return verb


# Verbs after which a Dataset says what it said before.
KEEP: dict[str, Verb] = {
    "to_netcdf": through_netcdf,
    "to_zarr": through_zarr,
    "to_zarr, format 2": through_zarr_2,
    "pickle": lambda ds, folder: pickle.loads(pickle.dumps(ds)),
    "persist": lambda ds, folder: ds.persist(),
    "compute": lambda ds, folder: ds.compute(),
    "chunk": lambda ds, folder: ds.chunk(traits=4),
    "copy": lambda ds, folder: ds.copy(deep=True),
    "transpose": lambda ds, folder: ds.transpose(),
    "reset_coords": lambda ds, folder: ds.reset_coords(),
    "merge": lambda ds, folder: xr.merge([ds, ds[list(ds.data_vars)[:1]]]),
    "combine_by_coords": lambda ds, folder: xr.combine_by_coords(
        parts_of(ds, "traits"), data_vars="minimal"
    ),
    "open_mfdataset": through_files,
    "chunk, then to_zarr": lambda ds, folder: through_zarr(ds.chunk(traits=3), folder),
    "rename, swap_dims, set_index": renamed,
    "map, assign_coords": lambda ds, folder: ds.map(
        lambda one: one.copy(), keep_attrs=True
    ).assign_coords(trait_tissue=("traits", ["liver"] * ds.sizes["traits"])),
    "drop_vars of names": lambda ds, folder: ds.drop_vars(
        ["variant_contig_name", "trait_contig_name"], errors="ignore"
    ),
    "drop_vars of an index": lambda ds, folder: ds.drop_vars("traits"),
    "assign_attrs": lambda ds, folder: ds.assign_attrs(note="mine"),
    "isel with all": lambda ds, folder: ds.isel(traits=np.arange(ds.sizes["traits"])),
    "reindex_like": lambda ds, folder: ds.reindex_like(ds.copy()),
}

# Verbs that choose traits.
CHOOSE: dict[str, Verb] = {
    "a slice": lambda ds, folder: ds.isel(traits=slice(2, 6)),
    "a slice of names": lambda ds, folder: ds.sel(traits=slice(*ds.traits.values[[2, 5]])),
    "names": lambda ds, folder: ds.sel(traits=list(ds.traits.values[[1, 4]])),
    "a mask": lambda ds, folder: ds.isel(traits=np.arange(ds.sizes["traits"]) % 3 == 0),
    "one name in a list": lambda ds, folder: ds.sel(traits=[ds.traits.values[3]]),
    "expand_dims": lambda ds, folder: ds.sel(traits=ds.traits.values[3]).expand_dims("traits"),
    "another order": lambda ds, folder: ds.isel(traits=[5, 0, 3]),
    "sortby": lambda ds, folder: ds.sortby("traits", ascending=False),
    "head": lambda ds, folder: ds.head(traits=4),
    "loc": lambda ds, folder: ds.loc[{"traits": list(ds.traits.values[[4, 2]])}],
    "drop_sel": lambda ds, folder: ds.drop_sel(traits=ds.traits.values[[0, 4]]),
    "query": lambda ds, folder: ds.query(traits=f"trait_id != {str(ds.traits.values[1])!r}"),
    "thin": lambda ds, folder: ds.thin(traits=3),
    "roll": lambda ds, folder: ds.roll(traits=2, roll_coords=True),
    "reindex": lambda ds, folder: ds.reindex(traits=ds.traits.values[[3, 1]]),
    "align": lambda ds, folder: xr.align(ds, ds.isel(traits=[2, 0]), join="inner")[0],
}


def drawn(ax: Any) -> list[Any]:
    """Numbers and words of a picture."""
    seen: list[Any] = [line.get_xydata() for line in ax.lines]
    for each in ax.collections:
        seen.append(np.ma.filled(np.ma.asarray(each.get_offsets(), dtype=float), np.nan))
        if each.get_array() is not None:
            seen.append(np.ma.filled(np.ma.asarray(each.get_array(), dtype=float), np.nan))
    seen += [np.asarray(image.get_array(), dtype=float) for image in ax.images]
    seen += [text.get_text() for text in ax.texts]
    return [*seen, ax.get_title(), ax.get_xlabel(), ax.get_ylabel()]
