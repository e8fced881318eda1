"""Workers that are killed or frozen, and the client: the same bytes come out, or one sentence."""

import os
import signal
import time
from contextlib import suppress

import commands
import psutil
import pytest

from faults.conftest import SCAN
from faults.machines import FULL, PATIENCE, Machines, blocks_of, content, leftovers, wait_for

pytestmark = [pytest.mark.faults, pytest.mark.slow]

WORKERS = ["--workers", "2", "--threads", "1"]
FROZEN = 40.0 if FULL else 8.0  # seconds


def kill(workers):
    for worker in workers:
        with suppress(psutil.NoSuchProcess):
            worker.kill()


@pytest.mark.parametrize("which", [slice(1), slice(None)], ids=["one", "all"])
def test_killed_in_the_middle_of_a_block(machines, study, undisturbed, tmp_path, which):
    path = tmp_path / "lod.zarr"
    scan = machines.bulklmm("scan", study, path, *SCAN, *WORKERS)
    for _ in range(3):  # each time workers that have written blocks
        more = blocks_of(path) + 4
        wait_for(lambda more=more: scan.ended() or blocks_of(path) >= more)
        kill(scan.workers()[which])
    assert scan.code() == 0, scan.said
    assert content(path) == undisturbed
    assert not leftovers(tmp_path / "lod.zarr")


def test_killed_again_and_again(study, undisturbed, tmp_path):
    """Each as it starts, so that no block is finished meanwhile."""
    path = tmp_path / "lod.zarr"
    with Machines(tmp_path, SCHEDULER__NO_WORKERS_TIMEOUT="5s") as machines:
        scan = machines.bulklmm("scan", study, path, *SCAN, *WORKERS)
        wait_for(lambda: blocks_of(path) >= 2)
        end = time.monotonic() + PATIENCE
        while not scan.ended():
            assert time.monotonic() < end, scan.said
            now = time.time()
            with suppress(psutil.NoSuchProcess):
                kill([one for one in scan.workers() if now - one.create_time() > 0.5])
            time.sleep(0.1)
        scan.require_error("worker", "finished blocks are kept")
        machines.finish("scan", study, path, *SCAN, *WORKERS)
    assert content(path) == undisturbed


def test_frozen(machines, study, undisturbed, tmp_path):
    path = tmp_path / "lod.zarr"
    scan = machines.bulklmm("scan", study, path, *SCAN, *WORKERS)
    wait_for(lambda: blocks_of(path) >= 2)
    worker = scan.workers()[0]
    worker.suspend()
    time.sleep(FROZEN)
    worker.resume()
    assert scan.code() == 0, scan.said
    assert content(path) == undisturbed


def test_out_of_memory(tmp_path):
    """The nanny of a worker kills it at every try: the block, its size and the remedy are named."""
    study, path = tmp_path / "study.zarr", tmp_path / "lod.zarr"
    sizes = ["--traits", "4000", "--variants", "4000", "--samples", "30", "--strains", "15"]
    wanted = ["--kinship", "none", "--statistics", "beta,se,neg_log10_p,explained"]
    wanted += ["--chunks", "4000,4000", "--workers", "1", "--threads", "1"]
    less = {"SCHEDULER__ALLOWED_FAILURES": "1", "WORKER__MEMORY__TERMINATE": "0.07"}
    commands.run("simulate", study, *sizes)
    with Machines(tmp_path) as machines:
        scan = machines.bulklmm("scan", study, path, *wanted, "--memory", "350MB")
        scan.require_error("a worker has 350 MB for 1 thread", "give --memory", "smaller --chunks")
        assert not path.exists()
    with Machines(tmp_path, **less) as machines:
        scan = machines.bulklmm("scan", study, path, *wanted, "--memory", "4GB")
        scan.require_error(
            "block (0, 0) of ",
            "(4,000 variants x 4,000 traits, about ",
            "has ended 2 workers",
            "a worker has 4 GB for 1 thread: give more --memory",
            "smaller --chunks and another store",
        )
    with Machines(tmp_path) as machines:
        machines.finish("scan", study, path, *wanted, "--memory", "4GB")


def test_workers_end_with_a_client_that_is_killed(machines, study, undisturbed, tmp_path):
    path = tmp_path / "lod.zarr"
    scan = machines.bulklmm("scan", study, path, *SCAN, *WORKERS)
    wait_for(lambda: blocks_of(path) >= 2)
    workers = scan.workers()
    assert len(workers) == 2
    scan.send(signal.SIGKILL)
    psutil.wait_procs(workers, timeout=PATIENCE)
    assert not [one for one in workers if one.is_running()]
    again = machines.finish("scan", study, path, *SCAN, *WORKERS)
    assert "has ended: this run goes on" in again.said
    assert content(path) == undisturbed
    assert not leftovers(path)


def test_what_a_killed_client_was_making_is_removed(machines, study, undisturbed, tmp_path):
    folder = tmp_path / "out"
    folder.mkdir()
    scan = machines.bulklmm("scan", study, folder / "lod.zarr", *SCAN)
    while not os.listdir(folder):  # the hidden folder of a store that is being made
        assert not scan.ended()
    scan.send(signal.SIGKILL)
    scan.code()
    machines.finish("scan", study, folder / "lod.zarr", *SCAN)
    assert os.listdir(folder) == ["lod.zarr"]
    assert content(folder / "lod.zarr") == undisturbed
