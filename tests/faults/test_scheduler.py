"""A scheduler that is killed, and networks that are cut between it and its workers."""

import signal
import time

import pytest

from faults.conftest import SCAN
from faults.machines import FULL, Machines, blocks_of, content, leftovers, wait_for
from faults.networks import network, unusable

pytestmark = [pytest.mark.faults, pytest.mark.slow]

# Seconds: Dask's shortest time after which a connection is taken for dead, and its usual one; how
# long the network is cut; how long a run waits for workers.
DEAD, CUT, WAIT = ("30s", 60.0, "60s") if FULL else ("11s", 16.0, "5s")


def test_killed(machines, study, undisturbed, tmp_path):
    path = tmp_path / "lod.zarr"
    scan_it = ["scan", study, path, *SCAN, "--scheduler", machines.file]
    scheduler = machines.scheduler()
    workers = [machines.worker(), machines.worker()]
    scan = machines.bulklmm(*scan_it)
    wait_for(lambda: blocks_of(path) >= 2)
    scheduler.send(signal.SIGKILL)
    scan.require_error(
        "the connection to the scheduler at tcp://127.0.0.1:",
        "finished blocks are kept: run the command that made it again",
    )
    assert not leftovers(path)
    for worker in workers:
        worker.code()
    machines.scheduler()
    machines.worker()
    machines.finish(*scan_it)
    assert content(path) == undisturbed


@pytest.fixture
def hosts():
    reason = unusable()
    if reason:
        pytest.skip(reason)
    with network(2) as made:
        yield made


def begin(machines, hosts, study, path):
    """A scan on a worker of each host, some blocks of which are written."""
    machines.scheduler(hosts.address)
    workers = [machines.worker(within=host) for host in hosts.hosts]
    wait_for(lambda: all("Registered to" in worker.said for worker in workers))
    scan = machines.bulklmm("scan", study, path, *SCAN, "--scheduler", machines.file)
    wait_for(lambda: blocks_of(path) >= 2)
    return scan, workers


def test_one_worker_is_cut_off_for_good(hosts, study, undisturbed, tmp_path):
    path = tmp_path / "lod.zarr"
    with Machines(tmp_path, COMM__TIMEOUTS__TCP=DEAD) as machines:
        scan, _ = begin(machines, hosts, study, path)
        hosts.cut(hosts.hosts[0])
        assert scan.code() == 0, scan.said
    assert content(path) == undisturbed


def test_all_workers_are_cut_off_and_end(hosts, study, undisturbed, tmp_path):
    """The settings of Dask: workers end for good, and the run some time after them."""
    path = tmp_path / "lod.zarr"
    options = {"COMM__TIMEOUTS__TCP": DEAD, "SCHEDULER__NO_WORKERS_TIMEOUT": WAIT}
    with Machines(tmp_path, **options) as machines:
        scan, workers = begin(machines, hosts, study, path)
        hosts.cut(*hosts.hosts)
        time.sleep(CUT)
        hosts.mend(*hosts.hosts)
        scan.require_error("has had no worker", "start workers", "finished blocks are kept")
        for worker in workers:
            worker.code()
        machines.worker(within=hosts.hosts[0])
        machines.finish("scan", study, path, *SCAN, "--scheduler", machines.file)
    assert content(path) == undisturbed


def test_all_workers_are_cut_off_for_less_than_their_patience(hosts, study, undisturbed, tmp_path):
    path = tmp_path / "lod.zarr"
    with Machines(tmp_path, COMM__TIMEOUTS__TCP="300s") as machines:
        scan, _ = begin(machines, hosts, study, path)
        hosts.cut(*hosts.hosts)
        time.sleep(CUT)
        assert not scan.ended()
        before = blocks_of(path)
        hosts.mend(*hosts.hosts)
        wait_for(lambda: blocks_of(path) > before or scan.ended(), 60)
        assert scan.code() == 0, scan.said
    assert content(path) == undisturbed
