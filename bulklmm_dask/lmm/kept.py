"""Markers that are prepared once for all chunks of traits of a run.

A run scans each chunk of markers with one chunk of traits after the other. Its different markers,
and these in the eigenbasis of the samples, are the same each time: they are kept while there is
room, in the process that runs.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager

from bulklmm_dask.lmm.basis import Basis
from bulklmm_dask.lmm.kinship import impute
from bulklmm_dask.lmm.markers import Markers, distinct_markers, prepare_markers
from bulklmm_dask.typing import Array, Index, Real

# Bytes of all that is kept.
_MOST = 2**26


class _Kept:
    """What is kept for the length of a run: nothing gives way, for all is needed again."""

    def __init__(self) -> None:
        self._room, self._lock = _MOST, threading.Lock()
        # By the chunk, and by array and basis; what a number stands for is held beside.
        self._distinct: dict[tuple[int, int], tuple[object, Array, Index | None]] = {}
        self._markers: dict[int, dict[int, tuple[Basis, Markers]]] = {}

    def distinct(self, key: tuple[object, int], genotypes: Real) -> tuple[Array, Index | None]:
        """The different markers of a chunk, and the position of each marker among these."""
        chunk, number = key
        found = self._distinct.get((id(chunk), number))
        if found is None:
            x, where = distinct_markers(impute(genotypes))
            found = chunk, x, where
            with self._lock:
                if self._has_room(x.nbytes):
                    x.flags.writeable = False
                    self._markers[id(x)] = {}
                    self._distinct[id(chunk), number] = found
        return found[1:]

    def prepared(self, basis: Basis, dosage: Array) -> Markers:
        """Markers in a basis; kept if their dosages are."""
        mine = self._markers.get(id(dosage))
        if mine is None:
            return prepare_markers(basis, dosage)
        found = mine.get(id(basis))
        if found is None:
            markers = prepare_markers(basis, dosage)
            found = basis, markers
            with self._lock:
                if self._has_room(markers.rotated.nbytes):
                    markers.rotated.flags.writeable = markers.tested.flags.writeable = False
                    mine[id(basis)] = found
        return found[1]

    def _has_room(self, n_bytes: int) -> bool:
        """Take the room for so many bytes, if there is as much."""
        if n_bytes > self._room:
            return False
        self._room -= n_bytes
        return True


_kept: _Kept | None = None


@contextmanager
def keeping_markers() -> Iterator[None]:
    """Keep what is prepared of markers until the end; does nothing within itself."""
    global _kept
    if _kept is not None:
        yield
        return
    _kept = _Kept()
    try:
        yield
    finally:
        _kept = None


def distinct_of(genotypes: Real, key: tuple[object, int] | None) -> tuple[Array, Index | None]:
    """Different markers of a chunk of genotypes, gaps filled (`distinct_markers`).

    Parameters
    ----------
    genotypes : array (variants, samples, ...)
        Genotypes; NaN where missing.
    key : (object, int) or None
        What stands for these genotypes as long as they are scanned: an object of the chunk, and the
        number of a part of it. None for genotypes that are not kept.
    """
    kept = _kept
    if kept is None or key is None:
        return distinct_markers(impute(genotypes))
    return kept.distinct(key, genotypes)


def prepared_markers(basis: Basis, dosage: Array) -> Markers:
    """Markers in the basis of their samples, kept if their dosages are (`prepare_markers`)."""
    kept = _kept
    return prepare_markers(basis, dosage) if kept is None else kept.prepared(basis, dosage)
