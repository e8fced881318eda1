"""Small arrays of a store: what is written here xarray reads, and the other way round."""

from __future__ import annotations

import numpy as np
import pytest
import xarray as xr
import zarr

import bulklmm_dask as blmm
from bulklmm_dask.storage.arrays.datasets import forms_of, make_array, read_dataset, write_dataset
from bulklmm_dask.storage.codecs.compression import small_codecs
from bulklmm_dask.storage.labels.coordinates import COORDINATES
from bulklmm_dask.storage.labels.encoding import plain
from bulklmm_dask.storage.places.location import Location


@pytest.fixture
def ds():
    """Every kind of values that a study may hold."""
    rng = np.random.default_rng(1)
    words = np.array(["", "é", "a longer text"], object)
    data = {
        "real": ("x", [1.5, np.nan, np.inf], {"units": "cM", "steps": np.arange(2)}),
        "single": (("x", "y"), rng.random((3, 2), np.float32)),
        "count": ("x", np.array([-1, 0, 2**40])),
        "small": ("y", np.array([1, 2], np.uint8)),
        "big_endian": ("y", np.array([1.0, 2.0], ">f8")),
        "flag": ("x", [True, False, True], {"long_name": "yes or no"}),
        "words": ("x", words, {"long_name": "words"}),
        "wide": ("y", np.array(["a", "bc"])),
        "table": (("y", "x"), np.stack([words, words])),
        "one": ((), 7.0),
        "day": ("x", np.array(["2020-01-02", "2021-05-06", "NaT"], "M8[ns]")),
        "span": ("y", np.array([1, 2], "m8[s]")),
        "time": ("x", np.array([1.0, 2.0, 3.0]), {"units": "days"}),
        "none": ("z", np.zeros(0)),
    }
    coords = {"x": ["a", "b", "c"], "place": ("x", [1, 2, 3]), "note": ("y", [0.5, 1.5])}
    return xr.Dataset(data, coords, {"a": [1, 2], "b": "é", "c": np.float64(0.5)})


def lazily(ds):
    return ds.assign(
        whole=ds.single.chunk(), parts=ds.single.chunk({"x": 2}), names=ds.words.chunk({"x": 1})
    )


def expected(ds):
    """What is read again: text as objects, attributes as JSON holds them."""
    found = plain(ds).compute()
    found["real"].attrs["steps"] = [0, 1]
    return found.assign_attrs(c=0.5)


def test_what_is_written_is_read_again_and_by_xarray_too(ds, tmp_path):
    store = Location(str(tmp_path / "s.zarr"))
    ds = lazily(ds).assign_attrs({COORDINATES: "note place"})
    write_dataset(store, ds)
    want = expected(ds)
    del want.attrs[COORDINATES]
    xr.testing.assert_identical(read_dataset(store), want)
    plainly = xr.open_zarr(store.path, consolidated=False).compute()
    assert plainly.attrs == want.attrs
    assert set(plainly.coords) == set(want.coords)
    for name, variable in want.variables.items():
        assert plainly[name].attrs == variable.attrs
        np.testing.assert_array_equal(plainly[name], variable)


def test_what_xarray_has_written_is_read(ds, tmp_path):
    store = Location(str(tmp_path / "s.zarr"))
    want = expected(ds)
    want.to_zarr(store.path, zarr_format=3, consolidated=False)
    with xr.open_zarr(store.path, consolidated=False) as plainly:
        xr.testing.assert_identical(read_dataset(store), plain(plainly.compute()))


def test_arrays_that_are_left_out_and_those_that_are_not_read(ds, tmp_path):
    store = Location(str(tmp_path / "s.zarr"))
    write_dataset(store, ds)
    (store / "single" / "c").remove()
    found = read_dataset(store, deferred=["single"], without=["count"])
    assert "count" not in found
    assert found.single.shape == (3, 2)
    assert found.single.dtype == np.float32
    assert found.single.encoding["preferred_chunks"] == {"x": 3, "y": 2}


def test_a_missing_file_holds_the_fill_value(tmp_path):
    store = Location(str(tmp_path))
    group = zarr.open_group(store.path, mode="w", zarr_format=3)
    array = group.create_array("a", shape=(5,), chunks=(2,), dtype="i4", fill_value=9)
    array[2:4] = 1
    assert forms_of(store)["a"].fill == 9
    array.attrs["long_name"] = "numbers"
    group.create_array("b", data=np.arange(5.0), chunks=(2,), dimension_names=["n"])
    np.testing.assert_array_equal(read_dataset(store, without=["a"]).b, np.arange(5.0))


def test_files_of_several_chunks(tmp_path):
    store = Location(str(tmp_path))
    values = np.arange(35).reshape(7, 5)
    make_array(store / "a", values, (3, 2), dims=("n", "m"))
    zarr.open_group(store.path, mode="a", zarr_format=3)
    np.testing.assert_array_equal(zarr.open_array(store.path, path="a")[...], values)
    np.testing.assert_array_equal(read_dataset(store).a, values)


@pytest.mark.parametrize("name", ["words", "real"])
def test_a_changed_byte_is_an_error(ds, name, tmp_path):
    store = Location(str(tmp_path / "s.zarr"))
    write_dataset(store, ds)
    file = tmp_path / "s.zarr" / name / "c" / "0"
    data = bytearray(file.read_bytes())
    data[len(data) // 2] ^= 1
    file.write_bytes(data)
    with pytest.raises(ValueError, match="do not agree with its checksum"):
        read_dataset(store)


def test_damaged_metadata_are_named(ds, tmp_path):
    store = Location(str(tmp_path / "s.zarr"))
    write_dataset(store, ds)
    (tmp_path / "s.zarr" / "real" / "zarr.json").write_text('{"node_type": "array"}')
    with pytest.raises(blmm.StoreError, match=r"real/zarr\.json is damaged \('chunk_grid'\)"):
        read_dataset(store)


def test_shards_are_left_to_xarray(tmp_path):
    store = Location(str(tmp_path))
    group = zarr.open_group(store.path, mode="w", zarr_format=3)
    options = {
        "chunks": (2,),
        "shards": (4,),
        "dimension_names": ["n"],
        "compressors": small_codecs(),
    }
    group.create_array("a", data=np.arange(7.0), **options)
    found = read_dataset(store, deferred=["a"])
    assert found.a.encoding["preferred_chunks"] == {"n": 2}
    assert not found.a.any()
    np.testing.assert_array_equal(read_dataset(store).a, np.arange(7.0))
