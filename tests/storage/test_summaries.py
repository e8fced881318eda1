"""Parts that summaries are made of: highest values of groups, counts in cells, segments."""

from __future__ import annotations

import numpy as np
import pytest

from bulklmm_dask.storage.summaries import segments
from bulklmm_dask.storage.summaries.cells import (
    EDGES,
    FLOOR,
    cells_of_stored,
    count_in_cells,
    lower_edge,
    stored_counts,
)
from bulklmm_dask.storage.summaries.segments import Segments
from bulklmm_dask.storage.summaries.slabs import Slabs, highest_of_groups


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
@pytest.mark.parametrize("gaps", [0.0, 0.4])
def test_stored_counts_are_those_of_high_lods_and_bounds_of_low_ones(dtype, gaps):
    rng = np.random.default_rng(0)
    lod = rng.exponential(1.0, (300, 50)).astype(dtype)
    lod[0, :8] = [
        np.nan,
        -1e-3,
        0.0,
        FLOOR,
        np.nextafter(dtype(FLOOR), dtype(0)),
        2e7,
        1e30,
        np.inf,
    ]
    lod[rng.random(lod.shape) < gaps] = np.nan
    lod[:, 9] = np.nan
    for group in (np.zeros(300, int), rng.integers(0, 3, 300)):
        stored = stored_counts(Slabs.of(lod, group))
        cell, count = cells_of_stored(stored)
        assert stored.dtype == np.uint32
        assert count.sum() == (~np.isnan(lod)).sum()
        known = lod[~np.isnan(lod)]
        for edge in EDGES:
            told = count[lower_edge(cell + 1) > edge].sum()
            assert (known >= edge).sum() <= told <= 8 * (known >= edge).sum()
        high = lower_edge(cell) >= FLOOR
        all_cells = count_in_cells(known[(known >= FLOOR) & (known < 2.0**24)])
        np.testing.assert_array_equal(cell[high][:-1], np.flatnonzero(all_cells))
        np.testing.assert_array_equal(count[high][:-1], all_cells[cell[high][:-1]])
        assert lower_edge(cell[-1:]) < 2.0**24 == lower_edge(cell[-1:] + 1)
        assert count[-1] == (known >= 2.0**24).sum()


def test_without_lods_nothing_is_counted():
    assert not stored_counts(Slabs.of(np.full((9, 3), np.nan), np.zeros(9, int))).any()


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
