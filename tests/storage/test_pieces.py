"""Parts of arrays are read as NumPy and Zarr take them; a file that is another one is refused."""

from __future__ import annotations

import shutil
from itertools import product

import numpy as np
import pytest
import zarr

import bulklmm_dask as blmm
from bulklmm_dask.storage.arrays.datasets import make_form, read_array, write_file
from bulklmm_dask.storage.arrays.form import Form
from bulklmm_dask.storage.arrays.pieces import bounds, touched
from bulklmm_dask.storage.codecs.compression import Compression, small_codecs
from bulklmm_dask.storage.places.location import Location
from bulklmm_dask.storage.proof.manifest import Opening, read_checked, record

KEYS = [
    (slice(None), slice(None)),
    (slice(3, 4), slice(None)),
    (slice(2, 9, 3), slice(1, 20, 4)),
    (slice(5, 5), slice(None)),
    (7, slice(-5, None)),
    (-1, 22),
]


def test_pieces_that_a_region_touches():
    values = np.arange(10 * 23).reshape(10, 23)
    starts, stops = (0, 3, 4, 9), (0, 4, 8, 10)
    for rows, columns in product(product(starts, stops), product((0, 6, 22), (1, 7, 23))):
        if rows[0] > rows[1] or columns[0] > columns[1]:
            continue
        region = slice(*rows), slice(*columns)
        out, seen = np.full(values[region].shape, -1), set()
        for index, of_piece, of_region in touched(region, (4, 5)):
            piece = values[4 * index[0] :, 5 * index[1] :][:4, :5]
            assert piece[of_piece].size
            out[of_region] = piece[of_piece]
            assert index not in seen
            seen.add(index)
        np.testing.assert_array_equal(out, values[region])


def test_a_selection_is_a_region_and_what_is_taken_of_it():
    values = np.arange(10 * 23).reshape(10, 23)
    for key in KEYS:
        region, within = bounds(key, values.shape)
        np.testing.assert_array_equal(values[region][within], values[key])


LAYOUTS = {
    "chunks": {"file": (4, 5)},
    "shards": {"file": (4, 12), "inner": (4, 4)},
    "shards of a grid": {"file": (4, 12), "inner": (2, 4)},
}


@pytest.fixture(params=LAYOUTS)
def store(request, tmp_path):
    """An array of numbers with its checksums, and the numbers."""
    values = np.random.default_rng(0).standard_normal((10, 23)).astype("f4")
    store, array = Location(str(tmp_path / "s")), Location(str(tmp_path / "s")) / "lod"
    form = Form.new(
        values.shape, values.dtype, compressors=Compression().codecs, **LAYOUTS[request.param]
    )
    make_form(array, form)
    for index in np.ndindex(form.files):
        write_file(array, form, index, values[form.region(index)])
    record(store, ["lod"])
    return store, values


def test_parts_are_those_that_zarr_reads(store):
    place, values = store
    by_zarr = zarr.open_array(place.path, path="lod")
    for key in KEYS:
        found = read_checked(place, "lod", key, Opening(None))
        np.testing.assert_array_equal(found, values[key])
        np.testing.assert_array_equal(found, by_zarr[key])
        assert found.dtype == values.dtype


def test_what_is_read_is_compared_and_nothing_else(store):
    place, values = store
    file = place.local / "lod" / "c" / "1" / "1"
    content = file.read_bytes()
    shutil.copy(place.local / "lod" / "c" / "0" / "1", file)  # sound by itself
    part = slice(4, 8), slice(12, 13)
    with pytest.raises(blmm.StoreError, match=r"its file c/1/\d is not the one that was written"):
        read_checked(place, "lod", (slice(None), slice(None)), Opening(None))
    file.write_bytes(content)
    np.testing.assert_array_equal(read_checked(place, "lod", part, Opening(None)), values[part])
    file.unlink()
    with pytest.raises(blmm.StoreError, match="its file c/1/1 is lost"):
        read_checked(place, "lod", (slice(None), slice(None)), Opening(None))
    np.testing.assert_array_equal(
        read_checked(place, "lod", (slice(4), slice(None)), Opening(None)), values[:4]
    )


def test_regions_of_small_arrays(tmp_path):
    values = np.array([["a", "bc", ""], ["d", "é", "f"]], dtype=object)
    array = Location(str(tmp_path / "names"))
    form = Form.new(values.shape, values.dtype, (1, 2), small_codecs())
    make_form(array, form)
    write_file(array, form, (0, 0), values[:1, :2])
    write_file(array, form, (1, 1), values[1:, 2:])
    expected = np.array([["a", "bc", ""], ["", "", "f"]], dtype=object)  # the others are not there
    np.testing.assert_array_equal(read_array(array, form), expected)
    np.testing.assert_array_equal(read_array(array, form, (slice(1, 2),)), expected[1:])
