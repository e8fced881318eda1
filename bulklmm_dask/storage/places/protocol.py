"""The one type of locations: what is at a path or URL, outputs that appear whole, small records."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from os import PathLike
from typing import IO, Any, ClassVar, Self, TypeAlias, cast

from bulklmm_dask.errors import StoreError
from bulklmm_dask.storage.places.groups import Group
from bulklmm_dask.storage.places.url import is_url, text_of
from bulklmm_dask.surface import option

Replaceable: TypeAlias = "Callable[[Location], None]"


class Location(Group):
    """A file, a folder or a store, on a disk or in an object store.

    ``Location.of`` takes what a user typed, ``Location`` an exact path or URL. Each gives the
    implementation for it.
    """

    _kinds: ClassVar[dict[bool, type[Location]]] = {}  # by whether a location is a URL

    def __init_subclass__(cls, *, of_urls: bool | None = None, **options: Any) -> None:
        super().__init_subclass__(**options)
        if of_urls is not None:
            Location._kinds[of_urls] = cls

    def __new__(cls, path: str = "", *_: Any, **__: Any) -> Self:
        """Make an instance of the implementation for a path or URL."""
        kind = Location._kinds[is_url(path)] if cls is Location else cls
        return cast("Self", object.__new__(kind))

    @classmethod
    def of(cls, path: str | PathLike[str]) -> Location:
        """Make the location of a path, a path that begins with ~, or a URL.

        Raises
        ------
        InputError
            If `path` is no path, or a URL of an unknown kind or with a password in it.
        """
        if isinstance(path, Location):
            return path
        typed = text_of(path)
        return Location._kinds[is_url(typed)].typed_as(typed)

    @classmethod
    def typed_as(cls, text: str) -> Location:
        """Make the location of a text that is known to be a path, or a URL."""
        raise NotImplementedError

    def require_writable(self, needed: int = 0) -> None:
        """Raise StoreError unless this may be written, and there is room for the bytes needed.

        Folders above it that do not exist are no obstacle: they are made.
        """
        raise NotImplementedError

    def require_free(self, *, overwrite: bool) -> None:
        """Raise StoreError, before any work, where an output cannot be made or exists already.

        `overwrite` allows something of that name to exist; the caller checks whether it may be
        replaced.
        """
        looks: tuple[Callable[[], Any], ...] = (self.require_parent, self.exists)
        _, exists = self.each(lambda look: look(), looks)
        if exists and not overwrite:
            raise StoreError(
                f"{self} exists; choose another name, or replace it with "
                f"{option('overwrite', True)}"
            )
        self.require_writable()

    def require_parent(self) -> None:
        """Raise StoreError unless there is the folder to write to."""
        raise NotImplementedError

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
        self, replaceable: Replaceable | None = None, *, locked: bool = False
    ) -> Iterator[Location]:
        """Give an empty folder to write to; all of it appears here once it is complete.

        Whatever goes wrong before, nothing is left behind and an older folder stays as it was.

        Parameters
        ----------
        replaceable : callable, optional
            Gets this location, and raises unless the older folder may go. Without it there must be
            none.
        locked : bool
            Whether it gets a lock, so that a claim to it may end a moment later (`disown`).

        Raises
        ------
        StoreError
            If the folder cannot be written, or there is one that may not go.
        """
        raise NotImplementedError
        yield self

    @contextmanager
    def scratch(self) -> Iterator[Location]:
        """Give an empty folder to work in, of which nothing is left behind."""
        raise NotImplementedError
        yield self

    @contextmanager
    def appearing_file(self) -> Iterator[Location]:
        """Give the name of a file on a disk, of the same suffix, to write; it appears once whole.

        Whatever goes wrong before, nothing is left behind and an older file stays as it was.
        """
        raise NotImplementedError
        yield self

    @contextmanager
    def at_hand(self) -> Iterator[Location]:
        """Give the same file or folder on a disk, for libraries that read local files only."""
        raise NotImplementedError
        yield self

    def put(self, source: Location) -> None:
        """Put a copy of a small file here, in place of whatever is here, at one moment."""
        if self.is_folder():
            self.remove()
        with self.replacing() as stream:
            stream.write(source.read_bytes())

    def write_text(self, text: str) -> None:
        """Write a text file in UTF-8, complete or not at all, with line ends unchanged."""
        with self.appearing_file() as partial:
            partial.local.write_text(text, encoding="utf-8", newline="")

    def change(self, write: Callable[[Location], None]) -> None:
        """Change a folder at one moment: the old one stays until the new one is complete.

        Parameters
        ----------
        write : callable
            Gets a copy to change. Its files may be replaced or removed, but not written into. It
            is called again if another process has changed the folder.
        """
        raise NotImplementedError

    def recovered(self) -> Self:
        """Put right what a writer was cut off from, with a StudyWarning; gives itself."""
        raise NotImplementedError

    def own(self, alone: Sequence[str], written: Location | None = None) -> None:
        """Note that this process writes below here, as it has a lock, until `disown`.

        Its workers do so too.

        Parameters
        ----------
        alone : sequence of str
            Names of folders where they do not, and records are all that others write.
        written : Location, optional
            The place where it has made what is here (`appearing`). Small files that it has written
            are not read again from a server.
        """
        raise NotImplementedError

    def disown(self) -> None:
        """Note that others may write here."""
        raise NotImplementedError

    def remove_partial_chunks(self) -> None:
        """Remove what is left of chunks that a killed run was writing."""
        raise NotImplementedError

    @contextmanager
    def replacing(self) -> Iterator[IO[bytes]]:
        """Give a stream to a file of a store, which has its name once it is whole; no sync."""
        raise NotImplementedError
        yield

    def make_folder(self) -> None:
        """Make a folder, unless it is there."""
        raise NotImplementedError

    def meanwhile(self, action: Callable[[], None]) -> None:
        """Do something for a folder that is being written; on a server in the background.

        It is done once all is written; errors are raised then.
        """
        raise NotImplementedError

    def begin_sync(self) -> None:
        """Let the system begin to write a file to the disk, for a `sync` later."""
        raise NotImplementedError

    def sync(self, parts: Iterable[Location]) -> None:
        """Wait until files of this folder, and the folders on the way to them, are kept."""
        raise NotImplementedError

    def clear(self) -> None:
        """Remove what processes of this machine that were killed have left beside this one."""
        raise NotImplementedError

    def create(self, data: bytes) -> None:
        """Make a small file; FileExistsError if there is one. Of many who try, one succeeds."""
        raise NotImplementedError

    def renew(self, data: bytes) -> bool:
        """Note the time in a small file, if it holds these bytes; tell whether it does."""
        raise NotImplementedError

    def discard(self, data: bytes) -> bool:
        """Remove a small file, if it holds these bytes; tell whether it did."""
        raise NotImplementedError

    def age(self) -> float:
        """Seconds since a file was written or renewed, by the clock of what keeps it."""
        raise NotImplementedError

    def renewed(self) -> float:
        """Time when a file was written or renewed, by the same clock."""
        raise NotImplementedError
