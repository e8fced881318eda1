"""Shares of a scan, written by several processes into one store in a bucket."""

from __future__ import annotations

import signal
from concurrent.futures import ThreadPoolExecutor

import pytest
from faults.machines import content, wait_for

import bulklmm_dask as blmm
from bulklmm_dask.cli._run import is_complete
from bulklmm_dask.storage.places import shared, signs
from bulklmm_dask.storage.places.base import CLAIM, CLOCK
from bulklmm_dask.storage.places.location import Location
from bulklmm_dask.storage.places.share import Share
from bulklmm_dask.storage.results.resumed import looked_up
from objects.conftest import CHUNKS
from objects.test_same_numbers import _WITH_URL, same_files

pytestmark = pytest.mark.slow


def test_one_after_the_other(ds, bucket, on_disk):
    for number in (2, 3, 1):
        part = blmm.scan(ds, store=bucket / "lod.zarr", chunks=CHUNKS, share=(number, 3))
        expected = blmm.open_result(on_disk / "null.zarr").sel(traits=part.traits)
        assert (part.lod.values == expected.lod.values).all()
    same_files(bucket.content("lod.zarr"), content(on_disk / "null.zarr"))


def test_at_the_same_time_and_after_a_kill(ds, bucket, on_disk, machines):
    """The first one makes the store while the others wait; one is killed in the middle."""
    blmm.save(ds, bucket / "study.zarr")
    words = ["scan", bucket / "study.zarr", bucket / "lod.zarr", "--chunks", "7,5", "--share"]
    *others, last = [machines.bulklmm(*words, f"{number}/3") for number in (1, 2, 3)]
    wait_for(lambda: bucket.blocks_of("lod.zarr"))
    last.send(signal.SIGKILL)
    assert [each.code() for each in others] == [0, 0], [each.said for each in others]
    machines.finish(*words, "3/3")
    same_files(bucket.content("lod.zarr"), content(on_disk / "null.zarr"), but=_WITH_URL)


def test_of_many_who_take_a_lock_at_once_one_has_it(bucket):
    """Also where one was given back: its object is there, and empty."""
    lock = Location.of(bucket / "lock.json")

    def take(record):
        try:
            lock.create(record)
        except FileExistsError:
            return None
        return record

    for _ in range(40):
        with ThreadPoolExecutor(8) as pool:
            found = list(pool.map(take, [signs.new_record() for _ in range(8)]))
        (record,) = [one for one in found if one is not None]
        assert lock.record() == record
        assert lock.discard(record)


def test_another_process_asks_for_the_time_while_a_share_begins(ds, bucket, on_disk):
    """It leaves an empty object, which does not make the new store one that was there before."""
    for share in ((1, 2), (2, 2)):
        bucket.put(f"lod.zarr/{CLOCK}", b"")
        blmm.scan(ds, store=bucket / "lod.zarr", chunks=CHUNKS, share=share)
    same_files(bucket.content("lod.zarr"), content(on_disk / "null.zarr"))


def test_a_share_that_looks_while_another_begins_waits(bucket, monkeypatch):
    """At its first look nothing is there; at the next there is a claim, and no root."""
    place, looks = Location.of(bucket / "lod.zarr"), []

    def look(store):
        looks.append(store)
        if len(looks) == 1:
            (place / CLAIM).create(signs.new_record())
            bucket.put("lod.zarr/h2/zarr.json", b"{}")
        else:  # the other one has given up
            bucket.clear()

    (place / CLAIM).create(signs.new_record())
    assert not is_complete(bucket / "lod.zarr")
    bucket.clear()
    monkeypatch.setattr(shared, "wait_until_made", look)
    assert not looked_up(bucket / "lod.zarr", Share.of("1/2")).exists()
    assert len(looks) == 2
