"""Files and folders of the local file system: on the disk, and in place at one moment.

What takes the place of something else is written beside it, synced, and then swapped with it or
renamed, so that at every moment the name stands for the old one or the new one, whole.
"""

from __future__ import annotations

import ctypes
import errno
import os
import shutil
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

# The journal of a file system takes the syncs of many threads together; a few need none.
_THREADS, _FEW = 16, 9
# Linux's renameat2: both names relative to the working folder, swapped.
_HERE, _EXCHANGE = -100, 2
_NO_SWAP = (errno.EINVAL, errno.ENOSYS, errno.ENOTSUP)
# File systems that cannot sync a folder, and do not need it, say one of these.
_NO_SYNC = (errno.EINVAL, errno.ENOTSUP)
# Hard links are refused by some file systems, and for files of other users.
_NO_LINK = (errno.EPERM, errno.EACCES, errno.ENOTSUP, errno.EMLINK, errno.EXDEV, errno.ENOSYS)


def sync(paths: Iterable[Path]) -> None:
    """Wait until files and folders, given each, are on the disk."""
    waiting = list(paths)
    if len(waiting) < _FEW:
        for path in waiting:
            _sync(path)
        return
    with ThreadPoolExecutor(_THREADS) as pool:
        list(pool.map(_sync, waiting))


def _sync(path: Path) -> None:
    number = os.open(path, os.O_RDONLY)
    try:
        os.fsync(number)
    except OSError as error:
        if error.errno not in _NO_SYNC:
            raise
    finally:
        os.close(number)


def begin_sync(path: Path) -> None:
    """Let the system begin to write a file to the disk, without waiting for it."""
    if hasattr(os, "posix_fadvise"):
        number = os.open(path, os.O_RDONLY)
        try:
            os.posix_fadvise(number, 0, 0, os.POSIX_FADV_DONTNEED)  # it flushes what is dirty
        finally:
            os.close(number)


def all_in(folder: Path) -> list[Path]:
    """Every file and folder in a folder, the folder itself last."""
    found = []
    for at, _, names in os.walk(folder, topdown=False):
        found += [Path(at) / name for name in names]
        found.append(Path(at))
    return found


def exchange(one: Path, other: Path) -> bool:
    """Swap two names at one moment; False where the system cannot, as NFS."""
    swap = getattr(ctypes.CDLL(None, use_errno=True), "renameat2", None)
    if swap is None:
        return False
    if swap(_HERE, os.fsencode(one), _HERE, os.fsencode(other), _EXCHANGE) == 0:
        return True
    number = ctypes.get_errno()
    if number in _NO_SWAP:
        return False
    raise OSError(number, os.strerror(number), str(one))


def put(new: Path, target: Path, aside: Path) -> None:
    """Give a complete folder the name of another one, `target`; that one ends as `new` or `aside`.

    Where two names cannot be swapped, the old folder goes `aside` first. If that is cut off between
    its two renames, the old folder is put back; after a kill whoever opens it next does so.
    """
    if exchange(new, target):
        return
    try:
        target.rename(aside)
        new.rename(target)
    except BaseException:
        if os.path.lexists(aside) and not os.path.lexists(target):
            aside.rename(target)
        raise


def copy(source: Path, target: Path) -> None:
    """Copy what a folder holds into another one; files are hard links where that is possible."""
    shutil.copytree(source, target, dirs_exist_ok=True, copy_function=_link)


def _link(source: str, target: str) -> None:
    try:
        os.link(source, target)
    except OSError as error:
        if error.errno not in _NO_LINK:
            raise
        shutil.copy2(source, target)


def cleaning(action: Callable[[], object]) -> None:
    """Clean up; if Ctrl-C or an error cuts it off, once more before that goes on."""
    try:
        action()
    except BaseException:
        action()
        raise
