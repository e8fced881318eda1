"""Markers without copies, and those of some samples without repeats."""

from __future__ import annotations

import numpy as np
import pytest

from bulklmm_dask.lmm.markers import _sums, changes, distinct_markers, without_repeats


def chromosome(rng, shape):
    """Markers of which most equal their neighbour in most samples."""
    x = rng.integers(0, 3, shape).astype(float)
    for i in range(1, len(x)):
        same = rng.random(shape[1]) < 0.9
        x[i, same] = x[i - 1, same]
    return x


@pytest.mark.parametrize("genotypes", [(), (3,)])
def test_markers_of_some_samples_come_back(genotypes):
    rng = np.random.default_rng(0)
    x = chromosome(rng, (60, 20, *genotypes))
    for samples in (np.arange(20), np.array([3, 4, 9, 17]), np.array([5])):
        few, where = without_repeats(x, changes(x), samples)
        np.testing.assert_array_equal(few[where], x[:, samples])
        assert (few[1:] != few[:-1]).reshape(len(few) - 1, -1).any(axis=1).all()


def test_distinct_markers_keep_their_order():
    rng = np.random.default_rng(1)
    x = rng.integers(0, 2, (10, 8)).astype(float)
    copies = x[np.concatenate([np.arange(10), rng.integers(0, 10, 40)])]
    few, where = distinct_markers(copies)
    np.testing.assert_array_equal(few[where], copies)
    np.testing.assert_array_equal(few, x[np.sort(np.unique(x, axis=0, return_index=True)[1])])


@pytest.mark.parametrize("dtype", [np.float64, np.float32])
@pytest.mark.parametrize("shape", [(1, 3), (40, 8), (40, 9), (40, 7, 3)])
@pytest.mark.parametrize("alike", [False, True])
def test_distinct_markers_whatever_their_sums(shape, dtype, alike, monkeypatch):
    """Rows whose sums are the same, though they are not, are told apart."""
    rng = np.random.default_rng(2)
    x = rng.choice([0, 0.5, 1, 2 / 3], shape).astype(dtype)
    copies = x[rng.integers(0, len(x), 5 * len(x))]
    if alike:
        monkeypatch.setattr("bulklmm_dask.lmm.markers._sums", lambda rows: np.zeros(len(rows)))
    few, where = distinct_markers(copies)
    back = few if where is None else few[where]
    np.testing.assert_array_equal(back, copies)
    flat = copies.reshape(len(copies), -1)
    assert len(few) == len(np.unique(flat, axis=0)) or where is None


def test_sums_of_rows_that_differ_are_different():
    values = np.array([0.0, 0.5, 1.0, 2.0, 0.25, 0.75])
    x = np.unique(values[np.random.default_rng(3).integers(0, 6, (20_000, 6))], axis=0)
    for rows in (x, x.astype(np.float32)):
        assert len(np.unique(_sums(rows))) == len(x)


@pytest.mark.parametrize("width", [1, 7, 8, 33, 248])
def test_sums_of_copies_are_equal_wherever_they_lie(width):
    row = np.random.default_rng(4).random(width)
    assert len(np.unique(_sums(np.tile(row, (97, 1))))) == 1
