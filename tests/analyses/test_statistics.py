"""Statistics of pairs on request: effects, standard errors, p-values, variance explained."""

from __future__ import annotations

import numpy as np
import pytest
import studies
from scipy.stats import chi2, linregress

import bulklmm_dask as blmm
from bulklmm_dask.lmm.statistics import explained, neg_log10_p

ALL = ("beta", "se", "neg_log10_p", "explained")


@pytest.mark.parametrize("df", [1, 2, 3, 7, 8, 35])
def test_p_values_are_those_of_chi_square(df):
    lod = np.array([0.05, 0.5, 3.0, 10.0, 60.0])
    expected = -chi2.logsf(2 * np.log(10) * lod, df) / np.log(10)
    np.testing.assert_allclose(neg_log10_p(lod, df), expected, rtol=1e-6, atol=1e-15)
    assert neg_log10_p(0.0, df) == 0
    assert np.isnan(neg_log10_p(np.nan, df))
    assert neg_log10_p(-0.1, df) == 0


@pytest.mark.parametrize(
    ("lod", "df", "expected"),
    [
        # Mills' ratio to second order, exact to 1e-11 there: 2 phi(z) / z (1 - 1/z^2 + 3/z^4).
        (1000.0, 1, None),
        (123456.0, 1, None),
        # exp(-x/2), and exp(-x/2) (1 + x/2).
        (1000.0, 2, 1000.0),
        (1000.0, 4, 1000.0 - np.log10(1 + 1000 * np.log(10))),
    ],
)
def test_p_values_of_scores_beyond_any_underflow(lod, df, expected):
    if expected is None:
        z2 = 2 * np.log(10) * lod
        series = np.log1p(-1 / z2 + 3 / z2**2)
        expected = (z2 / 2 + 0.5 * np.log(np.pi * z2 / 2) - series) / np.log(10)
    assert neg_log10_p(lod, df) == pytest.approx(expected, rel=1e-9)


def by_hand(ds, result, i: int, j: int) -> tuple[float, float]:
    """Effect and standard error by generalised least squares."""
    y = ds.sample_trait.values[:, j]
    has = np.flatnonzero(~np.isnan(y))
    h2 = float(result.h2[j]) if "h2_alt" not in result else float(result.h2_alt[i, j])
    v = h2 * ds.kinship.values[np.ix_(has, has)] + (1 - h2) * np.eye(len(has))
    columns = [np.ones(len(has)), *ds.sample_covariate.values[has].T, ds.call_dosage.values[i, has]]
    x = np.column_stack(columns)
    root = np.linalg.cholesky(v)
    xw, yw = np.linalg.solve(root, x), np.linalg.solve(root, y[has])
    beta, rss = np.linalg.lstsq(xw, yw)[:2]
    error = np.sqrt(rss[0] / (len(has) - x.shape[1]) * np.linalg.inv(xw.T @ xw)[-1, -1])
    return beta[-1], error


@pytest.mark.parametrize("reml", [False, True])
@pytest.mark.parametrize("method", ["null-exact", "null-grid", "alt-exact", "alt-grid"])
def test_effects_equal_generalised_least_squares(method, reml):
    ds = studies.study(n=40, p=25, m=6, covariates=1, missing=0.2)
    ds.call_dosage.values[4] = 1.0
    result = blmm.scan(ds, method=method, reml=reml, statistics=ALL).compute()
    for i, j in ((0, 0), (7, 3), (20, 5), (13, 1)):
        expected = by_hand(ds, result, i, j)
        np.testing.assert_allclose((result.beta[i, j], result.se[i, j]), expected, rtol=1e-4)
    assert np.isnan(result.beta[4]).all()
    assert np.isnan(result.se[4]).all()
    assert (result.neg_log10_p[4] == 0).all()
    n = result.n_samples.values
    share = 1 - 10 ** (-2 * result.lod.values / n)  # negative with the LOD
    np.testing.assert_allclose(result.explained, share, atol=1e-6)
    tail = chi2.logsf(2 * np.log(10) * np.maximum(result.lod.values, 0), 1)
    np.testing.assert_allclose(result.neg_log10_p, -tail / np.log(10), rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("lod", [-12.0, -0.5, -1e-12, 0.0, 1e-12, 0.5, 40.0])
@pytest.mark.parametrize("n", [16, 300])
def test_the_share_explained_follows_its_formula_for_any_lod(lod, n):
    assert float(explained(lod, n)) == pytest.approx(1 - 10 ** (-2 * lod / n), abs=1e-15, rel=1e-9)
    assert np.isnan(explained(np.nan, n))


def test_a_negative_lod_explains_less_than_nothing():
    ds = studies.study(n=30, p=20, m=6, seed=3)
    result = blmm.scan(ds, method="alt-exact", reml=True, statistics=("explained",)).compute()
    below = result.lod.values < 0
    assert below.any()
    assert (result.explained.values[below] < 0).all()
    expected = 1 - 10 ** (-2 * result.lod.values / 30)
    np.testing.assert_allclose(result.explained, expected, atol=1e-12)


def test_without_a_kinship_it_is_linear_regression():
    ds = studies.study(n=40, p=25, m=6, missing=0.2)
    result = blmm.scan(ds, kinship=None, statistics=ALL).compute()
    assert (result.h2 == 0).all()
    for i in range(25):
        for j in range(6):
            y = ds.sample_trait.values[:, j]
            has = ~np.isnan(y)
            line = linregress(ds.call_dosage.values[i, has], y[has])
            assert result.beta[i, j] == pytest.approx(line.slope, rel=1e-5)
            assert result.se[i, j] == pytest.approx(line.stderr, rel=1e-5)
            lod = -has.sum() / 2 * np.log10(1 - line.rvalue**2)
            assert result.lod[i, j] == pytest.approx(lod, abs=1e-5)
            assert result.explained[i, j] == pytest.approx(line.rvalue**2, abs=1e-5)


def test_nothing_that_was_not_asked_for():
    ds = studies.study()
    plain = {"lod", "h2", "sigma2", "n_samples", "trait_status"}
    asked = blmm.scan(ds, statistics=("se",))
    assert set(asked.data_vars) - set(blmm.scan(ds).data_vars) == {"se"}
    assert plain <= set(blmm.scan(ds).variables)


def test_the_counted_allele_is_named():
    alleles = np.array([["A", "G"]] * 10, dtype=object)
    rng = np.random.default_rng(0)
    ds = blmm.create_dataset(
        rng.integers(0, 3, (20, 10)), rng.random((20, 2)), alleles=alleles, maximum=2
    )
    result = blmm.scan(ds, kinship=None, statistics=("beta",))
    assert result.attrs["effect_unit"].startswith("per copy of the effect allele")
    assert list(result.variant_allele.values[0]) == ["A", "G"]


def test_stored_as_computed(tmp_path):
    ds = studies.study(n=40, p=25, m=6)
    stored = blmm.scan(ds, statistics=ALL, store=tmp_path / "r.zarr")
    lazy = blmm.scan(ds, statistics=ALL).compute()
    for name in ("lod", *ALL):
        np.testing.assert_array_equal(stored[name], lazy[name])
    with pytest.raises(blmm.StoreError, match="options differ"):
        blmm.scan(ds, statistics=("beta",), store=tmp_path / "r.zarr")
