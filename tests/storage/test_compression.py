"""Codecs of stored scores, and digits that are left out."""

from __future__ import annotations

import numpy as np
import pytest
import studies
import zarr

import bulklmm_dask as blmm
from bulklmm_dask.storage.codecs.compression import Compression


@pytest.fixture(scope="module")
def ds():
    return studies.study(n=40, p=200, m=60)


PERMUTED = {"n_permutations": 40, "chunks": {"permutations": 20, "traits": 20}}


@pytest.fixture(scope="module")
def perm(ds):
    return blmm.permute(ds, **PERMUTED).compute()


def size_of(array):
    return array.nbytes_stored()


def require_codec(store, array, name):
    codecs = zarr.open_array(store, path=array).metadata.to_dict()["codecs"]
    assert [codec["name"] for codec in codecs] == ["bytes", "blosc", "crc32c"]
    assert codecs[1]["configuration"]["cname"] == name


@pytest.mark.parametrize("name", ["lz4", "zstd"])
def test_both_codecs_are_without_loss_and_end_with_a_checksum(ds, perm, tmp_path, name):
    stored = blmm.scan(ds, store=tmp_path / "r.zarr", compression=name)
    np.testing.assert_array_equal(stored.lod, blmm.scan(ds).lod)
    require_codec(tmp_path / "r.zarr", "lod", name)
    stored = blmm.permute(ds, **PERMUTED, store=tmp_path / "p.zarr", compression=name)
    np.testing.assert_array_equal(stored.max_lod, perm.max_lod)
    require_codec(tmp_path / "p.zarr", "max_lod", name)
    blmm.save(perm, tmp_path / "saved.zarr", compression=name)
    np.testing.assert_array_equal(blmm.open_result(tmp_path / "saved.zarr").max_lod, perm.max_lod)
    require_codec(tmp_path / "saved.zarr", "max_lod", name)
    blmm.save(ds, tmp_path / "study.zarr", compression=name)
    study = blmm.open_dataset(tmp_path / "study.zarr")
    for array in ("call_dosage", "sample_trait"):
        np.testing.assert_array_equal(study[array], ds[array])
        require_codec(tmp_path / "study.zarr", array, name)


def unmark(store):
    """Let the first block of a store be unfinished."""
    zarr.open_array(store, path="manifest_blocks", mode="r+")[0, 0] = 0


BLOCKS = {"variants": 100, "traits": 256}  # of which a shard has two chunks


def test_a_store_keeps_its_codec_when_it_is_finished(ds, tmp_path):
    store, whole = tmp_path / "r.zarr", studies.study(n=40, p=200, m=300)
    for options in ({}, {"compression": "zstd"}):
        blmm.scan(whole, store=store, chunks=BLOCKS, compression="zstd")
        unmark(store)
        again = blmm.scan(whole, store=store, **options)
        np.testing.assert_array_equal(again.lod, blmm.scan(whole).lod)
    said = "r.zarr is compressed by zstd, not lz4; leave compression out to go on with it"
    with pytest.raises(blmm.StoreError, match=said):
        blmm.scan(whole, store=store, compression="lz4")


def test_a_store_is_not_gone_on_with_in_other_digits(ds, perm, tmp_path):
    store = tmp_path / "p.zarr"
    short = blmm.permute(ds, **PERMUTED, store=store, digits=2)
    np.testing.assert_allclose(short.max_lod, perm.max_lod, rtol=0.5e-2, atol=0)
    assert not np.array_equal(short.max_lod, perm.max_lod)
    assert short.attrs["digits"] == 2
    unmark(store)
    said = "p.zarr keeps 2 significant digits of its numbers, not 3 .*; leave digits out to go on"
    with pytest.raises(blmm.StoreError, match=said):
        blmm.permute(ds, **PERMUTED, store=store, digits=3)
    for digits in (None, 2):
        again = blmm.permute(ds, **PERMUTED, store=store, digits=digits)
        np.testing.assert_array_equal(again.max_lod, short.max_lod)
        unmark(store)
    blmm.scan(ds, store=tmp_path / "r.zarr")
    said = "r.zarr keeps all digits of its numbers, not 1 significant digit; leave digits out to go"
    with pytest.raises(blmm.StoreError, match=said):
        blmm.scan(ds, store=tmp_path / "r.zarr", digits=1)


def test_a_result_is_saved_with_fewer_digits(ds, tmp_path):
    result = blmm.scan(ds, statistics="beta")
    for digits, kept in ((3, 3), (5, 3), (2, 2)):
        blmm.save(result, tmp_path / "r.zarr", digits=digits, overwrite=True)
        saved = blmm.open_result(tmp_path / "r.zarr")
        assert saved.attrs["digits"] == kept
        for name in ("lod", "beta"):
            np.testing.assert_allclose(saved[name], result[name], rtol=0.5 * 10.0**-kept, atol=0)
        np.testing.assert_array_equal(saved.h2, result.h2)
        result = saved.compute()


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("digits", [1, 2, 3, 5])
def test_digits_bound_the_relative_error(digits, dtype):
    rng = np.random.default_rng(1)
    values = (rng.standard_normal(10000) * 10.0 ** rng.integers(-30, 30, 10000)).astype(dtype)
    rounded = Compression("lz4", digits).rounded(values)
    assert rounded.dtype == dtype
    error = np.abs(rounded.astype("f8") / values.astype("f8") - 1.0)
    assert error.max() <= 0.5 * 10.0**-digits
    assert error.max() > 0.5 * 10.0**-digits / 10  # no more digits than asked for
    np.testing.assert_array_equal(Compression("lz4", digits).rounded(rounded), rounded)


def test_digits_leave_alone_what_is_no_real_number_or_has_fewer():
    special = np.array([np.nan, np.inf, -np.inf, 0.0, -0.0], np.float32)
    np.testing.assert_array_equal(Compression("lz4", 2).rounded(special), special)
    numbers = np.arange(1000)
    assert Compression("lz4", 1).rounded(numbers) is numbers
    exact = np.random.default_rng(2).random(10, np.float32)
    assert Compression("lz4", 8).rounded(exact) is exact


def test_digits_save_room(ds, tmp_path):
    whole = blmm.scan(ds, store=tmp_path / "whole.zarr", statistics="beta")
    short = blmm.scan(ds, store=tmp_path / "short.zarr", statistics="beta", digits=3)
    for name in ("lod", "beta"):
        np.testing.assert_allclose(short[name], whole[name], rtol=0.5e-3, atol=0)
        sizes = [
            size_of(zarr.open_array(tmp_path / store, path=name))
            for store in ("whole.zarr", "short.zarr")
        ]
        assert sizes[1] < 0.75 * sizes[0]
    np.testing.assert_array_equal(short.h2, whole.h2)
    assert short.attrs["digits"] == 3
    with pytest.raises(blmm.StoreError, match="3 significant digits of its numbers, not 4"):
        blmm.scan(ds, store=tmp_path / "short.zarr", statistics="beta", digits=4)


@pytest.mark.parametrize("analysis", [blmm.scan, blmm.permute])
@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"digits": 3}, "digits=3 is given, but nothing is stored; give store too"),
        ({"compression": "zstd"}, "compression='zstd' is given, but nothing is stored"),
        ({"compression": "gzip", "store": "r.zarr"}, "compression 'gzip'.*lz4"),
        ({"digits": 0, "store": "r.zarr"}, "digits is 0"),
        ({"digits": 2.5, "store": "r.zarr"}, "digits is 2.5"),
    ],
)
def test_what_cannot_be(ds, tmp_path, monkeypatch, analysis, options, message):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(blmm.InputError, match=message):
        analysis(ds, **options)


@pytest.mark.parametrize("options", [{"compression": "zstd"}, {"digits": 3}], ids=str)
def test_permutations_of_all_traits_together_are_small(ds, tmp_path, options):
    shared = {"n_permutations": 20, "method": "shared"}
    with pytest.raises(blmm.InputError, match="little room; leave it out"):
        blmm.permute(ds, **shared, store=tmp_path / "p.zarr", **options)
    with pytest.raises(blmm.InputError, match="little room; leave out compression and digits"):
        blmm.save(blmm.permute(ds, **shared), tmp_path / "p.zarr", **options)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"digits": 3}, "digits is 3, but a study keeps all digits"),
        ({"compression": "gzip"}, "compression 'gzip'.*lz4"),
        ({"compression": 4}, "compression 4.*lz4"),
    ],
)
def test_a_study_is_kept_without_loss(ds, tmp_path, options, message):
    with pytest.raises(blmm.InputError, match=message):
        blmm.save(ds, tmp_path / "s.zarr", **options)
    assert not list(tmp_path.iterdir())
