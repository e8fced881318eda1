"""Whether stores still hold what was written into them."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import asdict

import pandas as pd

from bulklmm_dask.errors import StoreError
from bulklmm_dask.storage.examine import examine
from bulklmm_dask.storage.location import Location
from bulklmm_dask.surface import either

_COLUMNS = ("store", "array", "file", "problem")


def verify(
    store: str | os.PathLike[str], *, progress: Callable[[int, int], None] | None = None
) -> pd.DataFrame:
    """Read all bytes of a store once, and list the parts that are not as they were written.

    Every chunk is compared with its own checksum, with the copy of it in the manifest of the store,
    and the store with its list of parts. Memory holds one file at a time.

    Parameters
    ----------
    store : path
        A study, or a result of `scan` or `permute`, finished or not.
    progress : callable, optional
        Called with the number of bytes read and of all bytes, after each file.

    Returns
    -------
    DataFrame
        One row for each finding, none for a sound store: ``store``; ``array``, empty for the root
        group; ``file``, below the store; ``problem``: "lost", "cut short", "changed" (other bytes),
        "another file" (sound by itself, but not the one written there, such as an older file or one
        of another block) or "surplus" (not of the store; it does no harm). Stores of version 0.1.0
        have no checksums: what cannot be decoded is found, other changed bytes are not.

    Raises
    ------
    StoreError
        If there is no store.

    Examples
    --------
    >>> blmm.save(ds, "study.zarr")
    >>> len(blmm.verify("study.zarr"))
    0

    After a bit of the genotypes was lost on the disk:

    >>> from pathlib import Path
    >>> file = Path("study.zarr/call_dosage/c/0/0")
    >>> content = bytearray(file.read_bytes())
    >>> content[100] ^= 4
    >>> _ = file.write_bytes(content)
    >>> blmm.verify("study.zarr")[["array", "file", "problem"]]
             array               file  problem
    0  call_dosage  call_dosage/c/0/0  changed
    """
    place = Location.of(store)
    if not place.is_folder():
        raise StoreError(f"there is no store {place}; check the path")
    if not place.is_store():
        raise StoreError(
            f"{place} is no store: it has no zarr.json; "
            + either(
                "give the path of what save or scan has written",
                "give the path of what 'bulklmm import' or 'bulklmm scan' has written",
            )
        )
    done, total = 0, place.size()

    def read(size: int) -> None:
        nonlocal done
        done += size
        if progress is not None:
            progress(min(done, total), total)

    rows = [{"store": str(place), **asdict(finding)} for finding in examine(place, read)]
    return pd.DataFrame(rows, columns=list(_COLUMNS))
