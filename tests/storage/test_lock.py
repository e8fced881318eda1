"""One run at a time writes into a store; the lock of a dead run is taken over."""

from __future__ import annotations

import errno
import json
import os
import pickle
import shutil
import signal
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import dask
import numpy as np
import pytest
import studies
from locks import CHUNKS, FOLDER, file, is_free, lock_it, part_of, record

import bulklmm_dask as blmm
from bulklmm_dask.describe import describe
from bulklmm_dask.storage.labels.layout import Layout
from bulklmm_dask.storage.places import files, lock, signs
from bulklmm_dask.storage.places.location import Disk, Location
from bulklmm_dask.storage.places.process import Process
from bulklmm_dask.storage.results.blocks import ResultStore
from bulklmm_dask.storage.results.soundness import finished


@pytest.fixture(scope="module")
def ds():
    return studies.study(n=30, p=30, m=12)


@pytest.fixture
def path(tmp_path):
    return tmp_path / "r.zarr"


@pytest.fixture(scope="module")
def stopped(ds, tmp_path_factory):
    return part_of(ds, tmp_path_factory.mktemp("stopped") / "r.zarr")


@pytest.fixture
def part(stopped, path):
    """A copy of it."""
    return shutil.copytree(stopped, path)


def test_the_lock_is_held_while_a_run_writes_and_given_back_at_its_end(ds, path):
    seen = []

    def look(_):
        seen.append(json.loads(file(path).read_bytes()))

    blmm.scan(ds, store=path, chunks=CHUNKS, progress=look)
    (one,) = {json.dumps(each) for each in seen}
    found, this = json.loads(one), Process.this()
    assert (found["pid"], found["host"], found["user"]) == (os.getpid(), this.host, this.user)
    assert not this.has_ended()
    assert is_free(path)
    for error in (ZeroDivisionError, KeyboardInterrupt):

        def stop(_, error=error):
            raise error

        with pytest.raises(error):
            blmm.scan(ds, store=path, progress=stop)
        assert is_free(path)
    other = studies.study(n=30, p=30, m=12, seed=3)
    with pytest.raises(blmm.StoreError, match="other inputs"):
        blmm.scan(other, store=path)
    assert is_free(path)


CALLS = {
    "scan": lambda ds, path, **progress: blmm.scan(ds, store=path, chunks=CHUNKS, **progress),
    "permute": lambda ds, path, **progress: blmm.permute(
        ds, n_permutations=6, store=path, chunks={"permutations": 2, "traits": 12}, **progress
    ),
    "shared": lambda ds, path: blmm.permute(ds, n_permutations=6, method="shared", store=path),
    "baseline": lambda ds, path, **progress: blmm.hotspot_baseline(
        ds, window=1, threshold=1, n_permutations=2, store=path, **progress
    ),
}


@pytest.mark.parametrize("name", ["scan", "permute", "baseline"])
def test_a_second_run_is_refused_at_once(ds, path, name):
    """It is told who writes; the first one goes on, and is whole."""
    said = []

    def begin_again(progress):
        if progress.done == 1:
            for call in (lambda: CALLS[name](ds, path), lambda: blmm.open_result(path)):
                with pytest.raises(blmm.StoreError) as caught:
                    call()
                said.append(str(caught.value))
            said.append(describe(path))
            assert blmm.verify(path).empty

    CALLS[name](ds, path, progress=begin_again)
    who = f"is being written by process {os.getpid()} of {Process.this().user} on"
    assert len(said) == 3
    assert all(who in words for words in said)
    assert "started 2" in said[0]
    assert f"2:00 minutes after that sign, or remove {file(path)}" in said[0]
    blmm.open_result(path)


def test_the_command_is_refused_too_and_names_the_remedy(ds, part, tmp_path):
    from commands import run

    blmm.save(ds, tmp_path / "study.zarr")
    lock_it(part)
    told = run("scan", tmp_path / "study.zarr", part, code=1).stderr
    assert "is being written by process 1 of ann on node7, started 2026-01-02T03:04:05" in told
    assert "run the command that made it again 2:00 minutes after that sign, or remove" in told
    assert "27% finished, is being written by process 1 of ann on node7" in run("info", part).stdout
    assert "it is being written by process 1 of ann" in run("maxima", part, code=1).stderr
    file(part).unlink()
    run("scan", tmp_path / "study.zarr", part)


@pytest.mark.parametrize("name", ["scan", "shared", "baseline"])
def test_a_lock_of_a_living_run_elsewhere_is_left(ds, path, name):
    CALLS[name](ds, path)
    file(path).write_bytes(record())
    with pytest.raises(blmm.StoreError, match=r"process 1 of ann on node7.*last sign of life 0:0"):
        CALLS[name](ds, path)
    assert file(path).read_bytes() == record()


CHILD = """
import sys, bulklmm_dask as blmm
def wait(progress):
    if progress.done == 3:
        print("waits", flush=True)
        sys.stdin.readline()
for path in sys.argv[2:]:
    blmm.scan(blmm.open_dataset(sys.argv[1]), store=path,
              chunks={"variants": 7, "traits": 5}, progress=wait)
"""


@pytest.mark.slow
def test_two_processes(ds, path, tmp_path):
    """Another one scans into two stores, and waits in the midst of each; then it is killed."""
    blmm.save(ds, tmp_path / "study.zarr")
    paths = path, tmp_path / "s.zarr"
    with subprocess.Popen(
        [sys.executable, "-W", "ignore", "-c", CHILD, tmp_path / "study.zarr", *paths],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as child:
        try:
            assert child.stdout.readline() == "waits\n"
            refused_by_a_living_process(ds, path, child)
            child.stdin.write("\n")
            child.stdin.flush()
            assert child.stdout.readline() == "waits\n"
            lod = blmm.scan(ds).lod
            np.testing.assert_allclose(blmm.open_result(path).lod, lod, atol=1e-6)
            a_killed_process_is_known_to_be_dead(ds, paths[1], child)
        finally:
            child.kill()


def refused_by_a_living_process(ds, path, child):
    with pytest.raises(blmm.StoreError, match=f"being written by process {child.pid} of"):
        blmm.scan(ds, store=path, chunks=CHUNKS)
    with pytest.raises(blmm.StoreError, match=f"being written by process {child.pid} .*overwr"):
        blmm.save(blmm.scan(ds), path, overwrite=True)


def a_killed_process_is_known_to_be_dead(ds, path, child):
    (path / "lod" / "c" / "0").mkdir(exist_ok=True)
    left = path / "lod" / "c" / "0" / f"1.{'a' * 32}.partial"
    left.write_bytes(b"half")
    this = Process.this()
    small = file(path).with_name(f".lock.part-{this.machine}-{2**22 + 1}-{'b' * 8}.json")
    small.write_bytes(b"half")
    child.send_signal(signal.SIGKILL)
    child.wait()
    with pytest.raises(blmm.StoreError, match=r"unfinished: .*with the same store, and it goes on"):
        blmm.open_result(path)
    with pytest.warns(blmm.StudyWarning, match=f"process {child.pid} .*has ended: this run goes"):
        result = blmm.scan(ds, store=path)
    np.testing.assert_allclose(result.lod, blmm.scan(ds).lod, atol=1e-6)
    assert is_free(path)
    assert not left.exists()


def test_a_number_that_was_given_again_is_another_process():
    this = Process.this()
    again = Process(this.machine, this.pid, this.birth + 1)
    assert again.has_ended() == (this.birth != 0)
    assert not Process("elsewhere", 2**22 + 1).has_ended()
    assert Process(this.machine, 2**22 + 1).has_ended()


@pytest.mark.parametrize("age", [1000.0, -1000.0], ids=["old", "from the future"])
def test_a_lock_that_is_not_renewed_is_taken_over(ds, part, age, monkeypatch):
    monkeypatch.setattr(signs, "WATCHED", 0.01)
    lock_it(part, age)
    with pytest.raises(blmm.StoreError, match=r"unfinished: .* and it goes on where it stopped"):
        blmm.open_result(part)
    with pytest.warns(
        blmm.StudyWarning,
        match=r"was being written by process 1 of ann on node7, started 2026-.*, which has given "
        r"no sign of life for \d+:\d\d: this run goes on",
    ):
        blmm.scan(ds, store=part)
    assert is_free(part)
    assert finished(part) == (15, 15)


def test_a_clock_that_was_set_makes_no_lock_stale(ds, part, monkeypatch):
    """The lock looks old, but is renewed while it is watched."""
    lock_it(part, 1000.0)
    monkeypatch.setattr(signs.time, "sleep", lambda _: os.utime(file(part)))
    with pytest.raises(blmm.StoreError, match="is being written by process 1 of ann on node7"):
        blmm.scan(ds, store=part)
    assert file(part).read_bytes() == record()


@pytest.mark.parametrize("content", [b"", b"{", b"[1]", b'{"pid": "x"}', b"\xff"])
def test_a_lock_that_is_just_being_made_or_is_damaged(ds, part, content, monkeypatch):
    monkeypatch.setattr(signs, "WATCHED", 0.01)
    file(part).write_bytes(content)
    with pytest.raises(blmm.StoreError, match="is being written by another run"):
        blmm.scan(ds, store=part)
    os.utime(file(part), (time.time() - 1000,) * 2)
    with pytest.warns(blmm.StudyWarning, match="another run, which has given no sign of life"):
        blmm.scan(ds, store=part)


def test_the_age_is_told_by_the_clock_of_the_file_system(ds, part, monkeypatch):
    """The clock of this host is wrong by hours."""
    lock_it(part, 30.0)
    real = time.time
    monkeypatch.setattr(time, "time", lambda: real() + 7200)
    with pytest.raises(blmm.StoreError, match=r"last sign of life 0:[34]\d ago"):
        blmm.scan(ds, store=part)


def test_files_are_on_the_disk_before_their_mark(ds, path, monkeypatch):
    """Chunks, then checksums, then marks: each is synced before the next is written."""
    steps = []
    real = files.sync

    def look(paths):
        paths = list(paths)
        names = {str(one.relative_to(path)) for one in paths if path in one.parents}
        if names:
            steps.append((names, finished(path)[0]))
        real(paths)

    monkeypatch.setattr(files, "sync", look)
    blmm.scan(ds, store=path, chunks=CHUNKS)
    (chunks, before), (sums, between), (marks, after) = steps
    assert {f"lod/c/{i}/{j}" for i in range(5) for j in range(3)} < chunks
    assert {"lod/c", "lod", "h2/c/2"} < chunks
    assert "manifest/lod/c/0/0/0" in sums
    assert "manifest_blocks/c/0/0" in marks
    assert (before, between, after) == (0, 0, 15)


def test_a_run_renews_its_lock(ds, path, monkeypatch):
    monkeypatch.setattr(signs, "BEAT", 0.01)
    times = []

    def look(progress):
        if progress.done == 2:
            os.utime(file(path), (0, 0))
            while file(path).stat().st_mtime == 0:
                time.sleep(0.01)
            times.append(file(path).stat().st_mtime)

    blmm.scan(ds, store=path, chunks=CHUNKS, progress=look)
    assert len(times) == 1


@pytest.mark.parametrize("taken", [True, False], ids=["taken over", "removed"])
@pytest.mark.parametrize("name", ["scan", "permute", "baseline"])
def test_a_run_that_lost_its_lock_stops(ds, path, name, taken, monkeypatch):
    monkeypatch.setattr(lock, "_CHECKED", 0.0)

    def lose(progress):
        if progress.done == 1:
            file(path).unlink()
            if taken:
                file(path).write_bytes(record())

    by = "it was taken over by process 1 of ann on node7" if taken else "its lock is gone"
    with (
        pytest.raises(blmm.StoreError, match=f"may no longer write into .*: {by}.*; finished blo"),
        dask.config.set(scheduler="synchronous"),
    ):
        CALLS[name](ds, path, progress=lose)
    assert file(path).exists() == taken  # the lock of the other run is left
    assert finished(path)[0] == 0  # and its manifest too


def test_a_run_whose_store_was_replaced_stops(ds, path, tmp_path, monkeypatch):
    monkeypatch.setattr(lock, "_CHECKED", 0.0)

    def exchange(progress):
        if progress.done == 1:
            path.rename(tmp_path / "old.zarr")
            blmm.save(blmm.scan(ds), path)

    with (
        pytest.raises(blmm.StoreError, match="its lock is gone"),
        dask.config.set(scheduler="synchronous"),
    ):
        blmm.scan(ds, store=path, chunks=CHUNKS, progress=exchange)
    assert is_free(path)
    assert finished(path)[0] == finished(path)[1]


def test_a_heartbeat_that_finds_no_lock_stops_the_next_block(ds, path, monkeypatch):
    """Within the ten seconds in which a block does not look by itself."""
    monkeypatch.setattr(signs, "BEAT", 0.01)

    def lose(progress):
        if progress.done == 1:
            file(path).unlink()
            while any(held.file.path == str(file(path)) for held in list(lock._checked)):
                time.sleep(0.01)

    with (
        pytest.raises(blmm.StoreError, match="its lock is gone"),
        dask.config.set(scheduler="synchronous"),
    ):
        blmm.scan(ds, store=path, chunks=CHUNKS, progress=lose)
    assert finished(path)[0] == 0


def test_threads_that_begin_together(ds, path):
    """One of them writes; another one is refused, or comes after it."""
    barrier = threading.Barrier(4)

    def run(_):
        barrier.wait()
        try:
            return blmm.scan(ds, store=path, chunks=CHUNKS).lod.compute()
        except blmm.StoreError as error:
            return str(error)

    with ThreadPoolExecutor(4) as pool:
        found = list(pool.map(run, range(4)))
    refused = [one for one in found if isinstance(one, str)]
    assert len(refused) < 4
    assert all("is being written by process" in one for one in refused)
    np.testing.assert_allclose(blmm.open_result(path).lod, blmm.scan(ds).lod, atol=1e-6)
    assert is_free(path)
    assert [one.name for one in path.parent.iterdir()] == ["r.zarr"]


@pytest.mark.filterwarnings("ignore:.*this run goes on")
def test_of_many_who_take_over_one_succeeds(path, monkeypatch):
    monkeypatch.setattr(signs, "WATCHED", 0.0)
    file(path).parent.mkdir(parents=True)
    for _ in range(25):
        file(path).write_bytes(record())
        os.utime(file(path), (0, 0))
        writers = [lock.Writer(Location.of(path), FOLDER) for _ in range(8)]
        barrier = threading.Barrier(8)

        def take(writer, barrier=barrier):
            barrier.wait()
            try:
                writer.take()
            except blmm.StoreError:
                return False
            return True

        with ThreadPoolExecutor(8) as pool:
            taken = list(pool.map(take, writers))
        assert sum(taken) == 1
        for writer in writers:
            writer.release()
        assert is_free(path)


def test_a_run_that_was_killed_while_it_took_a_lock_over(ds, part, monkeypatch):
    monkeypatch.setattr(signs, "WATCHED", 0.0)
    lock_it(part, 1000.0)
    guard = file(part).with_name(lock.GUARD)
    guard.write_bytes(record(host="node8"))
    os.utime(guard, (0, 0))
    with pytest.warns(blmm.StudyWarning, match="on node7, .*: this run goes on"):
        blmm.scan(ds, store=part)
    assert is_free(part)


def test_what_is_not_ours_is_not_discarded(tmp_path, monkeypatch):
    """Another run has put its lock there between a look and the removal."""
    place = Location.of(tmp_path / "lock.json")
    place.create(b"theirs")
    with pytest.raises(FileExistsError):
        place.create(b"ours")
    assert not place.discard(b"ours")
    assert not place.renew(b"ours")
    answers = [b"ours"]
    real = Disk.record
    monkeypatch.setattr(Disk, "record", lambda one: answers.pop() if answers else real(one))
    assert not place.discard(b"ours")
    assert place.record() == b"theirs"
    assert Location.of(tmp_path).names() == ["lock.json"]
    assert place.renew(b"theirs")
    assert place.discard(b"theirs")
    assert not place.discard(b"theirs")
    assert not place.renew(b"theirs")


def test_a_lock_that_may_not_be_made(ds, part, monkeypatch):
    real = os.open

    def refuse(name, *args, **options):
        if str(name).endswith("lock.json"):
            raise PermissionError(errno.EACCES, "Permission denied")
        return real(name, *args, **options)

    monkeypatch.setattr(os, "open", refuse)
    with pytest.raises(blmm.StoreError, match=r"r\.zarr cannot be written: no permission"):
        blmm.scan(ds, store=part)


def test_what_is_no_result_store_gets_no_lock(ds, tmp_path):
    blmm.save(ds, tmp_path / "study.zarr")
    before = sorted((tmp_path / "study.zarr").rglob("*"))
    with pytest.raises(blmm.StoreError, match="is a study, not a result store"):
        blmm.scan(ds, store=tmp_path / "study.zarr", chunks=CHUNKS)
    assert sorted((tmp_path / "study.zarr").rglob("*")) == before


@pytest.mark.slow
def test_workers_of_a_cluster_write_only_while_the_lock_is_held(ds, path, cluster):
    with cluster.as_current():
        blmm.scan(ds, store=path, chunks=CHUNKS)
    assert is_free(path)
    writer = lock.Writer(Location.of(path), FOLDER)
    writer.take()
    store = ResultStore(str(path), Layout((30, 12), (7, 5), (7, 5)), held=writer.held)
    assert pickle.loads(pickle.dumps(store)) == store
    block = {"lod": np.zeros((7, 5), np.float32)}
    cluster.submit(store.write_block, 0, 0, block).result()
    writer.release()
    other = replace(store, held=replace(store.held, record=b""))
    with pytest.raises(blmm.StoreError, match=r"may no longer write into .*: its lock is gone"):
        cluster.submit(other.write_block, 0, 0, block, pure=False).result()


def test_a_lock_of_which_the_answer_was_lost_is_our_own(tmp_path):
    made = Disk(tmp_path / "lock.json")
    for _ in range(2):  # the request is repeated, and finds what it has made
        lock._make(made, b"ours")
    with pytest.raises(FileExistsError, match="another run has made"):
        lock._make(made, b"theirs")
    assert made.record() == b"ours"
