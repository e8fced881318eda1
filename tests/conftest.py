"""Shared fixtures: the reference data, a cluster."""

from pathlib import Path

import pytest
from distributed import Client, LocalCluster
from hypothesis import settings

# Helpers of this folder whose assertions are told as those of tests are.
pytest.register_assert_rewrite("brute", "commands", "gemma", "pages", "references")

# No test depends on how fast the machine is.
settings.register_profile("no-deadline", deadline=None)
settings.load_profile("no-deadline")

HERE = Path(__file__).resolve().parent
WHOLE = HERE.parents[1] / "shared" / "reference"


@pytest.fixture(scope="session")
def reference() -> Path:
    """Folder of real data with the answers of R/qtl2 and GEMMA."""
    return HERE / "data"


@pytest.fixture(scope="session")
def whole_reference() -> Path:
    """Folder of the larger originals, beside the clone; for tests marked `reference`."""
    if not WHOLE.is_dir():
        pytest.skip(f"the larger reference data are not here: no folder {WHOLE}")
    return WHOLE


@pytest.fixture(
    params=[
        "synchronous",
        "threads",
        pytest.param("processes", marks=pytest.mark.slow),
        pytest.param("distributed", marks=pytest.mark.slow),
    ]
)
def scheduler(request):
    """What dask's option `scheduler` can be; a client in place of the last name."""
    if request.param == "distributed":
        return request.getfixturevalue("cluster")
    return request.param


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
