"""Stores that version 0.1.0 wrote: readable for ever, their damage found, none resumed wrongly."""

from __future__ import annotations

import os
import shutil
import zipfile
from pathlib import Path

import numpy as np
import pytest
import zarr

import bulklmm_dask as blmm
from bulklmm_dask.describe import describe
from bulklmm_dask.storage.proof.stamp import FORMAT

KEPT = Path(__file__).parents[1] / "data" / "stores-0.1.0.zip"
BLOCKS = {"variants": 8, "traits": 8}


@pytest.fixture
def kept(tmp_path):
    with zipfile.ZipFile(KEPT) as archive:
        archive.extractall(tmp_path)
    return tmp_path


def test_the_study_is_read(kept):
    ds = blmm.open_dataset(kept / "study.zarr")
    assert dict(ds.sizes)["samples"] == 20
    assert float(ds.call_dosage.sum()) == 251.0
    assert float(ds.sample_trait.sum()) == pytest.approx(606.6163258169792, rel=1e-12)
    assert np.isnan(ds.call_dosage[2, 3])
    assert not {"format", "bulklmm_version", "bulklmm_store"} & ds.attrs.keys()


def test_the_results_are_read(kept):
    result = blmm.open_result(kept / "scan.zarr")
    assert result.lod.chunks == ((8, 8), (8, 2))
    assert float(result.lod.sum()) == pytest.approx(41.33119201660156, rel=1e-6)
    assert float(result.lod.max()) == pytest.approx(3.077974796295166, rel=1e-6)
    again = blmm.scan(blmm.open_dataset(kept / "study.zarr"))
    np.testing.assert_allclose(result.lod, again.lod, atol=1e-6)
    np.testing.assert_allclose(result.h2, again.h2, atol=1e-8)
    perm = blmm.open_result(kept / "perm.zarr")
    assert perm.max_lod.chunks == ((10, 10), (5, 5))
    assert float(perm.max_lod.sum()) == pytest.approx(250.21624755859375, rel=1e-6)


def test_they_have_the_coordinates_of_new_ones(kept):
    ds, result = blmm.open_dataset(kept / "study.zarr"), blmm.open_result(kept / "scan.zarr")
    perm = blmm.open_result(kept / "perm.zarr")
    again = blmm.scan(ds)
    assert set(result.coords) == set(again.coords) - {"variant_frequency"}  # which 0.1.0 had not
    assert set(result.data_vars) == {"lod"}
    assert set(perm.data_vars) == {"max_lod"}
    names = ds.contig_id.values[ds.variant_contig.values]
    for each in (ds, result):
        np.testing.assert_array_equal(each.variant_contig_name, names)
        assert each.variant_position.attrs["long_name"] == "position of the marker"
    assert ds.call_dosage.attrs["long_name"] == "dosage of the counted allele"


def test_all_are_described(kept):
    assert "study" in describe(kept / "study.zarr").splitlines()[0]
    assert "result of a scan, finished" in describe(kept / "scan.zarr")
    assert "maxima of permutations, finished" in describe(kept / "perm.zarr")
    assert "50% finished" in describe(kept / "unfinished.zarr")


def test_a_kinship_can_be_added(kept):
    path = kept / "study.zarr"
    loco = blmm.kinship(blmm.open_dataset(path), loco=True)
    blmm.save(blmm.open_dataset(path).assign(kinship_loco=loco), kept / "again.zarr")
    assert blmm.open_dataset(kept / "again.zarr").kinship_loco.shape == (2, 20, 20)


def last_chunk(store, name):
    return max(file for file in (store / name / "c").rglob("*") if file.is_file())


@pytest.mark.parametrize(
    ("store", "name"),
    [
        ("scan.zarr", "lod"),
        ("scan.zarr", "h2"),
        ("scan.zarr", "trait_status"),
        ("perm.zarr", "max_lod"),
        ("perm.zarr", "n_samples"),
    ],
)
def test_damage_in_results_is_found(kept, store, name):
    file = last_chunk(kept / store, name)
    size = file.stat().st_size
    for length in (size - 1, size // 2, 17, 10, 0):
        os.truncate(file, length)
        with pytest.raises(blmm.StoreError, match=rf"1 file of .* first .*{name}/c/.* another"):
            blmm.open_result(kept / store)
    file.unlink()
    with pytest.raises(blmm.StoreError, match=rf"1 file of .* the first .*{name}/c/"):
        blmm.open_result(kept / store)


@pytest.mark.parametrize("name", ["call_dosage", "sample_trait"])
def test_damage_in_the_study_is_found(kept, name):
    file = last_chunk(kept / "study.zarr", name)
    size = file.stat().st_size
    for length in (size - 1, size // 2, 17, 10, 0):
        os.truncate(file, length)
        with pytest.raises(blmm.StoreError, match=rf"{name}/c/.* is cut short"):
            blmm.open_dataset(kept / "study.zarr")
    file.unlink()
    with pytest.raises(blmm.StoreError, match=f"lacks chunks of '{name}'"):
        blmm.open_dataset(kept / "study.zarr")


def test_none_is_resumed(kept):
    """Its fingerprints were made in another way: it cannot be known whether the inputs agree."""
    ds = blmm.open_dataset(kept / "study.zarr")
    refused = r"written by bulklmm_dask 0\.1\.0 in format 1, whose fingerprints .* bulklmm_dask \d"
    with pytest.raises(blmm.StoreError, match=refused + ".*; give another store, or remove"):
        blmm.scan(ds, store=kept / "unfinished.zarr")
    with pytest.raises(blmm.StoreError, match=refused + ".*; open it with open_result"):
        blmm.scan(ds, store=kept / "scan.zarr", chunks=BLOCKS)
    with pytest.raises(blmm.StoreError, match=refused + ".*2 of 4 blocks .*: make another store"):
        blmm.open_result(kept / "unfinished.zarr")


def test_stores_of_today_say_their_format(kept):
    ds = blmm.open_dataset(kept / "study.zarr")
    blmm.save(ds, kept / "new.zarr")
    blmm.scan(ds, store=kept / "new-scan.zarr")
    for name, opened in (("new.zarr", blmm.open_dataset), ("new-scan.zarr", blmm.open_result)):
        group = zarr.open_group(kept / name, mode="r+")
        assert group.attrs["format"] == FORMAT
        assert group.attrs["bulklmm_version"]
        assert not {"format", "bulklmm_version"} & opened(kept / name).attrs.keys()
        group.attrs.update({"format": FORMAT + 1, "bulklmm_version": "9.8.7"})
        newer = rf"format {FORMAT + 1}, written by bulklmm_dask 9\.8\.7, .*up to {FORMAT} only;"
        with pytest.raises(blmm.StoreError, match=newer):
            opened(kept / name)
        with pytest.raises(blmm.StoreError, match=newer):
            describe(kept / name)
    with pytest.raises(blmm.StoreError, match="install the newer version"):
        blmm.scan(ds, store=kept / "new-scan.zarr")


@pytest.mark.slow
def test_damage_beside_the_blocks_is_found(kept):
    """In names, positions, metadata and the marks themselves."""
    ds = blmm.open_dataset(kept / "study.zarr")
    for number, (name, change, message) in enumerate(
        (
            ("trait_id/c/0", lambda file: os.truncate(file, 9), "is damaged"),
            ("variant_contig/c/0", Path.unlink, "variant_contig is damaged: its bytes are not"),
            ("h2/zarr.json", lambda file: os.truncate(file, 40), "is damaged"),
            ("manifest_blocks/c/0/0", lambda file: os.truncate(file, 3), "is damaged"),
            ("manifest_traits/zarr.json", lambda file: os.truncate(file, 40), "is damaged"),
        )
    ):
        path = kept / f"new-{number}.zarr"
        blmm.scan(ds, store=path, chunks=BLOCKS)
        change(path / name)
        with pytest.raises(blmm.StoreError, match=rf"{message}.*mend=True\) mends it"):
            blmm.open_result(path)


def test_checksums_are_recorded(kept):
    """Those that Zarr wrote at the end of every chunk, in the place of the chunk."""
    ds = blmm.open_dataset(kept / "study.zarr")
    blmm.save(ds, kept / "new.zarr")
    blmm.scan(ds, store=kept / "new-scan.zarr", chunks=BLOCKS, statistics=("lod", "beta"))
    for store, names in (("new.zarr", ("call_dosage",)), ("new-scan.zarr", ("lod", "beta", "h2"))):
        for name in names:
            sums = zarr.open_array(kept / store, path=f"manifest/{name}")[...]
            assert len(np.unique(sums)) == sums.size
            for index in np.ndindex(sums.shape[:-1]):
                file = kept / store / name / "c" / "/".join(map(str, index))
                (end,) = np.frombuffer(file.read_bytes()[-4:], "<u4")
                np.testing.assert_array_equal(sums[index], [end])


def test_a_lost_table_of_contigs(kept):
    """Stores of that version have no list of their parts."""
    shutil.rmtree(kept / "scan.zarr" / "contig_id")
    with pytest.raises(blmm.StoreError, match=r"contig_id is lost, which variant_contig is an ind"):
        blmm.open_result(kept / "scan.zarr")
