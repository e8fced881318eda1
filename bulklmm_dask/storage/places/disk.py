"""Locations on a disk."""

from __future__ import annotations

from bulklmm_dask.storage.places.appearing import Output
from bulklmm_dask.storage.places.records import Record


class Disk(Output, Record, of_urls=False):
    """The path of a file, a folder or a store on a disk."""
