"""Damaged results are made whole: afterwards every file is what it was."""

from __future__ import annotations

import os
import random
import re
import shutil
import signal
import time
import zipfile
from contextlib import suppress
from pathlib import Path

import interruptions
import numpy as np
import pandas as pd
import pytest
import studies

import bulklmm_dask as blmm
from bulklmm_dask.engine import plan
from bulklmm_dask.surface import command_line

KEPT = Path(__file__).parents[1] / "data" / "stores-0.1.0.zip"
BLOCKS = {"variants": 8, "traits": 12}


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """A study and a result of every kind, all sound."""
    folder = tmp_path_factory.mktemp("whole")
    ds = studies.study(n=24, p=30, m=20, covariates=1)
    ds["kinship_loco"] = blmm.kinship(ds, loco=True).compute()
    ds["sample_sex"] = ("samples", np.arange(24) % 2)
    ds["sample_copies"] = ("samples", 1 + np.arange(24) % 3)
    gaps = np.arange(24)[:, None] > np.arange(20) % 3
    blmm.save(ds, folder / "study.zarr")
    blmm.save(ds.assign(sample_trait=ds["sample_trait"].where(gaps)), folder / "gaps.zarr")
    ds, gaps = (blmm.open_dataset(folder / name) for name in ("study.zarr", "gaps.zarr"))
    blmm.scan(gaps, store=folder / "chunks.zarr", chunks=BLOCKS, statistics=["beta", "se"])
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(plan, "_INNER", 4)
        blmm.scan(
            ds,
            store=folder / "shards.zarr",
            chunks=BLOCKS,
            method="alt-grid",
            reml=True,
            compression="zstd",
            digits=4,
        )
    blmm.scan(
        ds,
        store=folder / "loco.zarr",
        chunks=BLOCKS,
        loco=True,
        interaction="sex",
        prior=(1.0, 2.0),
        replicates="copies",
    )
    blmm.permute(
        ds,
        n_permutations=20,
        seed=3,
        by="contig",
        strata="sex",
        store=folder / "maxima.zarr",
        chunks={"permutations": 8, "traits": 8},
    )
    blmm.permute(gaps, n_permutations=20, method="shared", store=folder / "shared.zarr")
    blmm.hotspot_baseline(
        ds, window=3, threshold=1.0, n_permutations=3, peakdrop=1, store=folder / "hotspots.zarr"
    )
    return folder


# Files and coroutines of Zarr that a stop cuts off are closed later.
CUT_OFF = pytest.mark.filterwarnings(
    "ignore:unclosed file", "ignore:Exception ignored in", "ignore:coroutine .* was never awaited"
)
STOPS = pytest.mark.parametrize("how", [interruptions.error, interruptions.ctrl_c])
RESULTS = ("chunks.zarr", "shards.zarr", "loco.zarr", "maxima.zarr", "shared.zarr", "hotspots.zarr")


@pytest.fixture
def copy(whole, tmp_path):
    def copy_of(name):
        return Path(shutil.copytree(whole / name, tmp_path / name, dirs_exist_ok=True))

    return copy_of


@pytest.fixture(autouse=True)
def small_chunks(monkeypatch, request):
    """Shards have small chunks in the store whose name says so."""
    if "shards.zarr" in request.node.name:
        monkeypatch.setattr(plan, "_INNER", 4)


def files_of(store: Path) -> list[Path]:
    return sorted(file for file in store.rglob("*") if file.is_file())


def content_of(store: Path) -> dict[str, bytes]:
    return {str(file.relative_to(store)): file.read_bytes() for file in files_of(store)}


def flip(file: Path, bit: int) -> None:
    content = bytearray(file.read_bytes())
    content[bit // 8] ^= 1 << bit % 8
    file.write_bytes(content)


def damage(store: Path, draw: random.Random) -> str:
    """Damage a store in one of many ways; say how."""
    file = draw.choice([file for file in files_of(store) if file.stat().st_size])
    size = file.stat().st_size
    ways = ("flip", "cut", "lose", "empty", "garbage", "exchange", "array", "swap", "surplus")
    how = draw.choice(ways)
    if how == "flip":
        flip(file, draw.randrange(8 * size))
    elif how == "cut":
        os.truncate(file, draw.randrange(size))
    elif how == "lose":
        file.unlink()
    elif how == "empty":
        file.write_bytes(b"")
    elif how == "garbage":
        file.write_bytes(draw.randbytes(size))
    elif how == "exchange":
        other = draw.choice([one for one in files_of(store) if one.parent.name != store.name])
        one, two = file.read_bytes(), other.read_bytes()
        file.write_bytes(two)
        other.write_bytes(one)
        return f"exchange {file} with {other}"
    elif how == "swap":
        arrays = sorted(store.glob("*/zarr.json")) + sorted(store.glob("*/*/zarr.json"))
        arrays = [one.parent for one in arrays if b'"array"' in one.read_bytes()]
        one, other = draw.sample(arrays, 2)
        swap(one, other)
        return f"swap {one} and {other}"
    elif how == "array":
        folder = draw.choice([one.parent for one in store.glob("**/*/zarr.json")])
        shutil.rmtree(folder)
        return f"lose {folder}"
    else:
        folder = store / "manifest_blocks" if file.parent == store else file.parent
        (folder / "999").write_bytes(b"more")
    return f"{how} {file}"


def swap(one: Path, other: Path) -> None:
    """Exchange two folders."""
    aside = one.with_name("aside")
    one.rename(aside)
    other.rename(one)
    aside.rename(other)


def random_damage(store: Path, count: int, seed: int) -> None:
    before, draw = content_of(store), random.Random(seed)
    for _ in range(count):
        how = [damage(store, draw) for _ in range(draw.choice((1, 1, 1, 2, 3)))]
        now = content_of(store)
        if all(now.get(name) != before[name] for name in ("zarr.json", "manifest/zarr.json")):
            # Nothing tells the options any more.
            shutil.rmtree(store)
            for name, data in before.items():
                (store / name).parent.mkdir(parents=True, exist_ok=True)
                (store / name).write_bytes(data)
            continue
        table = blmm.verify(store, mend=True)
        left = [name for name in table[~table["mended"]]["file"] if "999" not in name]
        assert not left, (how, table.to_dict("records"))
        after = {name: data for name, data in content_of(store).items() if name[-3:] != "999"}
        assert after == before, how
        for file in files_of(store):
            if file.name == "999":
                file.unlink()


@pytest.mark.parametrize("name", RESULTS)
def test_random_damage_is_mended(copy, name):
    random_damage(copy(name), 6, seed=1)


@pytest.mark.slow
@pytest.mark.parametrize("name", RESULTS)
def test_much_random_damage_is_mended(copy, name):
    random_damage(copy(name), 15, seed=2)


def mended(store: Path, **options) -> dict[str, str]:
    """Mend a store; give why each file was not, empty for those that were."""
    table = blmm.verify(store, mend=True, **options)
    assert (table["mended"] == (table["reason"] == "")).all()
    return dict(zip(table["file"], table["reason"], strict=True))


def age_of(store: Path) -> dict[Path, int]:
    return {file: file.stat().st_mtime_ns for file in files_of(store)}


def test_only_what_is_damaged_is_written_again(copy):
    store = copy("chunks.zarr")
    before, ages = content_of(store), age_of(store)
    wrong = [store / "lod/c/0/0", store / "beta/c/2/1", store / "h2/c/1", store / "trait_id/c/0"]
    flip(wrong[0], 900)
    wrong[1].unlink()
    os.truncate(wrong[2], 9)
    flip(wrong[3], 100)
    assert mended(store) == dict.fromkeys(["beta/c/2/1", "h2/c/1", "lod/c/0/0", "trait_id/c/0"], "")
    assert content_of(store) == before
    written = {file for file, age in age_of(store).items() if age != ages[file]}
    # All arrays of the two blocks and of the chunk of traits, and what the journal writes.
    blocks = {
        (store / array / "c" / at) for array in ("lod", "beta", "se") for at in ("0/0", "2/1")
    }
    of_traits = {store / array / "c/1" for array in ("h2", "sigma2", "n_samples", "trait_status")}
    inside = {
        file
        for file in written
        if not file.relative_to(store).parts[0].startswith(("mani", "summ"))
    }
    assert inside == blocks | of_traits | {wrong[3]}


@pytest.mark.parametrize("lost", ["manifest_blocks", "manifest_traits"])
def test_lost_marks_are_known_from_the_manifest(copy, lost):
    store = copy("chunks.zarr")
    before, ages = content_of(store), age_of(store)
    shutil.rmtree(store / lost)
    assert mended(store) == {f"{lost}/zarr.json": ""}
    assert content_of(store) == before
    written = {file for file, age in age_of(store).items() if age != ages.get(file)}
    assert {file.relative_to(store).parts[0] for file in written} == {lost}


@pytest.mark.parametrize("other", ["h2", "lod", "manifest_traits", "trait_id", "summary/highest"])
def test_arrays_that_were_exchanged(copy, other):
    """A file lies where the other one has a folder."""
    store = copy("chunks.zarr")
    before = content_of(store)
    swap(store / "manifest_blocks", store / other)
    assert set(mended(store).values()) == {""}
    assert content_of(store) == before


@pytest.mark.parametrize("name", ["manifest_blocks", "lod", "manifest/lod", "trait_id"])
def test_a_file_in_place_of_an_array(copy, name):
    store = copy("chunks.zarr")
    before = content_of(store)
    shutil.rmtree(store / name)
    (store / name).write_text("not a folder")
    assert set(mended(store).values()) == {""}
    assert content_of(store) == before


def test_an_empty_manifest_a_lost_root_and_an_exchange_at_once(copy):
    store = copy("chunks.zarr")
    before = content_of(store)
    for file in (store / "manifest").glob("*/c/**/*"):
        if file.is_file():
            file.write_bytes(b"")
    (store / "zarr.json").unlink()
    one, other = store / "lod/c/0/0", store / "lod/c/1/0"
    content = one.read_bytes()
    one.write_bytes(other.read_bytes())
    other.write_bytes(content)
    found = mended(store)
    assert {"zarr.json", "manifest/lod/c/0/0/0"} <= set(found)
    assert set(found.values()) == {""}
    assert content_of(store) == before


@pytest.mark.filterwarnings("ignore:Object at notes.txt is not recognized")
def test_what_is_not_ours_is_named_and_left(copy):
    store = copy("loco.zarr")
    before = content_of(store)
    (store / "notes.txt").write_text("mine")
    (store / "lod" / "c" / "99").write_text("of another time")
    assert mended(store) == {
        "notes.txt": "it is not of this store: move it elsewhere",
        "lod/c/99": "",
    }
    assert content_of(store) == before | {"notes.txt": b"mine"}


def test_a_sound_store_is_left_alone(copy):
    store = copy("maxima.zarr")
    ages = age_of(store)
    assert mended(store) == {}
    assert age_of(store) == ages


class StoppedError(Exception):
    """Stops a run."""


def unfinished(whole, path, blocks=3):
    def stop(progress):
        if progress.done == blocks:
            raise StoppedError

    ds = blmm.open_dataset(whole / "gaps.zarr")
    with pytest.raises(StoppedError):
        blmm.scan(ds, store=path, chunks=BLOCKS, statistics=["beta", "se"], progress=stop)


@pytest.mark.parametrize("damaged", [True, False])
def test_an_unfinished_result_is_finished(whole, tmp_path, damaged):
    path = tmp_path / "chunks.zarr"
    unfinished(whole, path)
    assert not len(blmm.verify(path))
    if damaged:
        flip(next(path.glob("lod/c/*/*")), 300)
    *files, marks = mended(path).items()
    assert marks == ("manifest_blocks", "")
    assert len(files) == damaged
    assert content_of(path) == content_of(whole / "chunks.zarr")


def test_progress_counts_reading_computing_and_reading_again(copy):
    store, steps = copy("chunks.zarr"), []
    size = sum(file.stat().st_size for file in files_of(store))
    flip(store / "lod/c/0/0", 300)
    blmm.verify(store, mend=True, progress=lambda *step: steps.append(step))
    assert {total for _, total in steps} == {size}
    ends = [at for at, (done, _) in enumerate(steps) if done == size]
    assert len(ends) == 3
    assert ends[-1] == len(steps) - 1


def test_a_result_that_is_being_written_is_refused(whole, tmp_path):
    path = tmp_path / "chunks.zarr"

    def mend(progress):
        if progress.done == 2:
            (path / "trait_id/c/0").unlink()
            blmm.verify(path, mend=True)

    ds = blmm.open_dataset(whole / "gaps.zarr")
    with pytest.raises(blmm.StoreError, match=r"chunks\.zarr is being written by process"):
        blmm.scan(ds, store=path, chunks=BLOCKS, progress=mend)


@STOPS
@CUT_OFF
def test_mending_that_was_stopped_is_done_by_the_next(copy, whole, how):
    stopped_mending(copy, whole, how, random.Random(5), 3)


@pytest.mark.slow
@STOPS
@CUT_OFF
def test_mending_that_was_stopped_anywhere_is_done_by_the_next(copy, whole, how):
    stopped_mending(copy, whole, how, random.Random(6), 20)


def stopped_mending(copy, whole, how, draw, count):
    before = content_of(whole / "chunks.zarr")
    reached = 0
    for at in draw.sample(range(800), count):
        store = copy("chunks.zarr")
        for _ in range(2):
            damage(store, draw)
        usual = signal.signal(signal.SIGINT, signal.default_int_handler)
        try:
            with suppress(blmm.StoreError, OSError, KeyboardInterrupt):
                with interruptions.stopping(at, how) as stop:
                    blmm.verify(store, mend=True)
                time.sleep(0.05)  # a signal takes a moment to arrive
        finally:
            signal.signal(signal.SIGINT, usual)
        reached += stop.reached
        blmm.verify(store, mend=True)
        for file in store.rglob("999"):
            file.unlink()
        assert content_of(store) == before
        shutil.rmtree(store)
    assert reached > count // 2


@pytest.mark.parametrize(
    "options",
    [
        {"method": "alt-exact", "refine_above": 1.0},
        {"kinship": None, "covariates": False, "statistics": ["neg_log10_p", "explained"]},
        {"method": "null-grid", "h2_grid": [0.0, 0.3, 0.6]},
        {"condition": ["2"], "covariates": ["copies"], "precision": "single"},
        {"interaction": "sex", "statistics": "lod_interaction", "reml": True},
        {"kinship": "kinship_loco", "loco": True, "weights": "copies", "genotypes": "call_dosage"},
    ],
)
def test_options_are_those_that_the_result_keeps(whole, tmp_path, options):
    path = tmp_path / "r.zarr"
    ds = blmm.open_dataset(whole / "study.zarr")
    if "condition" in options:
        options = options | {"condition": [str(ds.variant_id.values[2])]}
    blmm.scan(ds, store=path, **options)
    before = content_of(path)
    (path / "lod/c/0/0").unlink()
    (path / "zarr.json").unlink()
    assert mended(path) == {"zarr.json": "", "lod/c/0/0": ""}
    assert content_of(path) == before


def test_a_study_that_was_moved_is_given(copy, tmp_path):
    store = copy("chunks.zarr")
    before = content_of(store)
    study = copy("gaps.zarr")
    for given in (study, blmm.open_dataset(study)):
        (store / "lod/c/0/0").unlink()
        assert mended(store, study=given) == {"lod/c/0/0": ""}
        assert content_of(store) == before


def test_a_study_that_is_another_or_not_there(copy, whole, tmp_path):
    store = copy("chunks.zarr")
    (store / "lod/c/0/0").unlink()
    before = content_of(store)
    other = mended(store, study=whole / "study.zarr")["lod/c/0/0"]
    assert other == (
        "it was made from other inputs than this study holds: traits differ; give the "
        "study that it was made from as study"
    )
    ds = blmm.open_dataset(whole / "gaps.zarr")
    blmm.save(ds, tmp_path / "moved.zarr")
    blmm.scan(blmm.open_dataset(tmp_path / "moved.zarr"), store=tmp_path / "lost.zarr")
    shutil.rmtree(tmp_path / "moved.zarr")
    (tmp_path / "lost.zarr/lod/c/0/0").unlink()
    reason = mended(tmp_path / "lost.zarr")["lod/c/0/0"]
    assert reason == f"its study {tmp_path / 'moved.zarr'} is not there; give it as study"
    memory = studies.study(n=24, p=30, m=20)
    blmm.scan(memory, store=tmp_path / "memory.zarr")
    (tmp_path / "memory.zarr/lod/c/0/0").unlink()
    reason = mended(tmp_path / "memory.zarr")["lod/c/0/0"]
    assert reason == "it does not say which study it was made from; give it as study"
    assert mended(tmp_path / "memory.zarr", study=memory) == {"lod/c/0/0": ""}
    assert content_of(store) == before
    with pytest.raises(blmm.InputError, match="study is given, but nothing is to be mended"):
        blmm.verify(store, study=whole / "gaps.zarr")


@pytest.mark.parametrize(
    ("options", "named"),
    [
        ({"kinship": np.eye(24)}, "'kinship'"),
        ({"weights": np.ones(24)}, "'weights'"),
        ({"prior": (np.linspace(1, 2, 20), 1.0)}, "'prior'"),
        ({"condition": {"trait1": "variant1"}}, "'condition'"),
    ],
)
def test_arrays_that_a_result_does_not_keep_are_named(whole, tmp_path, options, named):
    path = tmp_path / "r.zarr"
    ds = blmm.open_dataset(whole / "study.zarr")
    if "condition" in options:
        options = {"condition": {str(ds.trait_id[0].values): str(ds.variant_id[0].values)}}
    blmm.scan(ds, store=path, **options)
    (path / "lod/c/0/0").unlink()
    assert mended(path)["lod/c/0/0"] == (
        f"{named} was given as an array or a table, which a result does not keep: make the same "
        "call again with another store"
    )


def test_what_no_analysis_has_made_is_named(copy, whole, tmp_path):
    study = copy("study.zarr")
    flip(study / "call_dosage/c/0/0", 300)
    assert mended(study)["call_dosage/c/0/0"] == (
        "what was measured cannot be computed again: save the study again"
    )
    part = tmp_path / "part.zarr"
    blmm.save(blmm.open_result(whole / "chunks.zarr").isel(traits=slice(5)), part)
    flip(part / "trait_id/c/0", 100)
    assert mended(part)["trait_id/c/0"] == (
        "it is a part of another result: save it again from there"
    )
    baseline = tmp_path / "baseline.zarr"
    ds = blmm.open_dataset(whole / "study.zarr")
    levels = {str(name): 2.0 for name in ds["trait_id"].values}
    blmm.hotspot_baseline(
        ds, window=3, threshold=pd.Series(levels), n_permutations=1, store=baseline
    )
    flip(baseline / "most_traits/c/0/0", 40)
    assert "'threshold' was given as an array" in mended(baseline)["most_traits/c/0/0"]
    with zipfile.ZipFile(KEPT) as archive:
        archive.extractall(tmp_path / "old")
    os.truncate(tmp_path / "old" / "scan.zarr" / "trait_id" / "c" / "0", 9)
    (reason,) = mended(tmp_path / "old" / "scan.zarr").values()
    assert reason == (
        "only results of bulklmm_dask 0.2.0 and later keep what mending needs: make it again in "
        "another store"
    )


def test_options_that_nothing_tells_any_more(copy):
    store = copy("chunks.zarr")
    before = (store / "zarr.json").read_bytes()
    copied = (store / "manifest/zarr.json").read_bytes()
    (store / "zarr.json").write_bytes(before[:300])
    (store / "manifest/zarr.json").unlink()
    assert mended(store, study=None)["zarr.json"] == (
        "zarr.json is damaged, and so is the copy of its attributes in manifest/zarr.json, so that "
        "its options are not known"
    )
    # Attributes that are not as sealed, without a copy: the fingerprints tell that they are right.
    text = before.decode().replace('"digest": "', '"digest": "0')
    (store / "zarr.json").write_text(text)
    assert set(mended(store).values()) == {""}
    assert (store / "zarr.json").read_bytes() == before
    assert (store / "manifest/zarr.json").read_bytes() == copied
    # And that others are not.
    (store / "zarr.json").write_text(before.decode().replace("null-exact", "null-grid "))
    (store / "zarr.json").write_text(before.decode().replace('"reml": 0', '"reml": 1'))
    (store / "manifest/zarr.json").unlink()
    assert "options differ" in mended(store)["zarr.json"]


def test_attributes_of_two_stores_are_told_apart(copy, whole):
    store = copy("loco.zarr")
    shutil.copy(whole / "shards.zarr" / "zarr.json", store / "zarr.json")
    assert (
        "zarr.json and the copy of its attributes in manifest/zarr.json are of two stores"
        in (mended(store)["manifest/zarr.json"])
    )


def test_a_command_that_mends_has_other_quotation_marks_than_its_path(copy):
    store = copy("chunks.zarr")
    store = store.rename(store.with_name("a b.zarr"))
    flip(store / "lod/c/1/0", 300)
    with command_line(), pytest.raises(blmm.StoreError) as error:
        blmm.open_result(store)["lod"].compute()
    assert f"\"bulklmm verify --mend '{store}'\" mends it" in str(error.value)


def test_remedies_say_what_mends(copy):
    store = copy("chunks.zarr")
    result = blmm.open_result(store)
    flip(store / "lod/c/1/0", 300)
    mending = re.escape(f"verify({str(store)!r}, mend=True) mends it")
    with pytest.raises(blmm.StoreError, match=mending):
        result["lod"].compute()
    (store / "trait_id/c/0").unlink()
    with pytest.raises(blmm.StoreError, match=mending):
        blmm.open_result(store)
    (store / "zarr.json").write_text("{")
    with pytest.raises(blmm.StoreError, match=r"mend=True\) says what can be mended"):
        blmm.open_result(store)
    assert set(mended(store).values()) == {""}
    study = copy("study.zarr")
    flip(study / "trait_id/c/0", 100)
    with pytest.raises(blmm.StoreError, match="save the study again"):
        blmm.open_dataset(study)


@pytest.mark.parametrize("lost", [["kinship"], ["kinship_loco"], ["kinship", "kinship_loco"]])
def test_kinships_of_a_study_are_computed_again(copy, lost):
    store = copy("study.zarr")
    before = content_of(store)
    for name in lost:
        (file,) = [one for one in (store / name / "c").rglob("*") if one.is_file()]
        flip(file, 200)
    assert set(mended(store).values()) == {""}
    assert content_of(store) == before


def test_kinships_that_cannot_be_computed_again_are_named(copy, whole, tmp_path):
    ds = blmm.open_dataset(whole / "study.zarr")
    other = {"method": "rqtl2"}
    for attrs, reason in (
        ({}, "its kinship is not one that this package has computed"),
        (other, "its kinship is another one than method 'rqtl2' computes from its genotypes"),
    ):
        path = tmp_path / "other.zarr"
        kinship = ds["kinship"].drop_attrs().assign_attrs(attrs)
        blmm.save(ds.assign(kinship=kinship), path, overwrite=True)
        (path / "kinship/c/0/0").write_bytes(b"")
        before = content_of(path)
        assert mended(path) == {"kinship/c/0/0": reason}
        assert content_of(path) == before


def test_genotypes_with_a_kinship_are_named(copy):
    store = copy("study.zarr")
    ds = blmm.open_dataset(store).assign_attrs(source="mice.zip").load()
    blmm.save(ds, store, overwrite=True)
    before = content_of(store)
    (store / "kinship/c/0/0").unlink()
    (store / "call_dosage/c/0/0").unlink()
    (reason,) = set(mended(store).values())
    assert (
        reason == "what was measured cannot be computed again: save the study again from mice.zip"
    )
    assert {**before, **content_of(store)} == before
