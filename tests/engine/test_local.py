"""Where the work is done: threads, worker processes, a scheduler; and that all of it goes again."""

import asyncio
import os
import subprocess
import sys
from unittest.mock import ANY

import dask
import psutil
import pytest

from bulklmm_dask.engine import nannies
from bulklmm_dask.engine.allotted import allotted_threads
from bulklmm_dask.engine.local import workers
from bulklmm_dask.engine.watch import active_client
from bulklmm_dask.errors import InputError
from bulklmm_dask.surface import command_line, option


def process_of_a_task() -> int:
    return dask.delayed(os.getpid)().compute()


def test_threads_are_of_this_process():
    with workers(threads=3) as where:
        assert str(where).startswith("3 threads of this process (from threads)")
        assert dask.config.get("num_workers") == 3
        assert process_of_a_task() == os.getpid()
    assert dask.config.get("num_workers", None) is None


def test_all_cores_by_default():
    with workers():
        assert dask.config.get("num_workers") == allotted_threads().amount


def freed_memory_is_kept() -> dict[str, str]:
    return {name: value for name, value in os.environ.items() if name.startswith("MALLOC_")}


@pytest.mark.slow
def test_worker_processes_come_and_go(monkeypatch):
    monkeypatch.setenv("MALLOC_TRIM_THRESHOLD_", "70000000")  # a user's own size stays
    environment = dict(os.environ)
    with workers(processes=1, threads=1, memory="1GB") as where:
        assert where.description.startswith("1 worker process of 1 thread")
        (worker,) = active_client().scheduler_info()["workers"].values()
        assert worker["nthreads"] == 1
        assert worker["memory_limit"] == 10**9
        other = process_of_a_task()
        assert other != os.getpid()
        found = dask.delayed(freed_memory_is_kept)().compute()
        assert found == {
            "MALLOC_MMAP_THRESHOLD_": "33554432",
            "MALLOC_ARENA_MAX": "1",
            "MALLOC_TRIM_THRESHOLD_": "70000000",
        }
    assert active_client() is None
    assert dict(os.environ) == environment | {"PYTEST_CURRENT_TEST": ANY}
    with pytest.raises(ProcessLookupError):
        os.kill(other, 0)


@pytest.mark.slow
def test_worker_processes_end_also_where_their_nanny_does_not(monkeypatch):
    monkeypatch.setattr(nannies, "_CLOSING", 1.0)
    with workers(processes=1, threads=1, memory="1GB"):
        (nanny,) = active_client().cluster.workers.values()
        worker = psutil.Process(nanny.pid)
        monkeypatch.setattr(nanny, "close", lambda **_: asyncio.sleep(3600))
    assert active_client() is None
    assert psutil.wait_procs([worker], 300) == ([worker], [])


@pytest.mark.slow
def test_worker_processes_twice_where_nothing_has_imported_distributed():
    """Settings that are made before its defaults would take all of them along."""
    twice = (
        "import bulklmm_dask as blmm\n"
        "if __name__ == '__main__':\n"
        "    for _ in range(2):\n"
        "        with blmm.workers(processes=1, threads=1, memory='1GB') as where:\n"
        "            print(where)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", twice], capture_output=True, text=True, check=False, timeout=300
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("1 worker process of 1 thread") == 2


@pytest.mark.slow
@pytest.mark.parametrize("by_file", [False, True])
def test_a_running_scheduler_is_used_and_left_running(by_file, tmp_path):
    from distributed import LocalCluster

    with LocalCluster(
        n_workers=1, threads_per_worker=2, processes=False, port=0, dashboard_address=":0"
    ) as cluster:
        place = cluster.scheduler_address
        if by_file:
            place = str(tmp_path / "scheduler.json")
            cluster.scheduler.scheduler_file = place
            (tmp_path / "scheduler.json").write_text(
                f'{{"address": "{cluster.scheduler_address}"}}'
            )
        with workers(scheduler=place) as where:
            assert where.description.endswith("1 worker so far, 2 threads")
            assert active_client().scheduler.address == cluster.scheduler_address
        assert active_client() is None
        assert cluster.scheduler.workers


@pytest.mark.slow
def test_no_scheduler_answers(monkeypatch):
    monkeypatch.setattr("bulklmm_dask.engine.local._PATIENCE", "1s")
    with (
        pytest.raises(InputError, match=r"no Dask scheduler answers at 'tcp://127.0.0.1:9'"),
        workers(scheduler="tcp://127.0.0.1:9"),
    ):
        pass


def test_a_file_that_is_no_scheduler_file(tmp_path):
    file = tmp_path / "scheduler.json"
    file.write_text("{}")
    with (
        pytest.raises(InputError, match=r"scheduler.json' is no scheduler file"),
        workers(scheduler=str(file)),
    ):
        pass


def words_of_a_task() -> str:
    return dask.delayed(option)("h2_grid").compute()


@pytest.mark.slow
def test_workers_speak_as_the_process_that_uses_them():
    from distributed import LocalCluster

    with LocalCluster(n_workers=1, threads_per_worker=1, dashboard_address=":0") as cluster:
        for scheduler in (cluster.scheduler_address, None):
            where = {"scheduler": scheduler} if scheduler else {"processes": 1}
            with command_line(), workers(**where):
                assert words_of_a_task() == "--h2-grid"
            with workers(**where):
                assert words_of_a_task() == "h2_grid"
