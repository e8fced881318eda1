"""Runs that make their store in a bucket while they compute."""

from __future__ import annotations

import threading
import time

import pytest
import xarray as xr
from in_memory import CHUNKS, keys, scanned

import bulklmm_dask as blmm
from bulklmm_dask.engine import overlap
from bulklmm_dask.engine import run as run_module
from bulklmm_dask.storage.places import objects
from bulklmm_dask.storage.places.base import CLAIM
from bulklmm_dask.storage.places.location import Location
from bulklmm_dask.storage.results import resumed
from bulklmm_dask.storage.results.soundness import finished

pytest.importorskip("obstore")


def signs_left(url):
    """Claims and locks below a URL that were not given back."""
    place = Location.of(url)
    names = [key for key in keys(url) if key.endswith(("lock.json", CLAIM))]
    return [name for name in names if (place / name).record()]


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
