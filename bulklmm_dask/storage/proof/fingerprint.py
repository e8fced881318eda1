"""Fingerprints of inputs and options: a store is resumed only if they are the same."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable

import numpy as np
import numpy.typing as npt
import xarray as xr


def row_digests(values: npt.NDArray[np.generic]) -> npt.NDArray[np.uint64]:
    """64-bit digest of every row of a table, so that chunks of rows can be hashed independently.

    Values are hashed as float64, all NaN alike: dtype and chunks of a table do not matter.
    """
    table = np.asarray(values, dtype=np.float64) + 0.0  # -0.0 becomes 0.0
    table[np.isnan(table)] = np.nan
    digests = (hashlib.blake2b(row, digest_size=8).digest() for row in np.ascontiguousarray(table))
    return np.frombuffer(b"".join(digests), dtype="<u8").astype(np.uint64)


def of_labels(template: xr.Dataset) -> str:
    """Digest of all names and positions that a result carries."""
    names = sorted(map(str, template.variables))
    return fingerprint((name, template[name].values.tolist()) for name in names)


def fingerprint(parts: Iterable[object]) -> str:
    """Hexadecimal digest of arrays (their bytes) and of anything else (its text), in order."""
    digest = hashlib.blake2b(digest_size=16)
    for part in parts:
        if isinstance(part, np.ndarray) and part.dtype != object:
            digest.update(str((part.shape, part.dtype)).encode())
            digest.update(np.ascontiguousarray(part).tobytes())
        elif isinstance(part, np.ndarray):
            digest.update("\x1f".join(map(str, part.ravel())).encode())
        else:
            digest.update(repr(part).encode())
        digest.update(b"\x1e")
    return digest.hexdigest()
