"""What no script can answer: time that is over for a process that hangs, and nodes that are lost.

The same line of docs/guide/slurm.md, submitted again, ends as if nothing had happened.
"""

from __future__ import annotations

import shutil

import pytest
from faults.machines import blocks_of, other_files, wait_for

from clusters.slurm.conftest import BLOCKS, CHUNKS, FILES
from clusters.slurm.jobs import SLOW, log, submit, wait_for_some
from clusters.slurm.page import line_with

pytestmark = [pytest.mark.slurm, pytest.mark.slow]


def array_of_one(folder, study):
    """The line of an array, for one task."""
    words = line_with("--array=1-5", folder, study)
    return (*(word.replace("=1-5", "=1") for word in words), *CHUNKS)


@pytest.fixture(scope="module", autouse=True)
def over_its_limit(slurm, study, tmp_path_factory):
    """A job that hangs in the middle, has a minute, and is sent no signal before it is over.

    The controller looks every half a minute whose time is over, and other tests run meanwhile.
    Gives the folder, the words of the line, and the number of the job.
    """
    folder = tmp_path_factory.mktemp("limit")
    shutil.copy(FILES / "array.sbatch", folder)
    words = array_of_one(folder, study)
    job = submit(slurm, folder, words, "--signal=B:CONT@1", "--nodelist=node1", stuck=6)
    wait_for_some(folder / "lod.zarr")
    slurm.run("scontrol", "update", f"jobid={job}", "timelimit=1")
    return folder, words, job


def test_a_job_whose_node_is_lost_goes_back_into_the_queue(slurm, folder, study, local):
    """The scheduler and a worker are on one node, the other worker is on that which is lost."""
    store = folder / "lod.zarr"
    words = (*line_with("--ntasks=2 scan.sbatch /data", folder, study), *CHUNKS)
    job = submit(slurm, folder, words, "--nodes=2", slow=SLOW)
    wait_for_some(store)
    with slurm.lost("node2"):
        wait_for(lambda: slurm.state(job) == {"PENDING"})
        assert blocks_of(store) < BLOCKS
    slurm.wait(job)
    assert other_files(store, local) == []
    assert log(folder, job).count("2 workers, 2 threads and 1400 MiB each") == 2


def test_a_job_that_may_not_be_requeued_is_submitted_again(slurm, folder, study, local):
    """While its node is away, another one finishes."""
    store, words = folder / "lod.zarr", array_of_one(folder, study)
    job = submit(slurm, folder, words, "--nodelist=node2", "--no-requeue", slow=SLOW)
    wait_for_some(store)
    with slurm.lost("node2"):
        slurm.wait(job, "NODE_FAIL")
        assert blocks_of(store) < BLOCKS
        assert list(store.rglob("lock.json"))
        slurm.wait(submit(slurm, folder, words))
        assert other_files(store, local) == []


def test_a_job_that_is_killed_at_its_limit_is_submitted_again(slurm, local, over_its_limit):
    """SIGTERM is not heard; KillWait later comes SIGKILL, and the lock of the store is left."""
    folder, words, job = over_its_limit
    store = folder / "lod.zarr"
    slurm.wait(job, "TIMEOUT")
    assert "DUE TO TIME LIMIT" in log(folder, job)
    assert "stopped by SIGTERM" not in log(folder, job)
    assert list(store.rglob("lock.json"))
    assert blocks_of(store) == 6
    slurm.wait(submit(slurm, folder, words))
    assert other_files(store, local) == []
