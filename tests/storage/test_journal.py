"""The journal of a run: a file for many blocks, which readers see and the end of a run removes."""

from __future__ import annotations

import shutil
from pathlib import Path

import dask
import numpy as np
import pytest
import studies
import xarray as xr

import bulklmm_dask as blmm
from bulklmm_dask.describe import describe
from bulklmm_dask.storage.arrays.datasets import make_array
from bulklmm_dask.storage.places.location import Location
from bulklmm_dask.storage.proof.entry import JOURNAL, Finished, encoded, entries_of, marked
from bulklmm_dask.storage.proof.manifest import (
    BLOCKS,
    TRAITS,
    entered,
    entries,
    marks,
)
from bulklmm_dask.storage.results import journal, ledger, skeleton
from bulklmm_dask.storage.results.soundness import finished
from bulklmm_dask.storage.summaries import notes, of_blocks
from bulklmm_dask.storage.summaries.of_blocks import create_summaries

CHUNKS = {"variants": 4, "traits": 3}  # 8 x 4 blocks


class StoppedError(Exception):
    """Ends a run."""


@pytest.fixture(scope="module")
def study(tmp_path_factory):
    path = tmp_path_factory.mktemp("study") / "study.zarr"
    blmm.save(studies.study(n=30, p=30, m=12), path)
    return path


def scan(study: Path, store: Path, progress=None, **options):
    with dask.config.set(scheduler="synchronous"):
        ds = blmm.open_dataset(study)
        return blmm.scan(ds, store=store, chunks=CHUNKS, progress=progress, **options)


def content_of(store: Path) -> dict[str, bytes]:
    files = [file for file in store.rglob("*") if file.is_file()]
    return {str(file.relative_to(store)): file.read_bytes() for file in files}


@pytest.fixture(scope="module")
def whole(study, tmp_path_factory):
    """The undisturbed result."""
    path = tmp_path_factory.mktemp("whole") / "r.zarr"
    scan(study, path)
    return path


@pytest.fixture
def small(monkeypatch):
    """Entries of five blocks."""
    shorten(monkeypatch)


def shorten(patch, size=5):
    patch.setattr(journal, "_BLOCKS", size)
    patch.setattr(journal, "_MOST", size)


def killed(study: Path, path: Path, count: int, size: int = 5) -> Path:
    """A run that is killed after some blocks: nothing is written any more."""

    def stop(step):
        if step.done == count:
            raise StoppedError

    with pytest.MonkeyPatch.context() as patch:
        shorten(patch, size)
        patch.setattr(journal.Journal, "__exit__", lambda *_: None)
        with pytest.raises(StoppedError):
            scan(study, path, stop)
    return path


@pytest.fixture(scope="module")
def stores(study, tmp_path_factory):
    """Stores of runs that were killed after 14 blocks, and after all and their last entry."""
    folder = tmp_path_factory.mktemp("killed")
    made = ((14, 5), (32, 4))
    return {count: killed(study, folder / f"{count}.zarr", count, size) for count, size in made}


@pytest.fixture
def part(stores, tmp_path, small):
    """A copy of that of 14 blocks; four chunks of traits are noted too."""
    return shutil.copytree(stores[14], tmp_path / "r.zarr")


def journal_of(store: Path) -> list[Path]:
    folder = store / JOURNAL
    return sorted(folder.iterdir()) if folder.exists() else []


def test_entries_hold_what_is_finished_and_arrays_stay_as_they_are(part):
    store = Location.of(part)
    assert [file.name for file in journal_of(part)] == ["00000", "00001", "00002"]
    assert not entered(store, BLOCKS).any()
    assert not entered(store, TRAITS).any()
    noted = sum(len(found) for each in marked(store) for found in each.values())
    assert noted == 15
    assert marks(store, BLOCKS).sum() + marks(store, TRAITS).sum() == noted
    assert finished(part) == (int(marks(store, BLOCKS).sum()), 32)
    assert not list(part.glob("summary/*/c/*/*"))


def test_marks_tell_how_many_bytes_a_block_has(whole):
    store = Location.of(whole)
    for (i, j), mark in np.ndenumerate(entries(store, BLOCKS)):
        assert mark == 1 + (whole / "lod" / "c" / str(i) / str(j)).stat().st_size
    names = ("h2", "sigma2", "n_samples", "trait_status")
    for j, mark in enumerate(entries(store, TRAITS)):
        assert mark == 1 + sum((whole / name / "c" / str(j)).stat().st_size for name in names)


def test_readers_of_an_unfinished_store_see_the_journal(part):
    done = finished(part)[0]
    assert f"{done} of 32 blocks of 4 x 3 finished" in describe(part)
    with pytest.raises(blmm.StoreError, match=rf"unfinished: {done} of 32 blocks .*goes on"):
        blmm.open_result(part)
    assert blmm.verify(part).empty
    entry = next(entries_of(Location.of(part)))
    i, j = entry[BLOCKS].marks[-1]
    file = part / "lod" / "c" / str(i) / str(j)
    file.write_bytes(file.read_bytes()[:-1])
    assert blmm.verify(part).to_numpy().tolist() == [
        [str(part), "lod", f"lod/c/{i}/{j}", "changed"]
    ]


def test_a_run_that_goes_on_computes_what_is_not_in_the_journal(part, study, whole):
    done, steps = finished(part)[0], []
    result = scan(study, part, steps.append)
    assert len(steps) == 1 + 32 - done
    assert content_of(part) == content_of(whole)
    assert not (part / JOURNAL).exists()
    assert blmm.verify(part).empty
    xr.testing.assert_identical(result.compute(), blmm.open_result(whole).compute())


def test_a_run_that_ends_leaves_nothing_of_its_journal(study, tmp_path, small, whole):
    path = tmp_path / "r.zarr"

    def stop(step):
        if step.done == 17:
            assert len(journal_of(path)) >= 3
            raise StoppedError

    with pytest.raises(StoppedError):
        scan(study, path, stop)
    assert not (path / JOURNAL).exists()
    assert entered(Location.of(path), BLOCKS).sum() == 17
    scan(study, path)
    assert content_of(path) == content_of(whole)


def cut(file: Path) -> None:
    file.write_bytes(file.read_bytes()[:-9])


def flip_head(file: Path) -> None:
    data = bytearray(file.read_bytes())
    data[40] ^= 1
    file.write_bytes(data)


def flip_arrays(file: Path) -> None:
    data = bytearray(file.read_bytes())
    data[-40] ^= 1
    file.write_bytes(data)


def another(file: Path) -> None:
    shutil.copy(file.with_name("00000"), file)


def empty(file: Path) -> None:
    file.write_bytes(b"")


@pytest.mark.parametrize("harm", [cut, flip_head, flip_arrays, another, empty])
def test_blocks_of_a_damaged_entry_are_computed_again(part, study, whole, harm):
    done = finished(part)[0]
    harm(journal_of(part)[1])
    assert blmm.verify(part)[["file", "problem"]].to_numpy().tolist() == [
        [f"{JOURNAL}/00001", "changed"]
    ]
    assert finished(part)[0] in (done, done - 5)  # its arrays are not read for that
    steps = []
    scan(study, part, steps.append)
    assert len(steps) == 1 + 32 - (done - 5)
    assert content_of(part) == content_of(whole)


def test_an_entry_of_another_analysis_tells_nothing(part, study, tmp_path):
    other = tmp_path / "other.zarr"

    def stop(_):
        raise StoppedError

    with pytest.raises(StoppedError):
        scan(study, other, stop, reml=True)
    shutil.copytree(part / JOURNAL, other / JOURNAL)
    assert finished(other)[0] == 0
    assert blmm.verify(other)[["array", "problem"]].to_numpy().tolist() == 3 * [[BLOCKS, "changed"]]


@pytest.mark.parametrize("where", ["before the summaries", "before the marks", "before it is gone"])
def test_folding_that_is_cut_off_is_done_again(study, stores, tmp_path, whole, where, monkeypatch):
    """By a kill after the last block was written."""
    path = shutil.copytree(stores[32], tmp_path / "r.zarr")

    def stop(*_):
        raise StoppedError

    with monkeypatch.context() as patch:
        if where == "before the summaries":
            patch.setattr(ledger.Notes, "write", stop)
        elif where == "before the marks":
            real = ledger._Rows.write
            patch.setattr(
                ledger._Rows,
                "write",
                lambda rows: stop() if rows.ndim == 1 else real(rows),
            )
        else:
            patch.setattr(type(Location.of(path)), "remove", stop)
        with pytest.raises(StoppedError):
            ledger.fold(Location.of(path), None)
    assert len(journal_of(path)) == 9
    assert blmm.verify(path).empty
    if where != "before it is gone":
        with pytest.raises(blmm.StoreError, match=r"unfinished: .* with the same store"):
            blmm.open_result(path)
        assert "all blocks finished: run it again, which only puts its journal into" in describe(
            path
        )
    steps = []
    scan(study, path, steps.append)
    assert len(steps) == 1
    assert content_of(path) == content_of(whole)


def test_mending_puts_the_journal_into_the_arrays(part, study, whole):
    cut(journal_of(part)[1])
    i, j = next(entries_of(Location.of(part)))[BLOCKS].marks[0]
    (part / f"lod/c/{i}/{j}").unlink()
    (part / "manifest/lod/c/0/0/0").write_bytes(b"")
    table = blmm.verify(part, mend=True)
    assert table.mended.all()
    assert f"{JOURNAL}/00001" in set(table.file)
    assert content_of(part) == content_of(whole)


def test_a_store_with_a_journal_may_be_replaced(part, study):
    result = blmm.scan(blmm.open_dataset(study)).compute()
    blmm.save(result, part, overwrite=True)
    assert not (part / JOURNAL).exists()


def test_permutations_and_saved_results_have_a_journal_too(study, tmp_path, small, whole):
    ds = blmm.open_dataset(study)
    seen = []

    def look(step):
        seen.append(len(journal_of(tmp_path / "p.zarr")))

    store = tmp_path / "p.zarr"
    options = {"n_permutations": 24, "seed": 1, "chunks": {"permutations": 4, "traits": 3}}
    blmm.permute(ds, store=store, progress=look, **options)
    assert max(seen) >= 3
    blmm.permute(ds, store=tmp_path / "q.zarr", **options)
    assert content_of(store) == content_of(tmp_path / "q.zarr")
    blmm.save(blmm.open_result(whole), tmp_path / "saved.zarr")
    assert not list(tmp_path.rglob("journal"))
    np.testing.assert_array_equal(
        blmm.open_result(tmp_path / "saved.zarr").lod, blmm.open_result(whole).lod
    )


@pytest.fixture
def older(study, tmp_path, monkeypatch):
    """Half a store, and a whole one, as they were before the journal: no lengths, no files."""

    def of_bytes(store, name, shape, dims):
        make_array(store / name, np.zeros(shape, np.uint8), dims=dims)

    def without_files(store, *args):
        names = create_summaries(store, *args)
        (store / names[-1]).remove()
        return names[:-1]

    with monkeypatch.context() as patch:
        patch.setattr(skeleton, "create_marks", of_bytes)
        patch.setattr(skeleton, "create_summaries", without_files)
        scan(study, tmp_path / "whole.zarr")

        def stop(step):
            if step.done == 14:
                raise StoppedError

        with pytest.raises(StoppedError):
            scan(study, tmp_path / "half.zarr", stop)
    return tmp_path


def test_stores_from_before_the_journal_are_gone_on_with(older, study, whole, small):
    path = older / "half.zarr"
    assert blmm.verify(path).empty
    i, j = np.argwhere(entered(Location.of(path), BLOCKS))[0]
    for file in (path / f"lod/c/{i}/{j}", next(path.glob("summary/row/c/*/*"))):
        data = bytearray(file.read_bytes())
        data[-1] ^= 1
        file.write_bytes(data)
    steps = []
    result = scan(study, path, steps.append)
    assert len(steps) == 1 + 32 - 13
    assert content_of(path) == content_of(older / "whole.zarr")
    assert blmm.verify(path).empty
    assert blmm.max_lod(result).equals(blmm.max_lod(blmm.open_result(whole)))


def test_entries_grow_with_the_run(study, tmp_path, monkeypatch):
    monkeypatch.setattr(journal, "_BLOCKS", 3)
    path, sizes = tmp_path / "r.zarr", []

    def look(step):
        if len(journal_of(path)) > len(sizes):
            sizes.append(step.done)

    scan(study, path, look)
    gaps = np.diff(sizes)
    assert gaps[0] <= 4
    assert gaps[-1] > gaps[0]


def test_an_entry_is_read_as_it_was_written(tmp_path):
    rng = np.random.default_rng(0)
    arrays = {
        "manifest/lod": rng.integers(0, 2**32, (3, 5), np.uint32),
        "summary/highest": rng.standard_normal(40).astype(np.float32),
        "summary/counts": rng.poisson(0.01, (3, 1000)).astype(np.uint32),
    }
    entry = {BLOCKS: Finished([(0, 0), (1, 0), (2, 7)], arrays), TRAITS: Finished([(7,)], {})}
    store = Location.of(tmp_path / "s.zarr")
    with (store / "zarr.json").replacing() as stream:
        stream.write(b'{"zarr_format": 3, "node_type": "group", "attributes": {"digest": "0123"}}')
    with (store / JOURNAL / "00003").replacing() as stream:
        stream.write(encoded(entry, 3, "0123"))
    (found,) = entries_of(store)
    assert {kind: part.marks for kind, part in found.items()} == {
        BLOCKS: [(0, 0), (1, 0), (2, 7)],
        TRAITS: [(7,)],
    }
    assert found[BLOCKS].arrays.keys() == arrays.keys()
    for name, values in arrays.items():
        np.testing.assert_array_equal(found[BLOCKS].arrays[name], values)
        assert found[BLOCKS].arrays[name].dtype == values.dtype


@pytest.mark.parametrize("alone", [1, 10**9])
def test_entries_are_put_in_place_together_as_one_by_one(
    study, whole, tmp_path, alone, monkeypatch
):
    """Of whatever size the maxima of a block are."""
    path = killed(study, tmp_path / "r.zarr", 25)
    monkeypatch.setattr(notes, "_ALONE", alone)
    scan(study, path)
    assert content_of(path) == content_of(whole)


def test_many_small_blocks_are_not_counted(study, tmp_path, monkeypatch):
    counted = scan(study, tmp_path / "counted.zarr")
    monkeypatch.setattr(of_blocks, "_FEW", 16)
    result = scan(study, tmp_path / "r.zarr")
    assert (tmp_path / "counted.zarr" / of_blocks.COUNTS).exists()
    assert not (tmp_path / "r.zarr" / of_blocks.COUNTS).exists()
    assert blmm.verify(tmp_path / "r.zarr").empty
    assert blmm.find_hits(result, fdr=0.5).equals(blmm.find_hits(counted, fdr=0.5))
    assert blmm.pvalue_counts(result).equals(blmm.pvalue_counts(counted))
