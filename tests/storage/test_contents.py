"""Only a store of this package is replaced, and only if nothing else is in it."""

from __future__ import annotations

import json
import os
import shutil
import uuid

import numpy as np
import pytest
import studies
import xarray as xr
from commands import run
from faults.machines import content

import bulklmm_dask as blmm
from bulklmm_dask.storage.health.contents import require_own
from bulklmm_dask.storage.places.location import Location
from bulklmm_dask.storage.places.process import Process
from bulklmm_dask.study.kinships import add_kinship


@pytest.fixture(scope="module")
def ds():
    return studies.study(n=20, p=12, m=4)


@pytest.fixture(scope="module", params=["study", "result", "permutations", "baseline"])
def made(ds, tmp_path_factory, request):
    """A store of each kind."""
    path = tmp_path_factory.mktemp("made") / "mine.zarr"
    if request.param == "study":
        blmm.save(ds, path)
        add_kinship(path, ds.kinship * 2, overwrite=True)
        assert blmm.verify(path).empty
    elif request.param == "result":
        blmm.scan(ds, store=path, statistics=["beta"], chunks={"variants": 5, "traits": 3})
    elif request.param == "permutations":
        blmm.permute(ds, n_permutations=4, store=path)
    else:
        blmm.hotspot_baseline(ds, window=2, threshold=1, n_permutations=2, store=path)
    return path


@pytest.fixture
def store(made, tmp_path):
    """A copy of it."""
    return shutil.copytree(made, tmp_path / "mine.zarr")


def kind(store):
    return json.loads((store / "zarr.json").read_text())["attributes"]["bulklmm_store"]


def same_kind(store, ds):
    """Something to save over a store: a study, or a result."""
    return ds if kind(store) == "study" else blmm.scan(ds)


def test_a_store_of_ours_is_replaced(store, ds):
    require_own(Location.of(store), kind(store))
    blmm.save(same_kind(store, ds), store, overwrite=True)
    assert [one.name for one in store.parent.iterdir()] == ["mine.zarr"]


def test_a_store_of_another_kind_is_kept(store, ds):
    before = content(store)
    other = blmm.scan(ds) if kind(store) == "study" else ds
    what = "result" if kind(store) == "study" else "study"
    with pytest.raises(
        blmm.StoreError, match=f"is a {kind(store)}, so a {what} does not overwrite"
    ):
        blmm.save(other, store, overwrite=True)
    told = run("kinship", made_study(store, ds), "--out", store, "--overwrite", code=1).stderr
    assert f"is a {kind(store)}, so a kinship does not overwrite it" in told
    if what == "study":
        told = run("simulate", store, "--traits", "3", "--overwrite", code=1).stderr
        assert f"is a {kind(store)}, so a study does not overwrite it; give another path" in told
    assert content(store) == before


def made_study(store, ds):
    path = store.with_name("study.zarr")
    blmm.save(ds, path)
    return path


def test_a_study_does_not_replace_a_kinship(ds, tmp_path):
    blmm.save_kinship(ds.kinship, tmp_path / "K.zarr", ds)
    before = content(tmp_path / "K.zarr")
    with pytest.raises(blmm.StoreError, match="is a kinship, so a study does not overwrite it"):
        blmm.save(ds, tmp_path / "K.zarr", overwrite=True)
    assert content(tmp_path / "K.zarr") == before


def test_chunks_that_a_killed_run_has_left_are_ours(store):
    array = next(one.parent for one in store.rglob("c") if one.is_dir())
    (array / "c" / f"0.{uuid.uuid4().hex}.partial").write_bytes(b"half")
    require_own(Location.of(store), kind(store))


@pytest.mark.parametrize(
    "name", ["notes.txt", "extra/table.csv", "sample_id/c/readme", "lock.json"]
)
def test_foreign_files_are_named_and_kept(store, ds, name):
    (store / name).parent.mkdir(parents=True, exist_ok=True)
    (store / name).write_text("precious")
    with pytest.raises(blmm.StoreError, match=f"holds 1 file that would be lost, .*'{name}'; move"):
        blmm.save(same_kind(store, ds), store, overwrite=True)
    assert (store / name).read_text() == "precious"
    assert [one.name for one in store.parent.iterdir()] == ["mine.zarr"]


def test_a_file_that_came_while_the_new_store_was_written(ds, tmp_path):
    path = tmp_path / "s.zarr"
    blmm.save(ds, path)

    def block(values):
        (path / "notes.txt").write_text("precious")
        return values

    lazy = xr.apply_ufunc(block, ds.call_dosage.chunk(), dask="parallelized", output_dtypes=["f8"])
    with pytest.raises(blmm.StoreError, match=r"'notes\.txt'; move"):
        blmm.save(ds.assign(call_dosage=lazy), path, overwrite=True)
    assert (path / "notes.txt").read_text() == "precious"
    assert [one.name for one in tmp_path.iterdir()] == ["s.zarr"]


def test_stores_of_other_programs_are_not_replaced(ds, tmp_path):
    path = tmp_path / "climate.zarr"
    xr.Dataset({"t": ("n", np.arange(3))}).to_zarr(path, consolidated=False)
    before = sorted(path.rglob("*"))
    with pytest.raises(
        blmm.StoreError, match=r"climate.zarr is a Zarr store that .*save has not wr"
    ):
        blmm.save(ds, path, overwrite=True)
    told = run("simulate", path, "--traits", "3", "--overwrite", code=1).stderr
    assert (
        "is a Zarr store that 'bulklmm import' has not written (its attribute bulklmm_store" in told
    )
    (tmp_path / "damaged.zarr").mkdir()
    (tmp_path / "damaged.zarr" / "zarr.json").write_text("{")
    with pytest.raises(blmm.StoreError, match="is a Zarr store that"):
        blmm.save(ds, tmp_path / "damaged.zarr", overwrite=True)
    assert sorted(path.rglob("*")) == before


def test_folders_of_hits(ds, tmp_path):
    path = tmp_path / "hits.parquet"
    result = blmm.scan(ds)
    for overwrite in (False, True):
        blmm.find_hits(result, threshold=0.5, store=path, overwrite=overwrite)
    (path / "part-1.parquet").write_bytes(b"of another program")
    with pytest.raises(blmm.StoreError, match=r"holds other files \('part-1.parquet'\), so it is"):
        blmm.find_hits(result, threshold=0.5, store=path, overwrite=True)
    assert (path / "part-1.parquet").read_bytes() == b"of another program"


def test_what_killed_processes_have_left_is_removed(ds, tmp_path):
    """That of processes that run, of other machines and of other names stays."""
    this = Process.this()
    gone, other = f"{this.machine}-{2**22 + 1}", "0f0f-1"

    def left(name, what, whose):
        place = tmp_path / f".{name}.{what}-{whose}-{uuid.uuid4().hex[:8]}.zarr"
        place.mkdir()
        (place / "half").write_bytes(b"")
        return place.name

    kept = {
        left("s", "part", f"{this.machine}-{os.getpid()}"),
        left("s", "part", other),
        left("s2", "part", gone),
    }
    for what in ("part", "part", "old"):
        left("s", what, gone)
    (tmp_path / "s.zarr").mkdir()
    blmm.save(ds, tmp_path / "t.zarr")
    (tmp_path / "s.zarr").rmdir()
    (tmp_path / "t.zarr").rename(tmp_path / "s.zarr")
    blmm.save(ds, tmp_path / "s.zarr", overwrite=True)
    assert {one.name for one in tmp_path.iterdir()} == {"s.zarr", *kept}
