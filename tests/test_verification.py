"""Stores that are read whole and compared with what was written."""

from __future__ import annotations

import builtins
import errno
import io
import json
import os
import random
import re
import shutil
import zipfile
from pathlib import Path

import pytest
import studies
import zarr
from commands import run

import bulklmm_dask as blmm
from bulklmm_dask.engine import plan

BLOCKS = {"variants": 8, "traits": 12}
KEPT = Path(__file__).parent / "data" / "stores-0.1.0.zip"


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    folder = tmp_path_factory.mktemp("made")
    ds = studies.study(n=30, p=30, m=20)
    blmm.save(ds, folder / "study.zarr")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(plan, "_INNER", 4)
        blmm.scan(ds, store=folder / "scan.zarr", chunks=BLOCKS)
    blmm.permute(ds, n_permutations=20, store=folder / "perm.zarr")
    return folder


@pytest.fixture
def copy(made, tmp_path):
    return Path(shutil.copytree(made, tmp_path / "copy"))


def found(store):
    table = blmm.verify(store)
    assert set(table["store"]) <= {str(store)}
    return {(row.file, row.problem) for row in table.itertuples()}


def flip(file, at=-1, bit=1):
    content = bytearray(file.read_bytes())
    content[at] ^= bit
    file.write_bytes(content)


STORES = ("study.zarr", "scan.zarr", "perm.zarr")


@pytest.mark.parametrize("name", STORES)
def test_a_sound_store_has_no_findings_and_all_is_read(made, name):
    steps = []
    table = blmm.verify(made / name, progress=lambda *step: steps.append(step))
    assert not len(table)
    assert list(table.columns) == ["store", "array", "file", "problem"]
    assert steps[-1] == (size_of(made / name),) * 2
    assert steps == sorted(steps)


@pytest.mark.parametrize("name", STORES)
def test_every_damaged_file_is_found_and_no_other(copy, name):
    store, draw = copy / name, random.Random(4)
    files = sorted(file for file in store.rglob("*") if file.is_file())
    for file in draw.sample(files, 12):
        content = file.read_bytes()
        flip(file, draw.randrange(len(content)), 1 << draw.randrange(8))
        rows = blmm.verify(store)
        # Files that damaged metadata or sums describe are not judged.
        assert str(file.relative_to(store)) in set(rows["file"]), file
        file.write_bytes(content)
    assert found(store) == set()


def test_each_problem_has_its_name(copy):
    store = copy / "scan.zarr"
    blocks = store / "lod" / "c"
    (blocks / "0" / "0").unlink()
    os.truncate(blocks / "1" / "0", 10)
    flip(blocks / "2" / "0", 30)
    shutil.copy(blocks / "0" / "1", blocks / "1" / "1")
    (store / "notes.txt").write_text("mine")
    flip(store / "trait_id" / "c" / "0", 20)
    flip(store / "variant_id" / "zarr.json", 20)
    shutil.rmtree(store / "n_samples")
    assert found(store) == {
        ("lod/c/0/0", "lost"),
        ("lod/c/1/0", "cut short"),
        ("lod/c/2/0", "changed"),
        ("lod/c/1/1", "another file"),
        ("notes.txt", "surplus"),
        ("trait_id/c/0", "changed"),
        ("variant_id/zarr.json", "changed"),
        ("n_samples/zarr.json", "lost"),
    }


def test_metadata_of_scores_that_cannot_be_read(copy):
    """With a summary of them, which cannot be compared then."""
    for content in (b"", b"null", b"{}", (copy / "scan.zarr/lod/zarr.json").read_bytes()[:300]):
        (copy / "scan.zarr" / "lod" / "zarr.json").write_bytes(content)
        assert found(copy / "scan.zarr") == {("lod/zarr.json", "changed")}


def test_files_that_the_disk_does_not_give(copy, monkeypatch):
    store = copy / "scan.zarr"
    whole = {file: file.read_bytes() for file in store.rglob("*") if file.is_file()}
    bad = [store / name for name in ("lod/c/0/0", "h2/zarr.json", "trait_id/c/0")]
    read = builtins.open

    def failing(file, *args, **options):
        if args[:1] in ((), ("rb",)) and os.fspath(file) in map(str, bad):
            raise OSError(errno.EIO, "Input/output error")
        return read(file, *args, **options)

    with monkeypatch.context() as patch:
        for module in (builtins, io):
            patch.setattr(module, "open", failing)
        assert found(store) == {(f"{file.relative_to(store)}", "unreadable") for file in bad}
    for file in bad:
        file.unlink()
        file.symlink_to(file.name)  # a link to itself
    assert found(store) == {(f"{file.relative_to(store)}", "lost") for file in bad}
    monkeypatch.setattr(plan, "_INNER", 4)  # as in the store
    assert blmm.verify(store, mend=True, study=copy / "study.zarr")["mended"].all()
    assert {file: file.read_bytes() for file in store.rglob("*") if file.is_file()} == whole


def test_exchanged_metadata_are_found(copy):
    store = copy / "scan.zarr"
    one, other = (store / name / "zarr.json" for name in ("manifest/lod", "h2"))
    content = one.read_bytes()
    one.write_bytes(other.read_bytes())
    other.write_bytes(content)
    assert {("manifest/lod/zarr.json", "changed"), ("h2/zarr.json", "changed")} <= found(store)


def test_an_unfinished_result_is_sound(copy, tmp_path):
    ds = studies.study(n=30, p=30, m=20)

    class StoppedError(Exception):
        pass

    def stop(progress):
        if progress.done == 3:
            raise StoppedError

    with pytest.raises(StoppedError):
        blmm.scan(ds, store=tmp_path / "r.zarr", chunks=BLOCKS, progress=stop)
    assert found(tmp_path / "r.zarr") == set()
    # Blocks that were written and have no mark are not read; progress reaches its end all the same.
    with zarr.config.set({"array.write_empty_chunks": True}):
        zarr.open_array(tmp_path / "r.zarr", path="manifest_blocks")[...] = 0
    steps = []
    assert not len(blmm.verify(tmp_path / "r.zarr", progress=lambda *step: steps.append(step)))
    assert steps[-1][0] == steps[-1][1] == size_of(tmp_path / "r.zarr")


def size_of(store):
    return sum(file.stat().st_size for file in store.rglob("*") if file.is_file())


def test_a_damaged_root_and_no_store(copy):
    (copy / "scan.zarr" / "zarr.json").write_text("{")
    assert found(copy / "scan.zarr") == {("zarr.json", "changed")}
    content = (copy / "study.zarr" / "zarr.json").read_bytes()
    flip(copy / "study.zarr" / "zarr.json", content.index(b"bulklmm_store"))
    assert ("zarr.json", "changed") in found(copy / "study.zarr")
    (copy / "perm.zarr" / "zarr.json").unlink()
    assert found(copy / "perm.zarr") == {("zarr.json", "lost")}
    shutil.rmtree(copy / "perm.zarr" / "manifest")
    lost = {("zarr.json", "lost"), ("manifest/zarr.json", "lost")}
    assert found(copy / "perm.zarr") == lost
    reasons = blmm.verify(copy / "perm.zarr", mend=True)["reason"]
    assert reasons.str.contains("its options are not known").all()
    with pytest.raises(
        blmm.StoreError, match=r"perm\.zarr is damaged: its zarr\.json is lost; ver"
    ):
        blmm.open_result(copy / "perm.zarr")
    (copy / "study.zarr" / "zarr.json").unlink()
    with pytest.raises(
        blmm.StoreError, match=r"study\.zarr is damaged: its zarr\.json is lost; ver"
    ):
        blmm.open_dataset(copy / "study.zarr")
    (copy / "empty").mkdir()
    with pytest.raises(blmm.StoreError, match=r"empty is no store: it has no zarr\.json"):
        blmm.verify(copy / "empty")
    with pytest.raises(blmm.StoreError, match="there is no store"):
        blmm.verify(copy / "none.zarr")


@pytest.mark.parametrize("name", ["study.zarr", "scan.zarr", "perm.zarr"])
@pytest.mark.parametrize("text", ["{", None])
def test_what_else_is_damaged_is_found_beside_a_damaged_root(copy, name, text):
    store = copy / name
    expected = {("zarr.json", "lost" if text is None else "changed")}
    if text is None:
        (store / "zarr.json").unlink()
    else:
        (store / "zarr.json").write_text(text)
    assert found(store) == expected
    large = {"study.zarr": "sample_trait", "scan.zarr": "lod", "perm.zarr": "max_lod"}[name]
    file = next(file for file in sorted((store / large / "c").rglob("*")) if file.is_file())
    flip(file, 5)
    (store / "traits" / "zarr.json").unlink()
    (store / large / "c" / "77").write_text("mine")
    assert found(store) == expected | {
        (file.relative_to(store).as_posix(), "changed"),
        ("traits/zarr.json", "lost"),
        (f"{large}/c/77", "surplus"),
    }


def test_stores_of_the_first_version(tmp_path):
    with zipfile.ZipFile(KEPT) as archive:
        archive.extractall(tmp_path)
    for name in ("study.zarr", "scan.zarr", "perm.zarr", "unfinished.zarr"):
        assert found(tmp_path / name) == set()
    os.truncate(tmp_path / "scan.zarr" / "trait_id" / "c" / "0", 9)
    assert found(tmp_path / "scan.zarr") == {("trait_id/c/0", "changed")}


def test_entries_of_another_array_of_the_manifest_are_found(copy):
    """Their own checksums are right, and what they say of the blocks cannot be read."""
    store = copy / "scan.zarr"
    shutil.copy(store / "manifest_traits" / "c" / "0", store / "manifest/lod/c/0/0/0")
    assert ("manifest/lod/c", "another file") in found(store)


def test_the_command(copy):
    whole = run("verify", copy / "study.zarr", copy / "scan.zarr")
    assert "study.zarr: " in whole.stderr
    assert whole.stderr.count("as it was written") == 2
    flip(copy / "scan.zarr" / "lod" / "c" / "2" / "0", 30)
    table = run("verify", copy / "scan.zarr", code=1)
    assert table.stdout.splitlines()[1].endswith("lod,lod/c/2/0,changed")
    assert "--mend computes those of results again" in table.stderr
    listed = json.loads(run("verify", copy / "scan.zarr", "--json", code=1).stdout)
    assert [one["file"] for one in listed["findings"]] == ["lod/c/2/0"]


def test_the_command_reads_the_others_where_a_store_cannot_be_read(copy):
    flip(copy / "scan.zarr" / "lod" / "c" / "2" / "0", 30)
    table = run("verify", copy / "study.zarr", copy / "none.zarr", copy / "scan.zarr", code=1)
    assert table.stdout.splitlines()[1].endswith("lod,lod/c/2/0,changed")
    assert re.search(
        r"1 part of 1 store not as written; .*; there is no .*none\.zarr", table.stderr
    )
    alone = run("verify", copy / "none.zarr", code=1)
    assert not alone.stdout
    assert "none.zarr" in alone.stderr


def test_the_command_mends(copy, monkeypatch):
    monkeypatch.setattr(plan, "_INNER", 4)
    store = copy / "scan.zarr"
    whole = (store / "lod" / "c" / "2" / "0").read_bytes()
    flip(store / "lod" / "c" / "2" / "0", 30)
    both = (copy / "study.zarr", store, "--mend")
    table = run("verify", *both, code=1)
    assert table.stdout.splitlines()[0] == "store,array,file,problem,mended,reason"
    assert table.stdout.splitlines()[1].endswith(
        "lod/c/2/0,changed,False,it does not say which study it was made from; give it as --from"
    )
    assert "1 part of 1 store not mended; the table says why" in table.stderr
    mended = json.loads(run("verify", *both, "--from", copy / "study.zarr", "--json").stdout)
    (row,) = mended["findings"]
    assert (row["file"], row["mended"], row["reason"]) == ("lod/c/2/0", True, "")
    assert (store / "lod" / "c" / "2" / "0").read_bytes() == whole
    assert "as it was written" in run("verify", *both).stderr
    said = run("verify", store, "--from", copy / "study.zarr", code=2).stderr
    assert "--from is given, but nothing is to be mended; add --mend" in said


def test_the_command_names_what_cannot_be_mended(copy):
    flip(copy / "study.zarr" / "call_dosage" / "c" / "0" / "0", 30)
    table = run("verify", copy / "study.zarr", "--mend", code=1).stdout
    assert "changed,False,what was measured cannot be computed again: import the study" in table


def test_the_command_knows_the_study_of_a_scan_by_command(copy):
    store = copy / "named.zarr"
    run("scan", copy / "study.zarr", store, "--reml", "--covariates", "none")
    (store / "lod" / "c" / "0" / "0").unlink()
    assert "1 finding, 1 of them mended" in run("verify", store, "--mend").stderr


def test_what_only_mending_brings_to_light_is_named_too(copy, monkeypatch):
    """Of a group whose metadata are damaged it is not known which files it should have."""
    monkeypatch.setattr(plan, "_INNER", 4)
    store = copy / "scan.zarr"
    (store / "manifest" / "zarr.json").write_text("{")
    (store / "manifest" / "notes.txt").write_text("mine")
    assert found(store) == {("manifest/zarr.json", "changed")}
    table = blmm.verify(store, mend=True, study=copy / "study.zarr")
    assert dict(zip(table["file"], table["mended"], strict=True)) == {
        "manifest/zarr.json": True,
        "manifest/notes.txt": False,
    }
    assert found(store) == {("manifest/notes.txt", "surplus")}
