"""Clusters that grow and shrink during a run: late workers compute, leaving ones lose nothing."""

import threading
import time

import dask
import numpy as np
import pytest
import studies
from dask.utils import key_split
from distributed import Client, LocalCluster
from faults.machines import wait_for

import bulklmm_dask as blmm
from bulklmm_dask.storage.results.blocks import ResultStore

CHUNKS = {"variants": 3, "traits": 3}  # 40 blocks
pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def ds():
    made = studies.study(n=40, p=30, m=12, covariates=1)
    made["kinship_loco"] = blmm.kinship(made, loco=True).compute()
    return made


@pytest.fixture
def cluster():
    with LocalCluster(
        n_workers=1, threads_per_worker=1, processes=False, dashboard_address=":0"
    ) as running:
        yield running


@pytest.fixture
def client(cluster):
    with Client(cluster) as client:
        client.get_task_stream(start=0, stop=0)  # from here on it is kept
        yield client


def scanned(ds, path, change=lambda done: None, **options):
    """A scan into a store, during which `change` is called with the number of finished blocks."""
    return blmm.scan(
        ds, store=path, chunks=CHUNKS, progress=lambda now: change(now.done), **options
    ).compute()


def expected(ds, **options):
    with dask.config.set(scheduler="synchronous"):
        return blmm.scan(ds, chunks=CHUNKS, **options).compute()


def same(found, ds, **options):
    reference = expected(ds, **options)
    for name in reference.data_vars:
        np.testing.assert_array_equal(found[name], reference[name])


def workers_of_blocks(client):
    stream = client.get_task_stream(start=0)
    return {one["worker"] for one in stream if key_split(one["key"]) == "write-block"}


@pytest.fixture(autouse=True)
def gate(monkeypatch):
    """Blocks take some time, and are not finished while the gate is closed."""
    write, gate = ResultStore.write_block, threading.Event()

    def slowly(self, *block):
        time.sleep(0.05)
        assert gate.wait(300)
        return write(self, *block)

    monkeypatch.setattr(ResultStore, "write_block", slowly)
    gate.set()
    return gate


def test_workers_that_come_late_compute(cluster, client, ds, tmp_path, gate):
    first = set(client.scheduler_info()["workers"])

    def grow(done):
        if done == 5:
            gate.clear()
            cluster.scale(3)
            client.wait_for_workers(3)
            gate.set()

    same(scanned(ds, tmp_path / "s.zarr", grow), ds)
    assert len(workers_of_blocks(client) - first) == 2


def test_workers_that_leave_lose_nothing(cluster, client, ds, tmp_path):
    cluster.scale(3)
    client.wait_for_workers(3)
    at = []

    def shrink(done):
        if not at and len(workers_of_blocks(client)) == 3:
            at.append(done)
            cluster.scale(1)

    same(scanned(ds, tmp_path / "s.zarr", shrink, loco=True), ds, loco=True)
    assert at[0] < 40
    wait_for(lambda: len(client.scheduler_info()["workers"]) == 1)


def test_the_worker_that_has_the_only_bases_ends_without_a_word(cluster, client, ds, tmp_path):
    """What it alone had in memory, among it the eigenbases, is computed again by others."""
    (first,) = cluster.workers.values()

    def replace(done):
        if done == 4:
            cluster.scale(2)
        if done == 8:
            client.wait_for_workers(2)
            cluster.sync(first.close, nanny=False, reason="it is lost")

    same(scanned(ds, tmp_path / "s.zarr", replace, loco=True), ds, loco=True)


def test_a_cluster_that_adapts_gives_the_same(cluster, client, ds, tmp_path, gate):
    cluster.adapt(minimum=0, maximum=3, interval="50ms", target_duration="200ms")
    gate.clear()

    def open_for_two():
        client.wait_for_workers(2)
        gate.set()

    waits = threading.Thread(target=open_for_two)
    waits.start()
    same(scanned(ds, tmp_path / "s.zarr"), ds)
    waits.join()
    assert len(workers_of_blocks(client)) > 1
