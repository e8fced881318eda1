"""Zarr groups and arrays, opened by Zarr or xarray once their metadata are found to be harmless.

xarray and Zarr are imported when they are needed: commands that only ask whether a file may be
written start without them.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from bulklmm_dask.errors import StoreError
from bulklmm_dask.storage.codecs.harmless import require_harmless
from bulklmm_dask.storage.places.paths import METADATA, Place

if TYPE_CHECKING:
    import xarray as xr
    import zarr


class Group(Place):
    """A Zarr group."""

    def open_group(self, mode: Any = "r", zarr_format: Any = 3) -> zarr.Group:
        """Open a Zarr group, once the metadata of its arrays are found to be harmless."""
        zarr = _bounded_zarr()
        require_harmless(self.local)
        return zarr.open_group(self.path, mode=mode, zarr_format=zarr_format)

    def open_array(self, name: str, mode: Any = "r", zarr_format: Any = 3) -> Any:
        """Open an array of a Zarr group, once its metadata are found to be harmless."""
        zarr = _bounded_zarr()
        require_harmless(self.local / name, within=False)
        return zarr.open_array(self.path, path=name, mode=mode, zarr_format=zarr_format)

    def arrays(self) -> dict[str, Any]:
        """Open the arrays of a Zarr group one by one; StoreError names the damaged file.

        Zarr itself opens them all at once, and prints what fails in the second and the third.
        """
        found = {}
        for name in self.names():
            file = self / name / METADATA
            if not file.is_file():
                continue
            try:
                if json.loads(file.local.read_bytes())["node_type"] == "array":
                    found[name] = self.open_array(name)
            except StoreError:
                raise
            except Exception as error:  # whatever damaged metadata lead to
                raise StoreError(f"{file} is damaged ({error}); make the store again") from error
        return found

    def open_dataset(self, **options: Any) -> xr.Dataset:
        """Open a Zarr group lazily; `options` go to xarray.open_zarr."""
        import xarray as xr

        _bounded_zarr()
        require_harmless(self.local)
        self.arrays()
        return xr.open_zarr(self.path, consolidated=False, zarr_format=3, **options)

    def write_dataset(self, ds: xr.Dataset, **options: Any) -> None:
        """Write a dataset as a Zarr group; `options` go to Dataset.to_zarr."""
        ds.to_zarr(self.path, mode="w", zarr_format=3, consolidated=False, **options)


def _bounded_zarr() -> Any:
    """Import Zarr, so that damaged texts do not fill the memory."""
    import zarr

    from bulklmm_dask.storage.codecs.texts import bound_texts

    bound_texts()
    return zarr
