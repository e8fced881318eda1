"""Chunks whose rows are copies: what zarr and Blosc read of them is what NumPy gathers."""

from __future__ import annotations

import io

import numpy as np
import pytest
import zarr
from numcodecs import blosc

import bulklmm_dask as blmm
from bulklmm_dask._compiled import NUMPY, VARIABLE, built
from bulklmm_dask.storage.arrays.form import Form
from bulklmm_dask.storage.arrays.shard import read, write
from bulklmm_dask.storage.codecs.compression import Compression
from bulklmm_dask.storage.places.location import Location

LOOP = built("storage.compiled._blocks")
needs_loop = pytest.mark.skipif(LOOP is None, reason="it was not built")


def copies(rng, different, n, kind):
    """Which row each of n is: many are that of the one before, of any, in turn, of a far one."""
    if kind == "neighbours":
        return np.sort(rng.integers(0, different, n))
    if kind == "any":
        return rng.integers(0, different, n)
    if kind == "turns":
        return np.arange(n) // 40 * 3 % max(1, different - 3) + np.arange(n) % min(3, different)
    if kind == "far":
        return np.concatenate([np.arange(n // 2) % different, np.arange(n - n // 2) % different])
    return np.full(n, different - 1)


@needs_loop
@pytest.mark.parametrize("kind", ["neighbours", "any", "turns", "far", "one"])
@pytest.mark.parametrize("width", [16, 17, 19, 20, 256, 512, 3_000, 65_535, 70_000])
def test_blosc_decodes_what_is_packed(width, kind):
    rng = np.random.default_rng(width)
    shorter = 0
    for different, n in [(1, 1), (1, 2), (2, 3), (5, 20), (40, 100), (90, 100), (300, 2000)]:
        if width * n > 8_000_000:
            continue
        source = rng.integers(0, 256, (different, width + 7), dtype=np.uint8)
        source[:: different // 2 + 1] = 0
        where = copies(rng, different, n, kind)
        room = np.full(n * width + 100, 7, np.uint8)
        length = LOOP.pack(source[:, 3 : 3 + width], where, 4, room[: n * width])
        assert (room[n * width :] == 7).all()
        if length:
            assert length < n * width
            expected = source[where, 3 : 3 + width].tobytes()
            assert blosc.decompress(room[:length].tobytes()) == expected
            shorter += 1
    assert (shorter > 0) == (width < 70_000)


@needs_loop
def test_what_is_packed_has_the_size_of_its_different_rows():
    """A sequence for each of them takes 2 bytes of length more, and 3 or more for its copies."""
    rng = np.random.default_rng(1)
    source = rng.integers(0, 256, (500, 256), dtype=np.uint8)
    where, room = copies(rng, 500, 2000, "neighbours"), np.empty(2000 * 256, np.uint8)
    length = LOOP.pack(source, where, 4, room)
    assert length < 256 * len(np.unique(where)) + 10 * 500


@needs_loop
def test_rows_that_do_not_fit_are_refused():
    source, where, room = (
        np.zeros((3, 32), np.uint8),
        np.array([0, 1, 2, 2]),
        np.empty(128, np.uint8),
    )
    right = (source, where, 4, room)
    assert LOOP.pack(*right) > 0
    fixed = room.copy()
    fixed.flags.writeable = False
    for place, wrong, error in (
        (0, source[0], TypeError),
        (0, source.view("f4"), TypeError),
        (0, source[:, ::2], TypeError),
        (0, source[:, :15], ValueError),
        (1, where + 1, ValueError),
        (1, where - 1, ValueError),
        (1, where[:0], ValueError),
        (1, where.astype("i4"), TypeError),
        (2, 0, ValueError),
        (2, 256, ValueError),
        (3, room[:127], ValueError),
        (3, fixed, (BufferError, ValueError)),
    ):
        given = [*right]
        given[place] = wrong
        with pytest.raises(error):
            LOOP.pack(*given)


SHAPES = [
    ((300, 96), (300, 32), (300, 96)),
    ((300, 90), (300, 32), (300, 96)),  # beyond the end are fill values
    ((290, 96), (300, 32), (300, 96)),
    ((300, 96), (100, 32), (300, 96)),
    ((300, 32, 3), (300, 8, 3), (300, 32, 3)),
    ((300, 40), (300, 40), None),
    ((300, 12), (300, 3), (300, 12)),  # rows too short for the loop
]


@pytest.mark.parametrize("by", [NUMPY, ""])
@pytest.mark.parametrize("dtype", ["<f4", "<f8", "<i4"])
@pytest.mark.parametrize(("shape", "chunks", "shards"), SHAPES)
@pytest.mark.parametrize("kind", ["codecs_of_pairs", "codecs"])
@pytest.mark.parametrize("different", [290, 60])
def test_zarr_reads_the_gathered_rows(
    shape, chunks, shards, dtype, kind, different, by, tmp_path, monkeypatch
):
    monkeypatch.setenv(VARIABLE, by)
    rng = np.random.default_rng(2)
    rows = rng.standard_normal((different, *shape[1:]))
    rows[3], rows[:, 1], rows[7, 2] = 0.0, np.nan, -0.0
    rows = np.where(np.isnan(rows), 7, rows).astype(dtype) if dtype == "<i4" else rows.astype(dtype)
    where = copies(rng, different, shape[0], "neighbours")
    array = zarr.open_group(tmp_path, mode="w", zarr_format=3).create_array(
        "a",
        shape=shape,
        chunks=chunks,
        shards=shards,
        dtype=dtype,
        compressors=getattr(Compression(), kind),
        fill_value=0 if dtype == "<i4" else np.nan,
    )
    form = Form.of(Location(str(tmp_path / "a")))
    for values in (rows, np.asfortranarray(rows), rows.astype(rows.dtype.newbyteorder())):
        stream = io.BytesIO()
        sums = write(stream, form, values, where)
        file = tmp_path / "a" / form.path((0,) * len(shape))
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(stream.getvalue())
        assert array[...].tobytes() == rows[where].tobytes()
        part = tuple(slice(0, size) for size in shape)
        stream.seek(0)
        assert read(stream, form, part, sums).tobytes() == rows[where].tobytes()


@pytest.mark.parametrize("options", [{}, {"method": "alt-grid"}, {"statistics": ["beta", "se"]}])
def test_a_store_of_markers_with_copies_has_the_lods_of_a_lazy_scan(options, tmp_path):
    ds = blmm.simulate_study(n_traits=90, n_variants=400, n_strains=30, seed=4)
    ds["kinship"] = blmm.kinship(ds).compute()
    lazy = blmm.scan(ds, **options).compute()
    options = {**options, "chunks": {"variants": 160, "traits": 64}}
    kept = blmm.scan(ds, store=tmp_path / "r.zarr", **options)
    again = blmm.scan(ds, **options).compute()
    for name in ("lod", *options.get("statistics", ())):
        assert kept[name].values.tobytes() == again[name].values.tobytes()
        np.testing.assert_allclose(kept[name], lazy[name], rtol=1e-4, atol=1e-5)
    assert not len(blmm.verify(tmp_path / "r.zarr"))
