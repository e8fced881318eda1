"""Servers that are busy, away or cut off, and processes that are killed: the same bytes come out.

Where a run cannot go on by itself, it ends with one sentence, and the same command finishes it.
"""

from __future__ import annotations

import itertools
import signal
import threading
from functools import cache

import commands
import psutil
import pytest
import xarray as xr
from faults.machines import FULL, PATIENCE, content, wait_for

import bulklmm_dask as blmm
from bulklmm_dask.storage.places.location import Location
from bulklmm_dask.storage.results.soundness import finished
from objects.proxy import BROKEN, BUSY, CUT, FORBIDDEN, LOST

pytestmark = [
    pytest.mark.faults,
    pytest.mark.slow,
    pytest.mark.parametrize("endpoint", ["moto"], indirect=True),
]

# 120 blocks, and 600: marks are written after 256.
CHUNKS, SMALL = ["--chunks", "40,50"], ["--chunks", "20,20"]
THREADS, WORKERS = ["--threads", 2], ["--workers", 2, "--threads", 1]
N_BLOCKS = 600
SECONDS = 20.0 if FULL else 6.0  # that the server is away
_OTHER = ("zarr.json", "manifest/zarr.json")  # what names the study


@pytest.fixture(scope="module")
def study(tmp_path_factory):
    path = tmp_path_factory.mktemp("faults") / "study.zarr"
    return commands.simulated(path, traits=200, variants=1200, samples=40, strains=20)


@pytest.fixture(scope="module")
def undisturbed(study):
    """The bytes of a scan of blocks of some size into a folder, which nothing disturbs."""

    @cache
    def found(*chunks):
        path = study.with_name(f"{chunks[-1]}.zarr")
        commands.run("scan", study, path, *chunks, "--threads", "1")
        return content(path)

    return found


class Scan:
    """A scan of a study on a disk into the bucket."""

    def __init__(self, bucket, machines, study, undisturbed):
        self.bucket, self.machines, self.undisturbed = bucket, machines, undisturbed
        self.begins = ["scan", study, bucket / "lod.zarr"]

    def start(self, where, chunks=CHUNKS):
        return self.machines.bulklmm(*self.begins, *chunks, *where)

    def begin(self, where, chunks=CHUNKS, blocks=20):
        """Start it, and wait until some blocks are written."""
        running = self.start(where, chunks)
        wait_for(lambda: running.ended() or self.bucket.blocks_of("lod.zarr") >= blocks)
        assert not running.ended(), running.said
        return running

    def require_done(self, running, chunks=CHUNKS):
        assert running.code() == 0, running.said
        assert "Traceback" not in running.said
        found, expected = self.bucket.content("lod.zarr"), self.undisturbed(*chunks)
        assert found.keys() == expected.keys()
        assert [name for name in found if found[name] != expected[name]] == []


@pytest.fixture
def lod(bucket, machines, study, undisturbed):
    return Scan(bucket, machines, study, undisturbed)


COPY = "import sys, bulklmm_dask as b; b.save(b.open_dataset(sys.argv[1]), sys.argv[2])"


def every(n, answer, chosen=lambda request: True):
    """Let one of n of the chosen requests fail, whichever thread makes it."""
    counted = itertools.count(1)
    return lambda request: answer if chosen(request) and next(counted) % n == 0 else None


@pytest.mark.parametrize("where", [THREADS, WORKERS], ids=["threads", "workers"])
def test_a_run_that_is_killed_goes_on(lod, where):
    """Blocks that are marked are kept; the others are computed."""
    store = Location.of(lod.bucket / "lod.zarr")
    running = lod.begin(where, SMALL)
    wait_for(lambda: running.ended() or finished(store)[0])
    workers = running.workers()
    for process in [running.process, *workers]:
        process.send_signal(signal.SIGKILL)
    running.code()
    psutil.wait_procs(workers, timeout=PATIENCE)
    done, blocks = finished(store)
    assert 0 < done < blocks == N_BLOCKS
    proxy = lod.bucket.proxy
    proxy.forget()
    lod.require_done(lod.start(where, SMALL), SMALL)
    # By name, for the proxy may take a request of a killed process as late as now.
    assert len(set(proxy.keys("PUT", "lod.zarr/lod/c/"))) == N_BLOCKS - done


@pytest.mark.parametrize("answer", [BUSY, BROKEN], ids=["slow-down", "error-500"])
def test_a_server_that_is_busy_for_a_while(lod, endpoint, answer):
    running = lod.begin(THREADS)
    endpoint.fault = lambda _: answer
    refused = threading.Timer(3, endpoint.behave)
    refused.start()
    lod.require_done(running)


def test_a_server_that_is_busy_now_and_then(lod, endpoint):
    endpoint.fault = every(4, BUSY)
    lod.require_done(lod.start(THREADS))


@pytest.mark.parametrize("where", [THREADS, WORKERS], ids=["threads", "workers"])
def test_a_server_that_is_away(lod, endpoint, where):
    running = lod.begin(where)
    endpoint.away_for(SECONDS)
    lod.require_done(running)


def test_a_server_that_is_away_before_anything_begins(lod, endpoint):
    endpoint.away_for(SECONDS)
    lod.require_done(lod.start(THREADS))


def test_reads_that_end_half_way(bucket, endpoint, study, undisturbed, machines):
    """Of the study, of the store that is gone on with, and of the result."""
    blmm.save(blmm.open_dataset(study), bucket / "study.zarr")
    endpoint.fault = every(3, CUT, lambda request: request.verb == "GET")
    machines.finish("scan", bucket / "study.zarr", bucket / "lod.zarr", *CHUNKS, *THREADS)
    assert machines.finish("verify", bucket / "lod.zarr")
    endpoint.behave()
    found, expected = bucket.content("lod.zarr"), undisturbed(*CHUNKS)
    assert {name for name in found if found[name] != expected.get(name)} <= set(_OTHER)


def test_answers_that_are_lost(lod, endpoint):
    """What was written is written again; a lock that is there already is our own."""
    endpoint.fault = every(5, LOST, lambda request: request.verb != "GET")
    lod.require_done(lod.start(THREADS))


@pytest.mark.skipif(not FULL, reason="requests are tried for a minute: make faults")
def test_a_server_that_does_not_come_back(lod, endpoint):
    """The run ends with one sentence; the same command finishes it."""
    running = lod.begin(THREADS)
    endpoint.leave()
    running.require_error(lod.bucket / "lod.zarr", "cannot be reached")
    endpoint.come_back()
    lod.require_done(lod.start(THREADS))


@pytest.mark.filterwarnings("ignore:.* when that was cut off")  # where it is told
@pytest.mark.parametrize("old", [False, True], ids=["new", "replaced"])
def test_a_save_that_ends_at_any_request(bucket, endpoint, ds, old):
    """From the n-th request on none is answered: what is there is the old study, the new, or none.

    The next save makes it whole, and leaves nothing else behind.
    """
    before = ds.isel(traits=slice(3)) if old else None
    step = 1 if FULL else 19
    for at in itertools.chain(range(0, 8, 1 if FULL else 3), itertools.count(8, step)):
        url = bucket / f"{at}.zarr"
        if before is not None:
            blmm.save(before, url)
        numbers = itertools.count()
        endpoint.fault = lambda _, at=at, numbers=numbers: (
            FORBIDDEN if next(numbers) >= at else None
        )
        ended = None
        try:
            blmm.save(ds, url, overwrite=old)
        except blmm.StoreError as error:
            ended = error
        endpoint.behave()
        try:
            found = blmm.open_dataset(url).load()
        except (blmm.StoreError, blmm.InputError):
            assert not old
            whole = False
        else:
            whole = True
            known = [ds] if before is None else [before, ds]
            assert any(found.sample_trait.equals(one.sample_trait) for one in known)
        blmm.save(ds, url, overwrite=whole)
        again = blmm.open_dataset(url).load()
        xr.testing.assert_equal(again.sample_trait, ds.sample_trait)
        assert {key.partition("/")[0] for key in bucket.list()} == {f"{at}.zarr"}
        bucket.clear()
        if ended is None:
            break
    assert at > 20


def test_a_save_that_is_killed_is_recognised_and_replaced(
    bucket, machines, study, endpoint, tmp_path
):
    # The root, which is written last, is not written before the process is killed.
    root = ("PUT", "study.zarr/zarr.json")
    endpoint.fault = lambda request: BUSY if (request.verb, request.key) == root else None
    running = machines.start("-c", COPY, study, bucket / "study.zarr")
    wait_for(lambda: running.ended() or len(bucket.list("study.zarr/")) > 5)
    running.send(signal.SIGKILL)
    running.code()
    endpoint.behave()
    with (
        pytest.warns(
            blmm.StudyWarning, match=r"study\.zarr was being written when that was cut off"
        ),
        pytest.raises((blmm.StoreError, blmm.InputError), match=r"there is no .*study\.zarr"),
    ):
        blmm.open_dataset(bucket / "study.zarr")
    assert bucket.list() == []
    blmm.save(blmm.open_dataset(study), bucket / "study.zarr")
    blmm.save(blmm.open_dataset(study), tmp_path / "study.zarr")
    assert bucket.content("study.zarr") == content(tmp_path / "study.zarr")


def test_two_runs_into_one_store(lod, endpoint):
    running = lod.begin(THREADS, SMALL)
    endpoint.latency = 0.5  # the first one is not done before the second one begins
    second = lod.start(THREADS, SMALL)
    second.require_error("is being written by process", str(running.process.pid))
    endpoint.latency = 0
    lod.require_done(running, SMALL)


def test_two_saves_at_once(bucket, ds):
    """One of them is there, whole; the other one is told."""
    others = [ds.isel(traits=slice(4)), ds.isel(traits=slice(6))]
    told = []

    def save(one):
        try:
            blmm.save(one, bucket / "study.zarr")
        except blmm.StoreError as error:
            told.append(str(error))

    threads = [threading.Thread(target=save, args=[one]) for one in others]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    found = blmm.open_dataset(bucket / "study.zarr").load()
    assert any(found.sample_trait.equals(one.sample_trait) for one in others)
    assert len(told) == 1
    assert str(bucket / "study.zarr") in told[0]
