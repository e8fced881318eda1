"""Files that are written in one pass: the bytes of Zarr, and the checksums that are in them."""

from __future__ import annotations

import io
import json
from itertools import product

import numpy as np
import pytest
import zarr
from zarr.codecs import Crc32cCodec, GzipCodec

import bulklmm_dask as blmm
from bulklmm_dask.storage.arrays.chunks import files
from bulklmm_dask.storage.arrays.form import Form
from bulklmm_dask.storage.arrays.shard import write
from bulklmm_dask.storage.arrays.sums import inner_chunks, sound, sums_of
from bulklmm_dask.storage.codecs.compression import Compression, small_codecs
from bulklmm_dask.storage.places.location import Location

# Shape of the array, of a chunk, and of a shard, if there are any; all with ragged ends.
LAYOUTS = [
    ((10, 23), (4, 5), None),
    ((10, 23), (4, 4), (4, 12)),
    ((10, 23, 3), (4, 4, 3), (4, 12, 3)),
    ((23,), (5,), None),
    ((2, 23), (2, 5), None),
]
DTYPES = ["<f4", "<f8", ">f8", "<i4", ">u2", "u1", "bool"]


def made(path, shape, chunks, shards, dtype, codecs, **options):
    group = zarr.open_group(path, mode="w", zarr_format=3)
    fill = np.nan if np.dtype(dtype).kind == "f" else None
    return group.create_array(
        "a",
        shape=shape,
        chunks=chunks,
        shards=shards,
        dtype=dtype,
        compressors=codecs,
        fill_value=fill,
        config={"write_empty_chunks": True},
        **options,
    )


def parts(array, values):
    """Index of each file of an array, and what it holds."""
    form = array.shards or array.chunks
    for index, _ in files(Location("."), "a", array):
        edges = zip(index, form, strict=True)
        yield index, values[tuple(slice(i * n, (i + 1) * n) for i, n in edges)]


def given(values):
    """The same values as they may come: as they are, by columns, in the other order of bytes."""
    yield values
    yield np.asfortranarray(values)
    yield values.astype(values.dtype.newbyteorder())


def values_of(shape, dtype):
    rng = np.random.default_rng(1)
    return (3.0 * rng.standard_normal(shape)).round(1).astype(dtype)


@pytest.mark.parametrize("name", ["lz4", "zstd"])
def test_the_bytes_are_those_of_zarr_and_the_checksums_those_in_them(name, tmp_path):
    for dtype, (shape, chunks, shards) in product(DTYPES, LAYOUTS):
        array = made(tmp_path, shape, chunks, shards, dtype, Compression(name).codecs)
        values = np.abs(values_of(shape, "f8")).astype(dtype)
        form = Form.of(Location(str(tmp_path / "a")))
        array[...] = values
        for index, part in parts(array, values):
            np.testing.assert_array_equal(values[form.region(index)], part)
            file = Location(str(tmp_path)) / "a" / form.path(index)
            for one in given(part):
                stream = io.BytesIO()
                sums = write(stream, form, one)
                assert stream.getvalue() == file.read_bytes(), (dtype, shape, shards, index)
                np.testing.assert_array_equal(sums, sums_of(file, inner_chunks(array)))
                assert sound(stream.getvalue(), inner_chunks(array))


def test_shards_of_chunks_along_two_dimensions_are_read_by_zarr(tmp_path):
    array = made(tmp_path, (10, 23), (2, 4), (4, 12), "f4", Compression().codecs)
    values = values_of((10, 23), "f4")
    store = Location(str(tmp_path))
    form = Form.of(store / "a")
    for index, part in parts(array, values):
        file = store / "a" / form.path(index)
        with file.replacing() as stream:
            sums = write(stream, form, part)
        np.testing.assert_array_equal(sums, sums_of(file, inner_chunks(array)))
    np.testing.assert_array_equal(array[...], values)


@pytest.mark.parametrize("dtype", ["f4", "f8"])
def test_chunks_with_equal_rows_are_not_shuffled_and_zarr_reads_all(dtype, tmp_path):
    rng = np.random.default_rng(3)
    values = rng.chisquare(1, (600, 256)).astype(dtype)
    values[:, :128] = np.repeat(values[::4, :128], 4, axis=0)  # copies of markers in one chunk only
    values[5, 130], values[7, 3] = np.nan, -0.0
    sizes = {}
    for kind in ("codecs_of_pairs", "codecs"):
        codecs = getattr(Compression(), kind)
        array = made(tmp_path, values.shape, (600, 128), (600, 256), dtype, codecs)
        form = Form.of(Location(str(tmp_path / "a")))
        stream = io.BytesIO()
        write(stream, form, values)
        (tmp_path / "a" / "c" / "0").mkdir(parents=True)
        (tmp_path / "a" / "c" / "0" / "0").write_bytes(stream.getvalue())
        bits = f"u{values.itemsize}"
        np.testing.assert_array_equal(array[...].view(bits), values.view(bits))
        start = np.frombuffer(stream.getvalue()[-36:-4], "<u8").reshape(2, 2)[:, 0].tolist()
        sizes[kind] = start[1]
        flags = [stream.getvalue()[at + 2] & 1 for at in start]  # of Blosc: bytes are shuffled
        assert flags == [kind == "codecs", 1]
    assert sizes["codecs_of_pairs"] < 1.1 * sizes["codecs"] < 0.4 * values[:, :128].nbytes


def test_texts_are_those_of_zarr(tmp_path):
    array = made(tmp_path, (7,), (3,), None, str, small_codecs())
    values = np.array(["ok", "", "a longer text", "é", "ok", "ok", "none"], object)
    array[...] = values
    form = Form.of(Location(str(tmp_path / "a")))
    for index, part in parts(array, values):
        for one in (part, part.astype(np.str_)):
            stream = io.BytesIO()
            write(stream, form, one)
            assert stream.getvalue() == (tmp_path / "a" / form.path(index)).read_bytes()


def test_numbers_of_another_kind_are_refused(tmp_path):
    made(tmp_path, (4,), (4,), None, "i4", small_codecs())
    form = Form.of(Location(str(tmp_path / "a")))
    with pytest.raises(TypeError, match="Cannot cast"):
        write(io.BytesIO(), form, np.ones(4))


def test_codecs_that_are_not_written_are_named(tmp_path):
    array = Location(str(tmp_path / "a"))
    made(tmp_path, (4,), (4,), None, "f4", (GzipCodec(), Crc32cCodec()))
    with pytest.raises(blmm.StoreError, match=r"codecs \('bytes', 'gzip', 'crc32c'\) that this"):
        Form.of(array)
    made(tmp_path, (4,), (4,), None, "c8", small_codecs())
    with pytest.raises(blmm.StoreError, match=r"names a type or codecs .* another store"):
        Form.of(array)


def test_shards_of_another_index_are_refused(tmp_path):
    made(tmp_path, (4, 4), (4, 2), (4, 4), "f4", Compression().codecs)
    file = tmp_path / "a" / "zarr.json"
    metadata = json.loads(file.read_text())
    metadata["codecs"][0]["configuration"]["index_location"] = "start"
    file.write_text(json.dumps(metadata))
    with pytest.raises(blmm.StoreError, match="'sharding_indexed'"):
        Form.of(Location(str(tmp_path / "a")))


@pytest.mark.parametrize("metadata", ["", "{}", '{"codecs": []}', "[" * 10**5])
def test_damaged_metadata_are_named(metadata, tmp_path):
    (tmp_path / "zarr.json").write_text(metadata)
    with pytest.raises(blmm.StoreError, match=r"zarr\.json is damaged .* with another store"):
        Form.of(Location(str(tmp_path)))


def test_a_file_that_cannot_be_finished_leaves_the_older_one(tmp_path):
    file = Location(str(tmp_path / "c" / "0"))
    with file.replacing() as stream:
        stream.write(b"old")

    def fail():
        with file.replacing() as stream:
            stream.write(b"new")
            raise ValueError("no more")

    with pytest.raises(ValueError, match="no more"):
        fail()
    assert file.read_bytes() == b"old"
    assert file.beside.names() == ["0"]


def test_a_file_of_the_working_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with (Location.of(".") / "a").replacing() as stream:
        stream.write(b"new")
    assert (tmp_path / "a").read_bytes() == b"new"
