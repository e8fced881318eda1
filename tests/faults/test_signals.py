"""SIGTERM, which batch systems send before they kill: as Ctrl-C, with its own exit code."""

import os
import signal

import pytest

from faults.conftest import SCAN
from faults.machines import blocks_of, content, leftovers, wait_for

pytestmark = [pytest.mark.faults, pytest.mark.slow]

PERMUTE = ["--permutations", "2000", "--seed", "1"]


def stop(running, path):
    running.send(signal.SIGTERM)
    assert running.code() == 143, running.said
    assert "Traceback" not in running.said
    assert f"stopped by SIGTERM; what is finished is in {path}: the same command goes on" in (
        running.said
    )
    assert not leftovers(path)


@pytest.mark.parametrize("where", [["--threads", "1"], ["--workers", "2", "--threads", "1"]])
def test_a_scan_is_terminated(where, machines, study, undisturbed, tmp_path):
    path = tmp_path / "lod.zarr"
    scan = machines.bulklmm("scan", study, path, *SCAN, *where)
    wait_for(lambda: blocks_of(path) >= 2)
    stop(scan, path)
    machines.finish("scan", study, path, *SCAN, *where)
    assert content(path) == undisturbed


def test_a_scan_on_a_cluster_is_terminated(machines, study, undisturbed, tmp_path):
    path = tmp_path / "lod.zarr"
    machines.scheduler()
    machines.worker()
    wanted = ["scan", study, path, *SCAN, "--scheduler", machines.file]
    scan = machines.bulklmm(*wanted)
    wait_for(lambda: blocks_of(path) >= 2)
    stop(scan, path)
    machines.finish(*wanted)
    assert content(path) == undisturbed


def test_permutations_are_terminated(machines, study, tmp_path):
    path, whole = tmp_path / "perm.zarr", tmp_path / "whole.zarr"
    machines.finish("permute", study, whole, *PERMUTE)
    permute = machines.bulklmm("permute", study, path, *PERMUTE, "--threads", "1")
    wait_for(lambda: blocks_of(path, "max_lod") >= 2)
    stop(permute, path)
    machines.finish("permute", study, path, *PERMUTE, "--threads", "1")
    assert content(path) == content(whole)


@pytest.mark.parametrize("begun", [1, 2])
def test_ctrl_c_while_workers_start(begun, machines, study, undisturbed, tmp_path):
    """The terminal sends it to every process."""
    path = tmp_path / "lod.zarr"
    wanted = ["scan", study, path, *SCAN, "--workers", "2", "--threads", "1"]
    scan = machines.bulklmm(*wanted)
    wait_for(lambda: len(scan.workers()) >= begun)
    os.killpg(scan.process.pid, signal.SIGINT)
    assert scan.code() == 130, scan.said
    assert "Traceback" not in scan.said
    machines.finish(*wanted)
    assert content(path) == undisturbed
