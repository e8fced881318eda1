"""Shared fixtures: the reference data, where it is present."""

from pathlib import Path

import pytest
from distributed import Client, LocalCluster

# Helpers of this folder whose assertions are told as those of tests are.
pytest.register_assert_rewrite("brute", "commands", "gemma", "pages")

REFERENCE = Path(__file__).resolve().parents[2] / "shared" / "reference"


@pytest.fixture(scope="session")
def reference() -> Path:
    """Folder of real data with the answers of R/qtl2 and GEMMA; tests skip where it is absent."""
    if not REFERENCE.is_dir():
        pytest.skip(f"the reference data are not here: no folder {REFERENCE}")
    return REFERENCE


@pytest.fixture(scope="session")
def cluster():
    """Two worker processes, and a client that is used only where it is asked for."""
    with (
        LocalCluster(
            n_workers=2, threads_per_worker=1, processes=True, dashboard_address=":0"
        ) as running,
        Client(running, set_as_default=False) as client,
    ):
        yield client
