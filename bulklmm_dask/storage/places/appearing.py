"""Outputs that appear under their name whole, or not at all; the old one stays until then."""

from __future__ import annotations

import errno
import os
import re
import shutil
import uuid
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Self

from bulklmm_dask.errors import StoreError
from bulklmm_dask.storage.places import files
from bulklmm_dask.storage.places.paths import OLD, PART, Place, tries
from bulklmm_dask.storage.places.process import Process
from bulklmm_dask.storage.places.protocol import Location, Replaceable
from bulklmm_dask.storage.places.warn import say
from bulklmm_dask.surface import repeat
from bulklmm_dask.text import storage

# Bytes: systems allow 255 and 4096, and names of unfinished files and of chunks are longer.
_LONGEST_NAME, _LONGEST_PATH = 220, 3900
_PARTIAL = ".partial"  # ending of chunks that are being written, by Zarr too


class Output(Place):
    """A file or folder that is written beside its place, and moved there once it is complete."""

    def require_writable(self, needed: int = 0) -> None:
        """Raise StoreError unless this may be written, and the disk has the bytes needed.

        Folders above it that do not exist are no obstacle: they are made.
        """
        path = self.local.absolute()
        longest = max(len(os.fsencode(part)) for part in path.parts)
        if longest > _LONGEST_NAME or len(os.fsencode(path)) > _LONGEST_PATH:
            raise StoreError(f"{self} cannot be made: the name is too long; give a shorter one")
        folder = _existing(path)
        if folder == path and not folder.is_dir():
            folder = folder.parent  # a file is replaced by renaming another to its name
        if not folder.is_dir():
            raise StoreError(f"{self} cannot be made: {folder} is no folder; give another path")
        if not os.access(folder, os.W_OK):
            raise StoreError(
                f"{self} cannot be written: no permission in {folder}; give another path"
            )
        free = shutil.disk_usage(folder).free
        if free < needed:
            raise StoreError(
                f"{self} may need {storage(needed)}, but only {storage(free)} are free "
                f"in {folder}; make room, or choose another disk"
            )

    def require_parent(self) -> None:
        """Raise StoreError unless there is the folder to write to."""
        if not self.parent.is_folder():
            raise StoreError(
                f"{self} cannot be written: there is no folder {self.parent}; make it first"
            )

    @contextmanager
    def appearing(
        self, replaceable: Replaceable | None = None, *, locked: bool = False
    ) -> Iterator[Self]:
        """Give an empty folder beside this one to write to; move it here once it is complete."""
        place = self._followed
        partial, aside = place._beside(PART), place._beside(OLD)
        try:
            with explained(self):
                place.clear()
                partial.local.mkdir(parents=True)
                yield partial
                files.sync(files.all_in(partial.local))
                if not place.exists():
                    partial.local.rename(place)
                elif replaceable is None:
                    raise StoreError(
                        f"{self} was made meanwhile by another run; {repeat()}, or choose another "
                        "name"
                    )
                else:
                    replaceable(self)
                    files.put(partial.local, place.local, aside.local)
                files.sync([place.local.parent])
        finally:
            files.cleaning(lambda: place._clean(partial, aside))

    @contextmanager
    def scratch(self) -> Iterator[Self]:
        """Give an empty folder beside this one to work in, of which nothing is left behind."""
        place = self._followed
        partial = place._beside(PART)
        try:
            with explained(self):
                place.clear()
                partial.local.mkdir()
            yield partial
        finally:
            files.cleaning(partial.remove)

    @contextmanager
    def appearing_file(self) -> Iterator[Self]:
        """Give a name beside this one, of the same suffix, to write; rename it once complete.

        Whatever goes wrong before, nothing is left behind and an older file stays as it was.
        """
        place = self._followed
        partial = place._beside(PART)
        try:
            with explained(self):
                place.clear()
                yield partial
                files.sync([partial.local])
                partial.local.replace(place)
                files.sync([place.local.parent])
        finally:
            files.cleaning(partial.remove)

    def change(self, write: Callable[[Location], None]) -> None:
        """Change a folder at one moment: the old one stays until the new one is complete.

        Parameters
        ----------
        write : callable
            Gets a copy to change. Its files are hard links: they may be replaced, as Zarr does, but
            not written into. It is called again if another process has changed the folder.
        """
        while True:
            before = self._identity()

            def same(place: Location, before: tuple[int, int] = before) -> None:
                if self._identity() != before:
                    raise StoreError(f"{self} was changed meanwhile by another run; {repeat()}")

            try:
                with self.appearing(same) as partial:
                    files.copy(self.local, partial.local)
                    write(partial)
            except StoreError:
                if self._identity() == before:
                    raise
            else:
                return

    def recovered(self) -> Self:
        """Put back an older folder whose replacement was cut off, with a StudyWarning.

        That can be where the file system cannot swap two names (see `files.put`). Gives itself.
        """
        place = self._followed
        older: dict[Self, Process] = {}
        for _ in tries():  # one that is under way takes less
            older = {} if place.exists() else place._left(OLD)
            if not older:
                return self
        newest = max(older, key=lambda one: one.local.stat().st_ctime_ns)
        with explained(self):
            newest.local.rename(place)
        say(
            f"{self} was being replaced when that was cut off: the old one is back; {repeat()} to "
            "replace it"
        )
        return self

    def remove_partial_chunks(self) -> None:
        """Remove what is left of chunks that a killed run was writing."""
        for at, _, names in os.walk(self.path):
            for name in names:
                if name.endswith(_PARTIAL):
                    Path(at, name).unlink(missing_ok=True)

    @contextmanager
    def replacing(self) -> Iterator[IO[bytes]]:
        """Give a stream to a file of a store, which has its name once it is whole; no sync."""
        partial = type(self)(f"{os.path.splitext(self.path)[0]}.{uuid.uuid4().hex}{_PARTIAL}")
        os.makedirs(os.path.dirname(self.path) or os.curdir, exist_ok=True)
        try:
            with open(partial, "xb") as stream:
                yield stream
            os.replace(partial, self)
        except BaseException:
            files.cleaning(partial.remove)
            raise

    def begin_sync(self) -> None:
        """Let the system begin to write a file to the disk, for a `sync` later."""
        files.begin_sync(self.local)

    def sync(self, parts: Iterable[Location]) -> None:
        """Wait until files of this folder, and the folders on the way to them, are on the disk."""
        paths, root, folders = {part.local for part in parts}, self.local, set[Path]()
        for folder in {path.parent for path in paths}:
            above = folder
            while above not in folders and root in above.parents:
                folders.add(above)
                above = above.parent
        files.sync([*paths, *folders])

    def clear(self) -> None:
        """Remove what processes of this machine that were killed have left beside this one."""
        for one, process in self._left(f"{PART}|{OLD}" if self.exists() else PART).items():
            if process.has_ended():
                one.remove()

    def _identity(self) -> tuple[int, int]:
        found = os.stat(self.path)
        return found.st_ino, found.st_ctime_ns

    @property
    def _followed(self) -> Self:
        """What a link points at, which is replaced instead of the link."""
        return type(self)(os.path.realpath(self.path)) if os.path.islink(self.path) else self

    def _left(self, what: str) -> dict[Self, Process]:
        """Hidden files and folders of this kind beside this one, and who made them."""
        stem, suffix = re.escape(self.local.stem), re.escape(self.suffix)
        name = re.compile(rf"\.{stem}\.(?:{what})-([0-9a-f]+)-(\d+)-[0-9a-f]+{suffix}")
        try:
            found = [name.fullmatch(entry) for entry in os.listdir(self.parent)]
        except OSError:  # no such folder, or one that may not be listed
            return {}
        return {
            type(self)(str(self.local.with_name(one[0]))): Process(one[1], int(one[2]))
            for one in found
            if one is not None
        }

    def _clean(self, partial: Self, aside: Self) -> None:
        partial.remove()
        if self.exists():
            aside.remove()


def _existing(path: Path) -> Path:
    """The path, or the nearest folder above it that exists."""
    return next(one for one in (path, *path.parents) if Place(str(one)).exists())


@contextmanager
def explained(
    target: Location | str, kept: str = "", needed: Callable[[], int] = lambda: 0
) -> Iterator[None]:
    """Turn OSError into StoreError about `target`.

    For a full disk, `needed` gives the bytes that are still to be written, if that is known, and
    `kept` precedes the remedy.
    """
    try:
        yield
    except OSError as error:
        reason = error.strerror or str(error)
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            free = shutil.disk_usage(_existing(Path(target).absolute())).free
            reason = f"the disk is full; {kept}make room and run it again ("
            if bytes_left := needed():
                reason += f"up to {storage(bytes_left)} are still to be written, "
            reason += f"{storage(free)} are free)"
        elif isinstance(error, PermissionError):
            reason = f"no permission ({reason}); give another path"
        raise StoreError(f"{target} cannot be written: {reason}") from error
