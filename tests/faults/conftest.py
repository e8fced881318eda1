"""A study, its undisturbed scan, and the processes of a test."""

from pathlib import Path

import commands
import pytest

from faults.machines import Machines, content

# 120 blocks, each some 10 ms of work.
SCAN = ["--method", "alt-exact", "--chunks", "40,50"]


@pytest.fixture(scope="session")
def study(tmp_path_factory) -> Path:
    path = tmp_path_factory.mktemp("faults") / "study.zarr"
    return commands.simulated(path, traits=200, variants=1200, samples=80, strains=40)


@pytest.fixture(scope="session")
def undisturbed(study) -> dict[str, bytes]:
    """The bytes of the scan that nothing disturbs."""
    path = study.with_name("undisturbed.zarr")
    commands.run("scan", study, path, *SCAN, "--threads", "1")
    return content(path)


@pytest.fixture
def machines(tmp_path):
    with Machines(tmp_path) as running:
        yield running
