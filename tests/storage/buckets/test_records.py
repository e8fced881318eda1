"""Records that many processes look at, in an object store."""

from __future__ import annotations

import threading

import pytest
from in_memory import keys

from bulklmm_dask.storage.places import objects, signs
from bulklmm_dask.storage.places.base import CLAIM, CLOCK
from bulklmm_dask.storage.places.location import Location

pytest.importorskip("obstore")


def test_records_have_one_owner(bucket):
    place = Location.of(bucket) / "lock.json"
    place.create(b"one")
    with pytest.raises(FileExistsError):
        place.create(b"two")
    assert place.record() == b"one"
    assert place.renew(b"one")
    assert not place.renew(b"two")
    assert not place.discard(b"two")
    assert 0 <= place.age() < 60
    assert place.discard(b"one")
    assert not place.discard(b"one")
    assert place.record() is None
    place.create(b"two")
    assert place.record() == b"two"
    assert not (place.parent / "none").renew(b"one")
    assert Location.of(bucket).names() == ["lock.json"]


def test_of_many_who_try_one_makes_a_record(bucket):
    place = Location.of(bucket) / "lock.json"
    for emptied in (False, True):
        if emptied:
            place.discard(place.record())
        made, barrier = [], threading.Barrier(8)

        def make(i, made=made, barrier=barrier):
            barrier.wait()
            try:
                place.create(b"%d" % i)
            except FileExistsError:
                return
            made.append(b"%d" % i)

        threads = [threading.Thread(target=make, args=(i,)) for i in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert made == [place.record()]


def test_an_age_is_told_by_an_object_that_is_no_part_of_the_folder(bucket, monkeypatch):
    """It may even go before it is looked at, with the folder."""
    store = Location.of(bucket) / "x.zarr"
    record = store / "a" / "lock.json"
    record.create(b"{}")
    assert 0 <= record.age() < 60
    assert list((store / "a").names()) == ["lock.json"]
    assert (store / CLAIM).create(b"{}") is None
    assert 0 <= (store / CLAIM).age() < 60
    record.remove()
    (store / "a" / CLOCK).remove()
    assert store.bucket.get(f"x.zarr/{CLOCK}") == b""
    assert not store.exists()
    assert not list(store.files())
    assert not store.names()
    looked = objects.Bucket.look

    def look(self, key):
        if key.endswith(CLOCK):
            self.delete([key])
        return looked(self, key)

    monkeypatch.setattr(objects.Bucket, "look", look)
    assert -5 < (store / CLAIM).age() < 60


def test_a_lock_that_is_given_back_while_its_age_is_asked_is_of_no_dead_process(bucket):
    """It is looked at again instead: its process may hold another one by now."""
    record = Location.of(bucket) / "lock.json"
    assert signs.death(record, signs.new_record()) is None


def test_an_answer_that_is_lost_is_no_other_process(bucket, monkeypatch):
    """obstore asks again, and the condition is not met any more: by what it has written itself."""
    place, real = Location.of(bucket) / "x.zarr", objects.Bucket.put

    def put(self, key, data, mode="overwrite"):
        real(self, key, data, mode)
        if mode != "overwrite":
            raise FileExistsError(key)

    monkeypatch.setattr(objects.Bucket, "put", put)
    for replaceable in (None, lambda _: None):
        with place.appearing(replaceable) as partial, (partial / "zarr.json").replacing() as stream:
            stream.write(b"{}")
    assert keys(place) == ["zarr.json"]
    lock = place / "lock.json"
    with pytest.raises(FileExistsError):
        lock.create(b"one")
    assert lock.record() == b"one"
    assert lock.renew(b"one")
    assert lock.discard(b"one")
