"""Locations: every store and every output is found, opened and written through a `Location`.

Free space is checked before writing, output appears complete or not at all, and errors say the
remedy. Stores are opened only if their codecs are harmless.
A `Location` is a local path today. Object stores need another implementation of these methods,
and nothing else in the package: there a store appears with one conditional write of its root
metadata, and `create`, `renew` and `discard` are conditional writes too. xarray and Zarr are
imported when they are needed: commands that only ask whether a file may be written start without
them.
"""

from __future__ import annotations

import errno
import json
import os
import re
import shutil
import stat
import time
import uuid
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, Self
from urllib.parse import unquote

from bulklmm_dask.errors import InputError, StoreError
from bulklmm_dask.storage import files
from bulklmm_dask.storage.codecs import require_harmless
from bulklmm_dask.storage.process import Process
from bulklmm_dask.storage.warn import say
from bulklmm_dask.surface import option, repeat
from bulklmm_dask.text import named, storage

if TYPE_CHECKING:
    import xarray as xr
    import zarr

# Bytes: systems allow 255 and 4096, and names of unfinished files and of chunks are longer.
_LONGEST_NAME, _LONGEST_PATH = 220, 3900
_TRIES, _PAUSE = 50, 0.05  # attempts to remove a folder, and seconds between them
METADATA = "zarr.json"
# Hidden names beside a file or folder: what is being written, and what is being replaced.
_PART, _OLD = "part", "old"
_PARTIAL = ".partial"  # ending of chunks that are being written, by Zarr too
_LONGEST_RECORD = 10**5  # bytes of a lock
# Two letters at least: C:/ is a drive. One slash: pathlib makes s3:/ of s3://.
_URL = re.compile(r"((?:[A-Za-z][A-Za-z0-9+.-]+::)*[A-Za-z][A-Za-z0-9+.-]+):/+")
_FILE_URL = re.compile(r"file:(?://(?:localhost)?)?(/(?!/).*)", re.IGNORECASE | re.DOTALL)
# A name that is too long, or of links in a circle, names nothing.
_NAMES_NOTHING = (errno.ENOENT, errno.ENOTDIR, errno.ENAMETOOLONG, errno.ELOOP)


@dataclass(frozen=True)
class Location(os.PathLike[str]):
    """The path of a file or folder, which need not exist; cheap to send to any worker.

    Its text is the path for messages: as the user typed it, in quotation marks if it holds blanks.

    Attributes
    ----------
    path : str
        The path, with ~ expanded.
    typed : str
        The path as it was given.
    """

    path: str
    typed: str = field(default="", compare=False)

    @classmethod
    def of(cls, path: str | os.PathLike[str]) -> Self:
        """Make the location of a path, a path that begins with ~, or a file:// URL.

        Raises
        ------
        InputError
            If `path` is another URL, or no path.
        """
        if isinstance(path, cls):
            return path
        typed = _text(path)
        local = _FILE_URL.fullmatch(typed)
        if local is not None:
            return cls(unquote(local[1]))
        if found := _URL.match(typed):
            url = f"{found[1]}://{typed[found.end() :]}"
            raise InputError(
                f"{named(url)} is a URL, and only local paths are supported, not {found[1]}; copy "
                "it to this machine, or mount it, and give the local path"
            )
        return cls(_expanded(typed), str(Path(typed)))

    def __fspath__(self) -> str:
        return self.path

    def __str__(self) -> str:
        return named(self.typed or self.path)

    def __truediv__(self, name: str) -> Location:
        _refuse_nul(name)
        return Location(_joined(self.path, name), _joined(self.typed or self.path, name))

    @property
    def local(self) -> Path:
        """The path, for code that works on local files only."""
        return Path(self.path)

    @property
    def fixed(self) -> Location:
        """The same place, also once the working folder is another."""
        return Location(str(self.local.absolute()), self.typed or self.path)

    @property
    def name(self) -> str:
        """The last part of the path."""
        return self.local.name

    @property
    def suffix(self) -> str:
        """The ending of the name, such as .csv."""
        return self.local.suffix

    @property
    def parent(self) -> Location:
        """The folder that holds it, with its full path."""
        return Location(str(self.local.absolute().parent))

    @property
    def beside(self) -> Location:
        """The folder that holds it, as its path was given."""
        return Location(str(self.local.parent), str(Path(self.typed or self.path).parent))

    def _mode(self) -> int:
        """Kind and permissions of what is there; 0 if there is nothing."""
        try:
            return os.stat(self.path).st_mode
        except OSError as error:
            if error.errno in _NAMES_NOTHING:
                return 0
            raise InputError(f"{self} cannot be read: {error.strerror or error}") from error

    def exists(self) -> bool:
        """Tell whether there is a file or folder."""
        return self._mode() != 0

    def is_folder(self) -> bool:
        """Tell whether there is a folder."""
        return stat.S_ISDIR(self._mode())

    def is_file(self) -> bool:
        """Tell whether there is a file; a pipe or a device is none."""
        return stat.S_ISREG(self._mode())

    def is_special(self) -> bool:
        """Tell whether there is a pipe, a socket or a device."""
        mode = self._mode()
        return mode != 0 and not (stat.S_ISREG(mode) or stat.S_ISDIR(mode))

    def require_file(self) -> None:
        """Raise InputError unless there is a file that can be read more than once."""
        if self.is_folder():
            raise InputError(f"{self} is a folder; give the path of a file")
        if self.is_special():
            raise InputError(
                f"{self} is a pipe or a device, and is not read; write what it gives to a file, "
                "and give that"
            )
        if not self.exists():
            raise InputError(f"there is no file {self}; check the name")

    def is_store(self) -> bool:
        """Tell whether there is a Zarr store of format 3."""
        return (self / METADATA).is_file()

    def size(self) -> int:
        """Bytes of a file, or of all files of a folder; 0 where there is none."""
        try:
            if self.is_folder():
                return sum(file.stat().st_size for file in self.local.rglob("*") if file.is_file())
            return self.local.stat().st_size
        except (FileNotFoundError, NotADirectoryError):
            return 0

    def count(self) -> int:
        """Number of the files of a folder and of all folders in it."""
        return sum(len(files) for _, _, files in os.walk(self.path))

    def names(self) -> list[str]:
        """Names of the entries of a folder, sorted."""
        return sorted(os.listdir(self.path))

    def remove(self) -> None:
        """Remove a file, or a folder and all in it, if it is there."""
        if not self.is_folder():
            self.local.unlink(missing_ok=True)
            return
        for _ in range(_TRIES):  # threads of a run that failed may go on writing to it for a while
            if not self.exists():
                return
            shutil.rmtree(self.local, ignore_errors=True)
            time.sleep(_PAUSE)

    def require_writable(self, needed: int = 0) -> None:
        """Raise StoreError unless this may be written, and the disk has the bytes needed.

        Folders above it that do not exist are no obstacle: they are made.
        """
        path = self.local.absolute()
        longest = max(len(os.fsencode(part)) for part in path.parts)
        if longest > _LONGEST_NAME or len(os.fsencode(path)) > _LONGEST_PATH:
            raise StoreError(f"{self} cannot be made: the name is too long; give a shorter one")
        folder = next(one for one in (path, *path.parents) if Location(str(one)).exists())
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

    def require_free(self, *, overwrite: bool) -> None:
        """Raise StoreError, before any work, where an output cannot be made or exists already.

        `overwrite` allows something of that name to exist; the caller checks whether it may be
        replaced.
        """
        if not self.parent.is_folder():
            raise StoreError(
                f"{self} cannot be written: there is no folder {self.parent}; make it first"
            )
        if self.exists() and not overwrite:
            raise StoreError(
                f"{self} exists; choose another name, or replace it with "
                f"{option('overwrite', True)}"
            )
        self.require_writable()

    def require_free_file(self, *, overwrite: bool) -> None:
        """Do the checks of `require_free` for a file, which never replaces a folder."""
        if self.is_folder():
            raise StoreError(f"{self} cannot be written: it is a folder; give another path")
        if self.is_special():
            raise StoreError(
                f"{self} cannot be written: it is a pipe or a device; give the path of a file"
            )
        self.require_free(overwrite=overwrite)

    @contextmanager
    def appearing(
        self, replaceable: Callable[[Location], None] | None = None
    ) -> Iterator[Location]:
        """Give an empty folder beside this one to write to; move it here once it is complete.

        Whatever goes wrong before, nothing is left behind and an older folder stays as it was.

        Parameters
        ----------
        replaceable : callable, optional
            Gets this location, and raises unless the older folder may go. Without it there must be
            none.

        Raises
        ------
        StoreError
            If the folder cannot be written, or there is one that may not go.
        """
        place = self._followed
        partial, aside = place._beside(_PART), place._beside(_OLD)
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
    def scratch(self) -> Iterator[Location]:
        """Give an empty folder beside this one to work in, of which nothing is left behind."""
        place = self._followed
        partial = place._beside(_PART)
        try:
            with explained(self):
                place.clear()
                partial.local.mkdir()
            yield partial
        finally:
            files.cleaning(partial.remove)

    def put(self, source: Location) -> None:
        """Put a copy of a small file here, in place of whatever is here, at one moment."""
        if self.is_folder():
            self.remove()
        with self.replacing() as stream:
            stream.write(source.read_bytes())

    @contextmanager
    def appearing_file(self) -> Iterator[Location]:
        """Give a name beside this one, of the same suffix, to write; rename it once complete.

        Whatever goes wrong before, nothing is left behind and an older file stays as it was.
        """
        place = self._followed
        partial = place._beside(_PART)
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
                if place._identity() != before:
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
        older: dict[Location, Process] = {}
        for _ in range(_TRIES):  # one that is under way takes less
            older = {} if place.exists() else place._left(_OLD)
            if not older:
                return self
            time.sleep(_PAUSE)
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
        for file in self.local.rglob(f"*{_PARTIAL}"):
            file.unlink(missing_ok=True)

    @contextmanager
    def replacing(self) -> Iterator[IO[bytes]]:
        """Give a stream to a file of a store, which has its name once it is whole; no sync."""
        partial = Location(f"{os.path.splitext(self.path)[0]}.{uuid.uuid4().hex}{_PARTIAL}")
        os.makedirs(os.path.dirname(self.path), exist_ok=True)
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
        paths = {part.local for part in parts}
        folders = {above for path in paths for above in path.parents if self.local in above.parents}
        files.sync([*paths, *folders])

    def _identity(self) -> tuple[int, int]:
        found = os.stat(self.path)
        return found.st_ino, found.st_ctime_ns

    @property
    def _followed(self) -> Location:
        """What a link points at, which is replaced instead of the link."""
        return Location(os.path.realpath(self.path)) if os.path.islink(self.path) else self

    def _beside(self, what: str) -> Location:
        process = Process.this()
        whose = f"{process.machine}-{process.pid}-{uuid.uuid4().hex[:8]}"
        name = f".{self.local.stem}.{what}-{whose}{self.suffix}"
        return Location(str(self.local.with_name(name)))

    def read_bytes(self) -> bytes:
        """Read all bytes of a file; the caller explains errors."""
        with self.open() as stream:
            return stream.read()

    def _left(self, what: str) -> dict[Location, Process]:
        """Hidden files and folders of this kind beside this one, and who made them."""
        stem, suffix = re.escape(self.local.stem), re.escape(self.suffix)
        name = re.compile(rf"\.{stem}\.(?:{what})-([0-9a-f]+)-(\d+)-[0-9a-f]+{suffix}")
        try:
            found = [name.fullmatch(entry) for entry in os.listdir(self.parent)]
        except OSError:  # no such folder, or one that may not be listed
            return {}
        return {
            Location(str(self.local.with_name(one[0]))): Process(one[1], int(one[2]))
            for one in found
            if one is not None
        }

    def clear(self) -> None:
        """Remove what processes of this machine that were killed have left beside this one."""
        for one, process in self._left(f"{_PART}|{_OLD}" if self.exists() else _PART).items():
            if process.has_ended():
                one.remove()

    def _clean(self, partial: Location, aside: Location) -> None:
        partial.remove()
        if self.exists():
            aside.remove()

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
            return self.read_bytes()
        except (FileNotFoundError, NotADirectoryError):
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
        taken = self._beside(_PART)
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
        probe = self._beside(_PART)
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
        with self.open() as stream:  # NFS asks the server when a file is opened
            return os.fstat(stream.fileno()).st_mtime

    def open(self) -> IO[bytes]:
        """Open a file to read its bytes; the caller explains errors."""
        return open(self.path, "rb")

    def write_text(self, text: str) -> None:
        """Write a text file in UTF-8, complete or not at all, with line ends unchanged."""
        with self.appearing_file() as partial:
            partial.local.write_text(text, encoding="utf-8", newline="")

    def open_group(self, mode: Any = "r", zarr_format: Any = 3) -> zarr.Group:
        """Open a Zarr group, once the metadata of its arrays are found to be harmless."""
        zarr = _bounded_zarr()
        require_harmless(self.local)
        return zarr.open_group(self.path, mode=mode, zarr_format=zarr_format)

    def open_array(self, name: str, mode: Any = "r", zarr_format: Any = 3) -> Any:
        """Open an array of a Zarr group, once its metadata are found to be harmless."""
        zarr = _bounded_zarr()
        require_harmless(self.local / name, within=False)
        return zarr.open_array(self.path, path=name, mode=mode, zarr_format=zarr_format)

    def arrays(self) -> dict[str, Any]:
        """Open the arrays of a Zarr group one by one; StoreError names the damaged file.

        Zarr itself opens them all at once, and prints what fails in the second and the third.
        """
        found = {}
        for name in self.names():
            file = self / name / METADATA
            if not file.is_file():
                continue
            try:
                if json.loads(file.local.read_bytes())["node_type"] == "array":
                    found[name] = self.open_array(name)
            except StoreError:
                raise
            except Exception as error:  # whatever damaged metadata lead to
                raise StoreError(f"{file} is damaged ({error}); make the store again") from error
        return found

    def open_dataset(self, **options: Any) -> xr.Dataset:
        """Open a Zarr group lazily; `options` go to xarray.open_zarr."""
        import xarray as xr

        _bounded_zarr()
        require_harmless(self.local)
        self.arrays()
        return xr.open_zarr(self.path, consolidated=False, zarr_format=3, **options)

    def write_dataset(self, ds: xr.Dataset, **options: Any) -> None:
        """Write a dataset as a Zarr group; `options` go to Dataset.to_zarr."""
        ds.to_zarr(self.path, mode="w", zarr_format=3, consolidated=False, **options)


def _bounded_zarr() -> Any:
    """Import Zarr, so that damaged texts do not fill the memory."""
    import zarr

    from bulklmm_dask.storage.texts import bound_texts

    bound_texts()
    return zarr


@contextmanager
def explained(target: Location | str, kept: str = "") -> Iterator[None]:
    """Turn OSError into StoreError about `target`; `kept` precedes the remedy for a full disk."""
    try:
        yield
    except OSError as error:
        reason = error.strerror or str(error)
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            reason = f"the disk is full; {kept}make room and run it again"
        elif isinstance(error, PermissionError):
            reason = f"no permission ({reason}); give another path"
        raise StoreError(f"{target} cannot be written: {reason}") from error


def _text(path: object) -> str:
    """Give a path as text, or raise InputError if it can be none."""
    try:
        text = os.fsdecode(path)  # type: ignore[arg-type]
    except TypeError:
        raise InputError(
            f"{path!r} is no path, but {type(path).__name__}; give the path of a file or a folder"
        ) from None
    _refuse_nul(text)
    if not text.strip():
        raise _nothing(text)
    return text


def _joined(folder: str, name: str) -> str:
    """Path of an entry of a folder; pathlib says the same, and takes ten times as long."""
    return name if folder == os.curdir else os.path.join(folder, name)


def _refuse_nul(text: str) -> None:
    if "\0" in text:  # no system allows it in a name
        raise _nothing(text)


def _nothing(text: str) -> InputError:
    return InputError(f"the path {text!r} names nothing; give the path of a file or a folder")


def _expanded(path: str) -> str:
    try:
        return str(Path(path).expanduser())
    except RuntimeError:
        raise InputError(
            f"{named(path)}: there is no home of this user; write the path in full"
        ) from None
