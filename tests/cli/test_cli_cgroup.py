"""A command in a real control group: threads by its quota, and blocks that fit into its memory."""

from __future__ import annotations

import os
import subprocess
import sys
import uuid
from pathlib import Path

import pytest
from commands import run

import bulklmm_dask as blmm

ROOT = Path("/sys/fs/cgroup")
# Files of the limits, in version 2 and 1: controller -> name -> value.
LIMITS = {
    "unified": {"cpu.max": "100000 100000", "memory.max": "{memory}"},
    "cpu": {"cpu.cfs_period_us": "100000", "cpu.cfs_quota_us": "100000"},
    "memory": {"memory.limit_in_bytes": "{memory}"},
}

pytestmark = [pytest.mark.slow, pytest.mark.faults]


@pytest.fixture
def limited():
    """A function that makes control groups of a memory, and gives the files that list them."""
    made = []

    def make(memory):
        name = f"bulklmm-{uuid.uuid4().hex}"
        version_2 = (ROOT / "cgroup.controllers").exists()
        for controller in ("unified",) if version_2 else ("cpu", "memory"):
            folder = ROOT / name if version_2 else ROOT / controller / name
            folder.mkdir()
            made.append(folder)
            for file, value in LIMITS[controller].items():
                if not (folder / file).exists():
                    pytest.skip(f"no {file} in new control groups here")
                (folder / file).write_text(value.format(memory=memory))
        return [folder / "cgroup.procs" for folder in made]

    yield make
    for folder in made:
        folder.rmdir()


def test_threads_and_memory_are_those_of_the_group(tmp_path, limited):
    study, result = tmp_path / "study.zarr", tmp_path / "lod.zarr"
    run("simulate", study, "--samples", 300, "--strains", 0, "--variants", 4000, "--traits", 6000)
    run("kinship", study)
    try:
        groups = limited(270_000_000)
    except OSError as error:
        pytest.skip(f"control groups cannot be made here: {error}")
    names = ("SLURM_CPUS_PER_TASK", "OMP_NUM_THREADS", "DASK_NUM_WORKERS", "SLURM_MEM_PER_NODE")
    env = {name: value for name, value in os.environ.items() if name not in names}
    enter = "; ".join(f"echo $$ > {group}" for group in groups)
    words = f"{enter}; exec {sys.executable} -m bulklmm_dask scan {study} {result}"
    done = subprocess.run(["sh", "-c", words], capture_output=True, text=True, env=env)
    assert done.returncode == 0, done.stderr
    where = done.stderr.splitlines()[0]
    if (os.cpu_count() or 1) > 1:
        assert "1 thread of this process (from the quota of the cgroup)" in where
    assert where.endswith(" MB (from the limit of the cgroup)")
    found, expected = blmm.open_result(result).lod, blmm.scan(blmm.open_dataset(study)).lod
    whole = blmm.plan(blmm.open_dataset(study), threads=1).chunks
    assert found.chunks[0][0] * found.chunks[1][0] < whole["variants"] * whole["traits"]
    part = {"variants": slice(None, None, 500), "traits": slice(None, None, 500)}
    assert abs(found.isel(part) - expected.isel(part)).max() < 1e-6
