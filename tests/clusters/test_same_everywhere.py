"""One command, script and cell, on threads, worker processes and a scheduler: the same numbers.

SSH, TLS, SLURM and Kubernetes have folders of their own, with the same command, script and cell.
"""

from __future__ import annotations

import json

import pytest
from commands import run
from faults.machines import Machines

from clusters.everywhere import assert_same, command, make_script, make_study, run_cell

# Words at the end of the command and the script, and lines before the cell.
PLACES = {
    "threads": ([], ""),
    "workers": (
        ["--workers", "2", "--threads", "1"],
        "from distributed import Client\n"
        "client = Client(n_workers=2, threads_per_worker=1, dashboard_address=':0')",
    ),
    "scheduler": (
        ["--scheduler", "{address}"],
        "from distributed import Client\nclient = Client('{address}')",
    ),
}
pytestmark = pytest.mark.slow


@pytest.fixture
def address(tmp_path):
    """Address of a scheduler with two workers, each a process."""
    with Machines(tmp_path) as machines:
        machines.scheduler()
        for _ in range(2):
            machines.worker()
        yield json.loads(machines.file.read_text())["address"]


@pytest.fixture(params=PLACES)
def place(request):
    words, lines = PLACES[request.param]
    if request.param == "scheduler":
        address = request.getfixturevalue("address")
        return [word.format(address=address) for word in words], lines.format(address=address)
    return words, lines


def test_the_command(tmp_path, place):
    words, _ = place
    study = make_study(tmp_path)
    run(*command(study, tmp_path / "lod.zarr", *words))
    assert_same(tmp_path / "lod.zarr")


def test_the_script(tmp_path, place):
    words, _ = place
    study, script = make_study(tmp_path), make_script(tmp_path)
    logs = tmp_path / "logs"
    logs.mkdir()
    with Machines(logs) as machines:
        done = machines.start(script, study, tmp_path / "lod.zarr", *words)
        assert done.code() == 0, done.said
    assert "variant" in done.said
    assert_same(tmp_path / "lod.zarr")


def test_the_cell(tmp_path, place):
    _, lines = place
    names = run_cell(make_study(tmp_path), tmp_path / "lod.zarr", lines)
    if "client" in names:
        names["client"].shutdown()
    assert len(names["peaks"]) == 16
    assert_same(tmp_path / "lod.zarr")
