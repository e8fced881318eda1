"""save and open_dataset: nothing lost, nothing half written, nothing loaded whole."""

import contextlib
import errno
import re
import shutil
import threading
import time
import warnings
from pathlib import Path

import dask
import dask.array as da
import numpy as np
import pandas as pd
import pytest
import xarray as xr
import zarr

import bulklmm_dask as blmm
from bulklmm_dask.errors import InputError, StoreError
from bulklmm_dask.storage.labels.coordinates import arranged
from bulklmm_dask.storage.places.location import Location
from bulklmm_dask.study import io as study_module
from bulklmm_dask.study.create import create_dataset
from bulklmm_dask.study.io import open_dataset, save


@pytest.fixture
def ds():
    rng = np.random.default_rng(1)
    calls = rng.integers(0, 3, (6, 50)).astype(np.float32)
    traits = rng.standard_normal((6, 20))
    traits[2, 3] = np.nan
    ds = create_dataset(
        calls,
        traits,
        covariates=rng.standard_normal((6, 2)),
        contigs=["1"] * 30 + ["X"] * 20,
        positions=np.arange(50) / 3,
        alleles=["B", "é"],
        strains=list("aabbcc"),
    )
    ds["kinship"] = (("samples_0", "samples_1"), np.eye(6))
    ds["trait_description"] = ("traits", np.array(["a long text", ""] * 10, dtype=object))
    return arranged(ds.assign_attrs(source="arrays", x_chr=["X"]))


@pytest.fixture
def small_chunks(monkeypatch):
    monkeypatch.setattr(study_module, "_CHUNK_BYTES", 240)  # ten variants of six float32 samples


def test_round_trip_is_exact_and_silent(ds, tmp_path, small_chunks):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        save(ds, tmp_path / "study.zarr")
        again = open_dataset(tmp_path / "study.zarr")
    xr.testing.assert_identical(again.compute(), ds)
    assert again["call_dosage"].chunks == ((10,) * 5, (6,))
    assert again["sample_trait"].chunks == ((6,), (5,) * 4)
    assert again["call_dosage"].dtype == np.float32
    for name in ("variant_id", "kinship", "sample_covariate", "variants", "trait_description"):
        assert again[name].chunks is None
    for name in ("variant_id", "samples", "contig_id", "variant_allele"):
        assert again[name].dtype.kind == "U"
    assert again.sel(traits="trait3")["sample_trait"].shape == (6,)


def test_what_was_opened_can_be_saved_again_even_over_itself(ds, tmp_path, small_chunks):
    path = tmp_path / "study.zarr"
    save(ds, path)
    save(open_dataset(path).isel(variants=slice(3, None)), path, overwrite=True)
    xr.testing.assert_identical(open_dataset(path).compute(), ds.isel(variants=slice(3, None)))
    assert [file.name for file in tmp_path.iterdir()] == ["study.zarr"]


def test_the_format_is_zarr_3_with_every_chunk_there(tmp_path, small_chunks):
    save(create_dataset(np.zeros((6, 50), np.float32), np.zeros((6, 20))), tmp_path / "study.zarr")
    group = zarr.open_group(tmp_path / "study.zarr", mode="r")
    assert group.metadata.zarr_format == 3
    assert group.attrs["bulklmm_store"] == "study"
    assert group.attrs["bulklmm_version"]
    assert group["call_dosage"].nchunks_initialized == 5
    compressor = group["call_dosage"].compressors[0].to_dict()["configuration"]
    assert compressor["cname"] == "lz4"
    assert compressor["shuffle"] == "shuffle"


@pytest.mark.slow
def test_lazy_studies_are_streamed(tmp_path, small_chunks):
    """Blocks come to be one after the other and are let go: few are alive at any time."""
    lock, alive, most, made = threading.Lock(), [0], [0], [0]

    class Block(np.ndarray):
        def __del__(self):
            if getattr(self, "counted", False):
                with lock:
                    alive[0] -= 1

    def make(block_info):
        values = np.full((10, 6), block_info[None]["chunk-location"][0] % 3.0, np.float32)
        block = values.view(Block)
        with lock:
            block.counted = True
            alive[0] += 1
            made[0] += 1
            most[0] = max(most[0], alive[0])
        return block

    calls = da.map_blocks(make, chunks=((10,) * 200, (6,)), dtype=np.float32)
    ds = create_dataset(calls.T, np.eye(6), maximum=2)
    assert made[0] == 0
    with dask.config.set(scheduler="threads", num_workers=2):
        save(ds, tmp_path / "study.zarr")
    assert made[0] == 200
    assert most[0] < 40
    again = open_dataset(tmp_path / "study.zarr")
    np.testing.assert_array_equal(again["call_dosage"][:, 0], np.repeat(np.arange(200) % 3, 10))


def test_lazy_chunks_that_do_not_fit_the_store_are_cut_anew(ds, tmp_path, small_chunks):
    uneven = ds.chunk(variants=7, samples=4, traits=3)
    save(uneven, tmp_path / "study.zarr")
    xr.testing.assert_identical(open_dataset(tmp_path / "study.zarr").compute(), ds)


def test_a_failure_leaves_nothing_behind(ds, tmp_path, small_chunks):
    def fail(block, block_info=None):
        if block_info and block_info[0]["chunk-location"][0] == 3:
            raise RuntimeError("the source broke")
        return block

    lazy = ds["call_dosage"].data
    ds["call_dosage"] = ds["call_dosage"].copy(
        data=da.from_array(lazy, chunks=(10, 6)).map_blocks(fail, dtype=np.float32)
    )
    with pytest.raises(RuntimeError, match="the source broke"):
        save(ds, tmp_path / "study.zarr")
    assert list(tmp_path.iterdir()) == []


def test_threads_that_still_write_leave_nothing_behind(tmp_path, monkeypatch):
    """A chunk that comes after the failure, into a folder that is made anew for it."""
    monkeypatch.setattr(
        "bulklmm_dask.storage.places.paths._PAUSE", 0.5
    )  # the thread may be held up

    def write_on(partial):
        partial = Path(partial)
        for number in range(10):
            (partial / "c").mkdir(parents=True, exist_ok=True)
            with contextlib.suppress(FileNotFoundError):  # removed between the two
                (partial / "c" / str(number)).touch()
            time.sleep(0.02)

    def fail(partial):
        threads.append(threading.Thread(target=write_on, args=(partial,)))
        threads[0].start()
        raise RuntimeError

    threads = []
    with pytest.raises(RuntimeError), Location.of(tmp_path / "study.zarr").appearing() as partial:
        fail(partial)
    threads[0].join()
    assert list(tmp_path.iterdir()) == []


def test_a_failed_overwrite_keeps_the_old_study(ds, tmp_path, monkeypatch):
    path = tmp_path / "study.zarr"
    save(ds, path)

    def full(*args, **kwargs):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(xr.Dataset, "to_zarr", full)
    with pytest.raises(StoreError, match=r"the disk is full; make room"):
        save(ds, path, overwrite=True)
    xr.testing.assert_identical(open_dataset(path).compute(), ds)
    assert [file.name for file in tmp_path.iterdir()] == ["study.zarr"]


def test_too_small_a_disk_is_seen_before_writing(ds, tmp_path, monkeypatch):
    usage = shutil.disk_usage(tmp_path)._replace(free=1000)
    monkeypatch.setattr(shutil, "disk_usage", lambda path: usage)
    with pytest.raises(StoreError, match=r"may need .* kB, but only 1 kB are free"):
        save(ds, tmp_path / "study.zarr")
    assert list(tmp_path.iterdir()) == []


def test_where_a_study_cannot_be_saved(ds, tmp_path, monkeypatch):
    with pytest.raises(StoreError, match="there is no folder"):
        save(ds, tmp_path / "none" / "study.zarr")
    save(ds, tmp_path / "study.zarr")
    with pytest.raises(StoreError, match=r"exists; .* replace it with overwrite=True"):
        save(ds, tmp_path / "study.zarr")
    (tmp_path / "precious").mkdir()
    with pytest.raises(StoreError, match="is no Zarr store, so it is not overwritten"):
        save(ds, tmp_path / "precious", overwrite=True)
    with pytest.raises(InputError, match="no genotypes"):
        save(ds.drop_vars("call_dosage"), tmp_path / "other.zarr")

    def refuse(*args, **kwargs):
        raise PermissionError(errno.EACCES, "Permission denied")

    monkeypatch.setattr(Path, "mkdir", refuse)
    with pytest.raises(StoreError, match=r"other.zarr cannot be written: no permission"):
        save(ds, tmp_path / "other.zarr")


def test_stores_that_are_none_of_ours(ds, tmp_path):
    with pytest.raises(StoreError, match="there is no store"):
        open_dataset(tmp_path / "none.zarr")
    with pytest.raises(StoreError, match="is no Zarr store"):
        open_dataset(tmp_path)
    group = zarr.create_group(tmp_path / "foreign.zarr")
    with pytest.raises(StoreError, match="was not written by save"):
        open_dataset(tmp_path / "foreign.zarr")
    group.attrs["bulklmm_store"] = "result"
    with pytest.raises(StoreError, match="holds a result, no study; open it with open_result"):
        open_dataset(tmp_path / "foreign.zarr")
    group.attrs["bulklmm_store"] = "study"
    with pytest.raises(StoreError, match=r"holds no valid study: .*'variant_id'"):
        open_dataset(tmp_path / "foreign.zarr")


def test_damaged_stores(ds, tmp_path, small_chunks):
    path = tmp_path / "study.zarr"
    save(ds, tmp_path / "whole.zarr")

    def damaged(file, change):
        shutil.rmtree(path, ignore_errors=True)
        shutil.copytree(tmp_path / "whole.zarr", path)
        whole = (path / file).read_bytes()
        if change is None:
            (path / file).unlink()
        else:
            (path / file).write_bytes(change(whole))
        return path

    half = {"change": lambda whole: whole[: len(whole) // 2]}
    with pytest.raises(StoreError, match=r"zarr\.json is damaged"):
        open_dataset(damaged("zarr.json", **half))
    with pytest.raises(StoreError, match="is damaged"):
        open_dataset(damaged("call_dosage/zarr.json", **half))
    with pytest.raises(StoreError, match=r"lacks chunks of 'call_dosage'; save the study again"):
        open_dataset(damaged("call_dosage/c/2/0", None))
    opened = open_dataset(damaged("sample_trait/c/0/1", **half))
    with pytest.raises(StoreError, match=r"sample_trait is damaged: its file c/0/1 is not the one"):
        opened.sample_trait.load()
    with pytest.raises(StoreError, match="is damaged"):
        open_dataset(damaged("variant_id/c/0", **half))


def test_a_store_of_numbers_that_are_no_study(ds, tmp_path, monkeypatch):
    monkeypatch.setattr(study_module, "validate", lambda ds: ds)
    ds["call_dosage"].attrs["maximum"] = 7
    save(ds, tmp_path / "study.zarr")
    monkeypatch.undo()
    with pytest.raises(StoreError, match=r"holds no valid study: .*maximum"):
        open_dataset(tmp_path / "study.zarr")


def test_metadata_with_gaps_are_text_or_numbers(ds, tmp_path):
    half = ds.sizes["samples"] // 2
    ds["sample_sex"] = ("samples", np.array(["F", None] * half, dtype=object))
    ds["sample_age"] = ("samples", np.array([61, None] * half, dtype=object))
    ds["sample_batch"] = ("samples", pd.Categorical(["a", "b"] * half))
    save(ds, tmp_path / "s.zarr")
    opened = open_dataset(tmp_path / "s.zarr")
    assert opened.sample_sex.values[:2].tolist() == ["F", ""]
    np.testing.assert_array_equal(opened.sample_age.values[:2], [61.0, np.nan])
    assert opened.sample_batch.values[:2].tolist() == ["a", "b"]


def test_what_no_store_holds_is_refused_before_anything_is_written(ds, tmp_path):
    half = ds.sizes["samples"] // 2
    mixed = ds.assign(sample_sex=("samples", np.array(["F", 1] * half, dtype=object)))
    with pytest.raises(InputError, match=r"sample_sex holds values of int, str"):
        save(mixed, tmp_path / "s.zarr")
    for owner in (ds, ds["call_dosage"]):
        owner.attrs["x"] = {1, 2}
        with pytest.raises(InputError, match=r"the attribute 'x' of \S+.* is a set"):
            save(ds, tmp_path / "s.zarr")
        owner.attrs["x"] = np.float32(0.5)
    save(ds, tmp_path / "s.zarr")
    assert open_dataset(tmp_path / "s.zarr").attrs["x"] == 0.5


@pytest.mark.parametrize(
    "name", ["sample_a/b", "sample_a\\b", "sample_x/../y", "..", "zarr.json", "manifest"]
)
def test_names_that_are_none_of_a_folder_are_refused(ds, tmp_path, name):
    """Of a/b Zarr makes a folder in a folder, where no reader looks for a variable."""
    named = ds.assign({name: ("samples", np.zeros(ds.sizes["samples"]))})
    with pytest.raises(InputError, match=re.escape(f"ds.rename({{{name!r}: ...}})")):
        save(named, tmp_path / "s.zarr")
    assert not list(tmp_path.iterdir())


@pytest.mark.filterwarnings("ignore::bulklmm_dask.StudyWarning")
def test_names_of_a_study_that_its_results_cannot_have_are_refused(ds, tmp_path):
    of_traits = ds.assign({"trait_a/b": ("traits", np.zeros(ds.sizes["traits"]))})
    with pytest.raises(InputError, match=r"a variable is called 'trait_a/b', which is no name"):
        blmm.scan(of_traits, kinship=None, store=tmp_path / "r.zarr")


@pytest.mark.parametrize("name", ["sample_alive?", "sample_#", "sample_a b", "sample_é%20"])
def test_other_names_are_kept_on_a_disk_and_at_a_url(ds, tmp_path, name):
    pytest.importorskip("obstore")
    values = np.arange(ds.sizes["samples"]) / 3
    for folder in (str(tmp_path), f"memory://{tmp_path.name}"):
        store = f"{folder}/s.zarr"
        save(ds.assign({name: ("samples", values)}), store)
        np.testing.assert_array_equal(open_dataset(store)[name], values)
        assert blmm.verify(store).empty
