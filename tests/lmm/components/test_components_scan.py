"""Scans with several kernels against generalised least squares on dense covariances."""

from __future__ import annotations

import brute
import numpy as np
import pytest
import scipy.linalg
from test_components_estimate import groups, random_study

from bulklmm_dask.lmm.chunk import fit_traits, scan_block
from bulklmm_dask.lmm.components.kernels import KernelSamples
from bulklmm_dask.lmm.components.scan import fit_components
from bulklmm_dask.lmm.options import ModelOptions
from bulklmm_dask.lmm.samples import Samples

both = pytest.mark.parametrize("reml", [True, False], ids=["REML", "ML"])


def residual_sums(h, kernels, weights, y, design, columns):
    """RSS of y beside a design, and beside it and some columns, with the effects of these."""
    covariance = np.tensordot(h, brute.scaled_kernels(kernels, weights), axes=1)
    factor = scipy.linalg.cholesky(covariance, lower=True)
    white = scipy.linalg.solve_triangular(factor, np.column_stack([y, design, columns]), lower=True)
    c = design.shape[1] + 1
    coefficients, _, _, _ = np.linalg.lstsq(white[:, 1:], white[:, 0], rcond=None)
    rss1 = np.square(white[:, 0] - white[:, 1:] @ coefficients).sum()
    rss0 = brute.residual_sums(white[:, 1:c], white[:, :1])[0]
    return rss0, rss1, coefficients[c - 1 :], white


def expected(h, kernels, weights, y, covariates, x):
    """LOD, effect and standard error of each marker (p, n)."""
    out = []
    for marker in x:
        rss0, rss1, effect, white = residual_sums(h, kernels, weights, y, covariates, marker)
        own = brute.residual_sums(white[:, 1:-1], white[:, -1:])[0]
        degrees = len(y) - covariates.shape[1] - 1
        out.append((len(y) / 2 * np.log10(rss0 / rss1), effect[0], np.sqrt(rss1 / degrees / own)))
    return np.array(out).T


def scanned(y, covariates, kernels, weights, x, options, interacting=()):
    samples = KernelSamples(covariates, np.stack(kernels), weights, interacting)
    fitted = fit_components(y, samples, options)
    return fitted, scan_block(x, fitted, options, single=False)


@both
@pytest.mark.parametrize("seed", range(8))
def test_lods_and_effects_are_those_of_dense_covariances(seed, reml):
    y, covariates, kernels, weights = random_study(seed)
    x = np.random.default_rng(seed).binomial(2, 0.4, (12, len(y))).astype(float)
    x[3] = x[2]
    options = ModelOptions(reml=reml, wanted=("beta", "se"))
    fitted, found = scanned(y[:, None], covariates, kernels, weights, x, options)
    assert fitted.status[0] in ("ok", "boundary", "flat", "unbounded")
    lod, beta, se = expected(fitted.h2[:, 0], kernels, weights, y, covariates, x)
    np.testing.assert_allclose(found["lod"][:, 0], lod, atol=1e-5)
    np.testing.assert_allclose(found["beta"][:, 0], beta, rtol=1e-6, atol=1e-9)
    np.testing.assert_allclose(found["se"][:, 0], se, rtol=1e-6)


@pytest.mark.slow
@both
@pytest.mark.parametrize("seed", range(6))
def test_lods_are_those_at_the_shares_of_a_search_from_many_starts(seed, reml):
    y, covariates, kernels, weights = random_study(seed)
    x = np.random.default_rng(seed).binomial(2, 0.4, (12, len(y))).astype(float)
    # A marker with an effect, so that some LODs are high.
    y = y + 0.9 * x[0] * y.std()
    options = ModelOptions(reml=reml)
    fitted, found = scanned(y[:, None], covariates, kernels, weights, x, options)
    if fitted.status[0] in ("flat", "unbounded"):
        pytest.skip("the likelihood has no single maximum")
    model = brute.Components(y, covariates, kernels, reml=reml, weights=weights)
    h, value = model.best()
    assert model.value(fitted.h2[:, 0]) > value - 1e-6
    lod, _, _ = expected(h, kernels, weights, y, covariates, x)
    near = np.abs(fitted.h2[:, 0] - h).max() < 1e-4  # else two maxima are equally high
    assert near
    np.testing.assert_allclose(found["lod"][:, 0], lod, atol=1e-4)


@both
def test_one_kernel_gives_the_lods_of_a_kinship(reml):
    rng = np.random.default_rng(3)
    n = 40
    features = rng.standard_normal((n, 60))
    kernel = features @ features.T
    kernel *= n / np.trace(kernel)
    y = rng.standard_normal((n, 9)) + features @ rng.standard_normal((60, 9)) / 8
    y[:3, 4:] = np.nan
    covariates = np.column_stack([np.ones(n), rng.standard_normal(n)])
    weights = rng.uniform(0.5, 2, n)
    x = rng.binomial(2, 0.4, (30, n)).astype(float)
    options = ModelOptions(reml=reml, wanted=("beta", "se"))
    _, found = scanned(y, covariates, [kernel], weights, x, options)
    one = fit_traits(y, Samples(covariates, kernel, weights), options)
    today = scan_block(x, one, options, single=False)
    np.testing.assert_allclose(found["lod"], today["lod"], atol=2e-6)
    for name in ("beta", "se"):
        np.testing.assert_allclose(found[name], today[name], rtol=1e-6, atol=1e-7)


def test_relabelled_kernels_give_the_same():
    y, covariates, kernels, weights = random_study(1)
    x = np.random.default_rng(1).binomial(2, 0.4, (12, len(y))).astype(float)
    options = ModelOptions()
    one, lods = scanned(y[:, None], covariates, kernels, weights, x, options)
    turned, again = scanned(y[:, None], covariates, kernels[::-1], weights, x, options)
    np.testing.assert_allclose(again["lod"], lods["lod"], atol=2e-6)
    k = len(kernels)
    np.testing.assert_allclose(turned.h2[[*range(k)[::-1], k]], one.h2, atol=1e-6)


@pytest.mark.parametrize("kind", ["genotypes", "interaction"])
def test_several_columns_a_marker(kind):
    rng = np.random.default_rng(7)
    n, p = 48, 10
    features = rng.standard_normal((n, 80))
    kernels = [features @ features.T, groups(rng, n, 8)]
    covariates = np.column_stack([np.ones(n), rng.standard_normal(n)])
    y = rng.standard_normal((n, 3)) + 0.1 * features @ rng.standard_normal((80, 3))
    if kind == "genotypes":
        x = rng.dirichlet(np.full(3, 0.3), (p, n))
        options, interacting = ModelOptions(genotypes=3, wanted=("beta",)), ()
    else:
        x = rng.binomial(2, 0.4, (p, n)).astype(float)
        options, interacting = ModelOptions(interactions=1, wanted=("beta",)), (1,)
    fitted, found = scanned(y, covariates, kernels, None, x, options, interacting)
    for j in range(3):
        for i in range(p):
            if kind == "genotypes":
                columns = x[i, :, 1:]
            else:
                columns = np.column_stack([x[i], x[i] * covariates[:, 1]])
            rss0, rss1, effects, _ = residual_sums(
                fitted.h2[:, j], kernels, None, y[:, j], covariates, columns
            )
            assert found["lod"][i, j] == pytest.approx(n / 2 * np.log10(rss0 / rss1), abs=1e-5)
            beta = found["beta"][i, j]
            given = beta[1:] - beta[0] if kind == "genotypes" else beta
            np.testing.assert_allclose(given, effects, rtol=1e-6, atol=1e-8)
    assert (found["df"] == 2).all()


def test_weights_of_very_different_size():
    rng = np.random.default_rng(4)
    n = 30
    features = rng.standard_normal((n, 50))
    kernels = [features @ features.T, groups(rng, n, 6)]
    weights = 10.0 ** rng.uniform(-2, 2, n)
    covariates = np.ones((n, 1))
    y = rng.standard_normal(n) / weights + features @ rng.standard_normal(50) / 10
    x = rng.binomial(2, 0.4, (12, n)).astype(float)
    fitted, found = scanned(y[:, None], covariates, kernels, weights, x, ModelOptions())
    lod, _, _ = expected(fitted.h2[:, 0], kernels, weights, y, covariates, x)
    np.testing.assert_allclose(found["lod"][:, 0], lod, atol=1e-5)


def test_markers_and_traits_that_cannot_be_tested():
    rng = np.random.default_rng(5)
    n = 20
    kernels = [groups(rng, n, 5), groups(rng, n, 4)]
    covariates = np.column_stack([np.ones(n), rng.standard_normal(n)])
    y = rng.standard_normal((n, 5))
    y[:, 1] = np.nan
    y[:, 2] = 3.0
    y[3:, 3] = np.nan
    x = rng.binomial(2, 0.4, (6, n)).astype(float)
    x[0], x[1] = 1.0, covariates[:, 1]
    fitted, found = scanned(y, covariates, kernels, None, x, ModelOptions())
    assert list(fitted.status[1:4]) == ["all-missing", "constant", "too-few-samples"]
    assert np.isnan(fitted.h2[:, 1:4]).all()
    assert np.isnan(found["lod"][:, 1:4]).all()
    assert (found["lod"][:2, [0, 4]] == 0).all()
    assert (found["lod"][2:, [0, 4]] >= 0).all()
    assert list(fitted.n_samples) == [20, 0, 20, 3, 20]
    # Of eight samples, each in a cage of its own, no kernel of cages can be told from the residual.
    alone = np.equal.outer(np.maximum(np.arange(n), 7), np.maximum(np.arange(n), 7)).astype(float)
    y = rng.standard_normal((n, 1))
    y[8:] = np.nan
    fitted, found = scanned(y, np.ones((n, 1)), [kernels[0], alone], None, x, ModelOptions())
    assert list(fitted.status) == ["confounded"]
    assert np.isnan(found["lod"]).all()


@pytest.mark.parametrize("seed", [41, 43])
def test_one_nearly_singular_kernel_is_a_kinship(seed):
    """The likelihood may be largest where the residual is small, between points of the mesh."""
    rng = np.random.default_rng(seed)
    n = int(rng.integers(15, 40))
    vectors = np.linalg.qr(rng.standard_normal((n, n)))[0]
    kinship = (vectors * 10.0 ** rng.uniform(-7, 1, n)) @ vectors.T
    kinship /= np.trace(kinship) / n
    y = np.linalg.cholesky(kinship + 1e-12 * np.eye(n)) @ rng.standard_normal((n, 12))
    y += 10.0 ** rng.uniform(-5, -1, 12) * rng.standard_normal((n, 12))
    x = rng.integers(0, 3, (40, n)).astype(float)
    one, several = ModelOptions(reml=True), ModelOptions(reml=True, components=2)
    today = fit_traits(y, Samples(np.ones((n, 1)), kinship, None), one)
    fitted = fit_components(y, KernelSamples(np.ones((n, 1)), kinship[None]), several)
    np.testing.assert_allclose(fitted.h2[0], today.h2, rtol=0, atol=1e-6)
    found, wanted = (
        scan_block(x, each, options, single=False)["lod"]
        for each, options in ((fitted, several), (today, one))
    )
    np.testing.assert_allclose(found, wanted, rtol=0, atol=2e-6)
