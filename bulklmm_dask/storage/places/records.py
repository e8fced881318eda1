"""Small files that many processes look at, such as locks: each operation has one outcome."""

from __future__ import annotations

import errno
import os
import time
from collections.abc import Callable
from contextlib import suppress
from typing import TypeVar

from bulklmm_dask.storage.places import files
from bulklmm_dask.storage.places.paths import PART, Place, tries

T = TypeVar("T")

_LONGEST_RECORD = 10**5  # bytes


class Record(Place):
    """A small file; of many processes that make, renew or remove it, each knows who succeeded."""

    def create(self, data: bytes) -> None:
        """Make a small file; FileExistsError if there is one. Of many who try, one succeeds."""
        number = os.open(self.path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o666)
        try:
            with open(number, "wb") as stream:
                stream.write(data)
                stream.flush()
                os.fsync(stream.fileno())
        except BaseException:
            files.cleaning(self.remove)
            raise

    def record(self) -> bytes | None:
        """Bytes of a small file; None if there is none.

        It is not called read: libraries take what has a method of that name for an open file.
        """
        try:
            return _fresh(self.read_bytes)
        except (FileNotFoundError, NotADirectoryError, IsADirectoryError):
            return None

    def renew(self, data: bytes) -> bool:
        """Note the time in a small file, if it holds these bytes; tell whether it does."""
        try:
            number = os.open(self.path, os.O_RDONLY)
        except (FileNotFoundError, NotADirectoryError):
            return False
        try:
            if os.read(number, _LONGEST_RECORD) != data:
                return False
            os.utime(number)  # of what was read, even if another file has its name by now
            return True
        finally:
            os.close(number)

    def discard(self, data: bytes) -> bool:
        """Remove a small file, if it holds these bytes; tell whether it did."""
        if self.record() != data:
            return False
        taken = self._beside(PART)
        try:
            self.local.rename(taken)
        except FileNotFoundError:  # another process was faster
            return False
        try:
            if taken.record() == data:
                return True
            with suppress(FileExistsError):  # another process has put its own there
                os.link(taken, self)
            return False
        finally:
            files.cleaning(taken.remove)

    def age(self) -> float:
        """Seconds since a file was written or renewed, by the clock of its file system."""
        probe = self._beside(PART)
        try:
            probe.create(b"")
            now = os.stat(probe).st_mtime
        except OSError:  # it may not be written here
            now = time.time()
        finally:
            files.cleaning(probe.remove)
        return now - self.renewed()

    def renewed(self) -> float:
        """Time when a file was written or renewed, by the clock of its file system."""

        def opened() -> float:
            with self.open() as stream:  # NFS asks the server when a file is opened
                return os.fstat(stream.fileno()).st_mtime

        return _fresh(opened)


def _fresh(look: Callable[[], T]) -> T:
    """Look at a file, once more if it was replaced since it was opened, which NFS calls stale."""
    for _ in tries():
        try:
            return look()
        except OSError as error:
            if error.errno != errno.ESTALE:
                raise
    return look()
