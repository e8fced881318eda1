"""The result store: resumed after any stop, refused where it does not fit, never half-written."""

from __future__ import annotations

import errno
import os
import shutil
import signal
import subprocess
import sys
import time
from itertools import count

import dask
import numpy as np
import pytest
import studies
import xarray as xr
import zarr

import bulklmm_dask as blmm
from bulklmm_dask.storage.labels.layout import Layout
from bulklmm_dask.storage.results import blocks
from bulklmm_dask.storage.results.blocks import ResultStore
from bulklmm_dask.storage.results.soundness import finished

CHUNKS = {"variants": 7, "traits": 5}


@pytest.fixture(scope="module")
def ds():
    return studies.study(n=30, p=30, m=12)


@pytest.fixture(scope="module")
def expected(ds):
    return blmm.scan(ds).compute()


@pytest.fixture(scope="module")
def finished_store(ds, tmp_path_factory):
    path = tmp_path_factory.mktemp("finished") / "r.zarr"
    blmm.scan(ds, store=path, chunks=CHUNKS)
    return path


@pytest.fixture
def stored(finished_store, tmp_path):
    """A copy of a finished store."""
    return shutil.copytree(finished_store, tmp_path / "r.zarr")


def marks(path):
    return zarr.open_array(path, path="manifest_blocks", mode="r+")


def test_a_stored_scan_is_the_lazy_scan(ds, expected, tmp_path):
    result = blmm.scan(ds, store=tmp_path / "r.zarr", chunks=CHUNKS)
    assert result.lod.chunks == ((7, 7, 7, 7, 2), (5, 5, 2))
    again = blmm.open_result(tmp_path / "r.zarr")
    for opened in (result, again):
        np.testing.assert_allclose(opened.lod, expected.lod, atol=1e-6)
        np.testing.assert_allclose(opened.h2, expected.h2, atol=1e-8)
        np.testing.assert_allclose(opened.sigma2, expected.sigma2)
        for name in ("trait_status", "n_samples", "variant_position", "contig_id"):
            np.testing.assert_array_equal(opened[name], expected[name])
    assert again.attrs["method"] == "null-exact"
    trait = str(ds.traits.values[3])
    np.testing.assert_allclose(
        again.lod.sel(traits=trait), expected.lod.sel(traits=trait), atol=1e-6
    )


def test_sharded_blocks_hold_the_same_scores(tmp_path, monkeypatch):
    from bulklmm_dask.engine import plan

    monkeypatch.setattr(plan, "_INNER", 4)
    ds = studies.study(n=30, p=30, m=20)
    result = blmm.scan(ds, store=tmp_path / "r.zarr", chunks={"variants": 8, "traits": 12})
    array = zarr.open_array(tmp_path / "r.zarr", path="lod")
    assert array.shards == (8, 12)
    assert array.chunks == (8, 4)
    np.testing.assert_allclose(result.lod, blmm.scan(ds).lod, atol=1e-6)


def test_a_stopped_run_goes_on_where_it_stopped(ds, expected, tmp_path):
    path = tmp_path / "r.zarr"

    class StoppedError(Exception):
        pass

    def stop(progress):
        if progress.done == 4:
            raise StoppedError

    with pytest.raises(StoppedError), dask.config.set(scheduler="synchronous"):
        blmm.scan(ds, store=path, chunks=CHUNKS, progress=stop)
    done, total = finished(path)
    assert (done, total) == (4, 15)
    with pytest.raises(blmm.StoreError, match=rf"unfinished: {done} of 15 blocks.*goes on"):
        blmm.open_result(path)
    steps = []
    result = blmm.scan(ds, store=path, progress=steps.append)
    assert steps[0].done == done
    assert len(steps) == total - done + 1
    np.testing.assert_allclose(result.lod, expected.lod, atol=1e-6)


def test_only_missing_blocks_are_computed_and_finished_ones_are_kept(ds, expected, stored):
    files = [file for file in (stored / "lod" / "c").rglob("*") if file.is_file()]
    for file in files:
        os.utime(file, (1.0, 1.0))
    marks(stored)[1, 1] = 0
    lod = zarr.open_array(stored, path="lod", mode="r+")
    lod[7:14, 5:10] = -2.0
    lod[14:21, 0:5] = -3.0  # finished, and not what was written
    for index in ("1/1", "2/0"):
        os.utime(stored / "lod" / "c" / index, (1.0, 1.0))
    result = blmm.scan(ds, store=stored)
    np.testing.assert_allclose(result.lod, expected.lod, atol=1e-6)
    again = {file for file in files if file.stat().st_mtime > 1.0}
    assert again == {stored / "lod" / "c" / "1" / "1", stored / "lod" / "c" / "2" / "0"}


@pytest.mark.slow
def test_killed_at_any_moment_it_resumes(tmp_path):
    """A process is killed outright while it writes; the same call finishes its store."""
    path = tmp_path / "r.zarr"
    code = (  # of 400 blocks 256 are noted at once; it waits before it is done
        "import sys, time, bulklmm_dask as blmm;"
        "print('ready', flush=True);"
        "blmm.scan(blmm.open_dataset(sys.argv[1]), store=sys.argv[2],"
        "          chunks={'variants': 10, 'traits': 10},"
        "          progress=lambda now: now.done < 300 or time.sleep(3600))"
    )
    study = tmp_path / "study.zarr"
    blmm.save(studies.study(n=30, p=200, m=200), study)
    with subprocess.Popen(
        [sys.executable, "-c", code, str(study), str(path)], stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout.readline() == "ready\n"
        while not path.exists() or finished(path)[0] < 20:
            assert process.poll() is None
            time.sleep(0.01)
        process.send_signal(signal.SIGKILL)
    done, total = finished(path)
    assert 20 <= done < total
    ds = blmm.open_dataset(study)
    with pytest.warns(blmm.StudyWarning, match="has ended: this run goes on"):
        result = blmm.scan(ds, store=path)
    np.testing.assert_allclose(result.lod, blmm.scan(ds).lod, atol=1e-6)


@pytest.mark.parametrize(
    ("change", "what"),
    [
        (lambda ds: ds.assign(sample_trait=ds.sample_trait + 1e-9), "traits"),
        (lambda ds: ds.assign(call_dosage=2 - ds.call_dosage.assign_attrs(maximum=2)), "genotypes"),
        (lambda ds: ds.assign(kinship=ds.kinship * 2), "kinship"),
        (lambda ds: ds.assign(sample_id=ds.sample_id.copy(data=ds.sample_id[::-1])), "samples"),
    ],
)
def test_a_store_from_other_inputs_is_refused(ds, tmp_path, change, what):
    path = tmp_path / "r.zarr"
    blmm.scan(ds, store=path)
    with xr.set_options(keep_attrs=True):
        other = change(ds)
    with pytest.raises(blmm.StoreError, match=f"other inputs: {what}.* differ; give another store"):
        blmm.scan(other, store=path)
    blmm.scan(ds, store=path)


def test_a_store_from_other_options_is_refused(ds, stored):
    with pytest.raises(blmm.StoreError, match="options differ"):
        blmm.scan(ds, store=stored, reml=True)
    with pytest.raises(blmm.StoreError, match=r"blocks of 7 variants x 5 traits, not 30 x 3"):
        blmm.scan(ds, store=stored, chunks={"variants": 30, "traits": 3})


def test_the_same_study_in_other_chunks_resumes(ds, stored):
    blmm.scan(ds.chunk(variants=3, traits=2), store=stored)
    blmm.scan(ds.assign(call_dosage=ds.call_dosage.astype("f4")), store=stored)


def test_a_store_that_lost_files(ds, expected, stored):
    (stored / "lod" / "c" / "2" / "1").write_bytes(b"")
    (stored / "lod" / "c" / "0" / "0").unlink()
    (stored / "lod" / "c" / "4" / "2").unlink()
    with pytest.raises(blmm.StoreError, match=r"damaged: 2 files of .* the first .*lod/c/0/0;"):
        blmm.open_result(stored)
    np.testing.assert_allclose(blmm.scan(ds, store=stored).lod, expected.lod, atol=1e-6)
    (stored / "zarr.json").write_text('{"zarr_format": 3, "node_')
    for call in (lambda: blmm.open_result(stored), lambda: blmm.scan(ds, store=stored)):
        with pytest.raises(blmm.StoreError, match=r"zarr\.json is damaged"):
            call()


@pytest.mark.slow
@pytest.mark.parametrize("method", ["null-exact", "alt-exact"])
@pytest.mark.parametrize("inner", [4, 2048])
def test_a_file_cut_short_is_seen_and_made_anew(tmp_path, monkeypatch, method, inner):
    """In every array, at the edge too, with shards and without; nothing else is computed."""
    from bulklmm_dask.engine import plan

    monkeypatch.setattr(plan, "_INNER", inner)
    path = tmp_path / "r.zarr"
    ds = studies.study(n=30, p=30, m=20)
    whole = blmm.scan(ds, method=method, store=path, chunks={"variants": 8, "traits": 12}).compute()
    assert (zarr.open_array(path, path="lod").shards is not None) == (inner == 4)
    names = ["lod/c/3/1", "lod/c/0/0", "h2/c/1", "n_samples/c/0", "trait_status/c/1"]
    for name in [*names, *(["refined/c/3/1"] if method == "alt-exact" else [])]:
        size = (path / name).stat().st_size
        for length in (0, 10, size // 2, size - 1):
            os.truncate(path / name, length)
            part = name.partition("/")[2]
            with pytest.raises(blmm.StoreError, match=rf"{part} is not|{name};"):
                blmm.open_result(path).compute()
            steps = []
            again = blmm.scan(ds, method=method, store=path, progress=steps.append)
            xr.testing.assert_allclose(again.compute(), whole)
            assert len(steps) == (2 if name.count("/") == 3 else 1)


@pytest.mark.slow
def test_lost_heritabilities_are_not_taken_for_zero(ds, expected, stored):
    assert np.isnan(zarr.open_array(stored, path="h2").fill_value)
    for name in ("h2", "sigma2", "n_samples", "trait_status"):
        (stored / name / "c" / "0").unlink()
        with pytest.raises(blmm.StoreError, match=rf"damaged: 1 file .*{name}/c/0;"):
            blmm.open_result(stored)
        again = blmm.scan(ds, store=stored)
        np.testing.assert_array_equal(again[name], expected[name])
    zarr.open_array(stored, path="manifest_traits", mode="r+")[1] = 0
    with pytest.raises(blmm.StoreError, match="15 of 15 blocks and 2 of 3 trait chunks are there"):
        blmm.open_result(stored)


@pytest.mark.parametrize("method", ["null-exact", "null-grid", "alt-exact"])
def test_an_opened_result_looks_as_the_lazy_one(ds, tmp_path, method):
    lazy = blmm.scan(ds, method=method)
    opened = blmm.scan(ds, method=method, store=tmp_path / "r.zarr", chunks=CHUNKS)
    assert opened.attrs == lazy.attrs
    assert set(opened.coords) == set(lazy.coords)
    for name in lazy.variables:
        assert opened[name].dtype == lazy[name].dtype or opened[name].dtype.kind == "U"
        assert opened[name].dtype.kind == lazy[name].dtype.kind
        assert opened[name].dims == lazy[name].dims
        assert opened[name].attrs == lazy[name].attrs
    assert set(opened.variables) == set(lazy.variables)
    assert opened.trait_id.where(opened.trait_status != "ok", drop=True).size == 0


def test_an_opened_result_goes_into_another_file(finished_store, tmp_path):
    opened = blmm.open_result(finished_store)
    opened.to_zarr(tmp_path / "copy.zarr", consolidated=False)
    assert not {"bulklmm_store", "block", "statistics", "fingerprints"} & set(opened.attrs)
    assert not any(isinstance(value, dict) for value in opened.attrs.values())


def test_what_is_no_result_store(ds, tmp_path):
    blmm.save(ds, tmp_path / "study.zarr")
    with pytest.raises(blmm.StoreError, match="is a study, not a result store"):
        blmm.open_result(tmp_path / "study.zarr")
    with pytest.raises(blmm.StoreError, match="is a study, not a result store"):
        blmm.scan(ds, store=tmp_path / "study.zarr")
    with pytest.raises(blmm.StoreError, match="there is no result store"):
        blmm.open_result(tmp_path / "nothing.zarr")


def test_a_disk_too_small_is_refused_before_any_work(ds, tmp_path, monkeypatch):
    usage = shutil.disk_usage(tmp_path)
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage._replace(free=1000))
    with pytest.raises(blmm.StoreError, match=r"may need .* only 1 kB are free"):
        blmm.scan(ds, store=tmp_path / "r.zarr")
    assert list(tmp_path.iterdir()) == []


def test_a_disk_that_fills_up_keeps_what_is_finished(ds, expected, tmp_path, monkeypatch):
    path = tmp_path / "r.zarr"
    write_block, number = ResultStore.write_block, count()

    def fill(self, i, j, values, where=None):
        if next(number) == 7:  # blocks come in any order
            monkeypatch.setattr(blocks, "write", full)
        return write_block(self, i, j, values, where)

    def full(stream, form, values, where):
        stream.write(b"some bytes")
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(ResultStore, "write_block", fill)
    with pytest.raises(blmm.StoreError, match=r"disk is full; finished blocks are kept"):
        blmm.scan(ds, store=path, chunks=CHUNKS)
    monkeypatch.undo()
    assert not list(path.rglob("*.partial"))
    assert 0 < finished(path)[0] < 15
    np.testing.assert_allclose(blmm.scan(ds, store=path).lod, expected.lod, atol=1e-6)


def test_a_folder_that_cannot_be_written(ds, tmp_path, monkeypatch):
    (tmp_path / "file").write_text("not a folder")
    with pytest.raises(blmm.StoreError, match="file"):
        blmm.scan(ds, store=tmp_path / "file" / "r.zarr")
    monkeypatch.setattr(os, "access", lambda *_: False)
    with pytest.raises(blmm.StoreError, match="no permission"):
        blmm.scan(ds, store=tmp_path / "r.zarr")
    assert not (tmp_path / "r.zarr").exists()


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write anywhere")
def test_a_folder_without_permission(ds, tmp_path):
    tmp_path.chmod(0o500)
    with pytest.raises(blmm.StoreError, match="no permission"):
        blmm.scan(ds, store=tmp_path / "r.zarr")


def test_writes_that_do_not_cover_a_block_are_refused(ds, stored):
    store = ResultStore(str(stored), Layout((30, 12), (7, 5), (7, 5)))
    with pytest.raises(blmm.StoreError, match="corrupts its neighbours"):
        store.write_block(0, 0, {"lod": np.zeros((7, 4), np.float32)})
    with pytest.raises(blmm.StoreError, match="corrupts its neighbours"):
        store.write_block(4, 2, {"lod": np.zeros((7, 5), np.float32)})


def test_scores_are_stored_without_loss_and_all_files_are_written(tmp_path):
    dosage, traits = studies.arrays(n=30, p=20, m=6)
    dosage[:] = dosage[:, :1] * 0 + 1.0  # no variation anywhere: every LOD is zero
    ds = blmm.create_dataset(dosage, traits, maximum=2)
    result = blmm.scan(
        ds, kinship=np.eye(30), store=tmp_path / "r.zarr", chunks={"variants": 10, "traits": 3}
    )
    assert (result.lod == 0).all()
    files = [f for f in (tmp_path / "r.zarr" / "lod" / "c").rglob("*") if f.is_file()]
    assert len(files) == 4


def test_a_corrected_map_is_another_input(tmp_path):
    """Labels are part of a result: an old store must not pass for one with the new ones."""
    ds = studies.study(m=4)
    blmm.scan(ds, store=tmp_path / "r.zarr")
    moved = ds.assign(variant_position=ds.variant_position + 1)
    with pytest.raises(blmm.StoreError, match="labels differ"):
        blmm.scan(moved, store=tmp_path / "r.zarr")


def test_a_study_may_hold_what_a_result_is_called(tmp_path):
    ds = studies.study(m=4)
    before = blmm.scan(ds).compute()
    holds = ds.assign(h2=before.h2 / 2, lod_before=before.lod.reset_coords(drop=True))
    result = blmm.scan(holds, store=tmp_path / "r.zarr")
    np.testing.assert_array_equal(result.h2, before.h2)
    assert "lod_before" not in result


def test_flipped_bits_of_finished_blocks_are_found_by_whoever_reads_them(ds, tmp_path):
    """A run that goes on looks at lengths only, and at all bytes of what is one value a trait."""
    path, chunks = tmp_path / "r.zarr", {"variants": 16, "traits": 256}  # shards of two chunks
    whole = ds.isel(traits=np.arange(300) % ds.sizes["traits"])
    names = [f"t{i}" for i in range(300)]
    whole = whole.assign_coords(traits=names, trait_id=("traits", np.array(names, dtype=object)))
    expected = blmm.scan(whole, store=path, chunks=chunks).lod.values

    def contents():
        return {file: file.read_bytes() for file in path.rglob("c/**/*") if file.is_file()}

    files = contents()

    def flip(name):
        data = bytearray((path / name).read_bytes())
        data[len(data) // 4] ^= 16
        (path / name).write_bytes(data)

    flip("lod/c/0/0")
    flip("lod/c/1/1")
    zarr.open_array(path, path="manifest_blocks", mode="r+")[1, 0] = 0
    flip("h2/c/0")
    blmm.scan(whole, store=path)
    changed = {
        str(file.relative_to(path)) for file, data in contents().items() if data != files[file]
    }
    assert changed == {"lod/c/0/0", "lod/c/1/1"}
    with pytest.raises(blmm.StoreError, match=r"lod is damaged: its file c/(0/0|1/1) .* mends it"):
        blmm.open_result(path).lod.compute()
    assert sorted(blmm.verify(path, mend=True, study=whole).file) == ["lod/c/0/0", "lod/c/1/1"]
    np.testing.assert_array_equal(blmm.open_result(path).lod, expected)
    assert contents() == files
