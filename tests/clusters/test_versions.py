"""Workers and schedulers of other versions: one sentence that has both."""

from __future__ import annotations

import json
import os
import time
import warnings
from importlib.metadata import version
from types import SimpleNamespace

import pytest
from commands import run
from faults.machines import Machines, wait_for

import bulklmm_dask as blmm
from bulklmm_dask.engine.versions import differing, in_words
from bulklmm_dask.engine.watch import active_client
from clusters.everywhere import CHUNKS, assert_same, command, make_study, run_cell

HERE = {
    "python": "3.11.7.final.0",
    "dask": "1",
    "distributed": "1",
    "numpy": "2",
    "bulklmm-dask": "0.2",
}


def test_equal_versions_are_not_mentioned():
    assert in_words(HERE, {"a": HERE, "b": HERE}) == ""


@pytest.mark.parametrize("package", HERE)
def test_each_package_is_compared(package):
    said = in_words(HERE, {"a": HERE, "b": HERE | {package: "9.9"}, "c": HERE | {package: "9.9"}})
    here = HERE[package].removesuffix(".final.0")
    assert said.startswith(f"{package} is 9.9 on b and 1 other worker and {here} in this process: ")


def test_what_lacks_the_package_computes_nothing():
    with pytest.raises(blmm.InputError, match=r"b has no bulklmm_dask, which .* version 0.2; inst"):
        in_words(HERE, {"a": HERE, "b": HERE | {"bulklmm-dask": None}})


class Busy:
    """A client whose scheduler does not answer in time."""

    cluster = None
    scheduler = SimpleNamespace(broadcast=None, versions=None)

    def __init__(self):
        self.asked = 0

    def sync(self, *_, **__):
        self.asked += 1
        raise TimeoutError


def test_workers_that_are_busy_do_not_end_a_run_and_are_asked_again():
    client = Busy()
    assert [differing(client, ["tcp://a:1"]) for _ in range(2)] == ["", ""]
    assert client.asked == 2


@pytest.fixture
def other(tmp_path):
    """A folder which, on the path of a process, changes the versions that are found there."""
    folder = tmp_path / "other"
    for name, number in (("numpy", "1.99.0"), ("bulklmm_dask", "0.1.9")):
        metadata = folder / f"{name}-{number}.dist-info" / "METADATA"
        metadata.parent.mkdir(parents=True)
        metadata.write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: {number}\n")
    return folder


@pytest.fixture
def machines(tmp_path):
    with Machines(tmp_path) as running:
        running.scheduler()
        yield running


def as_other(machines, other):
    """Start a worker of other versions."""
    usual = machines.environment
    path = f"{other}{os.pathsep}{usual.get('PYTHONPATH', '')}"
    # The folder that a process starts in, a checkout perhaps, is not looked at first.
    machines.environment = usual | {"PYTHONPATH": path, "PYTHONSAFEPATH": "1"}
    machines.worker()
    machines.environment = usual


def wait_for_workers(address, number):
    from distributed import Client

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        with Client(address, set_as_default=False) as client:
            client.wait_for_workers(number, timeout=60)


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::distributed.versions.VersionMismatchWarning")
def test_a_worker_of_other_versions(tmp_path, machines, other):
    machines.worker()
    as_other(machines, other)
    address = json.loads(machines.file.read_text())["address"]
    wait_for_workers(address, 2)
    study = make_study(tmp_path)
    found = run(*command(study, tmp_path / "lod.zarr", "--scheduler", address))
    (line,) = [line for line in found.stderr.splitlines() if "in this process" in line]
    for package, number in (("numpy", "1.99.0"), ("bulklmm-dask", "0.1.9")):
        assert f"{package} is {number} on tcp://127.0.0.1:" in line
        assert f"and {version(package)} in this process" in line
    assert "Mismatched versions" not in found.stderr
    assert_same(tmp_path / "lod.zarr")
    from distributed import Client

    with (
        Client(address),
        pytest.warns(blmm.StudyWarning, match=r"numpy is 1\.99\.0 on tcp") as all_,
    ):
        run_cell(study, tmp_path / "cell.zarr")
    assert sum("in this process" in str(one.message) for one in all_) == 1


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::distributed.versions.VersionMismatchWarning")
def test_a_worker_of_other_versions_that_comes_late(tmp_path, machines, other, monkeypatch):
    monkeypatch.setattr("bulklmm_dask.engine.watch._LOOK", 0.2)
    address = json.loads(machines.file.read_text())["address"]
    machines.worker()
    wait_for_workers(address, 1)
    ds = blmm.open_dataset(make_study(tmp_path))
    begun = []

    def more(now):
        if not begun:
            begun.append(as_other(machines, other))
            wait_for(lambda: len(active_client().scheduler_info(n_workers=-1)["workers"]) == 2)
            time.sleep(2)  # ten looks

    with (
        pytest.warns(blmm.StudyWarning, match=r"numpy is 1\.99\.0 on tcp"),
        blmm.workers(scheduler=address),
    ):
        blmm.scan(ds, store=tmp_path / "lod.zarr", chunks=CHUNKS, progress=more)
    assert begun
    assert_same(tmp_path / "lod.zarr")


@pytest.mark.slow
def test_a_scheduler_that_lacks_modules(tmp_path):
    """As one has that was installed from the same version at another time."""
    package = tmp_path / "old" / "bulklmm_dask"
    package.mkdir(parents=True)
    lacking = "import sys\nsys.modules['bulklmm_dask.engine'] = None\n"
    (package / "__init__.py").write_text(lacking)
    study = make_study(tmp_path)
    with Machines(tmp_path) as running:
        usual = running.environment
        path = f"{package.parent}{os.pathsep}{usual.get('PYTHONPATH', '')}"
        running.environment = usual | {"PYTHONPATH": path, "PYTHONSAFEPATH": "1"}
        running.scheduler()
        running.environment = usual
        scan = running.bulklmm(*command(study, tmp_path / "r.zarr", "--scheduler", running.file))
        scan.require_error("cannot read the tasks of this process", "same versions there")
