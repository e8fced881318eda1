"""Several runs write one store at the same time, each a share of the traits."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import signal
import subprocess
import sys
import threading
import time

import numpy as np
import pytest
import studies
from commands import run
from faults.machines import content, other_files
from locks import CHUNKS, FOLDER, lock_it, record

import bulklmm_dask as blmm
from bulklmm_dask.engine.plan import traits_for
from bulklmm_dask.storage.places import lock, signs
from bulklmm_dask.storage.places.location import Location
from bulklmm_dask.storage.places.share import Share
from bulklmm_dask.storage.places.shared import SharedWriter
from bulklmm_dask.storage.results.soundness import finished


@pytest.fixture(scope="module")
def ds():
    return studies.study(n=30, p=30, m=12)


@pytest.fixture(scope="module")
def whole(ds, tmp_path_factory):
    """The store of one run of all traits, in the blocks that three shares have."""
    path = tmp_path_factory.mktemp("whole") / "r.zarr"
    blmm.scan(ds, store=path, chunks={"variants": 7, "traits": 4})
    return path


@pytest.fixture
def path(tmp_path):
    return tmp_path / "r.zarr"


def scan(ds, path, share, **options):
    return blmm.scan(ds, store=path, share=share, chunks={"variants": 7}, **options)


def locks(path):
    return sorted(file.parent.name for file in (path / FOLDER).rglob("lock.json"))


def test_shares_follow_each_other_and_leave_nothing_out():
    for count in range(1, 12):
        for size in range(30):
            parts = [range(size)[Share(k, count).part(size)] for k in range(1, count + 1)]
            assert [at for part in parts for at in part] == list(range(size))
            assert max(map(len, parts)) - min(map(len, parts)) <= 1


def test_new_stores_have_blocks_for_each_share():
    for n_traits in (1, 12, 60, 5000, 32_445):
        for count in (1, 2, 7, 25):
            size = traits_for(count, n_traits)
            fair = -(-n_traits // count)
            assert min(fair, 4096) <= size <= min(fair + 127, 4096)
            assert size <= 128 or size % 128 == 0


@pytest.mark.parametrize(
    "share", ["0/3", "4/3", "3", "a/b", "1/0", "-1/3", (0, 3), (1, 2, 3), "1/3/5", "", "1.5/2"]
)
def test_what_is_no_share_is_refused(ds, path, share):
    with pytest.raises(blmm.InputError, match=r"share is .*it should be a number and how many"):
        scan(ds, path, share)
    assert not path.exists()


def test_a_share_needs_a_store(ds):
    with pytest.raises(blmm.InputError, match="share='1/3' is given, but nothing is stored"):
        blmm.scan(ds, share="1/3")


@pytest.mark.parametrize("order", [(1, 2, 3), (3, 1, 2)])
def test_shares_one_after_the_other_make_the_bytes_of_one_run(ds, path, whole, order):
    expected, seen = blmm.open_result(whole), []
    for share in order:
        with pytest.raises(blmm.StoreError, match=r"unfinished|no result store"):
            blmm.open_result(path)
        part = scan(ds, path, (share, 3), progress=seen.append)
        assert [(one.done, one.total) for one in seen] == [(k, 5) for k in range(6)]
        assert seen[-1].tests_total == 30 * 4
        seen.clear()
        own = slice(4 * share - 4, 4 * share)
        for name in ("lod", "h2", "trait_status", "n_samples"):
            mine = part[name].transpose(..., "traits").values
            np.testing.assert_array_equal(
                mine, expected[name].transpose(..., "traits").values[..., own]
            )
    assert other_files(path, content(whole)) == []
    assert blmm.verify(path).empty
    assert not (path / FOLDER / "shares").exists()


def test_a_share_that_has_no_traits_is_complete_at_once(ds, path):
    part = scan(ds, path, "20/20")
    assert part.sizes["traits"] == 1
    assert finished(path)[0] == 5
    part = scan(ds, path, "1/20")
    assert part.sizes["traits"] == 0


def test_a_run_of_the_whole_store_finishes_what_shares_have_begun(ds, path, whole):
    scan(ds, path, "2/3")
    blmm.scan(ds, store=path)
    assert other_files(path, content(whole)) == []


def stopped_at(done):
    def stop(progress):
        if progress.done == done:
            raise ZeroDivisionError

    return stop


@pytest.mark.parametrize("options", [{}, {"chunks": {"variants": 7}}, {"chunks": {"traits": 4}}])
def test_sizes_of_chunks_that_are_left_out_are_those_of_the_store(ds, path, whole, options):
    scan(ds, path, (1, 3))
    blmm.scan(ds, store=path, share=(1, 2), **options)
    blmm.scan(ds, store=path, **options)
    assert content(path) == content(whole)


def test_a_share_that_was_stopped_goes_on_while_another_is_written(ds, path, whole):
    """Entries of journals that are noted meanwhile are kept, whoever ends first."""
    said = []

    def meanwhile(progress):
        if progress.done != 2 or said:
            return
        said.append(locks(path))
        with pytest.raises(ZeroDivisionError):
            scan(ds, path, "1/3", progress=stopped_at(3))
        assert list((path / FOLDER / "journal").glob("1*"))
        said.append(finished(path)[0])
        scan(ds, path, "1/3", progress=lambda one: said.append(one.done))
        said.append(locks(path))

    scan(ds, path, "2/3", progress=meanwhile)
    assert said[0] == ["2-of-3"]
    assert said[1] >= 3
    assert said[2:-1] == [3, 4, 5]
    assert said[-1] == ["2-of-3"]
    assert finished(path) == (10, 15)
    scan(ds, path, "3/3")
    assert other_files(path, content(whole)) == []


@pytest.mark.parametrize("seed", range(3))
def test_shares_at_the_same_time_make_the_bytes_of_one_run(ds, path, whole, seed):
    """In threads that begin at once, one of them before there is a store."""
    errors, gate = [], threading.Barrier(3)

    def one(share):
        try:
            gate.wait()
            scan(ds, path, share)
        except BaseException as error:
            errors.append(error)

    threads = [threading.Thread(target=one, args=((share, 3),)) for share in (1, 2, 3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert errors == []
    assert other_files(path, content(whole)) == []


def test_what_would_write_the_same_blocks_is_refused(ds, path):
    said = []

    def others(progress):
        if progress.done != 1:
            return
        for share in ("1/2", "1/3", None):
            with pytest.raises(blmm.StoreError) as caught:
                blmm.scan(ds, store=path, share=share)
            said.append(str(caught.value))
        with pytest.raises(blmm.StoreError) as caught:
            blmm.open_result(path)
        said.append(str(caught.value))
        said.append(next(blmm.follow(path)))
        assert blmm.verify(path).empty
        with pytest.raises(blmm.StoreError, match="is being written by"):
            blmm.save(blmm.open_result(path.parent / "other.zarr"), path, overwrite=True)

    blmm.scan(ds, store=path.parent / "other.zarr")
    scan(ds, path, "1/3", progress=others)
    overlap, same, all_of_it, unfinished, status = said
    assert "share='1/2'" in overlap
    assert "may overlap share='1/3', which is being written by process" in overlap
    assert "share='1/3' of " in same
    assert "1-of-3/lock.json" in same
    assert f"{path} is being written by process" in all_of_it
    assert "it is being written by process" in unfinished
    assert status.state == "running"
    assert locks(path) == []


def test_a_share_is_refused_while_the_whole_store_is_written(ds, path):
    def others(progress):
        if progress.done == 1:
            with pytest.raises(blmm.StoreError, match="is being written by process"):
                scan(ds, path, "1/3")

    blmm.scan(ds, store=path, chunks=CHUNKS, progress=others)
    assert finished(path) == (15, 15)


def test_the_lock_of_the_store_is_waited_for_if_another_share_has_it(ds, path, whole):
    scan(ds, path, "1/3")
    lock_it(path, share="3/3")
    threading.Timer(0.5, (path / FOLDER / "lock.json").unlink).start()
    scan(ds, path, "2/3")
    scan(ds, path, "3/3")
    assert other_files(path, content(whole)) == []


def put_lock(path, share, age=0.0, **entries):
    folder = path / FOLDER / "shares" / share.replace("/", "-of-")
    folder.mkdir(parents=True)
    (folder / "lock.json").write_bytes(record(share=share, **entries))
    os.utime(folder / "lock.json", (time.time() - age,) * 2)


def test_locks_of_shares_whose_runs_are_dead_are_removed_and_told(ds, path, whole, monkeypatch):
    """All that are watched are so at the same time."""
    scan(ds, path, "1/3")
    pauses = []
    monkeypatch.setattr(signs.time, "sleep", pauses.append)
    for share in ("2/3", "3/3"):
        put_lock(path, share, age=500)
    with pytest.warns(
        blmm.StudyWarning,
        match=r"2 shares .'2/3', '3/3'. stopped before the end; what is finished of them is kept",
    ):
        scan(ds, path, "2/3")
    assert pauses.count(signs.WATCHED) == 1
    monkeypatch.undo()
    put_lock(path, "1/2")
    with pytest.raises(blmm.StoreError, match=r"process 1 of ann on node7.*last sign of life 0:0"):
        blmm.scan(ds, store=path)
    shutil.rmtree(path / FOLDER / "shares")
    scan(ds, path, "3/3")
    assert other_files(path, content(whole)) == []


def test_a_share_whose_lock_is_lost_stops(ds, path):
    def lose(progress):
        if progress.done == 2:
            (path / FOLDER / "shares" / "1-of-3" / "lock.json").unlink()

    with pytest.raises(blmm.StoreError, match="its lock is gone"):
        scan(ds, path, "1/3", progress=lose)
    scan(ds, path, "1/3")
    assert finished(path) == (5, 15)


def test_the_lock_of_a_share_that_ends_is_not_taken_for_that_with_which_it_began(
    ds, path, monkeypatch
):
    """Another share takes the first lock for a dead one, and would remove the second one for it."""
    scan(ds, path, "3/3")
    first, second = (
        SharedWriter(Location(str(path)).anew, FOLDER, share=Share(number, 3)) for number in (1, 2)
    )
    death, is_removed = signs.death, lock._is_removed
    ending = contextlib.ExitStack()
    steps = []

    def died(file, seen):
        if steps == []:
            steps.append("begun")
            first.begin()
            return "has ended"
        elif steps[-1] == "ending":
            steps.append("ended")
            first.held.require(within=0)
            ending.close()
            first.release()
        return death(file, seen)

    def removed(*arguments):
        if steps == ["begun"]:
            steps.append("ending")
            ending.enter_context(first.ending())
        return is_removed(*arguments)

    monkeypatch.setattr(signs, "death", died)
    monkeypatch.setattr(lock, "_is_removed", removed)
    first.take()
    second.take()
    assert steps == ["begun", "ending", "ended"]
    second.release()
    assert locks(path) == []


def test_the_command_says_how_far_all_shares_are(ds, path, tmp_path):
    study = tmp_path / "study.zarr"
    blmm.save(ds, study)
    for share, words in (
        ("1/2", f"share 1/2 of {path} is complete; 1 of 2 blocks of all shares are"),
        ("2/2", f"{path} is complete; its highest LODs"),
    ):
        assert words in run("scan", study, path, "--share", share).stderr
    told = run("scan", study, path, "--share", "3/2", code=2).stderr
    assert "--share is '3/2'; it should be a number and how many there are" in told
    given = json.loads(run("scan", study, path, "--share", "2/2", "--json").stdout)
    assert given["computed"] is False


CHILD = """
import signal, sys, bulklmm_dask as blmm
signal.signal(signal.SIGINT, signal.default_int_handler)  # shells let their jobs ignore it
def told(progress):
    print(progress.done, flush=True)
    if progress.done == int(sys.argv[4]):
        sys.stdin.readline()
blmm.scan(blmm.open_dataset(sys.argv[1]), store=sys.argv[2], share=sys.argv[3],
          chunks={"variants": 7}, progress=told)
"""


@pytest.mark.slow
@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGTERM, signal.SIGINT])
def test_shares_of_processes_that_are_killed_are_finished_by_others(ds, path, how, tmp_path):
    """Two at the same time; one is killed in the middle, the other one ends, a third goes on."""
    blmm.save(ds, tmp_path / "study.zarr")
    ds = blmm.open_dataset(tmp_path / "study.zarr")
    whole = tmp_path / "whole.zarr"
    blmm.scan(ds, store=whole, chunks={"variants": 7, "traits": 4})
    command = [sys.executable, "-W", "ignore", "-c", CHILD, tmp_path / "study.zarr", path]
    piped = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.DEVNULL}
    started = [
        subprocess.Popen([*command, share, "3"], text=True, **piped) for share in ("1/3", "2/3")
    ]
    for child in started:
        while child.stdout.readline().strip() != "3":
            pass
    assert locks(path) == ["1-of-3", "2-of-3"]
    started[0].send_signal(how)
    for child in started:
        child.communicate("\n")
    assert started[0].returncode != 0
    assert started[1].returncode == 0
    scan(ds, path, "3/3")
    scan(ds, path, "1/3")
    assert other_files(path, content(whole)) == []
    assert blmm.verify(path).empty


def test_a_lock_that_is_given_back_while_it_is_looked_at_is_no_error(path):
    """A share that is stopped removes its lock whenever that is; its process may go on."""
    gone = Location(str(path / "lock.json"))
    assert signs.deaths({gone: record()}) == {gone: None}


def test_a_listing_has_all_files_that_stay_while_others_get_their_names(tmp_path):
    """A share lists the blocks of all while others write theirs."""
    stay = {f"c/{k}" for k in range(200)}
    (tmp_path / "c").mkdir()
    for name in stay:
        (tmp_path / name).write_bytes(b"block")
    ended = threading.Event()

    def write():
        while not ended.is_set():
            with Location(str(tmp_path / "c" / "new")).replacing() as stream:
                stream.write(b"block")
            (tmp_path / "c" / "new").unlink()

    thread = threading.Thread(target=write)
    thread.start()
    try:
        for _ in range(300):
            assert stay <= Location(str(tmp_path)).sizes().keys()
    finally:
        ended.set()
        thread.join()
