"""A run followed from outside, by its store: how far it is, who writes, and how it ends."""

import json
import os
import shutil
import subprocess
import sys
import threading
import time

import pytest
import studies
from commands import run
from locks import CHUNKS, file, lock_it, part_of

import bulklmm_dask as blmm
from bulklmm_dask.errors import InputError, StoreError
from bulklmm_dask.storage.places.process import Process
from bulklmm_dask.storage.results import follow as module
from bulklmm_dask.storage.results.follow import RunStatus, follow


@pytest.fixture(scope="module")
def ds():
    return studies.study(n=30, p=30, m=12)


@pytest.fixture(scope="module")
def stopped(ds, tmp_path_factory):
    """Four of fifteen blocks."""
    return part_of(ds, tmp_path_factory.mktemp("stopped") / "r.zarr")


@pytest.fixture
def part(stopped, tmp_path):
    return shutil.copytree(stopped, tmp_path / "r.zarr")


def test_a_run_that_writes_ends_as_finished(ds, part, monkeypatch):
    monkeypatch.setattr(time, "sleep", lambda seconds: blmm.scan(ds, store=part, chunks=CHUNKS))
    lock_it(part, age=7.0)
    looks = follow(part, every=0.5)
    status = next(looks)
    assert (status.state, status.done, status.total) == ("running", 4, 15)
    assert (status.rate, status.seconds_left, status.seconds_idle) == (None, None, None)
    assert status.host == "node7"
    assert status.writer.startswith("process 1 of ann on node7, started 2026-01-02")
    assert status.seconds_silent == pytest.approx(7.0, abs=3.0)
    file(part).unlink()
    (last,) = looks
    assert (last.state, last.done, last.writer) == ("finished", 15, None)


def test_a_stopped_run_is_an_error_with_its_remedy(part):
    looks = follow(part)
    assert next(looks).state == "stopped"
    with pytest.raises(StoreError, match=r"^4 of 15 blocks of .* nothing writes there: .* go on$"):
        next(looks)


@pytest.mark.parametrize(
    "lock", [{"age": 130.0}, {"machine": None, "pid": 1 << 22}], ids=["stale", "ended"]
)
def test_the_lock_of_a_dead_run_is_an_error_that_names_it(part, lock):
    if "machine" in lock:
        lock["machine"] = Process.this().machine
    lock_it(part, **lock)
    looks = follow(part)
    status = next(looks)
    assert (status.state, status.host) == ("silent", "node7")
    with pytest.raises(StoreError, match=r"process .* of ann on node7.* sign of life for \d+:\d\d"):
        next(looks)


def test_rate_and_time_left_are_those_of_the_blocks_that_were_seen():
    sign = module.Sign(b'{"host": "node7"}', 3.0, alive=True)
    at = module._status
    assert at(sign, 10, 100, [(0.0, 10)], 50.0).rate is None
    two = at(sign, 20, 100, [(0.0, 10), (4.0, 20)], 5.0)
    assert (two.rate, two.seconds_left, two.seconds_idle) == (2.5, 80 / 2.5 - 1.0, 1.0)
    # From 4 s to 14 s, 20 blocks: the first look, at no particular moment, counts no more.
    three = at(sign, 40, 100, [(0.0, 10), (4.0, 20), (14.0, 40)], 16.0)
    assert (three.rate, three.seconds_left, three.seconds_idle) == (2.0, 28.0, 2.0)
    assert str(three).startswith(
        "40%, 40/100 blocks, 2 blocks/s, 0:28 left, last progress 0:02 ago; another run"
    )
    late = at(sign, 99, 100, [(0.0, 98), (1.0, 99)], 500.0)
    assert late.seconds_left == 0.0
    ended = at(None, 40, 100, [(0.0, 10), (4.0, 20), (14.0, 40)], 16.0)
    assert (ended.state, ended.seconds_left, ended.writer) == ("stopped", None, None)


def test_damaged_blocks_that_are_taken_back_begin_the_rate_anew(part, monkeypatch):
    told = iter([(5, 15), (9, 15), (2, 15), (4, 15)])
    monkeypatch.setattr(module, "finished", lambda store: next(told))
    lock_it(part)
    looks = follow(part, every=0.01)
    assert [next(looks).rate is None for _ in range(4)] == [True, False, True, False]


def test_what_is_no_run_is_refused(tmp_path, part, ds):
    with pytest.raises(StoreError, match=r"there is no result store .*none.zarr"):
        follow(tmp_path / "none.zarr")
    blmm.save(ds, tmp_path / "study.zarr")
    with pytest.raises(StoreError, match="is a study, not a result store"):
        follow(tmp_path / "study.zarr")
    for every in (0, -1.0, float("nan")):
        with pytest.raises(InputError, match=f"every is {every}; it should be a positive number"):
            follow(part, every)


def test_the_command_ends_as_the_run_does(ds, part):
    assert "4/15 blocks, stopped" in run("info", "--follow", part, code=1).stdout
    lock_it(part, age=300.0)
    error = run("info", "--follow", part, "--json", code=1)
    status, problem = map(json.loads, error.stdout.splitlines())
    assert status["state"] == "silent"
    assert problem["error"] in error.stderr
    assert "run the command that made it again to go on" in error.stderr.splitlines()[-1]
    file(part).unlink()
    blmm.scan(ds, store=part, chunks=CHUNKS)
    (line,) = run("info", part, "--follow", "--json").stdout.splitlines()
    told = json.loads(line)
    of_all = {"command", "files", "notes", "seconds"}
    assert set(told) == {"time", *RunStatus.__dataclass_fields__, *of_all}
    assert (told["state"], told["done"], told["total"]) == ("finished", 15, 15)
    assert run("info", "--follow", part).stdout == "100%, 15/15 blocks, finished\n"
    described = json.loads(run("info", part, "--json").stdout)
    assert described["kind"] == "result"
    assert described["blocks"] == {"finished": 15, "all": 15}


@pytest.mark.slow
def test_another_process_follows_a_run(ds, part):
    """It sees the lock of this process, the blocks that were there, and the end."""
    begun, go_on = threading.Event(), threading.Event()

    def wait(progress):
        begun.set()
        assert go_on.wait(60)

    def scan():
        blmm.scan(ds, store=part, chunks=CHUNKS, progress=wait)

    thread = threading.Thread(target=scan)
    thread.start()
    assert begun.wait(60)
    words = "from bulklmm_dask.cli import main; main()"
    command = [sys.executable, "-c", words, "info", "--follow", "--json", "--every", "0.1", part]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as follower:
        first = json.loads(follower.stdout.readline())
        go_on.set()
        *_, last = map(json.loads, follower.stdout)
    thread.join()
    assert follower.returncode == 0
    assert (first["state"], first["done"]) == ("running", 4)
    assert first["writer"].startswith(f"process {os.getpid()} of ")
    assert (last["state"], last["done"]) == ("finished", 15)
