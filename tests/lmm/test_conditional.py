"""Covariates that every trait has for itself: against each trait alone, with them in its model."""

from __future__ import annotations

import brute
import numpy as np
import pytest
import studies

from bulklmm_dask.lmm.basis import Basis, make_basis
from bulklmm_dask.lmm.likelihood import ProfileLikelihood
from bulklmm_dask.lmm.null import scan as kernel
from bulklmm_dask.lmm.null.fit import NullModel, fit_null
from bulklmm_dask.lmm.null.scan import NullScan
from bulklmm_dask.lmm.own_covariates import fold_together
from bulklmm_dask.lmm.prior import Prior

both = pytest.mark.parametrize("reml", [False, True], ids=["ml", "reml"])
GRID = np.linspace(0, 1, 11)


def problem(n: int = 60, p: int = 80, m: int = 20, copies: int = 1) -> tuple[np.ndarray, ...]:
    """Dosages (p, n), traits (n, m), kinship, covariates, and two markers of each trait."""
    rng = np.random.default_rng(n + copies)
    dosage, traits = (
        np.repeat(a, copies, axis=0) for a in studies.arrays(n // copies, p, m, seed=copies)
    )
    own, other = rng.integers(p, size=(m, 2)), rng.integers(p, size=m)
    traits = traits + dosage[:, own[:, 0]] + np.linspace(0, 4, m) * dosage[:, other]
    traits += 0.5 * rng.standard_normal((n, m))
    scaled = dosage - dosage.mean(axis=0)
    kinship = scaled @ scaled.T / p + (0.05 * np.eye(n) if copies == 1 else 0.5)
    covariates = np.column_stack([np.ones(n), rng.standard_normal(n)])
    return dosage.T, traits, kinship, covariates, dosage[:, own]


def beside(covariates: np.ndarray, columns: np.ndarray) -> np.ndarray:
    """The covariates with those columns that add to them."""
    for column in columns.T:
        wider = np.column_stack([covariates, column])
        if np.linalg.matrix_rank(wider, tol=1e-6) == wider.shape[1]:
            covariates = wider
    return covariates


def scores(basis: Basis, model: NullModel, dosage: np.ndarray, single: bool = False) -> np.ndarray:
    return NullScan.of(basis, model).scan(dosage, single=single)["lod"]


def compare(dosage, y, kinship, covariates, extra, *, reml, grid=None):
    """Every trait against brute force, with its own covariates among the others."""
    basis = make_basis(kinship, covariates)
    model = fit_null(basis, y, reml=reml, grid=grid, extra=extra)
    double, single = (scores(basis, model, dosage, single) for single in (False, True))
    for j in range(y.shape[1]):
        wider, h2 = beside(covariates, extra[:, j]), model.h2[j]
        if grid is None:
            expected = brute.null_h2(y[:, j], wider, kinship, reml=reml)
        else:
            inside = np.minimum(grid, basis.h2_max)
            values = [brute.log_likelihood(h, y[:, j], wider, kinship, reml) for h in inside]
            expected = inside[np.argmax(values)]
        if abs(h2 - expected) > 1e-6:
            at = (brute.log_likelihood(h, y[:, j], wider, kinship, reml) for h in (h2, expected))
            assert np.subtract(*at) > -1e-9
        exact = brute.lod_scores(dosage, y[:, j], wider, kinship, h2)
        np.testing.assert_allclose(double[:, j], exact, atol=1e-5)
        np.testing.assert_allclose(single[:, j], exact, atol=1e-4)
        _, (yw, cw) = brute.whiten(h2, kinship, y[:, j], wider)
        rss = np.sum((yw - cw @ np.linalg.lstsq(cw, yw)[0]) ** 2)
        n, c = wider.shape
        assert model.sigma2[j] == pytest.approx(rss / (n - c * reml), rel=1e-8)
    assert double.max() > 4


@both
@pytest.mark.parametrize("count", [pytest.param(1, marks=pytest.mark.slow), 2])
@pytest.mark.parametrize("grid", [None, GRID], ids=["exact", "grid"])
def test_every_trait_equals_brute_force(reml, count, grid, monkeypatch):
    dosage, y, kinship, covariates, extra = problem()
    extra = extra[:, :, :count].copy()
    extra[:, 3, 0] = 0.1 + 0.2  # a constant whose mean leaves rounding behind
    extra[:, 4, -1] = 0.0
    extra[:, 5, -1] = covariates @ [3.0, -2.0]
    extra[:, 6, -1] = extra[:, 6, 0] * 2 - 1
    # Small tiles: some of them hold no marker that comes near those of the traits.
    monkeypatch.setattr(kernel, "TILE_CELLS", 60)
    compare(dosage, y, kinship, covariates, extra, reml=reml, grid=grid)


@pytest.mark.slow
@both
@pytest.mark.parametrize("folds", [True, False])
def test_replicated_samples_equal_brute_force(reml, folds):
    """Genotypes lie where the kinship varies; another covariate need not."""
    dosage, y, kinship, covariates, extra = problem(copies=3)
    if not folds:
        extra = extra + np.random.default_rng(0).standard_normal(extra.shape)
    basis = make_basis(kinship, covariates)
    model = fit_null(basis, y, reml=reml, extra=extra)
    assert (fold_together(basis, model.rotated, model.given)[0].rows < 60) == folds
    compare(dosage, y, kinship, covariates, extra, reml=reml)


@both
@pytest.mark.parametrize("prior", [None, Prior(0.5, 4.0)], ids=["plain", "prior"])
def test_slope_is_the_derivative_and_grid_equals_points(reml, prior):
    _, y, kinship, covariates, extra = problem()
    basis = make_basis(kinship, covariates)
    given = np.array([basis.rotate(column) for column in np.moveaxis(extra, 2, 0)])
    given[1, :, :3] = 0.0
    y, h2, step = basis.rotate(y), np.linspace(0.05, 0.9, 5), 1e-5
    likelihood = ProfileLikelihood(basis, y, reml, prior, given)
    on_grid = likelihood.on_grid(h2)
    for k, h in enumerate(h2):
        low, at, high = (likelihood.at(np.full(20, h + d)) for d in (-step, 0.0, step))
        np.testing.assert_allclose(on_grid.value[k], at.value, rtol=1e-10)
        np.testing.assert_allclose(on_grid.slope[k], at.slope, rtol=1e-7, atol=1e-7)
        change = (high.value - low.value) / (2 * step)
        np.testing.assert_allclose(at.slope, change, rtol=1e-5, atol=1e-5)


@both
@pytest.mark.parametrize("weighted", [False, True])
def test_one_marker_for_all_is_a_covariate(reml, weighted):
    dosage, y, kinship, covariates, _ = problem()
    weights = np.sqrt(np.arange(60) % 4 + 1.0) if weighted else None
    marker = dosage[10]
    wider = make_basis(kinship, np.column_stack([covariates, marker]), weights)
    expected = fit_null(wider, y, reml=reml)
    basis = make_basis(kinship, covariates, weights)
    model = fit_null(basis, y, reml=reml, extra=np.tile(marker[:, None, None], (1, 20, 1)))
    np.testing.assert_allclose(model.h2, expected.h2, atol=1e-7)
    np.testing.assert_allclose(model.sigma2, expected.sigma2, rtol=1e-6)
    found = scores(basis, model, dosage)
    np.testing.assert_allclose(found, scores(wider, expected, dosage), atol=1e-5)
    assert (found[10] == 0).all()


def test_columns_that_add_nothing_change_nothing():
    dosage, y, kinship, covariates, _ = problem()
    basis = make_basis(kinship, covariates)
    extra = np.stack([np.zeros_like(y), np.tile(covariates[:, [1]], 20)], axis=2)
    plain, model = (fit_null(basis, y, reml=True, extra=e) for e in (None, extra))
    assert not model.given.any()
    np.testing.assert_allclose(model.h2, plain.h2, atol=1e-9)
    np.testing.assert_allclose(model.sigma2, plain.sigma2, rtol=1e-9)
    found, expected = (scores(basis, m, dosage) for m in (model, plain))
    np.testing.assert_allclose(found, expected, atol=1e-6)


@pytest.mark.parametrize("single", [False, True])
def test_what_a_marker_keeps_beside_its_copy_is_tested(single, monkeypatch):
    """Nearly dependent markers score exactly down to 1e-7 of their variation, then nothing."""
    rng = np.random.default_rng(0)
    n, m = 80, 30
    q, e = np.linalg.qr(rng.standard_normal((n, 2 * m)) - 0.5)[0].T.reshape(2, m, n)
    q, e = (a - a.mean(axis=1, keepdims=True) for a in (q, e))
    e -= q * (np.einsum("ij,ij->i", q, e) / np.einsum("ij,ij->i", q, q))[:, None]
    _, _, kinship, covariates, _ = problem(n)
    y = (3 * q + e * np.geomspace(0.1, 3, m)[:, None] + 0.05 * rng.standard_normal((m, n))).T
    basis = make_basis(kinship, covariates)
    model = fit_null(basis, y, reml=False, extra=q.T[:, :, None])
    monkeypatch.setattr(kernel, "TILE_CELLS", 2 * m)
    largest = 0.0
    for share in (0.5, 1e-2, 2e-3, 5e-4, 1e-5, 1e-6, 1e-8, 0.0):
        markers = np.sqrt(1 - share) * q + np.sqrt(share) * e
        found = scores(basis, model, markers, single)
        for j in range(0, m, 4):
            wider = np.column_stack([covariates, q[j]])
            exact = brute.lod_scores(markers, y[:, j], wider, kinship, model.h2[j])
            exact[j] *= share >= 1e-6
            np.testing.assert_allclose(found[:, j], exact, atol=1e-4 if single else 1e-5)
            largest = max(largest, exact[j])
    assert largest > 20


def test_what_cannot_be_fitted_beside_its_own_covariates_is_reported():
    _, y, kinship, _, _ = problem()
    few = slice(0, 4)
    extra = np.random.default_rng(0).standard_normal((60, 20, 2))
    extra[few, 1:, 1] = 0.0
    y[:, 3] = extra[:, 3, 0] * 2 + 5
    basis = make_basis(kinship, np.ones((60, 1)))
    before = y.copy(), extra.copy()
    model = fit_null(basis, y, reml=False, extra=extra[:, :, :1])
    assert model.status[3] == "constant"
    assert np.flatnonzero(~model.fitted) == [3]
    np.testing.assert_array_equal(y, before[0])
    np.testing.assert_array_equal(extra, before[1])
    tiny = make_basis(kinship[few, few], np.ones((4, 1)))
    model = fit_null(tiny, y[few], reml=False, extra=extra[few])
    assert model.status[0] == "too-few-samples"
    assert set(model.status[[1, 2, 4]]) == {"ok"}
