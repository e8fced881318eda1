"""Locations: every store and every output is found, opened and written through a `Location`.

Free space is checked before writing, output appears complete or not at all, and errors say the
remedy. Stores are opened only if their codecs are harmless.
A `Location` is a local path today. Object stores need another implementation of its four parts, and
nothing else in the package: what is at a path (`paths`), outputs that appear whole (`appearing`),
small files that processes agree on (`records`) and Zarr groups (`groups`). There a store appears
with one conditional write of its root metadata, and `create`, `renew` and `discard` are conditional
writes too.
"""

from __future__ import annotations

from bulklmm_dask.storage.places.appearing import Output
from bulklmm_dask.storage.places.appearing import explained as explained
from bulklmm_dask.storage.places.groups import Group
from bulklmm_dask.storage.places.paths import METADATA as METADATA
from bulklmm_dask.storage.places.records import Record


class Location(Output, Record, Group):
    """The path of a file, a folder or a store, which need not exist; cheap to send to any worker.

    Its text is the path for messages: as the user typed it, in quotation marks if it holds blanks.
    """
