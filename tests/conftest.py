"""Shared fixtures: the reference data, a cluster, worker processes."""

import gc
import os
from collections import Counter
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path

import dask
import pytest
from hypothesis import settings

# Helpers of this folder whose assertions are told as those of tests are.
pytest.register_assert_rewrite("brute", "commands", "gemma", "pages", "references")

# No test depends on how fast the machine is, nor on chance.
settings.register_profile("tests", deadline=None, derandomize=True)
settings.load_profile("tests")


# Cases of one test that the quick part tries.
_CASES = 2


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items):
    """The first cases of a test belong to the quick part; many more of the same kind are slow.

    A test that kills or cuts processes at any moment has one more go, which the summary tells.
    """
    seen = Counter()
    for item in items:
        test = item.nodeid.partition("[")[0]
        seen[test] += 1
        if seen[test] > _CASES:
            item.add_marker(pytest.mark.slow)
        if item.get_closest_marker("faults") or "machines" in getattr(item, "fixturenames", ()):
            item.add_marker(pytest.mark.flaky(reruns=1))


def pytest_collection_finish():
    """Modules and tests are there to the end: a search for garbage passes them over."""
    gc.freeze()


@pytest.fixture(scope="session", autouse=True)
def _no_sync():
    """Files are not waited for until they are on the disk: no test cuts the power."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(os, "fsync", os.fstat)  # which refuses, too, what is not open
        yield


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
        yield request.getfixturevalue("cluster")
    elif request.param == "processes":
        with dask.config.set(pool=request.getfixturevalue("processes")):
            yield request.param
    else:
        yield request.param


@pytest.fixture(scope="session")
def processes():
    """Two worker processes; without them dask would start new ones at every computation."""
    with ProcessPoolExecutor(2, mp_context=get_context("spawn")) as pool:
        yield pool


@pytest.fixture(scope="session")
def cluster():
    """Two worker processes, and a client that is used only where it is asked for."""
    from distributed import Client, LocalCluster

    with (
        LocalCluster(
            n_workers=2, threads_per_worker=1, processes=True, dashboard_address=":0"
        ) as running,
        Client(running, set_as_default=False) as client,
    ):
        yield client
