"""Zarr groups and arrays, opened by Zarr or xarray once their metadata are found to be harmless.

xarray and Zarr are imported when they are needed: commands that only ask whether a file may be
written start without them.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from bulklmm_dask.errors import StoreError
from bulklmm_dask.storage.codecs.harmless import FILES, require_harmless
from bulklmm_dask.storage.places.base import METADATA, Base

if TYPE_CHECKING:
    import xarray as xr
    import zarr


class Group(Base):
    """A Zarr group."""

    def open_group(self, mode: Any = "r", zarr_format: Any = 3) -> zarr.Group:
        """Open a Zarr group, once the metadata of its arrays are found to be harmless."""
        zarr = _bounded_zarr()
        require_harmless(self.metadata_files(FILES), self.each)
        return zarr.open_group(self._zarr(mode), mode=mode, zarr_format=zarr_format)

    def open_array(self, name: str, mode: Any = "r", zarr_format: Any = 3) -> Any:
        """Open an array of a Zarr group, once its metadata are found to be harmless."""
        zarr = _bounded_zarr()
        array = self / name
        formats = FILES if zarr_format is None else (METADATA,)
        require_harmless(array / file for file in formats)
        return zarr.open_array(self._zarr(mode), path=name, mode=mode, zarr_format=zarr_format)

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
                if json.loads(file.read_bytes())["node_type"] == "array":
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
        require_harmless(self.metadata_files(FILES), self.each)
        self.arrays()
        options = {"zarr_format": 3, **options}
        return xr.open_zarr(self._zarr("r"), consolidated=False, **options)

    def write_dataset(self, ds: xr.Dataset, **options: Any) -> None:
        """Write a dataset as a Zarr group; `options` go to Dataset.to_zarr."""
        ds.to_zarr(self._zarr("w"), mode="w", zarr_format=3, consolidated=False, **options)

    def _zarr(self, mode: str) -> Any:
        return self.zarr_store(read_only=mode == "r")


def _bounded_zarr() -> Any:
    """Import Zarr, so that damaged texts do not fill the memory."""
    import zarr

    from bulklmm_dask.storage.codecs.texts import bound_texts

    bound_texts()
    return zarr
