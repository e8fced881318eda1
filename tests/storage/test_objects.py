"""Object stores: what is at a URL, and outputs that appear whole there, as in a folder."""

from __future__ import annotations

import json
import os
import pickle
import shutil
import threading
import time
import uuid
import warnings
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import xarray as xr
from commands import run
from studies import study

import bulklmm_dask as blmm
from bulklmm_dask.engine import overlap
from bulklmm_dask.engine import run as run_module
from bulklmm_dask.storage.places import clients, objects, remote_appearing, signs
from bulklmm_dask.storage.places.base import CLAIM, CLOCK
from bulklmm_dask.storage.places.known import Seen
from bulklmm_dask.storage.places.location import Location
from bulklmm_dask.storage.proof import manifest
from bulklmm_dask.storage.results import resumed
from bulklmm_dask.storage.results.soundness import finished

pytest.importorskip("obstore")

CHUNKS = {"variants": 7, "traits": 3}
LISTS = ("list", "list_with_delimiter")
SECRET = "wJalrXUtnFEMI"


@pytest.fixture
def bucket():
    """An empty bucket in the memory of this process."""
    return f"memory://{uuid.uuid4().hex}"


@pytest.fixture(scope="module")
def ds():
    return study(n=30, p=30, m=8)


@pytest.fixture
def requests(monkeypatch):
    """Every request, as its kind and its key."""
    import obstore

    made = []
    for name in (
        "get",
        "get_range",
        "head",
        "put",
        "delete",
        "copy",
        "list",
        "list_with_delimiter",
    ):
        real = getattr(obstore, name)

        def note(client, key=None, *args, name=name, real=real, **options):
            made.append((name, key))
            return real(client, key, *args, **options)

        monkeypatch.setattr(obstore, name, note)
    return made


def keys(url):
    """All objects below a URL, claims and locks too."""
    place = Location.of(url)
    return sorted(one.key.removeprefix(f"{place.key}/") for one in place.bucket.all(place.key))


def of_another_process(**state):
    """A record of a process of this machine that has ended."""
    record = json.loads(signs.new_record(**state))
    record["birth"] += 1
    return json.dumps(record).encode()


# URLs


@pytest.mark.parametrize(
    ("typed", "url"),
    [
        ("s3://lab/a/study.zarr", "s3://lab/a/study.zarr"),
        (Path("s3://lab/a/study.zarr"), "s3://lab/a/study.zarr"),
        ("S3://lab/a//b/./c/", "S3://lab/a/b/c"),
        ("gs://lab", "gs://lab"),
        ("abfs://box@account.dfs.core.windows.net/x", "abfs://box@account.dfs.core.windows.net/x"),
        ("https://x.org:8080/a%20b.csv", "https://x.org:8080/a b.csv"),
        ("https://x.org/a%23b%2520c.csv", "https://x.org/a#b%20c.csv"),
    ],
)
def test_urls_are_locations(typed, url):
    place = Location.of(typed)
    assert place.path.lower() == url.lower()
    assert Location.of(place) is place
    assert Location(os.fspath(place)) == place
    assert pickle.loads(pickle.dumps(place)) == place


def test_parts_of_a_url():
    place = Location.of("s3://lab/a/scan.zarr")
    assert (place.name, place.stem, place.suffix) == ("scan.zarr", "scan", ".zarr")
    assert str(place.parent) == "s3://lab/a"
    assert str(place / "lod" / "zarr.json") == "s3://lab/a/scan.zarr/lod/zarr.json"
    assert (place / "lod" / "zarr.json").below(place) == "lod/zarr.json"
    assert str(Location.of("s3://lab/a b.csv")) == "'s3://lab/a b.csv'"
    with pytest.raises(blmm.InputError, match=r"s3://lab/x\.bed is a URL, and here only local"):
        _ = Location.of("s3://lab/x.bed").local


@pytest.mark.parametrize(
    ("url", "message"),
    [
        ("ftp://x.org/a", r"^ftp://x\.org/a is a URL of the kind ftp, which is not known; give a"),
        ("simplecache::https://x.org/a", r"of the kind simplecache::https"),
        ("file://host/x", r"^file://host/x is a URL of the kind file"),
        (f"s3://me:{SECRET}@lab/x", r"^s3://lab/x was given with a user name, a password"),
        (f"https://me:{SECRET}@x.org/a", r"^https://x\.org/a was given with"),
        (f"s3://lab/x?X-Amz-Signature={SECRET}", r"^s3://lab/x was given with"),
        (f"https://x.org/x.zarr?sig={SECRET}", r"environment variables, such as AWS_ACCESS_KEY_ID"),
        (f"abfs://box:{SECRET}@a.org/x", r"^abfs://a\.org/x was given with"),
        ("s3://", "s3:// names no bucket"),
        ("s3://lab/../x", r"has \.\. in it"),
    ],
)
def test_urls_that_are_refused(url, message):
    with pytest.raises(blmm.InputError, match=message) as caught:
        Location.of(url)
    assert SECRET not in str(caught.value)


def test_without_obstore_the_remedy_is_said(monkeypatch):
    monkeypatch.setattr(clients, "find_spec", lambda _: None)
    with pytest.raises(blmm.InputError, match=r"pip install obstore"):
        blmm.open_dataset("s3://lab/study.zarr")


@pytest.mark.parametrize("without_boto3", [False, True])
def test_without_credentials_one_sentence(without_boto3, monkeypatch):
    for name in [name for name in os.environ if name.startswith("AWS_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    monkeypatch.setenv("AWS_CONFIG_FILE", "/nowhere")
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", "/nowhere")
    monkeypatch.setattr(clients, "_METADATA_SERVER", ("127.0.0.1", 1))
    if without_boto3:
        monkeypatch.setattr(clients, "find_spec", lambda name: name != "boto3" or None)
    with pytest.raises(blmm.StoreError, match=r"^there are no credentials for s3://lab; set AWS_A"):
        blmm.open_dataset("s3://lab/study.zarr")


def test_boto3_does_not_ask_for_the_role_of_a_machine_that_has_none(monkeypatch):
    utils = pytest.importorskip("botocore.utils")
    for name in [name for name in os.environ if name.startswith("AWS_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("AWS_CONFIG_FILE", "/nowhere")
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", "/nowhere")
    asked = []
    fetcher = utils.InstanceMetadataFetcher
    monkeypatch.setattr(fetcher, "retrieve_iam_role_credentials", lambda _: asked.append(1) or {})
    monkeypatch.setattr(clients, "_METADATA_SERVER", ("127.0.0.1", 1))
    with pytest.raises(blmm.StoreError, match="there are no credentials for s3://lab-of-nobody"):
        blmm.open_dataset("s3://lab-of-nobody/study.zarr")
    assert not asked


@pytest.mark.parametrize(
    ("environment", "unsigned"),
    [
        ({}, True),
        ({"AWS_ENDPOINT_URL": "https://minio.lab:9000"}, True),
        ({"AWS_ENDPOINT_URL": "http://minio.lab:9000"}, False),
        ({"AWS_UNSIGNED_PAYLOAD": "false"}, None),  # obstore reads it
    ],
)
def test_bodies_are_digested_where_nothing_is_encrypted(environment, unsigned, monkeypatch):
    for name in [name for name in os.environ if name.startswith("AWS_")]:
        monkeypatch.delenv(name)
    keys = {"AWS_ACCESS_KEY_ID": "a", "AWS_SECRET_ACCESS_KEY": SECRET}
    for name, value in {**environment, **keys}.items():
        monkeypatch.setenv(name, value)
    config = clients.client_of("s3://lab").config
    assert str(config.get("unsigned_payload")).lower() == str(unsigned).lower()


# What is there


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


# Records


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


# Outputs that appear whole


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


def saved_on_disk(ds):
    blmm.save(ds, "on-disk.zarr", overwrite=True)
    return blmm.open_dataset("on-disk.zarr").compute()


@pytest.fixture(autouse=True)
def in_a_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


@pytest.fixture(autouse=True)
def hearts_end(monkeypatch):
    """Who is killed renews no record: 15 seconds later, another test would meet its requests."""
    beating = []

    class Heart(signs.Heart):
        def __init__(self, *args):
            beating.append(self)
            super().__init__(*args)

    monkeypatch.setattr(signs, "Heart", Heart)
    yield
    for heart in beating:
        heart.stop()


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


CUTS = ["while it is written", "once it is complete", "while it is copied", "once it is copied"]


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


# Every door


@pytest.mark.slow
def test_every_door_gives_what_it_gives_in_a_folder(bucket, ds):
    found = {where: everything(ds, where) for where in ("disk", bucket)}
    for name, expected in found["disk"].items():
        got = found[bucket][name]
        if isinstance(expected, pd.DataFrame):
            pd.testing.assert_frame_equal(got, expected)
        elif isinstance(expected, xr.Dataset):
            xr.testing.assert_identical(got.drop_encoding(), expected.drop_encoding())
        else:
            assert got == expected, name


def files(where):
    return sorted(Location.of(where).files())


def everything(ds, where):
    """What each function writes into a folder or a bucket, read again."""
    if where == "disk":
        Path("disk").mkdir()
    blmm.save(ds, f"{where}/study.zarr")
    opened = blmm.open_dataset(f"{where}/study.zarr")
    result = blmm.scan(opened, store=f"{where}/scan.zarr", chunks=CHUNKS)
    perm = blmm.permute(opened, n_permutations=5, seed=1, store=f"{where}/perm.zarr")
    rows = blmm.find_hits(result, threshold=1, store=f"{where}/hits.parquet")
    again = blmm.scan(opened, store=f"{where}/scan.zarr", chunks=CHUNKS)
    blmm.save(result.isel(traits=[0, 2]), f"{where}/two.zarr")
    blmm.report(result, f"{where}/report.html")
    with Location.of(f"{where}/hits.parquet").at_hand() as folder:
        hits = pd.read_parquet(folder)
    without = {"bulklmm_study"}
    both = {
        "study": opened,
        "scan": blmm.open_result(f"{where}/scan.zarr"),
        "again": again,
        "perm": perm,
        "two": blmm.open_result(f"{where}/two.zarr"),
    }
    for name, one in both.items():
        one = one.compute()
        one.attrs = {key: value for key, value in one.attrs.items() if key not in without}
        both[name] = one
    report = Location.of(f"{where}/report.html").read_bytes().replace(where.encode(), b"WHERE")
    return {
        **both,
        "rows": rows,
        "hits": hits,
        "peaks": blmm.find_peaks(result, threshold=1),
        "report": len(report) > 1000,
        "verified": [
            len(blmm.verify(f"{where}/{name}.zarr")) for name in ("study", "scan", "perm", "two")
        ],
        "files": {
            name: sorted(
                path for path in Location.of(f"{where}/{name}").files() if "lock" not in path
            )
            for name in ("study.zarr", "scan.zarr", "perm.zarr", "two.zarr", "hits.parquet")
        },
    }


def test_bytes_are_those_on_disk(bucket, ds):
    blmm.save(ds, "study.zarr")
    blmm.save(ds, f"{bucket}/study.zarr")
    names = list(Location.of("study.zarr").files())
    assert sorted(names) == keys(f"{bucket}/study.zarr")
    for name in names:
        assert (Location.of(f"{bucket}/study.zarr") / name).read_bytes() == Path(
            "study.zarr", name
        ).read_bytes(), name


@pytest.mark.slow
def test_damage_is_found_and_mended(bucket, ds):
    blmm.save(ds, f"{bucket}/study.zarr")
    store = Location.of(bucket) / "scan.zarr"
    opened = blmm.open_dataset(f"{bucket}/study.zarr")
    before = blmm.scan(opened, store=store, chunks=CHUNKS).compute()
    (store / "lod/c/0/0").remove()
    with (store / "lod/c/1/1").replacing() as stream:
        stream.write((store / "lod/c/1/0").read_bytes())
    with pytest.raises(blmm.StoreError, match=r"lost or not|mends it"):
        blmm.open_result(store)
    assert sorted(blmm.verify(store).file) == ["lod/c/0/0", "lod/c/1/1"]
    assert blmm.verify(store, mend=True).mended.all()
    assert len(blmm.verify(store)) == 0
    xr.testing.assert_identical(blmm.open_result(store).compute(), before)


def test_a_kinship_is_added_without_copying_the_study(bucket, ds, requests):
    blmm.save(ds.drop_vars("kinship", errors="ignore"), f"{bucket}/study.zarr")
    requests.clear()
    url = f"{bucket}/study.zarr"
    run("kinship", url)
    written = {key for kind, key in requests if kind == "put" and "call_dosage" in key}
    assert written == set()
    np.testing.assert_allclose(blmm.open_dataset(url).kinship, blmm.kinship(ds))
    assert len(blmm.verify(url)) == 0
    assert "kinship already: nothing is computed" in run("kinship", url).output
    assert "has a kinship already" in run("kinship", url, "--method", "rqtl2", code=1).output
    run("kinship", url, "--overwrite", "--method", "rqtl2")
    assert blmm.open_dataset(url).kinship.attrs["method"] == "rqtl2"


@pytest.mark.slow
def test_commands_take_urls(bucket, ds):
    blmm.save(ds, f"{bucket}/study.zarr")
    commands = [
        ["scan", f"{bucket}/study.zarr", f"{bucket}/scan.zarr"],
        ["info", f"{bucket}/scan.zarr"],
        ["hits", f"{bucket}/scan.zarr", "--threshold", 1, "--out", f"{bucket}/hits.csv"],
        ["hits", f"{bucket}/scan.zarr", "--threshold", 1, "--out", f"{bucket}/hits.parquet"],
        ["peaks", f"{bucket}/scan.zarr", "--threshold", 1, "--out", f"{bucket}/peaks.csv"],
        ["plot", "qq", f"{bucket}/scan.zarr", "--out", f"{bucket}/m.png"],
        ["report", f"{bucket}/scan.zarr", "--out", f"{bucket}/report.html"],
        ["verify", f"{bucket}/study.zarr", f"{bucket}/scan.zarr"],
    ]
    for command in commands:
        found = run(*command)
        assert "memory:/" not in found.output.replace("memory://", "")
    assert (Location.of(bucket) / "hits.csv").read_bytes().startswith(b"trait,")
    assert (Location.of(bucket) / "m.png").read_bytes().startswith(b"\x89PNG")
    assert f"error: {bucket}/hits.csv exists" in run(*commands[2], code=1).output


def test_tables_are_read_from_urls(bucket, ds):
    table = pd.DataFrame({"id": ["a", "b", "c"], "weight": [1.5, 2.0, 4.0]})
    genotypes = pd.DataFrame({"id": ["a", "b", "c"], "m1": [0, 1, 2], "m2": [2, 1, 0]})
    for name, one in (("traits", table), ("genotypes", genotypes)):
        (Location.of(bucket) / f"{name}.csv").write_text(one.to_csv(index=False))
        one.to_csv(f"{name}.csv", index=False)
    found = [
        blmm.read_csv(f"{where}traits.csv", f"{where}genotypes.csv") for where in (f"{bucket}/", "")
    ]
    xr.testing.assert_identical(*found)
    with pytest.raises(blmm.InputError, match=rf"there is no file {bucket}/none\.csv"):
        blmm.read_csv(f"{bucket}/none.csv", "genotypes.csv")


def test_studies_of_other_programs_are_read_from_urls(bucket, ds):
    """VCF Zarr, R/qtl2 in a folder and in a zip file, and what xarray wrote."""
    calls = xr.Dataset(
        {
            "call_genotype": (
                ("variants", "samples", "ploidy"),
                np.array([[[0, 0], [0, 1], [1, 1]], [[0, 1], [0, 0], [1, 1]]], dtype="int8"),
            ),
            "sample_id": ("samples", ["a", "b", "c"]),
            "contig_id": ("contigs", ["1"]),
            "variant_contig": ("variants", [0, 0]),
            "variant_position": ("variants", [5, 9]),
            "variant_allele": (("variants", "alleles"), [["A", "G"], ["C", "T"]]),
        }
    )
    calls.to_zarr("calls.vcz", zarr_format=2)
    control = "crosstype: f2\ngeno: geno.csv\npheno: pheno.csv\ngenotypes: {AA: 1, AB: 2, BB: 3}\n"
    tables = {
        "cross/cross.yaml": control,
        "cross/geno.csv": "id,m1,m2\na,AA,AB\nb,AB,BB\nc,BB,AA\n",
        "cross/pheno.csv": "id,weight\na,20.1\nb,22.5\nc,19.8\n",
    }
    Path("cross").mkdir()
    for name, content in tables.items():
        Path(name).write_text(content)
    shutil.make_archive("cross", "zip", "cross")
    ds.to_zarr("plain.zarr", consolidated=False)
    here, there = Location.of("."), Location.of(bucket)
    for name in here.files():
        (there / name).put(here / name)
    traits = pd.DataFrame({"weight": [20.1, 22.5, 19.8]}, index=["a", "b", "c"])
    readers = {
        "calls.vcz": lambda path: blmm.open_vcf_zarr(path, traits=traits),
        "cross": blmm.read_rqtl2,
        "cross/cross.yaml": blmm.read_rqtl2,
        "cross.zip": blmm.read_rqtl2,
        "plain.zarr": blmm.open_dataset,
    }
    for name, read in readers.items():
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", blmm.StudyWarning)
            found, expected = read(f"{bucket}/{name}"), read(name)
        xr.testing.assert_identical(found.compute(), expected.compute())
    with pytest.raises(blmm.InputError, match=r"mice\.bed is a URL, and here only local files"):
        blmm.read_plink(f"{bucket}/mice.bed")


# Requests


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


# The web


@pytest.fixture
def web(tmp_path):
    """A web server that gives the files of the folder, and lists nothing."""

    class Files(SimpleHTTPRequestHandler):
        def log_message(self, *_):
            pass

        def list_directory(self, path):
            self.send_error(404)

    handler = partial(Files, directory=str(tmp_path))
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()
        thread.join()


@pytest.mark.slow
def test_stores_and_tables_are_read_from_the_web(web, ds):
    blmm.save(ds, "study.zarr")
    blmm.scan(ds, store="scan.zarr", chunks=CHUNKS)
    found, expected = blmm.open_result(f"{web}/scan.zarr"), blmm.open_result("scan.zarr")
    xr.testing.assert_identical(found.compute(), expected.compute())
    study_there = blmm.open_dataset(f"{web}/study.zarr")
    xr.testing.assert_identical(study_there.compute(), blmm.open_dataset("study.zarr").compute())
    with pytest.raises(blmm.StoreError, match=r"the web is only read"):
        blmm.save(ds, f"{web}/other.zarr")
    with pytest.raises(blmm.StoreError, match=r"there is no store http://.*none\.zarr"):
        blmm.open_dataset(f"{web}/none.zarr")


# What is kept


def test_workers_get_a_url_alone(bucket, ds):
    blmm.save(ds, f"{bucket}/study.zarr")
    place = Location.of(bucket) / "study.zarr"
    seen = place.opened()
    assert isinstance(seen.known, Seen)
    assert pickle.loads(pickle.dumps(seen)).known is None
    sent = pickle.loads(pickle.dumps(place.zarr_store(read_only=True)))
    assert sent == place.zarr_store(read_only=True)
    assert b"known" not in pickle.dumps(seen)
    assert seen == place
    assert hash(seen) == hash(place)


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


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork")
@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
def test_a_forked_process_says_that_it_cannot(bucket):
    here = Location.of(bucket)
    here.names()
    child = os.fork()
    if not child:
        try:
            here.names()
        except blmm.StoreError as error:
            os._exit(7 if "start processes by spawn" in str(error) else 1)
        os._exit(2)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 7


@pytest.mark.filterwarnings("ignore::bulklmm_dask.StudyWarning")
def test_a_server_that_is_away_is_no_damage(bucket, ds, monkeypatch):
    """Whatever request finds it away, the error is one sentence, and no block is given up."""
    blmm.save(ds, f"{bucket}/study.zarr")
    store = Location.of(bucket) / "scan.zarr"
    opened = blmm.open_dataset(f"{bucket}/study.zarr")
    blmm.scan(opened, store=store, chunks=CHUNKS)
    (store / "lod/c/0/0").remove()
    before = {path: (store / path).read_bytes() for path in store.files()}
    real, left = objects.Bucket.fetch, [0]

    def fetch(self, key, most=None):
        left[0] -= 1
        if left[0] < 0:
            raise objects.ServerError(f"{key} cannot be read: the server cannot be reached")
        return real(self, key, most)

    monkeypatch.setattr(objects.Bucket, "fetch", fetch)
    calls = (
        lambda: blmm.verify(store),
        lambda: blmm.open_result(store),
        lambda: blmm.scan(opened, store=store, chunks=CHUNKS),
    )
    for call in calls:
        for at in (0, 1, 2, 5, 10, 20, 40, 60):
            left[0] = at
            with pytest.raises((objects.ServerError, blmm.StoreError)) as caught:
                call()
            if at < 40:
                assert "cannot be reached" in str(caught.value)
            left[0] = 10**9
            for path, content in before.items():
                if "lock" not in path:
                    assert (store / path).read_bytes() == content, (at, path)


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


# Runs that make their store


def signs_left(url):
    """Claims and locks below a URL that were not given back."""
    place = Location.of(url)
    names = [key for key in keys(url) if key.endswith(("lock.json", CLAIM))]
    return [name for name in names if (place / name).record()]


def scanned(ds, store):
    """The store, once it holds a finished scan."""
    blmm.scan(ds, store=store, chunks=CHUNKS)
    return store


def test_a_store_is_made_while_its_first_blocks_are_computed(bucket, ds, requests, monkeypatch):
    """Its root is written once a block is computed; no block is written before."""
    computed, real_put, real_score = (
        threading.Event(),
        objects.Bucket.put,
        run_module.score_distinct,
    )

    def put(self, key, data, mode="overwrite"):
        if key == "scan.zarr/zarr.json":
            assert computed.wait(60)
        return real_put(self, key, data, mode)

    def score(*args, **options):
        found = real_score(*args, **options)
        computed.set()
        return found

    monkeypatch.setattr(objects.Bucket, "put", put)
    monkeypatch.setattr(run_module, "score_distinct", score)
    result = blmm.scan(ds, store=f"{bucket}/scan.zarr", chunks=CHUNKS)
    puts = [key for kind, key in requests if kind == "put"]
    root = puts.index("scan.zarr/zarr.json")
    of_run = [
        i for i, key in enumerate(puts) if key.startswith(("scan.zarr/lod/c", "scan.zarr/h2/c"))
    ]
    assert len(of_run) == 15 + 3
    assert min(of_run) > root > puts.index("scan.zarr/manifest_blocks/lock.json")
    blmm.scan(ds, store="scan.zarr", chunks=CHUNKS)
    xr.testing.assert_identical(result.compute(), blmm.open_result("scan.zarr").compute())


def test_a_run_whose_store_cannot_be_made_says_why_and_leaves_nothing(bucket, ds, monkeypatch):
    real = objects.Bucket.put

    def put(self, key, data, mode="overwrite"):
        if key == "scan.zarr/zarr.json":
            raise objects.ServerError(f"{key} cannot be written: the server gives no permission")
        return real(self, key, data, mode)

    store = f"{bucket}/scan.zarr"
    with monkeypatch.context() as patch:
        patch.setattr(objects.Bucket, "put", put)
        with pytest.raises(blmm.StoreError, match=r"gives no permission$"):
            blmm.scan(ds, store=store, chunks=CHUNKS)
    assert not [key for key in keys(store) if key.startswith(("lod/c", "h2/c"))]
    with pytest.warns(blmm.StudyWarning, match="was being written when that was cut off"):
        assert len(blmm.verify(scanned(ds, store))) == 0
    assert not signs_left(bucket)


def test_a_block_that_fails_while_the_store_is_made_leaves_one_to_go_on_with(
    bucket, ds, monkeypatch
):
    real, failed = objects.Bucket.put, threading.Event()

    def put(self, key, data, mode="overwrite"):
        if key == "scan.zarr/zarr.json":
            assert failed.wait(60)
            time.sleep(0.1)  # the run knows of it
        return real(self, key, data, mode)

    def score(*_, **__):
        failed.set()
        raise blmm.InputError("no such block")

    store = f"{bucket}/scan.zarr"
    with monkeypatch.context() as patch:
        patch.setattr(objects.Bucket, "put", put)
        patch.setattr(run_module, "score_distinct", score)
        with pytest.raises(blmm.InputError, match="no such block"):
            blmm.scan(ds, store=store, chunks=CHUNKS)
    assert not signs_left(bucket)
    assert finished(store) == (0, 15)
    assert len(blmm.verify(scanned(ds, store))) == 0


def test_a_store_that_another_run_has_made_meanwhile_is_gone_on_with(bucket, ds, monkeypatch):
    """It was not there when it was looked for."""
    store, real = Location.of(bucket) / "scan.zarr", resumed.open_or_create

    def late(writer, skeleton):
        monkeypatch.setattr(overlap, "open_or_create", real)
        blmm.scan(ds, store=store, chunks=CHUNKS)
        return real(writer, skeleton)

    monkeypatch.setattr(overlap, "open_or_create", late)
    found = blmm.scan(ds, store=store, chunks=CHUNKS)
    blmm.scan(ds, store="scan.zarr", chunks=CHUNKS)
    xr.testing.assert_identical(found.compute(), blmm.open_result("scan.zarr").compute())
    assert len(blmm.verify(store)) == 0


def test_no_request_is_under_way_once_a_call_has_ended(bucket, ds, monkeypatch):
    """Threads that read early outlived a scan that was refused, and others met their requests."""
    blmm.save(ds, f"{bucket}/study.zarr")
    opened, real, under_way = blmm.open_dataset(f"{bucket}/study.zarr"), objects.Bucket.get, []

    def get(self, key):
        under_way.append(key)
        time.sleep(0.2 * ("sample_trait" in key))
        try:
            return real(self, key)
        finally:
            under_way.remove(key)

    monkeypatch.setattr(objects.Bucket, "get", get)
    with pytest.raises(blmm.InputError, match="no variable 'none'"):
        blmm.scan(opened, store=f"{bucket}/scan.zarr", kinship="none")
    assert under_way == []


# What is known of a store


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
