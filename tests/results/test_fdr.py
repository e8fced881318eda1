"""False discovery rates from p-values, of all tests or of the smallest ones only."""

import numpy as np
import pytest
from scipy.stats import chi2, false_discovery_control

from bulklmm_dask.results.fdr import false_discovery_rates, least_lod


def test_found_at_a_rate():
    p = np.array([0.9, 0.011, 0.039, 0.026, 0.01])
    rates = false_discovery_rates(p)
    assert (rates <= 0.05).sum() == 4  # 0.039 < 4/5 0.05
    assert (rates <= 0.03).sum() == 2  # 0.011 < 2/5 0.03, but 0.026 > 3/5 0.03
    assert not false_discovery_rates(np.empty(0)).size


@pytest.mark.parametrize("m", [1, 2, 17, 400])
def test_all_tests_have_the_rates_of_scipy(m):
    rng = np.random.default_rng(m)
    p = np.round(rng.uniform(size=m) ** 3, 2)  # with ties, zeros and ones
    assert np.array_equal(false_discovery_rates(p), false_discovery_control(p))


def test_the_smallest_p_values_alone_have_the_same_rates():
    p = np.random.default_rng(0).uniform(size=1000) ** 4
    rates = false_discovery_control(p)
    few = np.argsort(p)[:600]
    alone = false_discovery_rates(p[few], p.size)
    found = rates[few] <= rates[few[-1]]  # rates at which no more than these are found
    np.testing.assert_array_equal(alone[found], rates[few][found])


def test_the_least_lod_is_just_below_the_quantile():
    df = np.array([0, 1, 2, 7])
    for score in (0.0, 0.5, 30.0, 299.0):
        exact = chi2.isf(10.0**-score, df[1:]) / (2 * np.log(10))
        lod = least_lod(score, df)
        assert lod[0] == (0.0 if score == 0.0 else np.inf)
        assert (lod[1:] <= exact).all()
        np.testing.assert_allclose(lod[1:], exact, rtol=1e-5)
