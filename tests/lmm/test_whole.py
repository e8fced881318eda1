"""Products of whole numbers of copies in single precision: those of double precision."""

from __future__ import annotations

import numpy as np
import pytest

from bulklmm_dask.lmm import whole
from bulklmm_dask.lmm.kinship import cross_products, finish
from bulklmm_dask.lmm.whole import whole_products


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("maximum", [1.0, 2.0])
@pytest.mark.parametrize("cells", [1, 300, 2**22])
def test_products_are_those_of_double_precision(dtype, maximum, cells, monkeypatch):
    monkeypatch.setattr(whole, "_CELLS", cells)
    rng = np.random.default_rng(1)
    copies = rng.binomial(2, rng.uniform(0.0, 1.0, (200, 1)), (200, 30)).astype(float)
    dosage = (copies * maximum / 2).astype(dtype)
    dosage[3, 4], dosage[5, 6], dosage[7, 8] = np.nan, 0.25, np.nextafter(dtype(0), dtype(1))
    exact = ~np.isin(np.arange(200), [3, 5, 7])
    t = copies[exact] - 1.0
    total, found = whole_products(dosage, maximum, centred=False)
    assert (found == exact).all()
    assert (total == t.T @ t).all()
    t -= t.mean(axis=1, keepdims=True)
    total, _ = whole_products(dosage, maximum, centred=True)
    np.testing.assert_allclose(total, t.T @ t, atol=1e-12)


@pytest.mark.parametrize("method", ["bulklmm", "rqtl2", "centered"])
def test_a_kinship_of_rare_alleles_keeps_its_digits(method):
    """Sums around the means are small differences of large numbers where most calls are alike."""
    rng = np.random.default_rng(2)
    copies = rng.binomial(2, 1.0 - rng.uniform(0.0005, 0.01, (3000, 1)), (3000, 40)).astype(float)
    found = finish(cross_products(copies.astype(np.float32), method, 2.0), method)
    d = copies - (copies.mean(axis=1, keepdims=True) if method == "centered" else 1.0)
    expected = d.T @ d / len(d)
    if method != "centered":
        expected = expected / 2 + 0.5
    if method == "bulklmm":
        np.fill_diagonal(expected, 1.0)
    np.testing.assert_allclose(found, expected, rtol=1e-11, atol=1e-15)
    np.testing.assert_array_equal(found, found.T)
