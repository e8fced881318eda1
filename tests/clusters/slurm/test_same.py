"""The command, the script and the cell that run everywhere, on SLURM: the same numbers."""

from __future__ import annotations

import subprocess
import sys

import pytest
from faults.machines import PATIENCE

from clusters.everywhere import assert_same, cell, command, make_script, make_study
from clusters.slurm.jobs import submit
from clusters.slurm.page import CELL, line_with

pytestmark = [pytest.mark.slurm, pytest.mark.slow]


def test_the_command_and_the_script(slurm, folder):
    """In a job with workers, and in an array of shares; all jobs run at the same time."""
    study = make_study(folder)
    make_script(folder)
    _, _, _, *options = command(study, "lod.zarr")
    jobs, stores = [], []
    for line, more in (
        ("--ntasks=2 scan.sbatch /data", options),
        ("--array=1-5", options),
        ("scan.sbatch scan.py", []),
        ("array.sbatch scan.py", []),
    ):
        stores.append(folder / f"{len(stores)}.zarr")
        words = line_with(line, folder, study)
        words = [word.replace("lod.zarr", stores[-1].name) for word in words]
        jobs.append(submit(slurm, folder, [*words, *more]))
    for job in jobs:
        slurm.wait(job)
    assert_same(*stores)


def test_a_line_with_other_sizes_is_taken(slurm, folder, study):
    """It asks for more than this machine should do at once."""
    _, *words = line_with("--ntasks=8", folder, study)
    slurm.run("sbatch", "--test-only", *words, cwd=folder)


def test_the_cell(slurm, folder):
    """Behind the lines of the page that make a client, in a process of its own."""
    connect, rest = CELL[: CELL.index("result =")], CELL[CELL.index("client.close()") :]
    source = cell(make_study(folder), folder / "lod.zarr", connect)
    done = subprocess.run(
        [sys.executable, "-c", source + rest],
        env=slurm.environment | {"DASK_CONFIG": str(folder / "jobqueue.yaml"), "SLOW": "0"},
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=PATIENCE,
    )
    assert done.returncode == 0, done.stderr
    assert_same(folder / "lod.zarr")
