"""Result stores of version 0.1.0 (format 1): no checksums, and a mark of 1 for a finished block."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np

from bulklmm_dask.storage.arrays.chunks import file_of, is_whole
from bulklmm_dask.storage.places.location import Location
from bulklmm_dask.storage.proof.manifest import marks, place


def cut_short(
    store: Location, name: str, arrays: Sequence[str]
) -> Iterator[tuple[tuple[int, ...], Location]]:
    """Yield mark and file of each file of a finished block that is missing or cut short.

    Parameters
    ----------
    store : Location
        A result.
    name : str
        Name of its marks, of blocks or of chunks of traits.
    arrays : sequence of str
        Arrays that are written there.
    """
    finished: list[tuple[int, ...]] = [
        tuple(mark) for mark in np.argwhere(marks(store, name)).tolist()
    ]
    for array_name in arrays:
        array = store.open_array(array_name)
        for mark in finished:
            index = place(mark, array.ndim)
            file = file_of(store, array_name, array, index)
            if not is_whole(file, array, index):
                yield mark, file
