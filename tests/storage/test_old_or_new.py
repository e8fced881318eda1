"""Whatever stops a replacement, and wherever, the name stands for the old one or the new one."""

from __future__ import annotations

import subprocess
import sys
from functools import cache, partial
from pathlib import Path

import dask
import interruptions
import numpy as np
import pytest
import studies

import bulklmm_dask as blmm
from bulklmm_dask.storage.places import files, paths
from bulklmm_dask.storage.places.location import Location
from bulklmm_dask.study.kinships import add_kinship

# Files that Ctrl-C cuts off right after they are opened are closed later.
pytestmark = pytest.mark.filterwarnings(
    "ignore:unclosed file", "ignore:Exception ignored in", "ignore:the kinship is of the whole"
)

HERE = Path(__file__).parent
SWAPS = pytest.mark.parametrize("swap", [True, False], ids=["swap", "aside"])
STOPS = pytest.mark.parametrize(
    ("how", "after"),
    [(interruptions.error, False), (interruptions.ctrl_c, False), (interruptions.ctrl_c, True)],
    ids=["error", "ctrl-c before", "ctrl-c after"],
)


@pytest.fixture(autouse=True)
def _no_pause(monkeypatch):
    monkeypatch.setattr(paths, "_PAUSE", 0.001)


def write(place: Location, what: str) -> None:
    (place / "deep").local.mkdir()
    for name in ("a", "deep/b"):
        (place / name).local.write_text(what)


def replace(path: Path) -> None:
    with Location.of(path).appearing(lambda _: None) as new:
        write(new, "new")


def change(path: Path) -> None:
    def renew(copy: Location) -> None:
        for name in ("a", "deep/b"):
            (copy / name).remove()
            (copy / name).local.write_text("new")

    Location.of(path).change(renew)


def content(path: Path) -> str:
    """The one text of both files: they are of one and the same state."""
    Location.of(path).recovered()
    (found,) = {(path / name).read_text() for name in ("a", "deep/b")}
    return found


@SWAPS
@STOPS
@pytest.mark.parametrize("act", [replace, change])
def test_a_folder_is_the_old_or_the_new_one(act, how, after, swap, tmp_path):
    path, seen = tmp_path / "f.zarr", set()
    with Location.of(path).appearing() as new:
        write(new, "old")

    def check():
        seen.add(content(path))
        assert [one.name for one in tmp_path.iterdir()] == ["f.zarr"]
        for name in ("a", "deep/b"):
            (path / name).write_text("old")

    count = interruptions.stopped_everywhere(lambda: act(path), check, how, after=after, swap=swap)
    assert count > 20
    assert seen == {"old", "new"}


@STOPS
def test_a_file_is_the_old_or_the_new_one(how, after, tmp_path):
    path, seen = tmp_path / "t.csv", set()
    path.write_text("old")

    def check():
        seen.add(path.read_text())
        assert [one.name for one in tmp_path.iterdir()] == ["t.csv"]
        path.write_text("old")

    interruptions.stopped_everywhere(
        lambda: Location.of(path).write_text("new"), check, how, after=after
    )
    assert seen == {"old", "new"}


def test_a_folder_that_cannot_be_put_back_is_put_back_when_it_is_opened(tmp_path, monkeypatch):
    """The second rename fails, and so does undoing the first."""
    path = tmp_path / "f.zarr"
    with Location.of(path).appearing() as new:
        write(new, "old")
    rename = Path.rename

    def only_aside(self, target):
        if ".old-" not in str(target):
            interruptions.error()
        return rename(self, target)

    with monkeypatch.context() as patch:
        patch.setattr(files, "exchange", lambda *_: False)
        patch.setattr(Path, "rename", only_aside)
        with pytest.raises(blmm.StoreError, match=r"f\.zarr cannot be written: Input/output error"):
            replace(path)
    assert not path.exists()
    with pytest.warns(blmm.StudyWarning, match=r"was being replaced .*: the old one is back"):
        assert content(path) == "old"
    assert [one.name for one in tmp_path.iterdir()] == ["f.zarr"]


def test_what_another_run_has_made_meanwhile_is_kept(tmp_path):
    path = tmp_path / "f.zarr"

    def make_second():
        with Location.of(path).appearing() as second:
            write(second, "second")
            with Location.of(path).appearing() as first:
                write(first, "first")

    with pytest.raises(blmm.StoreError, match=r"f\.zarr was made meanwhile by another run; make"):
        make_second()
    assert content(path) == "first"
    assert [one.name for one in tmp_path.iterdir()] == ["f.zarr"]


def test_two_changes_at_once_are_both_there(tmp_path):
    path, calls = tmp_path / "f.zarr", []
    with Location.of(path).appearing() as new:
        write(new, "old")

    def one(copy):
        calls.append(1)
        (copy / "one").local.write_text("1")
        if len(calls) == 1:
            Location.of(path).change(lambda other: (other / "two").local.write_text("2"))

    Location.of(path).change(one)
    assert len(calls) == 2
    assert Location.of(path).names() == ["a", "deep", "one", "two"]


def test_links_stay_links(tmp_path):
    real = tmp_path / "disk"
    real.mkdir()
    (tmp_path / "t.csv").symlink_to(real / "t.csv")
    (tmp_path / "f.zarr").symlink_to(real / "f.zarr")
    for _ in range(2):
        Location.of(tmp_path / "t.csv").write_text("new")
        replace(tmp_path / "f.zarr")
    assert sorted(one.name for one in real.iterdir()) == ["f.zarr", "t.csv"]
    assert (tmp_path / "t.csv").is_symlink()
    assert (tmp_path / "f.zarr").is_symlink()
    assert content(tmp_path / "f.zarr") == "new"


CHILD = """
import os, sys, warnings
from pathlib import Path
os.fsync = os.fstat  # as in conftest.py
sys.path[:0] = [{tests!r}, {here!r}]
import interruptions, test_old_or_new as tests
tests.paths._PAUSE = 0.001
warnings.simplefilter("ignore", tests.blmm.StudyWarning)
for swap in {swaps}:
    path = Path({path!r}) / str(swap)
    path.mkdir()
    tests.{name}(path, swap)
"""


def in_child(name: str, path: Path, *swaps: bool) -> None:
    """Run a function of this module in a process without other threads."""
    code = CHILD.format(
        tests=str(HERE.parent), here=str(HERE), name=name, path=str(path), swaps=swaps
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-3000:]


def kill_folder(folder: Path, swap: bool) -> None:
    path = folder / "f.zarr"

    def act():
        replace(path)

    def check():
        assert content(path) in ("old", "new")
        act()  # clears what was left
        assert content(path) == "new"
        assert [one.name for one in folder.iterdir()] == ["f.zarr"]

    with Location.of(path).appearing() as new:
        write(new, "old")
    assert interruptions.killed_everywhere(act, check, swap=swap) > 20


@cache
def old_and_new():
    """Two studies and the LODs of each, made in this thread: children can be made afterwards."""
    with dask.config.set(scheduler="synchronous"):
        pair = [studies.study(8, 4, 2, seed) for seed in (0, 1)]
        return *pair, [blmm.scan(one).lod.values for one in pair]


def make_stores(folder: Path) -> None:
    old = old_and_new()[0]
    blmm.save(old, folder / "study.zarr")
    blmm.save(blmm.scan(old), folder / "r.zarr")


def save_study(folder: Path) -> None:
    blmm.save(old_and_new()[1], folder / "study.zarr", overwrite=True)


def save_result(folder: Path) -> None:
    blmm.save(blmm.scan(old_and_new()[1]), folder / "r.zarr", overwrite=True)


def put_kinship(folder: Path) -> None:
    add_kinship(folder / "study.zarr", old_and_new()[0].kinship * 2, overwrite=True)


def require_whole(folder: Path) -> None:
    """Both stores open, and each is one of what it was and what it was to become."""
    old, new, lods = old_and_new()
    study = blmm.open_dataset(folder / "study.zarr").compute()
    bare = [one.drop_vars("kinship") for one in (study, old, new)]
    assert sum(bare[0].equals(one) for one in bare[1:]) == 1
    kinships = (old.kinship, old.kinship * 2, new.kinship)
    assert sum(np.array_equal(study.kinship, one) for one in kinships) == 1
    result = blmm.open_result(folder / "r.zarr").compute()
    assert sum(np.array_equal(result.lod, one) for one in lods) == 1
    assert sorted(one.name for one in folder.iterdir() if one.name[0] != ".") == [
        "r.zarr",
        "study.zarr",
    ]


ACTIONS = [save_study, save_result, put_kinship]
# Some hundred operations each, most of them alike: every 17th; a first one that differs by the stop
# makes others of them.
STEP = 17


@pytest.mark.slow
@STOPS
@pytest.mark.parametrize("act", ACTIONS)
def test_a_store_is_the_old_or_the_new_one(act, how, after, tmp_path):
    make_stores(tmp_path)

    def check():
        require_whole(tmp_path)
        assert not interruptions.hidden(tmp_path)

    begin = 3 * STOPS.args[1].index((how, after))
    numbers = range(begin, 10**6, STEP)
    count = interruptions.stopped_everywhere(
        lambda: act(tmp_path), check, how, after=after, numbers=numbers
    )
    assert count > 100


def kill_stores(path: Path, swap: bool) -> None:
    old_and_new()
    interruptions.imported_by(lambda: (make_stores(path), require_whole(path)))
    for act in ACTIONS:

        def check(act=act):
            require_whole(path)
            act(path)  # clears what was left
            require_whole(path)
            assert not interruptions.hidden(path)

        assert (
            interruptions.killed_everywhere(
                partial(act, path), check, swap=swap, numbers=range(5, 10**6, 7 * STEP)
            )
            > 100
        )


@pytest.mark.slow
@SWAPS
def test_a_killed_replacement_leaves_the_old_or_the_new_store(swap, tmp_path):
    in_child("kill_stores", tmp_path, swap)


@pytest.mark.slow
def test_a_killed_replacement_leaves_the_old_or_the_new_folder(tmp_path):
    in_child("kill_folder", tmp_path, True, False)
