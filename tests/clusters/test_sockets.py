"""Schedulers, workers and dashboards of this process are reached from this machine only."""

from __future__ import annotations

import os

import psutil
import pytest

import bulklmm_dask as blmm

pytestmark = pytest.mark.slow


def listening() -> set[tuple[int, str, int]]:
    """Process, address and port of what this process and those it started listen at."""
    here = psutil.Process(os.getpid())
    found = set()
    for process in (here, *here.children(recursive=True)):
        for one in process.net_connections(kind="inet"):
            if one.status == psutil.CONN_LISTEN:
                found.add((process.pid, one.laddr.ip, one.laddr.port))
    return found


def opened(**options) -> set[str]:
    """Addresses that workers with some options listen at, besides those of before."""
    before = listening()
    with blmm.workers(**options):
        return {address for _, address, _ in listening() - before}


def test_threads_listen_nowhere():
    assert opened(threads=2) == set()


@pytest.mark.parametrize(
    "options",
    [
        {"processes": 2, "threads": 1},
        {"processes": 1, "threads": 1, "dashboard": ""},
        {"threads": 1, "dashboard": ""},
    ],
    ids=str,
)
def test_only_this_machine_is_listened_to(options):
    assert opened(**options) == {"127.0.0.1"}


def test_only_this_machine_is_listened_to_for_a_report(tmp_path):
    assert opened(threads=1, performance_report=tmp_path / "r.html") <= {"127.0.0.1"}


def test_others_may_see_a_dashboard_that_is_asked_for():
    assert "0.0.0.0" in opened(threads=1, dashboard="0.0.0.0:0")
