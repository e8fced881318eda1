"""Shares of a scan, written by several processes into one store in a bucket."""

from __future__ import annotations

import signal

import pytest
from faults.machines import content, wait_for

import bulklmm_dask as blmm
from bulklmm_dask.storage.places import shared, signs
from bulklmm_dask.storage.places.base import CLAIM
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


def test_what_a_killed_share_has_left_goes_with_the_last(ds, bucket, on_disk):
    """It asked the server for the time, by an object beside the lock of the store."""
    blmm.scan(ds, store=bucket / "lod.zarr", chunks=CHUNKS, share=(1, 2))
    bucket.put(f"lod.zarr/manifest_blocks/.lock.part-{'3' * 32}.json", b"")
    blmm.scan(ds, store=bucket / "lod.zarr", chunks=CHUNKS, share=(2, 2))
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

    monkeypatch.setattr(shared, "wait_until_made", look)
    assert not looked_up(bucket / "lod.zarr", Share.of("1/2")).exists()
    assert len(looks) == 2
