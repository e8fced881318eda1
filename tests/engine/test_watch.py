"""A cluster that is lost ends the work in one sentence; workers are those of this process here."""

import time

import dask
import pytest
import studies
from distributed import CancelledError, Client, LocalCluster, as_completed
from distributed.comm.core import CommClosedError
from faults.machines import wait_for

import bulklmm_dask as blmm
from bulklmm_dask.engine import watch
from bulklmm_dask.engine.local import workers
from bulklmm_dask.engine.room import room_of_workers
from bulklmm_dask.engine.watch import watched
from bulklmm_dask.errors import ClusterError, InputError


@pytest.fixture
def cluster(monkeypatch):
    monkeypatch.setattr(watch, "_LOOK", 0.1)
    with (
        LocalCluster(
            n_workers=1, threads_per_worker=1, processes=False, dashboard_address=":0"
        ) as running,
        dask.config.set({"distributed.scheduler.no-workers-timeout": "1s"}),
    ):
        yield running


@pytest.mark.slow
def test_no_worker_is_left(cluster):
    with Client(cluster) as client, watched(client, "kept") as looks:
        running = as_completed([client.submit(time.sleep, 0)], loop=client.loop)
        assert [each.status for each in looks.finished(running)] == ["finished"]
        cluster.scale(0)
        running.add(client.submit(time.sleep, 0.001))
        with pytest.raises(ClusterError, match=r"at inproc://.* has had no worker for .*; kept$"):
            looks.finished(running)


def compute_without_workers(cluster, client):
    with watched(client, own=True):
        cluster.scale(0)
        dask.delayed(time.sleep)(0.001).compute()


@pytest.mark.slow
def test_a_computation_that_waits_for_workers_ends(cluster):
    with (
        Client(cluster) as client,
        pytest.raises(ClusterError, match=r"has had no worker .*; make the call again$"),
    ):
        compute_without_workers(cluster, client)


@pytest.mark.slow
def test_workers_end_again_and_again(cluster):
    with (
        dask.config.set({"distributed.scheduler.no-workers-timeout": "1 day"}),
        Client(cluster) as client,
        watched(client, "kept") as looks,
    ):
        looks.count_from_here()
        for _ in range(5):
            cluster.scale(1)
            wait_for(lambda: looks._present)
            cluster.scale(0)
            wait_for(lambda: not looks._present)
        wait_for(lambda: looks.verdict is not None)
        assert "5 workers of the scheduler at inproc://" in looks.verdict
        assert "ended, and no block was finished meanwhile; a worker has " in looks.verdict


@pytest.fixture
def looks_often(monkeypatch):
    monkeypatch.setattr(watch, "_LOOK", 0.1)


@pytest.mark.slow
def test_a_worker_whose_nanny_has_ended_is_begun_anew(looks_often):
    with workers(processes=1, threads=1):
        client = watch.active_client()
        (before,) = client.cluster.workers.values()
        client.cluster.sync(before.close)
        assert room_of_workers().workers == 1  # also while it is away
        assert client.submit(int, "7").result(120) == 7
        assert before not in client.cluster.workers.values()


@pytest.mark.slow
def test_a_worker_that_ends_again_and_again_as_it_starts_ends_the_run(looks_often):
    """Its nanny kills it before it is a worker; dask gives up after 15 seconds, and then waits."""
    words = r"^a worker process of this machine has ended \d times as it started, most likely "
    words += r"for want of memory; a worker has 2 GB for 1 thread: give workers more memory"
    with (
        pytest.raises(ClusterError, match=words),
        workers(processes=1, threads=1, memory="2GB"),
    ):
        compute_with_too_little_memory()


def compute_with_too_little_memory():
    (nanny,) = watch.active_client().cluster.workers.values()
    nanny.memory_manager.memory_terminate_fraction = 0.001
    dask.delayed(time.sleep)(60).compute()


@pytest.mark.slow
def test_blocks_within_share_a_watch(cluster):
    with Client(cluster) as client:
        with watched(client, "outer") as outer, watched(client, "inner") as inner:
            assert inner is outer
            assert str(inner.error("it is lost")) == "it is lost; inner"
        with watched(client, "again") as later:
            assert later is not outer


def fail_as_a_closed_client(client, verdict, error):
    with watched(client, "kept") as looks:
        looks.verdict = verdict
        raise error


@pytest.mark.slow
def test_whatever_a_closed_client_raises_has_the_reason(cluster):
    cancelled = UnboundLocalError("result")  # of Client.sync, when its task is cancelled
    with Client(cluster) as client:
        with pytest.raises(ClusterError, match=r"^no worker is left; kept$"):
            fail_as_a_closed_client(client, "no worker is left", cancelled)
        with pytest.raises(UnboundLocalError):
            fail_as_a_closed_client(client, None, cancelled)


@pytest.mark.slow
@pytest.mark.parametrize("error", [CommClosedError("lost"), CancelledError("a task")])
def test_what_dask_raises_for_a_client_of_the_caller_is_a_cluster_error(
    cluster, monkeypatch, error
):
    result = blmm.scan(studies.study(n=20, p=30, m=6), chunks={"variants": 10, "traits": 3})

    def fail(*_):
        raise error

    monkeypatch.setattr(watch, "compute", fail)
    with Client(cluster):
        for ask in (blmm.max_lod, lambda one: blmm.find_hits(one, threshold=1)):
            with pytest.raises(ClusterError, match=r"is lost: .*; make the call again$"):
                ask(result)


def test_a_worker_needs_memory_of_its_own():
    with (
        pytest.raises(InputError, match=r"memory '100MB' is less than a worker takes .* 300 MB"),
        workers(processes=1, memory="100MB"),
    ):
        pass
