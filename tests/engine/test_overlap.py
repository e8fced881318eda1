"""Threads that wait for a server leave the cores to others, and no more compute than may."""

from __future__ import annotations

import threading
import time

import dask
import pytest
import studies
from dask.callbacks import local_callbacks

import bulklmm_dask as blmm
from bulklmm_dask.engine import overlap
from bulklmm_dask.engine.overlap import computing, overlapping, waiting
from bulklmm_dask.storage.places.location import Location

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
