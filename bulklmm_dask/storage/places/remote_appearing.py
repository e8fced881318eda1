"""Outputs in object stores that appear whole, without renaming.

Who writes a folder claims it first, with an object in it that one process alone can make. Where
there was nothing, all is written in place, and last ``zarr.json``, which makes a store of the
folder. What replaces an older folder is written beside it, under a hidden name, and then copied on
the server. The claim says how far that is, so that whoever comes after a kill removes what is
unfinished, or finishes what is complete.
"""

from __future__ import annotations

import mmap
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import replace
from tempfile import TemporaryDirectory
from threading import Thread
from typing import Any, Self

from bulklmm_dask.errors import StoreError
from bulklmm_dask.storage.places import files, owned, signs
from bulklmm_dask.storage.places.appearing import explained
from bulklmm_dask.storage.places.base import CLAIM, CLOCK, METADATA, ServerError
from bulklmm_dask.storage.places.drafts import Changes, Draft
from bulklmm_dask.storage.places.known import Seen, joined
from bulklmm_dask.storage.places.objects import Bucket
from bulklmm_dask.storage.places.protocol import Location, Replaceable
from bulklmm_dask.storage.places.remote_records import RemoteRecord
from bulklmm_dask.storage.places.warn import say
from bulklmm_dask.surface import repeat

# In a claim: the folder where what replaces this one is written; or the same once it is complete,
# and the names that go from this one, None for all; or once all of it is copied.
_STATES = _DRAFT, _NEW, _GONE, _COPIED = "draft", "new", "gone", "copied"


# Claims that are being given back, by the URL of the folder.
_releases: dict[str, Thread] = {}


class Remote(RemoteRecord, of_urls=True):
    """The URL of a file, a folder or a store in an object store."""

    def opened(self, *, to_write: bool = False) -> Self:
        """The same place, of which all is looked up once, by requests that go out together."""
        if self.known is not None:
            return self
        known = Seen(self.source, self.key)
        place = replace(self, known=known)
        if self.bucket.is_web or not self.key:
            return place
        looks: tuple[Callable[[], Any], ...] = (
            (self / CLAIM).record,
            known.read_root,
            lambda: known.sizes,
            *((place.is_file,) if to_write else ()),
        )
        claim, *_ = self.each(lambda look: look(), looks)
        if claim is None and not known.is_torn:
            return place
        return replace(self.recovered(), known=Seen(self.source, self.key))

    @contextmanager
    def appearing(
        self, replaceable: Replaceable | None = None, *, locked: bool = False
    ) -> Iterator[Location]:
        """Give a folder to write to: this one, or one beside it where something is replaced."""
        with _Claim.of(self, locked=locked) as claim:
            there = self.anew.exists()
            if there and replaceable is None:
                raise StoreError(
                    f"{self} was made meanwhile by another run; {repeat()}, or choose another name"
                )
            place = self.sibling("part") if there else self
            if there:
                claim.note({_DRAFT: place.key})
            draft = Draft(self.bucket, place.key)
            try:
                with explained(self), owned.writing(place.path, draft):
                    yield replace(place, known=draft)
                    for _ in self.each(lambda wait: wait(), (draft.flush, claim.require)):
                        pass
                    if not claim.is_fresh:  # the rest took long
                        claim.require()
                    if not there:
                        draft.finish()
                    else:
                        assert replaceable is not None
                        replaceable(self.anew)
                        draft.finish()
                        claim.put_in_place(place.key, None)
            except BaseException as error:
                draft.close()
                claim.clean(place.key, error)
                raise
            draft.close()

    def disown(self) -> None:
        """Note that others may write here, once its claim is given back."""
        super().disown()
        release = _releases.pop(self.path, None)
        if release is not None:
            release.join()

    @contextmanager
    def scratch(self) -> Iterator[Location]:
        """Give an empty folder on a disk."""
        with TemporaryDirectory(prefix="bulklmm_dask-") as folder:
            yield Location(folder)

    @contextmanager
    def appearing_file(self) -> Iterator[Location]:
        """Give the name of a file on a disk; it becomes an object once it is complete."""
        with explained(self), TemporaryDirectory(prefix="bulklmm_dask-") as folder:
            file = Location(os.path.join(folder, self.name))
            yield file
            with file.local.open("rb") as stream:
                size = os.fstat(stream.fileno()).st_size
                if not size:
                    self.source.put(self.key, b"")
                    return
                self.source.put(self.key, mmap.mmap(stream.fileno(), 0, access=mmap.ACCESS_READ))

    def change(self, write: Callable[[Location], None]) -> None:
        """Change a folder: what is written is kept in memory, and then put in place."""
        while not self._changed(write):
            pass

    def _changed(self, write: Callable[[Location], None]) -> bool:
        """Change a folder; tell whether it was done, and no other process has changed it."""
        root = joined(self.key, METADATA)
        before, changes = self.bucket.look(root).tag, Changes(self.bucket, self.key)
        write(replace(self, known=changes))
        with _Claim.of(self) as claim:
            if self.bucket.look(root).tag != before:
                return False
            place, length = self.sibling("part"), len(self.key) + 1
            claim.note({_DRAFT: place.key})

            def put(key: str) -> None:
                self.bucket.put(joined(place.key, key[length:]), changes.written[key])

            try:
                for _ in self.each(put, changes.written):
                    pass
                claim.put_in_place(place.key, [key[length:] for key in changes.removed])
            except BaseException as error:
                claim.clean(place.key, error)
                raise
            finally:
                owned.forget(self.path)
        return True

    def recovered(self) -> Self:
        """Remove what a dead process has left unfinished here, or finish what is complete.

        Raises
        ------
        StoreError
            If a living process writes it, so that there is nothing whole here yet.
        """
        if self.known is not None or self.bucket.is_web or not self.key:
            return self
        claim = (self / CLAIM).anew
        record = claim.record()
        if record is None:
            return self
        with suppress(FileNotFoundError):
            if signs.death(claim, record) is None:
                if not self.is_store():
                    raise StoreError(
                        f"{self} is being written by {signs.last_sign(record, claim.age())}; wait "
                        f"for its end, and {repeat()}"
                    )
                return self
            taken = _Claim(self, signs.entries(record))
            if claim.exchange(record, taken.record):
                taken.begin()
                try:
                    taken.undo()
                except BaseException:
                    taken.leave()
                    raise
                taken.release()
        return self


class _Claim:
    """The right to write a folder in place, and a record of how far that is."""

    def __init__(self, place: Remote, found: Mapping[str, Any] | None = None) -> None:
        """Prepare a claim; it goes on from what stands in the one of another process."""
        self.place = place
        self.file = (place / CLAIM).anew
        self.state = {name: found[name] for name in _STATES if name in found} if found else {}
        self.record = signs.new_record(**self.state)
        self._is_left = False
        self._seen = float("-inf")  # when it was last known that it is held
        self._heart: signs.Heart | None = None

    @classmethod
    @contextmanager
    def of(cls, place: Remote, *, locked: bool = False) -> Iterator[Self]:
        """Hold the claim of a folder; StoreError if another process has it.

        That of a folder with a lock is given back in the background.
        """
        claim = cls(place)
        if not claim._is_made():
            place.anew.recovered()
            if not claim._is_made():
                raise StoreError(
                    f"{place} is being written by another run; wait for its end, and {repeat()}"
                )
        try:
            claim.begin()
            yield claim
        except BaseException:
            files.cleaning(claim.release)
            raise
        if locked:
            _releases[place.path] = Thread(target=claim.release)
            _releases[place.path].start()
        else:
            files.cleaning(claim.release)

    def _is_made(self) -> bool:
        """Make it; tell whether it is held then."""
        began = signs.now()
        try:
            self.file.create(self.record)
        except FileExistsError:
            return self.is_held()  # it is if the answer was lost, and obstore has asked again
        self._seen = began
        return True

    def note(self, state: dict[str, Any]) -> None:
        """Write down how far it is."""
        self.stop()
        record = signs.new_record(**state)
        if not self.file.exchange(self.record, record):
            raise self._lost()
        self.record, self.state = record, state
        self.begin()

    def is_held(self) -> bool:
        """Tell whether it is still held."""
        now = signs.now()
        held = self.file.record() == self.record
        if held:
            self._seen = now
        return held

    def require(self) -> None:
        """Raise StoreError unless it is still held."""
        if not self.is_held():
            raise self._lost()

    @property
    def is_fresh(self) -> bool:
        """Whether it was held so short a time ago that nobody can have taken it over since."""
        return signs.now() - self._seen < signs.BEAT

    def clean(self, folder: str, error: BaseException) -> None:
        """Remove what was written below a folder before an error, if nobody else writes there.

        If the server is away, or a move is under way, whoever comes next puts it right.
        """
        if isinstance(error, ServerError):
            self.leave()
        if not self._is_left and self.is_held():
            files.cleaning(lambda: _remove_all(self.place.bucket, folder))

    def leave(self) -> None:
        """Leave all as it is, for whoever comes next."""
        self.stop()
        self._is_left = True
        signs.give_up(self.record)

    def put_in_place(self, new: str, gone: Sequence[str] | None) -> None:
        """Give a complete folder the place of another; after a kill, whoever comes next does so.

        Parameters
        ----------
        new : str
            Key of the folder.
        gone : sequence of str or None
            Names that go from the old one, beside those that are replaced; None for all.
        """
        self.note({_NEW: new, _GONE: gone})
        try:
            self._move(new, gone)
        except BaseException:
            self.leave()
            raise

    def _move(self, new: str, gone: Sequence[str] | None) -> None:
        """Copy a folder to its place, what makes a store of it last; then remove the folder.

        It may be called again after it was cut off, for the folder stays until all is copied.
        """
        place, bucket, length = self.place, self.place.bucket, len(new) + 1
        names = [one.key[length:] for one in bucket.all(new)]
        bucket.delete([joined(place.key, METADATA)])
        if gone is None:
            _remove_all(bucket, place.key)
        else:
            bucket.delete([joined(place.key, name) for name in gone])

        def copy(name: str) -> None:
            bucket.copy(joined(new, name), joined(place.key, name))

        for _ in place.each(copy, [name for name in names if name != METADATA]):
            pass
        if METADATA in names:
            copy(METADATA)
        self.note({_COPIED: new})
        _remove_all(bucket, new)

    def undo(self) -> None:
        """Put right what another process was cut off from."""
        place, bucket, state = self.place, self.place.bucket, self.state
        if _NEW in state:
            self._move(state[_NEW], state[_GONE])
            say(f"{place} was being replaced when that was cut off: the new one is in place now")
        elif _COPIED in state:
            _remove_all(bucket, state[_COPIED])
        elif _DRAFT in state:
            _remove_all(bucket, state[_DRAFT])
            say(
                f"{place} was being replaced when that was cut off: the old one is there; "
                f"{repeat()} to replace it"
            )
        elif not place.is_store():
            _remove_all(bucket, place.key)
            say(f"{place} was being written when that was cut off: what there was of it is removed")

    def release(self) -> None:
        """Give it back, if it is still held."""
        self.stop()
        if self._is_left:
            return
        try:
            if self.is_fresh or self.is_held():  # objects are removed without a condition
                self.file.bucket.delete([self.file.key, (self.place / CLOCK).key])
        except ServerError:  # whoever comes next does so
            signs.give_up(self.record)

    def begin(self) -> None:
        """Begin to renew it."""
        self._heart = signs.Heart(self.file, self.record, lambda: None)

    def stop(self) -> None:
        """Renew it no more."""
        if self._heart is not None:
            self._heart.stop()
            self._heart = None

    def _lost(self) -> StoreError:
        return StoreError(
            f"this run stops, for it may no longer write {self.place}: another one has taken it "
            f"over; once nothing else writes there, {repeat()}"
        )


def _remove_all(bucket: Bucket, folder: str) -> None:
    """Remove all objects below a folder but its claim."""
    claim = joined(folder, CLAIM)
    bucket.delete([one.key for one in bucket.all(folder) if one.key != claim])
