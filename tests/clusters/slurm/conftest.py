"""SLURM, a study, and the store of a scan that nothing disturbs."""

from __future__ import annotations

import os
import shutil
import sys
import tempfile
from pathlib import Path

import commands
import pytest
from faults.machines import content

from clusters.slurm.daemons import CannotStartError, Slurm

ROOT = Path(__file__).resolve().parents[3]
FILES = ROOT / "cluster_configs" / "slurm"
# 60 blocks, 6 of them for each chunk of traits.
CHUNKS = ("--chunks", "70,6")
BLOCKS = 60
# What slows blocks down, so that jobs are stopped in the middle: SLOW seconds each, until then. And
# what a process does that hangs on a file system: after STUCK blocks it goes no further,
# and hears nothing but SIGKILL.
_SLOW = """
import itertools, os, signal, time
if os.environ.get("STUCK", "0") != "0":
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
from bulklmm_dask.storage.results.blocks import ResultStore

write, begun = ResultStore.write_block, itertools.count()

def slowly(*arguments, **options):
    if "SLURM_RESTART_COUNT" not in os.environ:
        time.sleep(float(os.environ.get("SLOW", "0")))
        stuck = int(os.environ.get("STUCK", "0"))
        while stuck and next(begun) >= stuck:
            time.sleep(1000)
    return write(*arguments, **options)

ResultStore.write_block = slowly
"""
_COMMAND = """#!{python}
import slow_blocks
from bulklmm_dask.cli import main

main()
"""


@pytest.fixture(scope="session")
def slurm():
    """Skip, and say why, where SLURM cannot be had or started."""
    folder = Path(tempfile.mkdtemp(prefix="slurm-", dir="/tmp"))
    try:
        with Slurm(folder) as running:
            programs = folder / "bin"
            programs.mkdir()
            (programs / "slow_blocks.py").write_text(_SLOW)
            command = programs / "bulklmm"
            command.write_text(_COMMAND.format(python=sys.executable))
            command.chmod(0o755)
            running.environment |= {
                "PATH": os.pathsep.join(
                    [str(programs), str(Path(sys.executable).parent), os.environ["PATH"]]
                ),
                "PYTHONPATH": os.pathsep.join([str(programs), str(ROOT)]),
                "PYTHONWARNINGS": "ignore",
                "DASK_DISTRIBUTED__WORKER__PRELOAD": '["slow_blocks"]',
            }
            yield running
    except CannotStartError as error:
        pytest.skip(f"SLURM is not started: {error}")
    finally:
        shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture(scope="session")
def study(tmp_path_factory) -> Path:
    path = tmp_path_factory.mktemp("study") / "study.zarr"
    return commands.simulated(path, traits=60, variants=400, samples=60, strains=30)


@pytest.fixture(scope="session")
def local(study) -> dict[str, bytes]:
    """The bytes of a scan on threads of this process, in the same blocks."""
    path = study.with_name("local.zarr")
    commands.run("scan", study, path, *CHUNKS, "--threads", "1")
    return content(path)


@pytest.fixture
def folder(tmp_path, study, slurm):
    """A folder to submit from, with a copy of the files that users copy."""
    for file in FILES.iterdir():
        shutil.copy(file, tmp_path)
    return tmp_path
