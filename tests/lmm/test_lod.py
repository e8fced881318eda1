"""LOD scores from ratios of residual sums of squares, and how far r2 may be rounded."""

from __future__ import annotations

import numpy as np
import pytest

from bulklmm_dask.lmm.lod import (
    ROUNDING,
    SINGLE_ROUNDING,
    SMALLEST,
    largest_lod,
    largest_r2,
    lod_of_ratio,
    lods_of_r2,
)


@pytest.mark.parametrize("dtype", [np.float64, np.float32])
def test_the_score_is_half_n_times_the_logarithm(dtype):
    ratio = np.array([1.0, 0.9, 0.5, 1e-6], dtype)
    expected = -25 * np.log10(ratio.astype(float))
    np.testing.assert_allclose(lod_of_ratio(ratio.copy(), 50), expected, rtol=1e-6)
    out = np.empty(4, np.float32)
    assert lod_of_ratio(ratio, 50, out=out) is out
    np.testing.assert_allclose(out, expected, rtol=1e-6)


def test_a_perfect_fit_has_a_finite_score():
    for ratio in (0.0, -1e-17, SMALLEST / 10):
        assert lod_of_ratio(np.array([ratio]), 100)[0] == largest_lod(100) == 1300
    assert 300 < lod_of_ratio(np.zeros(1, np.float32), 100)[0] < 400


@pytest.mark.parametrize("n", [30, 1000])
def test_rounding_up_to_the_limit_moves_no_score_further_than_allowed(n):
    r2 = largest_r2(n, 2e-5)
    moved = lod_of_ratio(np.array([1 - r2 * (1 + SINGLE_ROUNDING), 1 - r2]), n)
    assert moved[0] - moved[1] == pytest.approx(2e-5, rel=1e-3)
    assert largest_r2(n, 1e-5) < r2 < largest_r2(n, 2e-5, 1e-9) < 1


@pytest.mark.parametrize("n", [30, 250, 5000])
@pytest.mark.parametrize("dtype", [np.float64, np.float32])
def test_scores_in_single_precision_are_as_exact_as_the_logarithm(n, dtype):
    r2 = np.concatenate([[0.0], np.geomspace(1e-9, 0.5, 4000)]).astype(dtype)
    unit = 0.5 * n / np.log(10)
    expected = -unit * np.log1p(-r2.astype(np.float64))
    out = np.empty(len(r2), np.float32)
    lods_of_r2(r2.copy(), n, out, np.empty_like(r2))
    allowed = 6 * ROUNDING * expected + (unit * ROUNDING if n < 300 else 1e-15)
    assert (np.abs(out - expected) <= allowed).all()
    assert out[0] == 0.0
