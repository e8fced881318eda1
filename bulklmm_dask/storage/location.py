"""Writing to disk: room is checked first, all appears whole, and errors say the remedy."""

from __future__ import annotations

import errno
import os
import shutil
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from bulklmm_dask.errors import StoreError
from bulklmm_dask.text import storage

_TRIES, _PAUSE = 50, 0.05  # seconds


def require_room(target: Path, needed: int) -> None:
    """Raise StoreError where `target` cannot be made, or the disk lacks the bytes needed for it."""
    parent = next(folder for folder in target.absolute().parents if folder.exists())
    if not parent.is_dir():
        raise StoreError(f"{target} cannot be made: {parent} is no folder; give another path")
    if not os.access(parent, os.W_OK):
        raise StoreError(f"{parent} cannot be written: no permission; give another path")
    free = shutil.disk_usage(parent).free
    if free < needed:
        raise StoreError(
            f"{target} may need {storage(needed)}, but only {storage(free)} are free "
            f"in {parent}; make room, or choose another disk"
        )


@contextmanager
def appearing(target: Path) -> Iterator[Path]:
    """Give an empty folder beside `target` to write to; move it to `target` once it is complete.

    Whatever goes wrong before, nothing is left behind and an older `target` stays as it was.
    """
    mark = uuid.uuid4().hex[:8]
    partial, old = (target.with_name(f".{target.name}.{part}-{mark}") for part in ("part", "old"))
    try:
        with explained(target):
            partial.mkdir(parents=True)
            yield partial
            if target.exists():
                target.rename(old)
            partial.rename(target)
    finally:
        for leftover in (partial, old):
            _remove(leftover)


@contextmanager
def appearing_file(target: Path) -> Iterator[Path]:
    """Give a name beside `target`, of the same suffix, to write; rename it once it is complete.

    Whatever goes wrong before, nothing is left behind and an older `target` stays as it was.
    """
    partial = target.with_name(f".{target.stem}.part-{uuid.uuid4().hex[:8]}{target.suffix}")
    try:
        with explained(target):
            yield partial
            partial.replace(target)
    finally:
        partial.unlink(missing_ok=True)


def _remove(folder: Path) -> None:
    """Remove a folder for good: threads of a run that failed may go on writing to it a while."""
    for _ in range(_TRIES):
        if not folder.exists():
            return
        shutil.rmtree(folder, ignore_errors=True)
        time.sleep(_PAUSE)


@contextmanager
def explained(target: Path | str, kept: str = "") -> Iterator[None]:
    """Turn the errors of a file system into a StoreError; `kept` says what a full disk spared."""
    try:
        yield
    except OSError as error:
        reason = error.strerror or str(error)
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            reason = f"the disk is full; {kept}make room and run it again"
        elif isinstance(error, PermissionError):
            reason = f"no permission ({reason}); give another path"
        raise StoreError(f"{target} cannot be written: {reason}") from error
