"""What a run keeps of its markers is what it would prepare again, and no more than has room."""

from __future__ import annotations

import dask
import numpy as np
import pytest
import studies

import bulklmm_dask as blmm
from bulklmm_dask.lmm import kept
from bulklmm_dask.lmm.kept import distinct_of, keeping_markers, prepared_markers
from bulklmm_dask.lmm.kinship import impute
from bulklmm_dask.lmm.markers import distinct_markers, prepare_markers
from bulklmm_dask.lmm.samples import Samples

CHUNKS = {"variants": 10, "traits": 4}


@pytest.fixture
def genotypes():
    found = np.random.default_rng(1).integers(0, 3, (12, 20)).astype(float)
    found[3, 4] = np.nan
    return np.repeat(found, 3, axis=0)


@pytest.fixture
def basis():
    values = np.random.default_rng(2).standard_normal((20, 40))
    return Samples(np.ones((20, 1)), values @ values.T / 40).basis()


@pytest.fixture
def calls(monkeypatch):
    """How often markers are looked through for copies, and rotated."""
    counts = {"distinct_markers": 0, "prepare_markers": 0}

    def counted(name, real):
        def call(*args):
            counts[name] += 1
            return real(*args)

        return call

    for name, real in (
        ("distinct_markers", distinct_markers),
        ("prepare_markers", prepare_markers),
    ):
        monkeypatch.setattr(kept, name, counted(name, real))
    return counts


def both(genotypes, basis, key):
    x, where = distinct_of(genotypes, key)
    return x, where, prepared_markers(basis, x)


def test_each_chunk_is_prepared_once(genotypes, basis, calls):
    x, where = distinct_markers(impute(genotypes))
    markers = prepare_markers(basis, x)
    keys = [(object(), 0), (object(), 0)]
    with keeping_markers(), keeping_markers():
        for key in keys * 3:
            found = both(genotypes, basis, key)
            np.testing.assert_array_equal(found[0], x)
            np.testing.assert_array_equal(found[1], where)
            np.testing.assert_array_equal(found[2].rotated, markers.rotated)
            np.testing.assert_array_equal(found[2].tested, markers.tested)
    assert calls == {"distinct_markers": 2, "prepare_markers": 2}
    both(genotypes, basis, keys[0])  # the run has ended
    assert calls == {"distinct_markers": 3, "prepare_markers": 3}


def test_parts_of_a_chunk_and_other_bases_are_told_apart(genotypes, basis, calls):
    chunk, other = object(), basis.__class__(**vars(basis))
    with keeping_markers():
        first, _, of_first = both(genotypes[:15], basis, (chunk, 0))
        second, _, of_second = both(genotypes[15:], basis, (chunk, 1))
        assert len(first) + len(second) == 12
        assert len(of_first.rotated) == len(first)
        assert len(of_second.rotated) == len(second)
        assert both(genotypes[:15], other, (chunk, 0))[2] is not of_first
        assert both(genotypes[:15], basis, (chunk, 0))[2] is of_first
    assert calls == {"distinct_markers": 2, "prepare_markers": 3}


@pytest.mark.parametrize(("most", "distinct", "prepared"), [(0, 6, 6), (12 * 20 * 8, 4, 6)])
def test_what_there_is_no_room_for_is_prepared_again(
    genotypes, basis, calls, monkeypatch, most, distinct, prepared
):
    """Room for the different markers of one chunk, and for nothing rotated."""
    monkeypatch.setattr(kept, "_MOST", most)
    keys = [(object(), 0), (object(), 0)]
    with keeping_markers():
        for key in keys * 3:
            both(genotypes, basis, key)
    assert calls == {"distinct_markers": distinct, "prepare_markers": prepared}


@pytest.mark.parametrize("options", [{}, {"method": "alt-grid"}, {"loco": True}], ids=str)
def test_a_run_keeps_them_and_gives_what_lazy_blocks_give(tmp_path, calls, options):
    ds = studies.study(n=30, p=30, m=12)
    if "loco" in options:
        ds["kinship_loco"] = blmm.kinship(ds, loco=True)
    with dask.config.set(scheduler="synchronous"):
        blmm.scan(ds, store=tmp_path / "lod.zarr", chunks=CHUNKS, **options)
        in_a_run = dict(calls)
        lazy = blmm.scan(ds, chunks=CHUNKS, **options).lod.values
    np.testing.assert_array_equal(blmm.open_result(tmp_path / "lod.zarr").lod, lazy)
    of_blocks = {name: calls[name] - count for name, count in in_a_run.items()}
    assert all(3 * in_a_run[name] == of_blocks[name] > 0 for name in calls)
    assert kept._kept is None
