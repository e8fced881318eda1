"""Locations: every store and every output is found, opened and written through a `Location`.

Free space is checked before writing, output appears complete or not at all, and errors say the
remedy. Stores are opened only if their codecs are harmless. There are two implementations, which
nothing else in the package tells apart: paths of a disk (`disk`) and URLs of object stores
(`remote`).
"""

from __future__ import annotations

from bulklmm_dask.storage.places.appearing import explained as explained
from bulklmm_dask.storage.places.base import METADATA as METADATA
from bulklmm_dask.storage.places.base import ServerError as ServerError
from bulklmm_dask.storage.places.disk import Disk as Disk
from bulklmm_dask.storage.places.protocol import Location as Location
from bulklmm_dask.storage.places.remote_appearing import Remote as Remote
