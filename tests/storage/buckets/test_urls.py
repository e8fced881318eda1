"""URLs: which are taken, which are refused, and how a server is asked."""

from __future__ import annotations

import os
import pickle
from pathlib import Path

import pytest

import bulklmm_dask as blmm
from bulklmm_dask.storage.places import clients
from bulklmm_dask.storage.places.known import Seen
from bulklmm_dask.storage.places.location import Location

pytest.importorskip("obstore")

SECRET = "wJalrXUtnFEMI"


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
