"""Secrets of the environment and of Dask's configuration stay where they are."""

from __future__ import annotations

import json
import pickle

import dask
import pytest
from faults.machines import Machines, content

import bulklmm_dask as blmm
from clusters.everywhere import assert_same, command, make_study
from clusters.recorder import Recorder

pytestmark = pytest.mark.slow

SECRETS = {
    "AWS_SECRET_ACCESS_KEY": "aws-c0ffee-secret",
    "GITHUB_TOKEN": "ghp-c0ffee-secret",
    "DATABASE_PASSWORD": "pass-c0ffee-secret",
    "DASK_GATEWAY__AUTH__PASSWORD": "gate-c0ffee-secret",
}


def secrets_in(data: bytes) -> list[str]:
    return [name for name, secret in SECRETS.items() if secret.encode() in data]


@pytest.fixture
def machines(tmp_path, monkeypatch):
    """Processes of clients with secrets; nothing is compressed on its way."""
    folder = tmp_path / "logs"
    folder.mkdir()
    with Machines(folder, COMM__COMPRESSION="False", LOGGING__DISTRIBUTED="debug") as running:
        yield running


def test_a_secret_is_found_where_one_is(tmp_path):
    assert secrets_in(b"key=ghp-c0ffee-secret;") == ["GITHUB_TOKEN"]


def test_what_a_client_sends_to_a_scheduler(tmp_path, machines):
    machines.scheduler()
    machines.worker()
    scheduler = json.loads(machines.file.read_text())["address"]
    machines.environment |= SECRETS  # of the command alone
    study, report = make_study(tmp_path), tmp_path / "report.html"
    with Recorder(scheduler) as recorder:
        said = machines.finish(
            *command(study, tmp_path / "lod.zarr", "--scheduler", recorder.address),
            *("--performance-report", report),
        ).said
    assert b"write-block" in recorder.passed  # tasks did pass this way, as they are
    assert b"lod.zarr" in recorder.passed
    assert not secrets_in(recorder.passed)
    assert not secrets_in(said.encode())
    assert not secrets_in(report.read_bytes())
    for folder in (tmp_path / "lod.zarr", machines.folder):
        for name, data in content(folder).items():
            assert not secrets_in(data), name
    assert_same(tmp_path / "lod.zarr")


@pytest.mark.parametrize("where", [["--threads", "1"], ["--workers", "2", "--threads", "1"]])
def test_logs_and_stores_of_a_command(tmp_path, machines, where):
    machines.environment |= SECRETS
    study, report = make_study(tmp_path), tmp_path / "report.html"
    machines.finish(*command(study, tmp_path / "lod.zarr", *where), "--performance-report", report)
    assert not secrets_in(report.read_bytes())
    for folder in (tmp_path / "lod.zarr", machines.folder):
        for name, data in content(folder).items():
            assert not secrets_in(data), name


def test_the_graph_of_a_lazy_scan(tmp_path, monkeypatch):
    for name, secret in SECRETS.items():
        monkeypatch.setenv(name, secret)
    monkeypatch.setenv("SHOWN", "shown")
    dask.config.refresh()
    try:
        ds = blmm.open_dataset(make_study(tmp_path))
        graph = dict(blmm.scan(ds).__dask_graph__())
        assert b"call_dosage" in pickle.dumps(graph)
        assert not secrets_in(pickle.dumps(graph))
        assert not secrets_in(repr([str(key) for key in graph]).encode())
    finally:
        monkeypatch.undo()
        dask.config.refresh()
