"""Files of arrays on a server that are read before they are asked for, while other requests wait.

The first files of an array, up to some bytes, are held until the end of `reading_ahead`, so that
several passes over a small array read it once.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any

import numpy as np

from bulklmm_dask.errors import StoreError
from bulklmm_dask.storage.places.location import Location
from bulklmm_dask.storage.proof.lazy import Stored, behind
from bulklmm_dask.storage.proof.manifest import early_files, opened_once

# Bytes, decoded, of the files that are held.
MOST = 2**26
_TOGETHER = 8  # of them are read at once


@contextmanager
def reading_ahead() -> Iterator[Callable[..., None]]:
    """Give a function that begins to read arrays of servers; others, and parts, it leaves alone.

    At the end no request is under way any more, also after an error: who comes next would meet it.
    What cannot be read is asked for again by whoever needs it, and is told of the error.
    """
    left, mine = MOST, list[tuple[str, str]]()
    pool = ThreadPoolExecutor(_TOGETHER)

    def begin(*arrays: Any) -> None:
        nonlocal left
        for stored in map(behind, arrays):
            if not isinstance(stored, Stored) or not stored.is_far:
                continue
            for file, size in _files(stored):
                key = file.path, stored.opening.token
                if size > left:
                    break
                if key not in early_files:
                    early_files[key] = pool.submit(file.read_bytes)
                    mine.append(key)
                    left -= size

    try:
        yield begin
    finally:
        pool.shutdown(cancel_futures=True)
        for key in mine:
            early_files.pop(key, None)


def _files(stored: Stored) -> Iterator[tuple[Location, int]]:
    """Files of an array, and bytes of each once it is decoded; none if they cannot be known."""
    if stored.opening.identity is None:
        return
    try:
        form, _ = opened_once(stored.store, stored.name, stored.opening)
    except StoreError:
        return
    for index in np.ndindex(form.files):
        yield (
            stored.store / stored.name / form.path(index),
            math.prod(form.file) * form.dtype.itemsize,
        )
