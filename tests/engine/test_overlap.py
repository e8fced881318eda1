"""Threads that wait for a server leave the cores to others, and no more compute than may."""

from __future__ import annotations

import threading
import time
import uuid

import dask
import pytest
import studies
from dask.callbacks import local_callbacks

import bulklmm_dask as blmm
from bulklmm_dask.analyses import scan as door
from bulklmm_dask.engine import overlap, run
from bulklmm_dask.engine.overlap import computing, overlapping, waiting
from bulklmm_dask.errors import StoreError
from bulklmm_dask.storage.places.base import CLAIM
from bulklmm_dask.storage.places.location import Location
from bulklmm_dask.storage.places.objects import Bucket
from bulklmm_dask.storage.results.skeleton import Skeleton

FAR, NEAR = Location.of("memory://bucket/lod.zarr"), Location.of("lod.zarr")


class Counted:
    """How many are inside at once, and how many ever were."""

    def __init__(self):
        self.now, self.most, self._lock = 0, 0, threading.Lock()

    def __enter__(self):
        with self._lock:
            self.now += 1
            self.most = max(self.most, self.now)

    def __exit__(self, *_):
        with self._lock:
            self.now -= 1


def test_many_threads_wait_and_few_compute():
    waits, computes, begun = Counted(), Counted(), threading.Barrier(6)

    def task(_):
        with waits:
            begun.wait(60)  # six threads are here at once
        with computing(), computes, computing():  # one turn is enough
            time.sleep(0.01)

    with dask.config.set(scheduler="threads", num_workers=2), overlapping(FAR, 2**28):
        assert dask.config.get("num_workers") == 6
        dask.compute(*[dask.delayed(task)(i) for i in range(12)])
    assert waits.most == 6
    assert computes.most <= 2


def test_what_others_wait_for_has_the_next_turn():
    order, has_turn, queue = [], threading.Event(), threading.Event()

    def task(name, *, first=False):
        with computing(first=first):
            order.append(name)
            if name == "holder":
                has_turn.set()
                queue.wait(60)

    with dask.config.set(scheduler="threads", num_workers=1), overlapping(FAR, 2**28):
        threads = [threading.Thread(target=task, args=["holder"])]
        threads[0].start()
        has_turn.wait(60)
        for name in ("block 1", "block 2"):
            threads.append(threading.Thread(target=task, args=[name]))
        threads.append(threading.Thread(target=task, args=["frequency"], kwargs={"first": True}))
        for thread in threads[1:]:
            thread.start()
        while overlap._turns is not None and overlap._turns.waiting < 3:
            time.sleep(0.001)
        queue.set()
        for thread in threads:
            thread.join()
    assert order[:2] == ["holder", "frequency"]
    assert sorted(order[2:]) == ["block 1", "block 2"]


def test_a_scheduler_of_another_thread_takes_no_blocks_away(tmp_path):
    """It takes the callbacks that dask has for all, as one that makes a store did at times."""

    def get(tasks, keys, **options):
        with local_callbacks():
            return dask.threaded.get(tasks, keys, **options)

    ds, counted = studies.study(n=20, p=12, m=6), []
    with dask.config.set(scheduler=get, num_workers=2):
        blmm.scan(ds, store=tmp_path / "lod.zarr", chunks={"variants": 4}, progress=counted.append)
    assert counted[-1].done == 3


@pytest.mark.parametrize(
    ("store", "options"),
    [
        (NEAR, {"scheduler": "threads", "num_workers": 2}),
        (FAR, {"scheduler": "synchronous", "num_workers": 2}),
    ],
)
def test_elsewhere_nothing_changes(store, options):
    with dask.config.set(**options), overlapping(store, 1):
        assert dask.config.get("num_workers") == 2
        assert overlap._turns is None


def test_the_threads_are_bounded_by_their_memory():
    with dask.config.set(scheduler="threads", num_workers=2):
        for task_bytes, more in ((2**40, 2), (2**28, 4), (1, 16)):
            with overlapping(FAR, task_bytes):
                assert dask.config.get("num_workers") == 2 + more


@pytest.fixture
def computed(monkeypatch):
    """An event: a block is computed, but not yet written."""
    event, real = threading.Event(), run.score_distinct

    def score(*args, **options):
        found = real(*args, **options)
        event.set()
        return found

    monkeypatch.setattr(run, "score_distinct", score)
    return event


def scan_into(store, threads, progress=None):
    ds = studies.study(n=20, p=12, m=6)
    with dask.config.set(scheduler="threads", num_workers=threads):
        return blmm.scan(ds, store=store, chunks={"variants": 4}, progress=progress)


def files_of(store):
    place = Location.of(store)
    return {name: (place / name).read_bytes() for name in sorted(place.files())}


def test_a_new_store_on_a_disk_is_made_while_blocks_are_computed(tmp_path, computed, monkeypatch):
    real, before = Skeleton.write, []

    def late(skeleton, store):
        assert computed.wait(60)
        real(skeleton, store)

    def noted(skeleton, store):
        before.append(computed.is_set())
        real(skeleton, store)

    monkeypatch.setattr(Skeleton, "write", late)
    scan_into(tmp_path / "2.zarr", threads=2)
    computed.clear()
    monkeypatch.setattr(Skeleton, "write", noted)
    scan_into(tmp_path / "1.zarr", threads=1)
    assert before == [False]  # one thread has one thing to do
    assert files_of(tmp_path / "2.zarr") == files_of(tmp_path / "1.zarr")
    assert blmm.verify(tmp_path / "2.zarr").empty


def test_whoever_is_told_of_the_start_finds_the_store(tmp_path, computed):
    path, there = tmp_path / "lod.zarr", []
    scan_into(path, threads=2, progress=lambda _: there.append((computed.is_set(), path.exists())))
    assert there[0] == (False, True)


def test_what_keeps_a_store_from_being_made_ends_the_run(tmp_path, computed, monkeypatch):
    def fails(skeleton, store):
        assert computed.wait(60)
        raise StoreError("the disk is full")

    monkeypatch.setattr(Skeleton, "write", fails)
    with pytest.raises(StoreError, match="the disk is full"):
        scan_into(tmp_path / "lod.zarr", threads=2)
    assert list(tmp_path.iterdir()) == []


def test_where_nothing_can_be_written_nothing_is_computed(tmp_path, computed):
    (tmp_path / "file").write_text("no folder")
    with pytest.raises(StoreError, match="is no folder; give another path"):
        scan_into(tmp_path / "file" / "lod.zarr", threads=2)
    assert not computed.is_set()


def test_a_folder_of_a_server_is_claimed_before_what_it_begins_with_is_known(monkeypatch):
    claimed, put, frequencies = threading.Event(), Bucket.put, door.frequency_columns

    def watched(bucket, key, *args, **options):
        found = put(bucket, key, *args, **options)
        if key.endswith(CLAIM):
            claimed.set()
        return found

    def late(*args):
        assert claimed.wait(60)
        return frequencies(*args)

    monkeypatch.setattr(Bucket, "put", watched)
    monkeypatch.setattr(door, "frequency_columns", late)
    pytest.importorskip("obstore")
    result = scan_into(f"memory://{uuid.uuid4().hex}/lod.zarr", threads=2)
    assert result.lod.shape == (12, 6)


@pytest.mark.slow
def test_a_worker_begins_another_task_while_one_waits():
    from distributed import Client, Event

    def first():
        with waiting(FAR):
            return Event("second").wait(60)

    def second():
        Event("second").set()

    with Client(
        processes=False, n_workers=1, threads_per_worker=1, dashboard_address=":0"
    ) as client:
        futures = [client.submit(first), client.submit(second)]
        assert client.gather(futures)[0]
