"""Outputs that appear whole in an object store, or not at all."""

from __future__ import annotations

import json
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import xarray as xr
from in_memory import keys, of_another_process, saved_on_disk
from studies import study

import bulklmm_dask as blmm
from bulklmm_dask.storage.places import objects, remote_appearing
from bulklmm_dask.storage.places.base import CLAIM, CLOCK
from bulklmm_dask.storage.places.location import Location

pytest.importorskip("obstore")

CUTS = ["while it is written", "once it is complete", "while it is copied", "once it is copied"]


def test_a_store_appears_with_its_metadata_last(bucket, ds, requests):
    blmm.save(ds, f"{bucket}/study.zarr")
    puts = [key for kind, key in requests if kind == "put"]
    assert puts[-1] == "study.zarr/zarr.json"
    assert len(puts) == len(set(puts))
    assert requests[-1] == ("delete", [f"study.zarr/{CLAIM}", f"study.zarr/{CLOCK}"])
    assert CLAIM not in keys(f"{bucket}/study.zarr")


def test_a_save_that_fails_leaves_nothing(bucket, ds):
    place = Location.of(bucket) / "x.zarr"
    with pytest.raises(ZeroDivisionError), place.appearing() as partial:  # noqa: PT012
        with (partial / "a").replacing() as stream:
            stream.write(b"1")
        raise ZeroDivisionError
    assert keys(bucket) == []
    with pytest.raises(ZeroDivisionError), (place / "t.csv").appearing_file() as partial:  # noqa: PT012
        Path(partial).write_text("half")
        raise ZeroDivisionError
    assert keys(bucket) == []


def test_a_save_that_was_killed_is_replaced(bucket, ds):
    place = Location.of(bucket) / "study.zarr"
    for name in ("call_dosage/c/0/0", "samples/zarr.json"):
        with (place / name).replacing() as stream:
            stream.write(b"half")
    (place / CLAIM).create(of_another_process())
    with pytest.warns(blmm.StudyWarning, match=r"study\.zarr was being written when that was cut"):
        blmm.save(ds, place)
    xr.testing.assert_identical(
        blmm.open_dataset(place).compute().drop_encoding(), saved_on_disk(ds).drop_encoding()
    )


def test_what_is_foreign_stays(bucket, ds):
    place = Location.of(bucket) / "study.zarr"
    (place / "notes.txt").write_text("mine")
    for overwrite in (False, True):
        with pytest.raises(blmm.StoreError, match=r"exists;|is no Zarr store"):
            blmm.save(ds, place, overwrite=overwrite)
    assert keys(place) == ["notes.txt"]
    (place / "notes.txt").remove()
    blmm.save(ds, place)
    (place / "notes.txt").write_text("mine")
    with pytest.raises(blmm.StoreError, match=r"holds 1 file that would be lost.*notes\.txt"):
        blmm.save(ds, place, overwrite=True)


def test_a_store_that_is_being_written_is_left_alone(bucket, ds):
    place = Location.of(bucket) / "study.zarr"
    with place.appearing() as partial:
        with (partial / "a").replacing() as stream:
            stream.write(b"1")
        for call in (
            lambda: blmm.save(ds, place),
            lambda: blmm.open_dataset(place),
            lambda: blmm.scan(ds, store=place),
        ):
            with pytest.raises(blmm.StoreError, match=r"is being written by process .* wait for"):
                call()
    assert keys(place) == ["a"]


def test_a_claim_that_is_lost_stops_the_writer(bucket):
    place = Location.of(bucket) / "x.zarr"
    with pytest.raises(blmm.StoreError, match="another one has taken it over"), place.appearing():
        (place / CLAIM).write_text("{}")


def two_studies():
    one = study(n=20, p=12, m=3)
    return one, one.assign(sample_trait=one.sample_trait + 1)


@pytest.mark.parametrize("again", [False, True])
@pytest.mark.parametrize("cut", CUTS)
def test_a_store_is_the_old_or_the_new_one_after_a_kill(bucket, cut, again, monkeypatch):
    old, new = two_studies()
    place = Location.of(bucket) / "study.zarr"
    blmm.save(old, place)
    calls, real_copy, real_note = [], objects.Bucket.copy, remote_appearing._Claim.note

    class Killed(BaseException):
        pass

    def copy(self, key, target):
        calls.append(target)
        if cut == "while it is copied" and len(calls) == 5:
            raise Killed
        real_copy(self, key, target)

    def note(self, state):
        real_note(self, state)
        when = {"draft": CUTS[0], "new": CUTS[1], "copied": CUTS[3]}[next(iter(state))]
        if when == cut:
            raise Killed

    with monkeypatch.context() as patch:
        patch.setattr(objects.Bucket, "copy", copy)
        patch.setattr(remote_appearing._Claim, "note", note)
        patch.setattr(remote_appearing._Claim, "release", lambda _: None)
        patch.setattr(remote_appearing, "_remove_all", lambda *_: None)
        with pytest.raises(Killed):
            blmm.save(new, place, overwrite=True)
    claim = place / CLAIM

    def dies():
        record = json.loads(claim.record())
        assert claim.exchange(claim.record(), json.dumps(record | {"birth": 1}).encode())

    dies()
    if again:  # whoever comes next is killed too
        with monkeypatch.context() as patch:
            patch.setattr(
                objects.Bucket, "delete", lambda *_: exec("raise Killed", {"Killed": Killed})
            )
            with pytest.raises(Killed):
                blmm.open_dataset(place)
        dies()
    which = {CUTS[0]: "the old one is there", CUTS[3]: ""}.get(cut, "the new one is in place now")
    if which:
        with pytest.warns(blmm.StudyWarning, match=which):
            found = blmm.open_dataset(place)
    else:
        found = blmm.open_dataset(place)
    expected = old if cut == CUTS[0] else new
    np.testing.assert_array_equal(found.sample_trait, expected.sample_trait)
    assert len(blmm.verify(place)) == 0
    assert Location.of(bucket).bucket.top("") == ["study.zarr"]


def test_two_changes_of_one_store_are_both_kept(bucket):
    place, tries = Location.of(bucket) / "x.zarr", []

    def write(name, copy):
        for path, content in ((name, b"1"), ("zarr.json", name.encode())):
            with (copy / path).replacing() as stream:
                stream.write(content)

    write("old", place)

    def change(copy):
        tries.append(copy.names())
        if len(tries) == 1:
            place.change(partial(write, "two"))
        write("one", copy)
        (copy / "old").remove()
        assert not (copy / "old").exists()
        assert (place / "old").exists()

    place.change(change)
    assert tries == [["old", "zarr.json"], ["old", "two", "zarr.json"]]
    assert keys(place) == ["one", "two", "zarr.json"]
    with pytest.raises(ZeroDivisionError):
        place.change(lambda copy: (write("three", copy), 1 / 0))
    assert keys(place) == ["one", "two", "zarr.json"]
    assert Location.of(bucket).names() == ["x.zarr"]
