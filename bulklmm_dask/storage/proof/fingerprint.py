"""Fingerprints of inputs and options: a store is resumed only if they are the same."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator

import numpy as np
import numpy.typing as npt
import xarray as xr

# Values of a table that are converted together: their copies take little memory.
_TOGETHER = 2**16


def row_digests(values: npt.NDArray[np.generic]) -> npt.NDArray[np.uint64]:
    """64-bit digest of every row of a table, so that chunks of rows can be hashed independently.

    Values are hashed as float64, all NaN alike: dtype and chunks of a table do not matter.
    """
    rows = max(1, _TOGETHER // max(1, values[:1].size))
    parts = (values[at : at + rows] for at in range(0, len(values), rows))
    digests = b"".join(digest for part in parts for digest in _digests(part))
    return np.frombuffer(digests, dtype="<u8").astype(np.uint64)


def _digests(values: npt.NDArray[np.generic]) -> Iterator[bytes]:
    table = np.asarray(values, dtype=np.float64) + 0.0  # -0.0 becomes 0.0
    table[np.isnan(table)] = np.nan
    for row in np.ascontiguousarray(table):
        yield hashlib.blake2b(row, digest_size=8).digest()


def of_rows(digests: npt.NDArray[np.uint64]) -> str:
    """Digest of all values of a table, from those of its rows (`row_digests`).

    A study keeps it when it is saved (`kept_digests`), so that it need not be read for it.
    """
    return fingerprint([digests])


def of_labels(template: xr.Dataset) -> str:
    """Digest of all names and positions that a result carries."""
    names = sorted(map(str, template.variables))
    return fingerprint((name, template[name].values.tolist()) for name in names)


def fingerprint(parts: Iterable[object]) -> str:
    """Hexadecimal digest of arrays (their bytes) and of anything else (its text), in order."""
    digest = hashlib.blake2b(digest_size=16)
    for part in parts:
        if isinstance(part, np.ndarray) and part.dtype != object:
            digest.update(str((part.shape, part.dtype.str)).encode())
            digest.update(np.ascontiguousarray(part).tobytes())
        elif isinstance(part, np.ndarray):
            digest.update("\x1f".join(map(str, part.ravel())).encode())
        else:
            digest.update(repr(part).encode())
        digest.update(b"\x1e")
    return digest.hexdigest()
