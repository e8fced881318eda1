"""Parts that summaries are made of: highest values of groups, counts in cells, segments."""

from __future__ import annotations

import numpy as np
import pytest

from bulklmm_dask._compiled import NUMPY, VARIABLE, built
from bulklmm_dask.storage.summaries import cells, segments, slabs
from bulklmm_dask.storage.summaries.cells import N_CELLS, Layout, lower_edge, upper_edge
from bulklmm_dask.storage.summaries.segments import Segments
from bulklmm_dask.storage.summaries.summarise import (
    count_in_cells,
    highest_of_groups,
    summarise,
)

LOOP = built("storage.compiled._blocks")
compiled = pytest.param("", marks=pytest.mark.skipif(LOOP is None, reason="it was not built"))


@pytest.fixture(params=[NUMPY, compiled], ids=["numpy", "compiled"])
def by(request, monkeypatch):
    """What looks at LODs: NumPy, or the loop in C."""
    monkeypatch.setenv(VARIABLE, request.param)
    return request.param


@pytest.mark.usefixtures("by")
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("rows", [1, 7, 8, 50])
def test_the_highest_of_each_group_is_the_first_that_is_so_high(rows, dtype):
    rng = np.random.default_rng(rows)
    lod = rng.integers(-3, 4, (rows, 30)).astype(dtype)  # with ties
    lod[rng.random(lod.shape) < 0.3] = np.nan
    lod[:, 4], lod[:, 5], lod[0, 6] = np.nan, 0.0, -np.inf
    for group in (np.zeros(rows, int), np.arange(rows) // 9 + 5, rng.integers(0, 4, rows)):
        groups, highest, row = highest_of_groups(lod, group)
        assert groups.tolist() == np.unique(group).tolist()
        assert highest.dtype == dtype
        for k, j in np.ndindex(highest.shape):
            mine = [i for i in range(rows) if group[i] == groups[k]]
            known = [i for i in mine if not np.isnan(lod[i, j])]
            best = max(known, key=lambda i: (lod[i, j], -i)) if known else mine[0]
            assert row[k, j] == best
            np.testing.assert_array_equal(highest[k, j], lod[best, j])


def awkward(dtype, gaps, rows=300):
    """LODs of chance, with gaps, a trait without LODs, edges of cells, and no LODs of a scan."""
    rng = np.random.default_rng(0)
    lod = rng.exponential(1.0, (rows, 50)).astype(dtype)
    edges = lower_edge(rng.integers(1, N_CELLS, 12)).astype(dtype)
    special = [np.nan, -1e-3, -0.0, 0.0, 2.0, 2e7, 1e30, np.inf, -np.inf, 1e-30, 2.0**24, 2.0**-16]
    lod[0, :12], lod[1, :12], lod[2, :12] = special, edges, np.nextafter(edges, dtype(0))
    lod[3:6, ::2] = lod[2, ::2]
    lod[rng.random(lod.shape) < gaps] = np.nan
    lod[:, 9] = -np.nan
    return lod


def counted_one_by_one(lod):
    """Counts of LODs by the edges of the cells alone."""
    known = np.maximum(lod[~np.isnan(lod)].astype(float), 0.0)
    cell = np.searchsorted(lower_edge(np.arange(N_CELLS)), known, side="right") - 1
    return np.bincount(cell, minlength=N_CELLS)


@pytest.mark.usefixtures("by")
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("gaps", [0.0, 0.4])
@pytest.mark.parametrize("together", [1, 900, 1 << 17])
def test_each_lod_is_counted_in_its_cell(dtype, gaps, together, monkeypatch):
    monkeypatch.setattr(slabs, "TOGETHER", together)
    monkeypatch.setattr(cells, "TOGETHER", together)
    whole = awkward(dtype, gaps)
    unaligned = np.frombuffer(b"-" + whole.tobytes(), dtype, offset=1).reshape(whole.shape)
    turned = np.asfortranarray(whole)
    named = whole.astype(np.dtype(dtype).newbyteorder("<"))
    for lod in (whole, turned, unaligned, named, whole[::2, 3:], whole[:1], whole[:, :1]):
        before, expected = lod.copy(), counted_one_by_one(lod)
        np.testing.assert_array_equal(count_in_cells(lod), expected)
        lod.flags.writeable = False
        for group in (np.zeros(len(lod), int), np.random.default_rng(1).integers(0, 3, len(lod))):
            counts = summarise(lod, group, counted=True)[2]
            np.testing.assert_array_equal(counts, expected)
        assert lod.tobytes() == before.tobytes()


@pytest.mark.usefixtures("by")
@pytest.mark.parametrize("dtype", [np.float32, np.float64, np.int64, ">f4", np.float16])
def test_low_lods_count_as_the_first_cell_where_they_are_not_wanted(dtype):
    lod = np.random.default_rng(2).exponential(2.0, (60, 40)).astype(dtype)
    np.testing.assert_array_equal(count_in_cells(lod), counted_one_by_one(lod))
    expected = counted_one_by_one(np.where(lod < 1.5, 0, lod))
    np.testing.assert_array_equal(count_in_cells(lod, 1.5), expected)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("n_traits", [1, 255, 256, 257, 700])
def test_the_loop_in_c_gives_what_numpy_gives_also_with_copies_of_markers(
    dtype, n_traits, monkeypatch
):
    rng = np.random.default_rng(n_traits)
    lod = rng.exponential(0.5, (40, n_traits)).astype(dtype)
    lod[rng.random(lod.shape) < 0.05] = np.nan
    lod[::7] *= -1
    lod[5], lod[-3:] = np.nan, -0.0
    where = np.sort(rng.integers(0, 40, 150))  # some markers are copies of the one before
    where[70:75] = where[3:8]  # or of others
    different, lod = lod, lod[where]
    found = []
    for by in (NUMPY, ""):
        monkeypatch.setenv(VARIABLE, by)
        for group in (np.arange(150) // 60, np.arange(150) % 3):
            found.append(summarise(lod, group, counted=True))
            found.append(summarise(different, group, counted=True, where=where))
    expected = [found[at] for at in (0, 0, 2, 2)] * 2
    for numpy, other in zip(expected, found, strict=True):
        assert numpy[0].tobytes() == other[0].tobytes()  # no zero has a sign
        for one, same in zip(numpy[1:], other[1:], strict=True):
            np.testing.assert_array_equal(one, same)
    np.testing.assert_array_equal(found[0][2], counted_one_by_one(lod))


@pytest.mark.skipif(LOOP is None, reason="it was not built")
def test_the_loop_in_c_refuses_arrays_that_do_not_fit():
    lod, where, rows = np.zeros((3, 3), np.float32), np.array([0, 1, 1, 2]), np.arange(4)
    edges = np.array([0, 2, 4])
    highest, row = np.empty((2, 3), np.float32), np.empty((2, 3), np.int32)
    counts, layout = np.zeros(N_CELLS + 1, np.uint32), Layout.of(lod.dtype)
    right = (lod, where, rows, edges, highest, row, counts)
    LOOP.summarise(*right, layout.shift, layout.first)
    assert counts[0] == 12
    fixed = np.empty((2, 3), np.float32)
    fixed.flags.writeable = False
    for place, wrong, error in (
        (0, lod.astype("i4"), TypeError),
        (0, lod[0], TypeError),
        (0, np.asfortranarray(lod), TypeError),
        (0, lod.astype("f8"), ValueError),
        (1, where.astype("i4"), TypeError),
        (1, where + 1, ValueError),
        (1, where - 1, ValueError),
        (1, where[:3], ValueError),
        (2, rows.astype("i4"), TypeError),
        (2, rows + 1, ValueError),
        (2, rows - 1, ValueError),
        (3, np.array([0, 4, 2]), ValueError),
        (3, np.array([0, 2, 2, 4]), ValueError),
        (3, np.array([0, 2, 3]), ValueError),
        (3, np.array([], int), ValueError),
        (4, highest[:1], ValueError),
        (4, fixed, (BufferError, ValueError)),
        (5, row[:, :2], (TypeError, ValueError)),
        (6, counts.astype(float), TypeError),
        (6, None, TypeError),
    ):
        given = [*right]
        given[place] = wrong
        with pytest.raises(error):
            LOOP.summarise(*given, layout.shift, layout.first)


def test_cells_are_as_narrow_as_they_should_be():
    every = np.arange(N_CELLS)
    low, high = lower_edge(every), upper_edge(every)
    np.testing.assert_array_equal(low[1:], high[:-1])
    assert (low[0], high[-1]) == (0.0, np.inf)
    assert high[0] < 1.001 * 2.0**-16
    assert low[-1] < 2.0**24 <= low[-1] * 1.001
    assert (high[1:-1] / low[1:-1] - 1).max() <= 1 / 1024


@pytest.mark.usefixtures("by")
def test_without_lods_nothing_is_counted():
    counts = summarise(np.full((9, 3), np.nan), np.zeros(9, int), counted=True)[2]
    assert not counts.any()
    assert not count_in_cells(np.full((9, 3), np.nan)).any()
    assert not count_in_cells(np.empty((0, 3))).any()


def test_segments_are_contigs_within_chunks(monkeypatch):
    contig = np.array([2, 2, 0, 0, 0, 1, 2, 0])
    found = Segments.of(contig, 8, 3)
    assert found.contig.tolist() == [0, 2, 0, 1, 0, 2]
    assert found.starts.tolist() == [0, 2, 4, 6]
    assert found.by_contig
    assert found.of_chunk(1) == slice(2, 4)
    assert found.groups_of_chunk(2).tolist() == [2, 0]
    monkeypatch.setattr(segments, "_MOST", 1)
    for whole in (Segments.of(contig, 8, 3), Segments.of(None, 8, 3)):
        assert whole.starts.tolist() == [0, 1, 2, 3]
        assert not whole.by_contig
        assert not whole.groups_of_chunk(0).any()
