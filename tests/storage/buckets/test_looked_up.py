"""What is there at a URL, and what is known of it without asking again."""

from __future__ import annotations

import os
import threading

import numpy as np
import pytest
import xarray as xr
from in_memory import CHUNKS, keys
from studies import study

import bulklmm_dask as blmm
from bulklmm_dask.storage.places import objects
from bulklmm_dask.storage.places.known import Seen
from bulklmm_dask.storage.places.location import Location
from bulklmm_dask.storage.proof import manifest

pytest.importorskip("obstore")


def test_what_is_there(bucket):
    here = Location.of(bucket)
    folder, file = here / "a.zarr", here / "b.csv"
    assert not folder.exists()
    assert not file.exists()
    for name, content in (("zarr.json", b"{}"), ("x/c/0", b"123"), ("x/zarr.json", b"{}")):
        with (folder / name).replacing() as stream:
            stream.write(content)
    file.write_text("1,2\n")
    for one in (here, here.opened()):
        folder, file = one / "a.zarr", one / "b.csv"
        assert one.names() == ["a.zarr", "b.csv"]
        assert folder.is_folder()
        assert folder.is_store()
        assert not folder.is_file()
        assert not folder.is_special()
        assert file.is_file()
        assert not file.is_folder()
        assert folder.names() == ["x", "zarr.json"]
        assert list(folder.files()) == ["x/c/0", "x/zarr.json", "zarr.json"]
        assert (folder.count(), folder.size(), file.size()) == (3, 7, 4)
        assert [str(lost) for lost in folder.lacks(["x/c/0", "x/c/1"])] == [f"{folder}/x/c/1"]
        found = [place.below(folder) for place in folder.metadata_files(["zarr.json"])]
        assert found == ["x/zarr.json", "zarr.json"]
        assert (folder / "x" / "c" / "0").record() == b"123"
        assert (folder / "x" / "c" / "0").first(2) == b"12"
        assert (folder / "x" / "c" / "0").tail(2) == b"23"
        assert (folder / "y").record() is None
        with pytest.raises(FileNotFoundError):
            (folder / "y").read_bytes()
    with file.at_hand() as near, folder.at_hand() as whole:
        assert near.local.read_text() == "1,2\n"
        assert sorted(whole.files()) == ["x/c/0", "x/zarr.json", "zarr.json"]
    folder.remove()
    assert here.opened().names() == ["b.csv"]


def test_a_large_object_is_read_part_by_part(bucket, monkeypatch, requests):
    content = np.random.default_rng(1).bytes(10**5)
    file = Location.of(bucket) / "x.bin"
    with file.replacing() as stream:
        stream.write(content)
    monkeypatch.setattr("bulklmm_dask.storage.places.remote._WHOLE", 1000)
    monkeypatch.setattr("bulklmm_dask.storage.places.remote._AHEAD", 2**14)
    with file.open() as stream:
        assert stream.read(10) == content[:10]
        assert stream.seek(-5, os.SEEK_END) == 99_995
        assert stream.read() == content[-5:]
        stream.seek(0)
        assert stream.read() == content
    assert max(name == "get_range" for name, _ in requests)
    (file.parent / "empty").write_text("")
    assert (file.parent / "empty").read_bytes() == b""


def test_what_is_opened_is_looked_up_once(bucket, ds, requests):
    blmm.save(ds, f"{bucket}/study.zarr")
    blmm.scan(ds, store=f"{bucket}/scan.zarr", chunks=CHUNKS)
    for open_, name in ((blmm.open_dataset, "study.zarr"), (blmm.open_result, "scan.zarr")):
        requests.clear()
        open_(f"{bucket}/{name}")
        kinds = [kind for kind, _ in requests]
        assert kinds.count("list") == 1
        assert set(kinds) == {"list", "get"}
        gets = [key for kind, key in requests if kind == "get"]
        assert len(gets) == len(set(gets))
        assert not any(key.startswith(f"{name}/lod/c/") for key in gets)


def test_a_block_is_one_request(bucket, ds, requests):
    blmm.scan(ds, store=f"{bucket}/scan.zarr", chunks=CHUNKS)
    puts = [key for kind, key in requests if kind == "put"]
    blocks = [key for key in puts if key.startswith("scan.zarr/lod/c/")]
    assert len(blocks) == len(set(blocks)) == 15
    assert max(puts.count(key) for key in puts if key.endswith("json")) <= 3
    assert puts.count("scan.zarr/manifest_blocks/c/0/0") == 2  # empty, and once for up to 256


def test_of_a_large_shard_one_trait_is_read_alone(bucket, requests, monkeypatch):
    monkeypatch.setattr(manifest, "_LARGE", 0)
    monkeypatch.setattr(manifest, "_FEW", 2)
    wide, store = study(n=20, p=14, m=256), Location.of(bucket) / "scan.zarr"
    blmm.scan(wide, store=store, chunks={"variants": 7, "traits": 256})
    result = blmm.open_result(store)
    requests.clear()
    one = result.lod.isel(traits=200).compute()
    files = ["scan.zarr/lod/c/0/0", "scan.zarr/lod/c/1/0"]
    assert sorted(key for kind, key in requests if kind == "get") == files  # their last bytes
    assert sorted(key for kind, key in requests if kind == "get_range") == files
    requests.clear()
    xr.testing.assert_identical(one, result.lod.compute().isel(traits=200))
    assert sorted(requests) == [("get", file) for file in files]
    whole = (store / "lod/c/1/0").read_bytes()
    middle = len(whole) // 2 + 100
    for broken in (whole[:-700], whole[:middle] + b"x" + whole[middle + 1 :], b"", b"x" * 50):
        with (store / "lod/c/1/0").replacing() as stream:
            stream.write(broken)
        with pytest.raises(blmm.StoreError, match=r"c/1/0 is not the one that was written"):
            result.lod.isel(traits=200).compute()
    (store / "lod/c/1/0").remove()
    with pytest.raises(blmm.StoreError, match=r"its file c/1/0 is lost"):
        result.lod.isel(traits=200).compute()


def test_what_is_written_twice_has_the_last_bytes(bucket, monkeypatch):
    place, real, late = Location.of(bucket) / "x.zarr", objects.Bucket.put, threading.Event()

    def put(self, key, data, mode="overwrite"):
        if bytes(data) == b"first":
            late.wait(0.2)
        real(self, key, data, mode)

    monkeypatch.setattr(objects.Bucket, "put", put)
    with place.appearing() as partial:
        for content in (b"first", b"second"):
            with (partial / "zarr.json").replacing() as stream:
                stream.write(content)
            with (partial / "a" / "zarr.json").replacing() as stream:
                stream.write(content)
            assert (partial / "a" / "zarr.json").read_bytes() == content
    assert (place / "a" / "zarr.json").read_bytes() == b"second"
    assert (place / "zarr.json").read_bytes() == b"second"


def test_what_is_on_its_way_is_listed(bucket, monkeypatch):
    """Two threads that look at once saw a folder without what was being written."""
    place, real = Location.of(bucket) / "x.zarr", objects.Bucket.put
    late = threading.Event()

    def put(self, key, data, mode="overwrite"):
        if key.endswith("a"):
            late.wait(0.3)
        real(self, key, data, mode)

    monkeypatch.setattr(objects.Bucket, "put", put)
    with place.appearing() as partial:
        for name in ("a", "b/a"):
            with (partial / name).replacing() as stream:
                stream.write(b"1")
        assert not (partial / "none").exists()
        assert partial.names() == ["a", "b"]
        (partial / "b").remove()
        assert partial.names() == ["a"]
    assert keys(place) == ["a"]


def test_a_list_from_before_the_root_was_written_is_taken_again(bucket, ds, monkeypatch):
    """Both are asked for at once; whoever makes a store writes its root last."""
    place = Location.of(f"{bucket}/study.zarr")
    blmm.save(ds, place)
    root = (place / "zarr.json").read_bytes()
    (place / "zarr.json").remove()
    real = Seen.read_root

    def late(self):
        assert "study.zarr/zarr.json" not in self.sizes
        place.bucket.put("study.zarr/zarr.json", root)
        real(self)
        monkeypatch.undo()

    monkeypatch.setattr(Seen, "read_root", late)
    assert blmm.open_dataset(place).sizes == ds.sizes


def test_what_a_run_has_written_is_not_read_again_and_what_others_write_is(bucket, requests):
    place = Location.of(bucket) / "x.zarr"
    with place.appearing() as partial:
        for name in ("a", "zarr.json"):
            with (partial / name).replacing() as stream:
                stream.write(b"1")
        assert (place / "a").record() == b"1"  # also before it is there
    place.own(["marks"], partial)
    requests.clear()
    for name in ("1", "2"):
        with (place / "marks" / name).replacing() as stream:
            stream.write(b"1")
    (place / "marks" / "1").remove()
    assert (place / "marks").names() == ["2"]
    assert (place / "marks" / "2").is_file()
    assert not (place / "marks" / "1").exists()
    assert not (place / "marks" / "of").exists()
    assert {kind for kind, _ in requests} == {"put", "delete"}
    requests.clear()
    (place / "lock.json").create(b"mine")
    with (place / "a").replacing() as stream:
        stream.write(b"2")
    assert (place / "a").read_bytes() == (place.opened() / "a").read_bytes() == b"2"
    assert ("get", "x.zarr/a") not in requests
    with (place / "c" / "0").replacing() as stream:
        stream.write(b"5")
    with (place / "c" / "1").replacing() as stream:
        stream.write(bytes(2**16 + 1))
    assert (place / "c" / "0").read_bytes() == b"5"
    assert len((place / "c" / "1").read_bytes()) == 2**16 + 1
    assert ("get", "x.zarr/c/0") not in requests
    assert ("get", "x.zarr/c/1") in requests
    for name, new in (("lock.json", b"another's"), ("b", b"3"), ("b", b"4")):  # past this process
        place.bucket.put(f"x.zarr/{name}", new)
        assert (place / name).record() == new
    (place / "a").remove()
    assert (place / "a").record() is None
    place.disown()
    place.bucket.put("x.zarr/zarr.json", b"5")
    assert (place / "zarr.json").record() == b"5"


def test_small_objects_that_went_since_they_were_listed_are_not_read_ahead(bucket):
    place = Location.of(bucket)
    for name in ("a", "b"):
        place.bucket.put((place / name).key, name.encode())
    opened = place.opened()
    assert sorted(opened.files()) == ["a", "b"]
    place.bucket.delete([(place / "a").key])
    opened.fetch(lambda path: True)
    assert (opened / "b").read_bytes() == b"b"
    with pytest.raises(FileNotFoundError):
        (opened / "a").read_bytes()
