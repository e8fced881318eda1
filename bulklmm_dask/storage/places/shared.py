"""Several runs that write into one store, each the blocks of a share of the traits.

Each share has a lock of its own, ``shares/3-of-10/lock.json`` beside that of the store. Blocks and
entries of the journal are written under the lock of the share. The lock of the store is held only
for what concerns all: while a share begins, and while its journal is put into the arrays. Other
shares wait for that. A run of the whole store is refused as long as a share is written, and refuses
shares as long as it writes itself.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress

from bulklmm_dask.errors import StoreError
from bulklmm_dask.storage.places import signs
from bulklmm_dask.storage.places.base import CLAIM, LOCK
from bulklmm_dask.storage.places.location import Location, explained
from bulklmm_dask.storage.places.lock import SHARES, Held, Writer, beating, locked, refusal
from bulklmm_dask.storage.places.share import Share
from bulklmm_dask.surface import option

# Seconds between looks at a lock that is waited for; at one on a server, which is asked each time.
_NEAR, _FAR = 0.1, 1.0


class SharedWriter(Writer):
    """The right to write one share of a store.

    Attributes
    ----------
    share : Share
        The share.
    """

    def __init__(self, store: Location, folder: str, *alone: str, share: Share) -> None:
        """Prepare to write a share; the other arguments are those of `Writer`."""
        super().__init__(store, folder, *alone, share=str(share))
        self.share = share
        name = f"{share.number}-of-{share.count}"
        self._own = Held(
            self.store,
            (self.store / folder / SHARES / name / LOCK).fixed,
            signs.new_record(share=str(share)),
        )
        self._own_heart: signs.Heart | None = None

    def begin(self) -> None:
        """Take the lock of the share, and give that of the store back."""
        with explained(self.store):
            self._own.file.beside.make_folder()
            self._own.file.create(self._own.record)
        self._own_heart = beating(self._own)
        self._give_back()
        # Who has seen this lock, and then that it is gone, must not remove that of `ending` for it.
        self._record = signs.new_record(share=str(self.share))
        self.held = self._own

    @contextmanager
    def ending(self) -> Iterator[None]:
        """Hold the lock of the store too, for the end of the share."""
        self._own.require(within=0.0)
        self.take()
        yield
        self._end()
        if self.is_alone:
            with explained(self.store):
                (self.store / self._folder / SHARES).remove()

    def release(self) -> None:
        """Give both locks back, if they are still held; once."""
        self._end()
        super().release()

    def waits_for(self, record: bytes) -> bool:
        """Wait a moment if the lock of the store will soon be given back; tell whether it did.

        Other shares do so, and runs of the whole store once they meet the lock of this one. A
        record without entries is being written.
        """
        found = signs.entries(record)
        if self._own_heart is None and found and "share" not in found:
            return False
        time.sleep(_FAR if self.store.is_far else _NEAR)
        return True

    def has_come(self) -> bool:
        """Tell whether there is a store that another run has made, once it is made."""
        wait_until_made(self.store)
        return super().has_come()

    def _meet(self, file: Location, record: bytes) -> None:
        """Note another share that is being written; raise StoreError if blocks are in both."""
        if record == self._own.record:
            return
        share = Share.of(str(signs.entries(record).get("share", "1/1")))
        if share == self.share:
            raise refusal(file, record, f"{option('share', str(share))} of {self.store}")
        if share.count != self.share.count:
            raise StoreError(
                f"{option('share', str(self.share))} of {self.store} may overlap "
                f"{option('share', str(share))}, which is being written by "
                f"{signs.last_sign(record, file.age())}; cut it into as many shares, or wait for "
                "the end of those"
            )
        self.is_alone = False

    def _end(self) -> None:
        """Give the lock of the share back, if it is held."""
        if self._own_heart is None:
            return
        self._own_heart.stop()
        self._own_heart = None
        try:
            self._own.file.discard(self._own.record)
        except (OSError, StoreError):  # then others take it over once it is stale
            signs.give_up(self._own.record)


@contextmanager
def writing_share(store: Location, folder: str, *alone: str, share: Share) -> Iterator[Writer]:
    """Hold the lock of a share, from when its store is ready to its end (`lock.writing`)."""
    with locked(SharedWriter(store.anew, folder, *alone, share=share), store) as writer:
        yield writer


def wait_until_made(store: Location) -> None:
    """Wait while another process makes a store in place, as it does on a server."""
    claim = (store / CLAIM).anew
    with suppress(FileNotFoundError):
        while store.is_far and not store.anew.is_store():
            record = claim.record()
            if record is None or signs.death(claim, record) is not None:
                return
            time.sleep(_FAR)


def opened_once_made(store: Location) -> Location:
    """Look a store up, to write shares of it, once no other process is making it.

    One may begin between two looks: then there is a claim, or there are objects without a root.
    """
    while True:
        wait_until_made(store)
        with suppress(StoreError):  # which is raised below, unless the store is being made
            found = store.opened(to_write=True)
            if found.is_store() or not found.exists():
                return found
        if (store / CLAIM).anew.record() is None:
            return store.opened(to_write=True)
