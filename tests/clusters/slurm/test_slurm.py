"""Scans on a real SLURM, by the files, lines and cells that users copy; each ends as a local one.

The lines are those of docs/guide/slurm.md, with fewer processors, and with blocks that are small
and slow, so that jobs are stopped in the middle.
"""

from __future__ import annotations

import re
import shutil
import subprocess
import sys

import pytest
from faults.machines import PATIENCE, blocks_of, other_files, wait_for

from clusters.slurm.conftest import BLOCKS, CHUNKS, FILES
from clusters.slurm.jobs import SLOW, jobs, log, submit, wait_for_some
from clusters.slurm.page import CELL, line_with

pytestmark = [pytest.mark.slurm, pytest.mark.slow]
# The same scan in Python.
IN_PYTHON = "chunks=dict(variants=70, traits=6)"
SHARES = 5
# What a task of an array says that it has.
ALLOTTED = (
    "computes on 2 threads of this process (from SLURM_CPUS_PER_TASK) and 1.47 GB "
    "(from SLURM_MEM_PER_CPU)"
)


@pytest.fixture(scope="module", autouse=True)
def out_of_time(slurm, study, tmp_path_factory):
    """An array whose tasks have a second until they are told that their time is up.

    The controller looks every half a minute whose is, and other tests run meanwhile. Each task
    sleeps half a minute when it runs first. Gives the folder and the number of the job.
    """
    folder = tmp_path_factory.mktemp("array")
    shutil.copy(FILES / "array.sbatch", folder)
    words = (*line_with("--array=1-5", folder, study), *CHUNKS)
    return folder, submit(slurm, folder, words, "--time=1", "--signal=B:USR1@59", slow=5)


def test_a_job_that_is_requeued_in_the_middle_finishes(slurm, folder, study, local):
    """Scheduler, workers and scan in one job; threads and memory are those of the allocation."""
    words = (*line_with("--ntasks=2 scan.sbatch /data", folder, study), *CHUNKS)
    job, store = submit(slurm, folder, words, slow=SLOW), folder / "lod.zarr"
    wait_for_some(store)
    slurm.run("scontrol", "requeue", job)
    slurm.wait(job)
    assert other_files(store, local) == []
    assert log(folder, job).count("2 workers, 2 threads and 1400 MiB each") == 2
    worker = (folder / f"bulklmm-{job}" / "worker-0.log").read_text()
    assert re.search(r"Threads: +2\n", worker)
    assert re.search(r"Memory: +1\.37 GiB", worker)


def test_a_runner_that_is_cancelled_in_the_middle_goes_on(slurm, folder, study, local):
    """A Python script in a job, whose client, scheduler and workers are tasks."""
    script, store = folder / "runner.py", folder / "lod.zarr"
    script.write_text(script.read_text().replace("store=store", f"store=store, {IN_PYTHON}"))
    words = line_with("runner.sbatch", folder, study)
    job = submit(slurm, folder, words, slow=SLOW)
    wait_for_some(store)
    slurm.run("scancel", job)
    slurm.wait(job, "CANCELLED")
    assert 6 <= blocks_of(store) < BLOCKS
    job = submit(slurm, folder, words)
    slurm.wait(job)
    assert other_files(store, local) == []
    assert "1 workers, 2 threads and 1400 MiB each" in log(folder, job)


def test_a_cell_of_a_notebook_scans_on_jobs_that_come_and_go(slurm, folder, study, local):
    """With the defaults in jobqueue.yaml as they stand; afterwards no job is left."""
    store = folder / "lod.zarr"
    cell = CELL.replace("/data/study.zarr", str(study))
    cell = cell.replace('store="/data/lod.zarr"', f'store="{store}", {IN_PYTHON}')
    before = jobs(slurm)
    environment = slurm.environment | {"DASK_CONFIG": str(folder / "jobqueue.yaml"), "SLOW": "0.2"}
    done = subprocess.run(
        [sys.executable, "-c", cell],
        env=environment,
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=PATIENCE,
    )
    assert done.returncode == 0, done.stderr
    assert "lod" in done.stdout
    assert other_files(store, local) == []
    wait_for(lambda: jobs(slurm) <= before)


def test_jobs_without_an_environment_say_so(slurm, folder, study):
    for line in ("--ntasks=2 scan.sbatch /data", "--array=3"):
        words = line_with(line, folder, study)
        job = submit(slurm, folder, words, "--export=PATH=/usr/bin:/bin")
        slurm.wait(job, "FAILED")
        assert (
            log(folder, job)
            == "error: there is no bulklmm: activate its environment in this script\n"
        )


def test_an_array_of_which_a_task_is_cancelled_is_finished_by_that_task(
    slurm, folder, study, local
):
    """All tasks write one store at the same time, each on threads of its allocation."""
    store = folder / "lod.zarr"
    words = (*line_with("--array=1-5", folder, study), *CHUNKS)
    job = submit(slurm, folder, words, slow=SLOW)
    third = store / "lod" / "c"
    wait_for(lambda: any(third.glob("*/[45]")))
    slurm.run("scancel", f"{job}_3")
    wait_for(lambda: not slurm.run("squeue", "-h", "-j", job))
    assert slurm.state(job) == {"COMPLETED", "CANCELLED"}, log(folder, job)
    assert blocks_of(store) < BLOCKS
    told = log(folder, job)
    assert told.count(ALLOTTED) == SHARES
    assert "share 1/5 of" in told
    job = submit(slurm, folder, (*line_with("--array=3", folder, study), *CHUNKS))
    slurm.wait(job)
    assert other_files(store, local) == []


def test_tasks_whose_time_is_up_go_back_into_the_queue_and_finish(slurm, local, out_of_time):
    folder, job = out_of_time
    slurm.wait(job)
    told = log(folder, job)
    assert told.count("time is nearly up: stopping; finished blocks are kept") >= 1
    assert told.count(ALLOTTED) > SHARES
    assert other_files(folder / "lod.zarr", local) == []
