"""Codecs of stored scores, and digits that are left out."""

from __future__ import annotations

import numpy as np
import pytest
import studies
import zarr

import bulklmm_dask as blmm
from bulklmm_dask.storage.compression import Compression


@pytest.fixture(scope="module")
def ds():
    return studies.study(n=40, p=200, m=60)


def size_of(array):
    return array.nbytes_stored()


@pytest.mark.parametrize("name", ["lz4", "zstd"])
def test_both_codecs_are_without_loss_and_end_with_a_checksum(ds, tmp_path, name):
    stored = blmm.scan(ds, store=tmp_path / "r.zarr", compression=name)
    np.testing.assert_array_equal(stored.lod, blmm.scan(ds).lod)
    codecs = zarr.open_array(tmp_path / "r.zarr", path="lod").metadata.to_dict()["codecs"]
    assert [codec["name"] for codec in codecs] == ["bytes", "blosc", "crc32c"]
    assert codecs[1]["configuration"]["cname"] == name


def test_a_store_keeps_its_codec_when_it_is_finished(ds, tmp_path):
    blmm.scan(ds, store=tmp_path / "r.zarr", compression="zstd")
    zarr.open_array(tmp_path / "r.zarr", path="manifest_blocks", mode="r+")[0, 0] = 0
    again = blmm.scan(ds, store=tmp_path / "r.zarr")
    np.testing.assert_array_equal(again.lod, blmm.scan(ds).lod)


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
    with pytest.raises(blmm.StoreError, match="options differ"):
        blmm.scan(ds, store=tmp_path / "short.zarr", statistics="beta", digits=4)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"digits": 3}, "digits is given, but nothing is stored; give store too"),
        ({"compression": "zstd"}, "compression is given, but nothing is stored"),
        ({"compression": "gzip", "store": "r.zarr"}, "compression 'gzip'.*lz4"),
        ({"digits": 0, "store": "r.zarr"}, "digits is 0"),
        ({"digits": 2.5, "store": "r.zarr"}, "digits is 2.5"),
    ],
)
def test_what_cannot_be(ds, tmp_path, monkeypatch, options, message):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(blmm.InputError, match=message):
        blmm.scan(ds, **options)
