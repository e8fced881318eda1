"""Files that are compressed while they are written; the same content gives the same bytes."""

from __future__ import annotations

import bz2
import gzip
import io
import lzma
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import IO, Any

_LEVEL = 3  # of zstd: its own default


@contextmanager
def _gzip(path: str) -> Iterator[gzip.GzipFile]:
    with open(path, "wb") as file, gzip.GzipFile("", "wb", fileobj=file, mtime=0) as stream:
        yield stream


@contextmanager
def _zstd(path: str) -> Iterator[IO[bytes]]:
    from numcodecs.zstd import compress  # only who writes it waits for NumPy

    content = io.BytesIO()
    yield content
    Path(path).write_bytes(compress(content.getvalue(), _LEVEL))


# Suffix -> opens a file of a path to write into; what `packed` reads.
PACKING: dict[str, Callable[[str], Any]] = {
    ".gz": _gzip,
    ".bz2": partial(bz2.open, mode="wb"),
    ".xz": partial(lzma.open, mode="wb"),
    ".zst": _zstd,
}
