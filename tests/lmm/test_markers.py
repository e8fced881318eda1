"""Markers without copies, and those of some samples without repeats."""

from __future__ import annotations

import numpy as np
import pytest

from bulklmm_dask.lmm.markers import changes, distinct_markers, without_repeats


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
