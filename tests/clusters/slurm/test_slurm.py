"""Scans on a real SLURM, by the files and the cells that users copy; each ends as a local one."""

from __future__ import annotations

import re

import pytest
from faults.machines import blocks_of, content, wait_for

from clusters.slurm.conftest import BLOCKS, CHUNKS, SHARES

pytestmark = [pytest.mark.slurm, pytest.mark.slow]
# Processors and memory of a task, in place of those in the scripts: the machine has few.
SMALL = ("--cpus-per-task=2", "--mem-per-cpu=700M")


def submit(slurm, folder, *words, slow=0.0):
    """Submit a script from a folder; the number of its job."""
    slurm.environment["SLOW"] = str(slow)
    told = slurm.run("sbatch", "--parsable", *words, cwd=folder)
    return told.partition(";")[0]


def log(folder, job):
    return "".join(file.read_text() for file in sorted(folder.glob(f"bulklmm-{job}*.log")))


def wait_for_some(store, least=6):
    """Wait until a run is in the middle."""
    wait_for(lambda: blocks_of(store) >= least)
    assert blocks_of(store) < BLOCKS


def test_a_job_that_is_requeued_in_the_middle_finishes(slurm, folder, study, local):
    """Scheduler, workers and scan in one job; threads and memory are those of the allocation."""
    store = folder / "lod.zarr"
    words = ("--ntasks=2", *SMALL, "scan.sbatch", study, store, *CHUNKS)
    job = submit(slurm, folder, *words, slow=0.4)
    wait_for_some(store)
    slurm.run("scontrol", "requeue", job)
    slurm.wait(job)
    assert content(store) == local
    told = log(folder, job)
    assert told.count("computes on") == 2
    assert "2 workers" in told
    assert "4 threads" in told
