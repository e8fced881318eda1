"""Damage of any kind to any file of a store ends in a StoreError, never in other numbers."""

from __future__ import annotations

import json
import os
import random
import shutil
from pathlib import Path

import dask
import google_crc32c
import numpy as np
import pytest
import studies
import xarray as xr
import zarr

import bulklmm_dask as blmm
from bulklmm_dask.engine import plan
from bulklmm_dask.storage.places.location import Location
from bulklmm_dask.storage.proof.manifest import entries
from bulklmm_dask.study import io

BLOCKS = {"variants": 8, "traits": 12}


@pytest.fixture(scope="module")
def kept(tmp_path_factory):
    """A study, results in chunks and in shards, permutations; with what they hold."""
    folder = tmp_path_factory.mktemp("kept")
    ds = studies.study(n=30, p=30, m=20)
    ds["sample_trait"] = ds["sample_trait"].where(np.arange(30)[:, None] > np.arange(20) % 3)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(io, "_CHUNK_BYTES", 1500)
        blmm.save(ds, folder / "study.zarr")
    blmm.scan(ds, store=folder / "chunks.zarr", chunks=BLOCKS, statistics=["lod", "beta"])
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(plan, "_INNER", 4)
        blmm.scan(ds, store=folder / "shards.zarr", chunks=BLOCKS)
    chunks = {"permutations": 8, "traits": 8}
    blmm.permute(ds, n_permutations=20, store=folder / "maxima.zarr", chunks=chunks)
    assert zarr.open_array(folder / "shards.zarr", path="lod").shards == (8, 12)
    return folder, {path.name: load(path) for path in folder.iterdir()}


STORES = ["study.zarr", "chunks.zarr", "shards.zarr", "maxima.zarr"]


def load(path: Path) -> xr.Dataset:
    """All that a store holds; what its summary tells, too."""
    with dask.config.set(scheduler="synchronous"):
        ds = (blmm.open_dataset if path.name == "study.zarr" else blmm.open_result)(path)
        if "lod" in ds:
            blmm.max_lod(ds)
            blmm.find_hits(ds, fdr=0.1)
        return ds.compute()


@pytest.fixture
def copy(kept, tmp_path):
    folder, _ = kept

    def copy_of(name):
        return Path(shutil.copytree(folder / name, tmp_path / name))

    return copy_of


def files_of(store: Path) -> list[Path]:
    return sorted(file for file in store.rglob("*") if file.is_file())


def flip(file: Path, bit: int) -> None:
    content = bytearray(file.read_bytes())
    content[bit // 8] ^= 1 << bit % 8
    file.write_bytes(content)


@pytest.mark.parametrize("name", STORES)
def test_flipped_bits_are_seen(copy, name):
    some_flips(copy(name), 15, seed=1)


@pytest.mark.slow
@pytest.mark.parametrize("name", STORES)
def test_many_flipped_bits_are_seen(copy, name):
    some_flips(copy(name), 300, seed=2)


def some_flips(store: Path, count: int, seed: int) -> None:
    files, draw = files_of(store), random.Random(seed)
    for _ in range(count):
        file = draw.choice(files)
        bit = draw.randrange(8 * file.stat().st_size)
        flip(file, bit)
        with pytest.raises(blmm.StoreError, match=store.name):
            load(store)
        flip(file, bit)
    load(store)


@pytest.mark.slow
@pytest.mark.parametrize("name", STORES)
def test_a_lost_or_shortened_file_is_seen(copy, kept, name):
    store = copy(name)
    for file in random.Random(3).sample(files_of(store), 25):
        content = file.read_bytes()
        for half in (True, False):
            if half:
                os.truncate(file, len(content) // 2)
            else:
                file.unlink()
            with pytest.raises(blmm.StoreError):
                load(store)
            file.write_bytes(content)
    xr.testing.assert_identical(load(store), kept[1][name])


@pytest.mark.parametrize("name", STORES)
def test_a_folder_in_place_of_a_file_is_seen(copy, name):
    store = copy(name)
    for file in random.Random(4).sample(files_of(store), 12):
        content = file.read_bytes()
        file.unlink()
        (file / "x").mkdir(parents=True)
        (file / "x" / "y").write_bytes(b"the number of files is right")
        with pytest.raises(blmm.StoreError):
            load(store)
        shutil.rmtree(file)
        file.write_bytes(content)


@pytest.mark.parametrize("name", STORES)
def test_a_lost_array_or_group_is_seen(copy, name):
    store = copy(name)
    for metadata in store.rglob("*/zarr.json"):
        moved = metadata.parent.rename(store.parent / "moved")
        with pytest.raises(blmm.StoreError, match=r"is lost|lost|lacks"):
            load(store)
        moved.rename(metadata.parent)
    load(store)


@pytest.mark.parametrize(
    ("name", "array"),
    [
        ("study.zarr", "call_dosage"),
        ("study.zarr", "sample_trait"),
        ("chunks.zarr", "lod"),
        ("chunks.zarr", "h2"),
        ("shards.zarr", "lod"),
        ("maxima.zarr", "max_lod"),
    ],
)
def test_exchanged_and_older_files_are_seen(copy, name, array):
    """Each is sound by itself: it is in the wrong place, or of another time."""
    store = copy(name)
    first, *_, last = [file for file in files_of(store / array) if file.name != "zarr.json"]
    exchange(first, last)
    with pytest.raises(blmm.StoreError, match=rf"{array}.* damaged|damaged.*{array}"):
        load(store)
    exchange(first, last)
    load(store)
    first.write_bytes(last.read_bytes())
    with pytest.raises(blmm.StoreError, match=rf"{array}.* damaged|damaged.*{array}"):
        load(store)


def exchange(one: Path, other: Path) -> None:
    content = one.read_bytes()
    one.write_bytes(other.read_bytes())
    other.write_bytes(content)


def test_chunks_exchanged_within_a_shard_are_seen(copy):
    """The index of the shard, with a right checksum, names each in the place of the other."""
    store = copy("shards.zarr")
    file = store / "lod" / "c" / "0" / "0"
    content = file.read_bytes()
    index = np.frombuffer(content[-3 * 16 - 4 : -4], "<u8").reshape(3, 2)
    changed = index[[1, 0, 2]].tobytes()
    end = google_crc32c.value(changed).to_bytes(4, "little")
    file.write_bytes(content[: -3 * 16 - 4] + changed + end)
    assert np.isfinite(zarr.open_array(store, path="lod")[:]).all()  # Zarr sees nothing
    with pytest.raises(blmm.StoreError, match="lod is damaged: its file c/0/0 is not the one"):
        load(store)


def test_changed_metadata_are_seen(copy):
    """Also where they are as valid as before."""
    for name, array in (("study.zarr", "call_dosage"), ("chunks.zarr", "variant_position")):
        file = copy(name) / array / "zarr.json"
        metadata = json.loads(file.read_text())
        metadata["attributes"]["units"] = "furlong"
        file.write_text(json.dumps(metadata))
        with pytest.raises(blmm.StoreError, match=f"{array}/zarr.json is damaged: it is not what"):
            load(file.parents[1])


def test_metadata_of_files_that_cannot_be_there(copy):
    """A million files that are not there are not looked for."""
    store = copy("chunks.zarr")
    file = store / "manifest" / "lod" / "zarr.json"
    metadata = json.loads(file.read_text())
    metadata["shape"] = [1, 1000_000, 1]
    metadata["chunk_grid"]["configuration"]["chunk_shape"] = [1, 1, 1]
    file.write_text(json.dumps(metadata))
    with pytest.raises(blmm.StoreError, match="is damaged: its metadata tell of 1,000,000 files"):
        entries(Location.of(store), "manifest/lod")
    assert blmm.verify(store).file.tolist() == ["manifest/lod/zarr.json"]
    with pytest.raises(blmm.StoreError, match=r"manifest/lod/zarr\.json is damaged"):
        load(store)


@pytest.mark.parametrize("used", [False, True])
def test_a_store_that_took_the_place_of_another_is_not_read_as_that(tmp_path, used):
    """Neither by its LODs nor by its summary, of the same sizes and of others."""
    first, second = (studies.study(n=30, p=30, m=20, seed=seed) for seed in (1, 2))
    place = tmp_path / "lod.zarr"
    for chunks in (BLOCKS, {"variants": 30, "traits": 5}):
        shutil.rmtree(place, ignore_errors=True)
        result = blmm.scan(first, store=place, chunks=BLOCKS)
        if used:
            blmm.max_lod(result)
            result.lod[0, 0].compute()
        shutil.rmtree(place)
        blmm.scan(second, store=place, chunks=chunks)
        for read in (
            lambda result=result: result.lod.compute(),
            lambda result=result: blmm.max_lod(result),
            lambda result=result: blmm.find_hits(result, threshold=2.0),
        ):
            with pytest.raises(blmm.StoreError, match="not the"):
                read()
    blmm.save(first, tmp_path / "study.zarr")
    ds = blmm.open_dataset(tmp_path / "study.zarr")
    if used:
        ds.call_dosage[0].compute()
    blmm.save(second, tmp_path / "study.zarr", overwrite=True)
    with pytest.raises(blmm.StoreError, match="not the"):
        ds.call_dosage.compute()


def test_only_the_damaged_part_is_refused(copy, kept):
    """What lies in other files is read."""
    store = copy("chunks.zarr")
    flip(store / "lod" / "c" / "3" / "1", 100)
    result = blmm.open_result(store)
    whole = kept[1]["chunks.zarr"]
    np.testing.assert_array_equal(result.lod[:24], whole.lod[:24])
    np.testing.assert_array_equal(result.lod[:, :12], whole.lod[:, :12])
    for part in (result.lod[24:, 12:], result.lod[29, 15], result.lod[::7]):
        said = r"lod is damaged: its file c/3/1 .*mend=True\) mends it"
        with pytest.raises(blmm.StoreError, match=said):
            part.compute()


def test_the_same_scan_mends_a_store_that_lost_files(copy, kept):
    store = copy("chunks.zarr")
    ds = blmm.open_dataset(copy("study.zarr"))
    (store / "lod" / "c" / "3" / "1").unlink()
    exchange(store / "beta" / "c" / "0" / "0", store / "beta" / "c" / "1" / "0")
    (store / "h2" / "c" / "1").write_bytes(b"")
    blmm.scan(ds, store=store, statistics=["lod", "beta"])
    xr.testing.assert_identical(load(store), kept[1]["chunks.zarr"])
