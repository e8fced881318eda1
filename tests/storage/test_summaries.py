"""Parts that summaries are made of: highest values of groups, counts in cells, segments."""

from __future__ import annotations

import numpy as np
import pytest

from bulklmm_dask.storage.summaries.cells import (
    FLOOR,
    cells_of_stored,
    count_in_cells,
    lower_edge,
    stored_counts,
)
from bulklmm_dask.storage.summaries.highest import distinct_rows, highest_of_groups
from bulklmm_dask.storage.summaries.of_blocks import segments
from bulklmm_dask.storage.summaries.segments import Segments


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


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_stored_counts_have_every_lod_and_the_cells_of_high_ones(dtype):
    lod = np.random.default_rng(0).exponential(2.0, (300, 50)).astype(dtype)
    below = np.nextafter(dtype(FLOOR), dtype(0))
    lod[0, :8] = [np.nan, -1e-3, 0.0, FLOOR, below, 2e7, 1e30, np.inf]
    stored = stored_counts(lod, np.ones(len(lod), int))
    cell, count = cells_of_stored(stored)
    assert stored.dtype == np.uint32
    assert count.sum() == np.isfinite(lod).sum() + 1  # infinity is a LOD, NaN is none
    assert count[cell == 0] == (lod < FLOOR).sum()
    all_cells = count_in_cells(lod)
    inner = cell[1:-1]
    assert lower_edge(inner[:1]) == FLOOR
    np.testing.assert_array_equal(count[1:-1], all_cells[inner])
    assert lower_edge(cell[-1:]) < 2.0**24 == lower_edge(cell[-1:] + 1)
    assert count[-1] == 3  # as all beyond


def test_rows_count_as_often_as_they_are_there():
    rng = np.random.default_rng(1)
    times = rng.integers(1, 5, 40)
    lod = rng.exponential(1.0, (40, 30)).astype(np.float32)
    once = np.ones(times.sum(), int)
    np.testing.assert_array_equal(
        stored_counts(lod, times), stored_counts(lod.repeat(times, axis=0), once)
    )


def test_distinct_rows_are_the_first_of_equal_ones():
    rng = np.random.default_rng(2)
    lod = rng.exponential(1.0, (60, 50)).astype(np.float32).repeat(4, axis=0)
    group = np.repeat([0, 1], [102, 138])
    lod[70, 45] += 1  # beyond the columns that are compared first
    lod[:, 3] = np.nan
    expected = [
        i
        for i in range(len(lod))
        if i == 0
        or group[i] != group[i - 1]
        or not np.array_equal(lod[i], lod[i - 1], equal_nan=True)
    ]
    assert distinct_rows(lod, group).tolist() == expected
    assert len(expected) == 60 + 1 + 2
    different = rng.exponential(1.0, (40, 50))
    assert distinct_rows(different, np.zeros(40, int)).tolist() == list(range(40))


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
