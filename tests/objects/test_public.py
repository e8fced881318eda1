"""Stores that a web server has published: they are read, and not written."""

from __future__ import annotations

import threading
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer

import pytest
import xarray as xr
from commands import run

import bulklmm_dask as blmm
from objects.conftest import CHUNKS

pytestmark = pytest.mark.slow


class Quiet(SimpleHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def list_directory(self, path):
        self.send_error(403)

    def log_message(self, *_):
        pass


@pytest.fixture
def web(on_disk):
    """The URL of the folder of the stores; its server lists nothing."""
    pytest.importorskip("obstore")
    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(Quiet, directory=on_disk))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_address[1]}"
    server.shutdown()
    server.server_close()


def test_what_is_published_is_read(web, on_disk, tmp_path):
    study, expected = (
        blmm.open_dataset(f"{web}/study.zarr"),
        blmm.open_dataset(on_disk / "study.zarr"),
    )
    xr.testing.assert_identical(study.load(), expected.load())
    result, stored = (blmm.open_result(f"{place}/null.zarr") for place in (web, on_disk))
    xr.testing.assert_equal(result.load(), stored.load())
    again = blmm.scan(blmm.open_dataset(f"{web}/study.zarr"), store=tmp_path / "r", chunks=CHUNKS)
    xr.testing.assert_equal(again.lod.load(), stored.lod)
    for place in (web, on_disk):
        out = tmp_path / f"{place == web}.csv"
        run("peaks", f"{place}/null.zarr", "--threshold", 1, "--out", out)
    assert (tmp_path / "True.csv").read_bytes() == (tmp_path / "False.csv").read_bytes()


def test_it_is_only_read(web, ds):
    with pytest.raises(blmm.StoreError, match="cannot be written: the web is only read"):
        blmm.save(ds, f"{web}/other.zarr")
    with pytest.raises(blmm.StoreError, match="cannot be written: the web is only read"):
        blmm.scan(ds, store=f"{web}/lod.zarr")


def test_what_is_not_there(web):
    with pytest.raises((blmm.InputError, blmm.StoreError), match=r"none\.zarr"):
        blmm.open_dataset(f"{web}/none.zarr")


@pytest.mark.parametrize("endpoint", ["moto"], indirect=True)
def test_a_public_bucket_by_the_address_of_its_server(bucket, ds, endpoint):
    blmm.save(ds, bucket / "study.zarr")
    for key in bucket.list():
        bucket.client.put_object_acl(Bucket=bucket.name, Key=key, ACL="public-read")
    opened = blmm.open_dataset(f"{endpoint.url}/{bucket.name}/study.zarr")
    xr.testing.assert_equal(opened.sample_trait.load(), ds.sample_trait)
