"""Checksums and summaries are sent while the last block is, and vouch for nothing before."""

from __future__ import annotations

import threading
import time
import uuid
from dataclasses import replace

import dask
import numpy as np
import pytest
import studies

import bulklmm_dask as blmm
from bulklmm_dask.errors import StoreError
from bulklmm_dask.storage.places.location import Location
from bulklmm_dask.storage.places.objects import Bucket
from bulklmm_dask.storage.proof.manifest import BLOCKS, TRAITS, entered, entries, sums_name
from bulklmm_dask.storage.results import journal

pytest.importorskip("obstore")

CHUNKS = {"variants": 7, "traits": 5}  # 5 x 3 blocks
LAST = "lod.zarr/lod/c/4/2"
SUMS, SUMMARY = f"lod.zarr/{sums_name('lod')}/c/0/0/0", "lod.zarr/summary/highest/c/0/0"
MARKS = tuple(f"lod.zarr/{name}/c/" for name in (BLOCKS, TRAITS))


@pytest.fixture(scope="module")
def ds():
    return studies.study(n=30, p=30, m=12)


@pytest.fixture(scope="module")
def on_disk(ds, tmp_path_factory):
    path = tmp_path_factory.mktemp("disk") / "lod.zarr"
    blmm.scan(ds, store=path, chunks=CHUNKS)
    return path


@pytest.fixture
def url():
    return f"memory://{uuid.uuid4().hex}/lod.zarr"


@pytest.fixture
def puts(monkeypatch):
    """What is written, in the order of the answers; `before` is called with the key of each."""
    answered, put = [], Bucket.put

    class Puts:
        keys = answered
        before = staticmethod(lambda key: None)

    def watched(bucket, key, data, mode="overwrite"):
        Puts.before(key)
        found = put(bucket, key, data, mode)
        answered.append(key)
        return found

    monkeypatch.setattr(Bucket, "put", watched)
    return Puts


def scan(ds, url):
    with dask.config.set(scheduler="threads", num_workers=2):
        return blmm.scan(ds, store=url, chunks=CHUNKS)


def files_of(path):
    store = Location.of(str(path))
    names = sorted(name for name in store.files() if not name.endswith("lock.json"))
    return {name: (store / name).read_bytes() for name in names}


def test_sums_do_not_wait_for_the_last_block(ds, url, on_disk, puts):
    sent, n_sums = threading.Event(), 0

    def before(key):
        nonlocal n_sums
        n_sums += key in (SUMS, SUMMARY)  # once with the new store, and once with the last block
        if n_sums == 3:  # the summary is not there before
            sent.set()
        if key == LAST:
            assert sent.wait(60)
        if key.startswith(MARKS) and sent.is_set():
            assert LAST in puts.keys

    puts.before = before
    scan(ds, url)
    assert files_of(url) == files_of(on_disk)


def test_entries_of_the_journal_are_told_too(ds, url, on_disk, monkeypatch):
    monkeypatch.setattr(journal, "_BLOCKS", 4)
    monkeypatch.setattr(journal, "_MOST", 4)
    scan(ds, url)
    assert files_of(url) == files_of(on_disk)


def test_what_is_written_otherwise_than_told_is_what_counts(ds, url, on_disk, monkeypatch):
    """As if a task that was tried again had written other bytes."""
    real = journal.Journal._foretell

    def foretell(self, written):
        wrong = {name: sums + np.uint32(1) for name, sums in written.sums.items()}
        real(self, replace(written, sums=wrong))

    monkeypatch.setattr(journal.Journal, "_foretell", foretell)
    scan(ds, url)
    assert files_of(url) == files_of(on_disk)


def test_a_last_block_that_is_not_written_has_no_mark(ds, url, on_disk, puts):
    sent = threading.Event()

    def before(key):
        if key == SUMMARY:
            sent.set()
        if key == LAST:
            assert sent.wait(60)
            raise StoreError("the server is away")

    puts.before = before
    with pytest.raises(StoreError, match="the server is away"):
        scan(ds, url)
    store = Location.of(url)
    marked = entered(store, BLOCKS)
    assert not marked[4, 2]
    assert marked.sum() == 14
    assert entries(store, sums_name("lod"))[4, 2].any()
    puts.before = lambda key: time.sleep(0.3 * (key == LAST))  # the end waits for it
    result = scan(ds, url)
    assert files_of(url) == files_of(on_disk)
    assert blmm.verify(url).empty
    np.testing.assert_array_equal(result.lod, blmm.open_result(on_disk).lod)
