"""The graph of a kinship: runs of markers keep workers equally busy; sums hold half the pairs."""

from __future__ import annotations

import pickle
import sys
from itertools import chain

import numpy as np
import pytest

from bulklmm_dask.engine.kinship import _together
from bulklmm_dask.lmm.kinship import METHODS, Products, added, cross_products, finish


def busiest(lengths: list[int], starts: list[float]) -> float:
    """When the last worker ends, each of which takes the next run as soon as it is free."""
    free = list(starts)
    for length in lengths:
        next_one = free.index(min(free))
        free[next_one] += length
    return max(free)


@pytest.mark.parametrize("chunks", [63, 64, 65, 200, 1000])
@pytest.mark.parametrize("late", [0.0, 0.3, 0.7, 1.0])
def test_two_workers_end_at_about_the_same_time(chunks, late):
    """Even if one begins later, by a share of the longest run."""
    runs = _together(range(chunks), [264] * chunks, 264 * chunks // 8)
    assert list(chain(*runs)) == list(range(chunks))
    lengths = [len(run) for run in runs]
    starts = [0.0, late * max(lengths)]
    assert busiest(lengths, starts) <= (sum(starts) + chunks) / 2 / 0.9


@pytest.mark.parametrize("count", [0, 1, 2, 3, 5, 9])
def test_each_chunk_is_in_one_run(count):
    for most in (0, 1, 10, 25, 1000):
        runs = _together([3 + i for i in range(count)], [10] * (3 + count), most)
        assert list(chain(*runs)) == [3 + i for i in range(count)]
        assert all(runs)


@pytest.mark.parametrize("n", [1, 5, 256, 257, 600])
def test_sums_of_half_the_pairs_are_those_of_all(n):
    rng = np.random.default_rng(n)
    parts = [rng.standard_normal((k, n)) for k in (3, 1, 7)]
    every = np.concatenate(parts)
    sums = [Products.of(part) for part in parts]
    before = [each.total for each in sums]
    whole = added(sums)
    np.testing.assert_allclose(whole.total, every.T @ every, atol=1e-12)
    np.testing.assert_array_equal(whole.total, whole.total.T)
    assert whole.count == len(every)
    less = whole - sums[2]
    np.testing.assert_allclose(less.total, every[:4].T @ every[:4], atol=1e-12)
    assert not (whole - whole + Products.none(n)).total.any()
    for total, each in zip(before, sums, strict=True):
        np.testing.assert_array_equal(each.total, total)


def test_a_sum_tells_its_size_and_travels_without_copies():
    n = 1000
    products = Products.of(np.random.default_rng(0).standard_normal((4, n)))
    assert 4 * n**2 < sys.getsizeof(products) < 5.1 * n**2  # bytes: half of 8 n^2, and strips
    buffers: list[pickle.PickleBuffer] = []
    data = pickle.dumps(products, protocol=5, buffer_callback=buffers.append)
    assert len(data) < 2000
    again = pickle.loads(data, buffers=buffers)
    np.testing.assert_array_equal(again.total, products.total)


@pytest.mark.parametrize("method", METHODS)
def test_kinships_of_more_samples_than_a_strip_are_the_same_as_of_some(method):
    x = np.random.default_rng(1).integers(0, 3, (40, 300)).astype(float)
    whole = finish(cross_products(x, method, 2.0), method)
    np.testing.assert_array_equal(whole, whole.T)
    if method in ("bulklmm", "rqtl2"):  # which look at two samples alone
        np.testing.assert_allclose(
            whole[250:270, 250:270],
            finish(cross_products(x[:, 250:270], method, 2.0), method),
            atol=1e-12,
        )
